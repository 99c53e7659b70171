/* SPDX-License-Identifier: Apache-2.0 */
/* A client in one piece and octet by octet: the same steps, and never an octet too many. */
#include "common/base/check.h"
#include "common/codec/socks5_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* How far it got in pieces of at most piece octets. */
static enum socks5_step talk(struct socks5_reader *r, struct span in, size_t piece,
                             size_t *ret_used)
{
	enum socks5_step step = SOCKS5_MORE;
	size_t used = 0;

	socks5_reader_init(r);
	while (used < in.n && (step == SOCKS5_MORE || step == SOCKS5_GREETED)) {
		size_t len;
		uint8_t *room = socks5_reader_room(r, &len);

		CHECK(len >= 1 && len <= SOCKS5_MESSAGE_MAX);
		len = len < piece ? len : piece;
		len = len < in.n - used ? len : in.n - used;
		memcpy(room, in.p + used, len);
		used += len;
		step = socks5_reader_put(r, len);
	}
	*ret_used = used;
	return step;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct socks5_reader whole, single;
	size_t used, again;
	enum socks5_step step = talk(&whole, span_of(p, n), SOCKS5_MESSAGE_MAX, &used);

	CHECK(talk(&single, span_of(p, n), 1, &again) == step && used == again);
	if (step == SOCKS5_ASKED) {
		CHECK(endpoint_eq(&whole.to, &single.to) && strcmp(whole.name, single.name) == 0);
		CHECK((whole.to.ip.family == IP_NONE) == (whole.name[0] != '\0'));
		CHECK(whole.to.port != 0);
	}
	if (step == SOCKS5_BAD_REQUEST)
		CHECK(whole.code != SOCKS5_GRANTED && whole.code == single.code);
	return 0;
}
