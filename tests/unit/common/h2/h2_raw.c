/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/common/h2/h2_raw.h"

void frame(struct buf *b, uint8_t type, uint8_t flags, int32_t id, struct span payload)
{
	const uint8_t head[9] = {(uint8_t)(payload.n >> 16),
	                         (uint8_t)(payload.n >> 8),
	                         (uint8_t)payload.n,
	                         type,
	                         flags,
	                         (uint8_t)(id >> 24),
	                         (uint8_t)(id >> 16),
	                         (uint8_t)(id >> 8),
	                         (uint8_t)id};

	buf_put(b, span_of(head, 9));
	buf_put(b, payload);
}

void u32_frame(struct buf *b, uint8_t type, int32_t id, uint32_t v)
{
	const uint8_t p[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8),
	                      (uint8_t)v};

	frame(b, type, 0, id, span_of(p, 4));
}

/* A literal field without indexing, RFC 7541 6.2.2; lengths below 127, or 127..16510 with a continuation. */
static void put_text(struct buf *b, struct span s)
{
	if (s.n < 127) {
		buf_put_u8(b, (uint8_t)s.n);
	} else {
		buf_put_u8(b, 127);
		buf_put_u8(b, (uint8_t)(0x80 | ((s.n - 127) & 0x7f)));
		buf_put_u8(b, (uint8_t)((s.n - 127) >> 7));
	}
	buf_put(b, s);
}

void field(struct buf *b, const char *name, const char *value)
{
	buf_put_u8(b, 0);
	put_text(b, span_str(name));
	put_text(b, span_str(value));
}

void block_clear(struct buf *b)
{
	buf_clear(b);
	buf_put_u8(b, 0x20);
}

void block_init(struct buf *b, size_t max)
{
	buf_init(b, max);
	block_clear(b);
}

void connect_block(struct buf *b)
{
	field(b, ":method", "CONNECT");
	field(b, ":authority", "10.0.0.1:80");
}

void preface(struct buf *b, enum h2_role to)
{
	if (to == H2_SERVER)
		buf_put_str(b, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
	frame(b, SETTINGS, 0, 0, span_of(NULL, 0));
	frame(b, SETTINGS, ACK, 0, span_of(NULL, 0)); /* of the one the session sends at once */
}

void raw_init(struct raw *r, enum h2_role role)
{
	struct pair none = {0};

	side_init(&r->x, role, &pair_options);
	(void)pair_move(&none, &r->x, NULL, SIZE_MAX);
	buf_init(&r->b, 64 << 20);
	preface(&r->b, role);
}

void raw_fini(struct raw *r)
{
	buf_fini(&r->b);
	side_fini(&r->x);
}

enum err raw_feed(struct raw *r, uint64_t now_ms)
{
	enum err e;

	assert_int_equal(buf_status(&r->b), ERR_OK);
	e = side_feed(&r->x, r->b.p, r->b.n, now_ms);
	buf_clear(&r->b);
	return e;
}

void raw_answer(struct raw *r, struct buf *out)
{
	struct iobuf_queue q;
	enum err e;

	iobuf_queue_init(&q);
	e = h2_session_send(r->x.s, &q, SIZE_MAX, &r->x.ev);
	if (r->x.err == ERR_OK)
		r->x.err = e;
	side_take_events(&r->x);
	while (q.count > 0) {
		struct iobuf_view v = iobuf_queue_pop(&q);

		buf_put(out, span_of(v.p, v.len));
		iobuf_unref(v.buf);
	}
}

static uint32_t u32_at(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The code of the last RST_STREAM or GOAWAY of that type in out, or -1. */
static int64_t code_in(const struct buf *out, uint8_t type)
{
	int64_t code = -1;

	for (size_t at = 0; at + 9 <= out->n;) {
		size_t len =
			(size_t)out->p[at] << 16 | (size_t)out->p[at + 1] << 8 | out->p[at + 2];

		if (out->p[at + 3] == type)
			code = u32_at(out->p + at + 9 + (type == GOAWAY ? 4 : 0));
		at += 9 + len;
	}
	return code;
}

int64_t raw_code(struct raw *r, uint8_t type)
{
	struct buf out;
	int64_t code;

	buf_init(&out, 1 << 20);
	raw_answer(r, &out);
	code = code_in(&out, type);
	buf_fini(&out);
	return code;
}

void request(struct buf *b, int32_t id)
{
	struct buf block;

	block_init(&block, 4096);
	connect_block(&block);
	frame(b, HEADERS, END_HEADERS, id, buf_span(&block));
	buf_fini(&block);
}
