/* SPDX-License-Identifier: Apache-2.0 */
/* The same octets in one piece and in small ones give the same messages and the same end. First octet: the pieces. */
#include <string.h>

#include "common/base/check.h"
#include "common/grpc/grpc_codec.h"
#include "common/grpc/grpc_status.h"

enum { LEN_MAX = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

struct result {
	uint64_t hash;
	unsigned int count;
	enum err e;
	bool between;
};

static struct result feed_all(struct span all, size_t piece)
{
	struct result res = {.hash = 14695981039346656037ULL};
	struct grpc_reader r;

	grpc_reader_init(&r, LEN_MAX);
	while (all.n > 0 && res.e == ERR_OK) {
		struct span in = span_of(all.p, all.n < piece ? all.n : piece);

		all = span_of(all.p + in.n, all.n - in.n);
		while (in.n > 0 && res.e == ERR_OK) {
			bool whole = false;

			res.e = grpc_reader_feed(&r, &in, &whole);
			for (size_t i = 0; whole && i < r.message.n; i++)
				res.hash = (res.hash ^ r.message.p[i]) * 1099511628211ULL;
			res.count += whole;
		}
	}
	res.between = grpc_reader_between(&r);
	grpc_reader_fini(&r);
	return res;
}

static void read_status(struct span text)
{
	struct h2_field f[] = {{span_str("grpc-status"), span_str("2")},
	                       {span_str("grpc-message"), text}};
	const struct h2_head h = {.count = 2, .fields = f};
	struct grpc_status st;

	CHECK(grpc_status_of_fields(&h, &st));
	for (const char *c = st.words; *c; c++)
		CHECK((unsigned char)*c >= 0x20);
	f[0].value = text;
	CHECK(grpc_status_of_fields(&h, &st));
	CHECK(st.code != GRPC_OK || span_eq_str(text, "0"));
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct result a, b;

	if (n == 0)
		return 0;
	a = feed_all(span_of(p + 1, n - 1), SIZE_MAX);
	b = feed_all(span_of(p + 1, n - 1), (size_t)p[0] % 16 + 1);
	CHECK(a.count == b.count && a.hash == b.hash && a.e == b.e);
	CHECK(a.e != ERR_OK || a.between == b.between);
	read_status(span_of(p + 1, n - 1));
	return 0;
}
