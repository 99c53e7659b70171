/* SPDX-License-Identifier: Apache-2.0 */
#include "common/grpc/grpc_codec.h"

#include <stdio.h>

#include "common/base/check.h"

enum {
	FLAG_COMPRESSED = 1,
	KEEP_MAX = 64 * 1024, /* what a reader keeps for the next message */
};

void grpc_prefix(uint32_t len, uint8_t out[GRPC_PREFIX])
{
	out[0] = 0;
	out[1] = (uint8_t)(len >> 24);
	out[2] = (uint8_t)(len >> 16);
	out[3] = (uint8_t)(len >> 8);
	out[4] = (uint8_t)len;
}

void grpc_reader_init(struct grpc_reader *r, uint32_t len_max)
{
	CHECK(len_max <= GRPC_MESSAGE_MAX);
	*r = (struct grpc_reader){.len_max = len_max};
	buf_init(&r->message, len_max);
}

void grpc_reader_fini(struct grpc_reader *r)
{
	buf_fini(&r->message);
}

bool grpc_reader_between(const struct grpc_reader *r)
{
	return r->prefix_have == 0;
}

static struct span take(struct span *in, size_t n)
{
	struct span front = span_of(in->p, n < in->n ? n : in->n);

	in->p += front.n;
	in->n -= front.n;
	return front;
}

/* The message before is no longer lent; a big one's memory goes back. */
static void forget_message(struct grpc_reader *r)
{
	if (r->message.cap > KEEP_MAX) {
		buf_fini(&r->message);
		buf_init(&r->message, r->len_max);
	}
	buf_clear(&r->message);
}

static enum err read_prefix(struct grpc_reader *r)
{
	const uint8_t *p = r->prefix;

	if (p[0] & ~FLAG_COMPRESSED)
		return ERR_PARSE;
	if (p[0] & FLAG_COMPRESSED)
		return ERR_UNSUPPORTED;
	r->len = (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
	return r->len <= r->len_max ? ERR_OK : ERR_LIMIT;
}

enum err grpc_reader_feed(struct grpc_reader *r, struct span *in, bool *ret_whole)
{
	*ret_whole = false;
	if (r->prefix_have < GRPC_PREFIX) {
		struct span part = take(in, (size_t)(GRPC_PREFIX - r->prefix_have));
		enum err e;

		if (r->prefix_have == 0)
			forget_message(r);
		if (part.n > 0)
			memcpy(r->prefix + r->prefix_have, part.p, part.n);
		r->prefix_have = (uint8_t)(r->prefix_have + part.n);
		if (r->prefix_have < GRPC_PREFIX)
			return ERR_OK;
		e = read_prefix(r);
		if (e != ERR_OK)
			return e;
	}
	buf_put(&r->message, take(in, r->len - r->message.n));
	if (r->message.failed)
		return ERR_MEMORY; /* it is below the ceiling */
	*ret_whole = r->message.n == r->len;
	if (*ret_whole)
		r->prefix_have = 0;
	return ERR_OK;
}

const char *grpc_timeout_text(uint64_t ms, char out[GRPC_TIMEOUT_TEXT])
{
	static const struct {
		uint64_t ms;
		char unit;
	} units[] = {{1, 'm'}, {1000, 'S'}, {60000, 'M'}, {3600000, 'H'}};
	const uint64_t digits_max = 99999999; /* of the protocol */
	uint64_t n = digits_max;
	char unit = 'H';

	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		uint64_t whole = ms / units[i].ms + (ms % units[i].ms != 0);

		if (whole <= digits_max) {
			n = whole;
			unit = units[i].unit;
			break;
		}
	}
	(void)snprintf(out, GRPC_TIMEOUT_TEXT, "%u%c", (unsigned int)n, unit);
	return out;
}
