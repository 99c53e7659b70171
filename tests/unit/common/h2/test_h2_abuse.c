/* SPDX-License-Identifier: Apache-2.0 */
/* A server session (a client, where said) against bytes no honest peer sends. design: HTTP/2 rows of the attack table. */
#include <string.h>

#include "common/base/buf.h"
#include "tests/unit/common/h2/h2_pair.h"

#define CLAIM(name) cmocka_unit_test(name)

enum {
	DATA = 0,
	HEADERS = 1,
	PRIORITY = 2,
	RST_STREAM = 3,
	SETTINGS = 4,
	PUSH_PROMISE = 5,
	PING = 6,
	GOAWAY = 7,
	WINDOW_UPDATE = 8,
	CONTINUATION = 9,
};
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4, PADDED = 8 };

static void frame(struct buf *b, uint8_t type, uint8_t flags, int32_t id, struct span payload)
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

static void u32_frame(struct buf *b, uint8_t type, int32_t id, uint32_t v)
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

static void field(struct buf *b, const char *name, const char *value)
{
	buf_put_u8(b, 0);
	put_text(b, span_str(name));
	put_text(b, span_str(value));
}

/* A block starts with what our SETTINGS_HEADER_TABLE_SIZE of 0 asks for, RFC 7541 6.3. */
static void block_clear(struct buf *b)
{
	buf_clear(b);
	buf_put_u8(b, 0x20);
}

static void block_init(struct buf *b, size_t max)
{
	buf_init(b, max);
	block_clear(b);
}

static void connect_block(struct buf *b)
{
	field(b, ":method", "CONNECT");
	field(b, ":authority", "10.0.0.1:80");
}

static void preface(struct buf *b, enum h2_role to)
{
	if (to == H2_SERVER)
		buf_put_str(b, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
	frame(b, SETTINGS, 0, 0, span_of(NULL, 0));
	frame(b, SETTINGS, ACK, 0, span_of(NULL, 0)); /* of the one the session sends at once */
}

struct raw {
	struct side x;
	struct buf b;
};

static void raw_init(struct raw *r, enum h2_role role)
{
	struct pair none = {0};

	side_init(&r->x, role, &pair_options);
	(void)pair_move(&none, &r->x, NULL, SIZE_MAX);
	buf_init(&r->b, 64 << 20);
	preface(&r->b, role);
}

static void raw_fini(struct raw *r)
{
	buf_fini(&r->b);
	side_fini(&r->x);
}

static enum err raw_feed(struct raw *r, uint64_t now_ms)
{
	enum err e;

	assert_int_equal(buf_status(&r->b), ERR_OK);
	e = side_feed(&r->x, r->b.p, r->b.n, now_ms);
	buf_clear(&r->b);
	return e;
}

/* What the session says, emitted whole. */
static void raw_answer(struct raw *r, struct buf *out)
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

/* Emit and look for the code; the output is forgotten. */
static int64_t raw_code(struct raw *r, uint8_t type)
{
	struct buf out;
	int64_t code;

	buf_init(&out, 1 << 20);
	raw_answer(r, &out);
	code = code_in(&out, type);
	buf_fini(&out);
	return code;
}

static void request(struct buf *b, int32_t id)
{
	struct buf block;

	block_init(&block, 4096);
	connect_block(&block);
	frame(b, HEADERS, END_HEADERS, id, buf_span(&block));
	buf_fini(&block);
}

static void server_settings_are_the_contracts(void **state)
{
	static const uint8_t expected[] = {
		0, 0,   30,   SETTINGS,
		0, 0,   0,    0,
		0, 0,   1,    0,
		0, 0,   0, /* HEADER_TABLE_SIZE 0 */
		0, 3,   0,    0,
		0, 200, /* MAX_CONCURRENT_STREAMS */
		0, 4,   0,    0x40,
		0, 0, /* INITIAL_WINDOW_SIZE 4 MiB */
		0, 5,   0,    0x10,
		0, 0, /* MAX_FRAME_SIZE 1 MiB */
		0, 6,   0,    1,
		0, 0, /* MAX_HEADER_LIST_SIZE 65536 */
		0, 0,   4,    WINDOW_UPDATE,
		0, 0,   0,    0,
		0, 0,   0xff, 0,
		1, /* 16 MiB less the initial 65535 */
	};
	struct raw r;
	struct buf out;

	(void)state;
	side_init(&r.x, H2_SERVER, &pair_options);
	buf_init(&r.b, 64);
	buf_init(&out, 4096);
	raw_answer(&r, &out);
	assert_int_equal(out.n, sizeof(expected));
	assert_memory_equal(out.p, expected, sizeof(expected));
	buf_fini(&out);
	raw_fini(&r);
}

static void client_settings_are_the_contracts(void **state)
{
	static const uint8_t expected[] = {
		0,    0,    30,   SETTINGS,
		0,    0,    0,    0,
		0,    0,    1,    0,
		0,    0,    0, /* HEADER_TABLE_SIZE 0 */
		0,    2,    0,    0,
		0,    0, /* ENABLE_PUSH 0 */
		0,    4,    0,    0x40,
		0,    0,    0,    5,
		0,    0x10, 0,    0,
		0,    6,    0,    0,
		0x40, 0, /* MAX_HEADER_LIST_SIZE 16384 */
		0,    0,    4,    WINDOW_UPDATE,
		0,    0,    0,    0,
		0,    0,    0xff, 0,
		1,
	};
	struct h2_options o = pair_options;
	struct raw r;
	struct buf out;

	(void)state;
	o.header_list_max = 16384;
	side_init(&r.x, H2_CLIENT, &o);
	buf_init(&r.b, 64);
	buf_init(&out, 4096);
	raw_answer(&r, &out);
	assert_int_equal(out.n, 24 + sizeof(expected));
	assert_memory_equal(out.p, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
	assert_memory_equal(out.p + 24, expected, sizeof(expected));
	buf_fini(&out);
	raw_fini(&r);
}

static void heads_do_not_depend_on_earlier_ones(void **state)
{
	struct pair p;
	uint8_t first[256];
	size_t first_len = 0;

	(void)state;
	pair_init(&p, NULL, NULL);
	pair_settle(&p);
	for (unsigned int i = 0; i < 3; i++) {
		struct iobuf_queue out;
		struct iobuf_view v;
		size_t at = 9;

		(void)pair_connect(&p, "10.0.0.1:80");
		iobuf_queue_init(&out);
		assert_int_equal(h2_session_send(p.c.s, &out, SIZE_MAX, &p.c.ev), ERR_OK);
		v = iobuf_queue_pop(&out);
		while (v.p[at] == 0x20) /* the table's new size is told once */
			at++;
		if (i == 0) {
			first_len = v.len - at;
			assert_true(first_len < sizeof(first));
			memcpy(first, v.p + at, first_len);
		}
		assert_int_equal(v.len - at, first_len);
		assert_memory_equal(v.p + at, first, first_len);
		assert_int_equal(side_feed(&p.s, v.p, v.len, 0), ERR_OK);
		iobuf_unref(v.buf);
	}
	pair_fini(&p);
}

struct flood {
	const char *name;
	uint8_t type, flags;
	int32_t id;
	uint8_t len;
};

static void floods_of_control_frames_end_the_session(void **state)
{
	static const struct flood floods[] = {
		{"PING", PING, 0, 0, 8},
		{"PING ACK", PING, ACK, 0, 8},
		{"SETTINGS", SETTINGS, 0, 0, 0},
		{"PRIORITY", PRIORITY, 0, 1, 5},
		{"PRIORITY of idle streams", PRIORITY, 0, 99, 5},
		{"empty DATA", DATA, 0, 1, 0},
		{"RST_STREAM of a gone stream", RST_STREAM, 0, 3, 4},
		{"late HEADERS", HEADERS, END_HEADERS, 3, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(floods) / sizeof(floods[0]); i++) {
		static const uint8_t zero[8];
		struct raw r;
		unsigned int n = 0;

		raw_init(&r, H2_SERVER);
		request(&r.b, 1);
		request(&r.b, 3);
		u32_frame(&r.b, RST_STREAM, 3, 8);
		assert_int_equal(raw_feed(&r, 0), ERR_OK);
		while (r.x.err == ERR_OK && n < 1000) {
			frame(&r.b, floods[i].type, floods[i].flags, floods[i].id,
			      span_of(zero, floods[i].len));
			(void)raw_feed(&r, 0);
			(void)raw_code(&r, GOAWAY); /* the peer even reads */
			n++;
		}
		if (r.x.err != ERR_H2_FLOOD || n < 100)
			fail_msg("%s: error %d after %u", floods[i].name, r.x.err, n);
		raw_fini(&r);
	}
}

static void flood_is_answered_with_calm_down(void **state)
{
	static const uint8_t zero[8];
	struct raw r;

	(void)state;
	raw_init(&r, H2_SERVER);
	for (unsigned int i = 0; i < 1000; i++)
		frame(&r.b, PING, 0, 0, span_of(zero, 8));
	assert_int_equal(raw_feed(&r, 0), ERR_H2_FLOOD);
	assert_true(h2_session_wants_send(r.x.s));
	assert_int_equal(raw_code(&r, GOAWAY), 0xb);
	assert_int_equal(raw_feed(&r, 0), ERR_H2_FLOOD);
	raw_fini(&r);
}

static void unread_answers_are_bounded(void **state)
{
	static const uint8_t zero[8];
	struct raw r;
	unsigned int n = 0;

	(void)state;
	raw_init(&r, H2_SERVER);
	assert_int_equal(raw_feed(&r, 0), ERR_OK);
	while (n < 200) { /* slow enough for the budget, but nothing is read */
		frame(&r.b, PING, 0, 0, span_of(zero, 8));
		if (raw_feed(&r, 1000 * n) != ERR_OK)
			break;
		n++;
	}
	assert_int_equal(r.x.err, ERR_H2_FLOOD);
	assert_in_range(n, 90, 110);
	raw_fini(&r);
}

static void patient_control_frames_are_welcome(void **state)
{
	static const uint8_t zero[8];
	struct raw r;

	(void)state;
	raw_init(&r, H2_SERVER);
	for (unsigned int i = 0; i < 2000; i++) {
		frame(&r.b, PING, 0, 0, span_of(zero, 8));
		assert_int_equal(raw_feed(&r, 100 * i), ERR_OK);
		(void)raw_code(&r, GOAWAY);
	}
	raw_fini(&r);
}

static void tiny_data_frames_are_no_flood(void **state)
{
	struct raw r;

	(void)state;
	raw_init(&r, H2_SERVER);
	request(&r.b, 1);
	for (unsigned int i = 0; i < 20000; i++)
		frame(&r.b, DATA, 0, 1, span_str("x"));
	assert_int_equal(raw_feed(&r, 0), ERR_OK);
	assert_int_equal(side_seen(&r.x, 1)->bytes, 20000);
	raw_fini(&r);
}

static void window_updates_are_paid_by_what_we_send(void **state)
{
	struct raw r;
	struct pair none = {0};

	(void)state;
	raw_init(&r, H2_SERVER);
	none.rng = 1;
	request(&r.b, 1);
	u32_frame(&r.b, WINDOW_UPDATE, 0, 0x7f000000);
	u32_frame(&r.b, WINDOW_UPDATE, 1, 0x7f000000);
	assert_int_equal(raw_feed(&r, 0), ERR_OK);
	assert_int_equal(side_respond(&r.x, 1, "200", false), ERR_OK);
	for (unsigned int i = 0; i < 2000; i++) {
		side_put(&r.x, 1, IOBUF_SLOT_LEN, &none, NULL);
		(void)pair_move(&none, &r.x, NULL, SIZE_MAX);
		u32_frame(&r.b, WINDOW_UPDATE, 0, 8000);
		u32_frame(&r.b, WINDOW_UPDATE, 1, 8000);
		u32_frame(&r.b, WINDOW_UPDATE, 0, 8000);
		assert_int_equal(raw_feed(&r, 0), ERR_OK);
	}
	/* without traffic they are nuisance: 8000 of credit and the budget end */
	for (unsigned int i = 0; i < 10000; i++)
		u32_frame(&r.b, WINDOW_UPDATE, 0, 1);
	assert_int_equal(raw_feed(&r, 0), ERR_H2_FLOOD);
	raw_fini(&r);
}

static void rapid_reset_ends_the_session(void **state)
{
	struct raw r;
	unsigned int n = 0;

	(void)state;
	raw_init(&r, H2_SERVER);
	for (int32_t id = 1; r.x.err == ERR_OK && n < 1000; id += 2, n++) {
		request(&r.b, id);
		u32_frame(&r.b, RST_STREAM, id, 8);
		r.x.seen_count = 0;
		(void)raw_feed(&r, 0);
	}
	assert_int_equal(r.x.err, ERR_H2_FLOOD);
	assert_in_range(n, 200, 205);
	assert_int_equal(raw_code(&r, GOAWAY), 0xb);
	raw_fini(&r);
}

static void twenty_resets_a_second_are_fine(void **state)
{
	struct raw r;
	int32_t id = 1;

	(void)state;
	raw_init(&r, H2_SERVER);
	for (unsigned int i = 0; i < 2000; i++, id += 2) {
		request(&r.b, id);
		u32_frame(&r.b, RST_STREAM, id, 8);
		r.x.seen_count = 0;
		assert_int_equal(raw_feed(&r, 50 * i), ERR_OK);
	}
	raw_fini(&r);
}

static void resets_of_answered_streams_are_no_attack(void **state)
{
	struct raw r;
	int32_t id = 1;

	(void)state;
	raw_init(&r, H2_SERVER);
	for (unsigned int i = 0; i < 2000; i++, id += 2) {
		request(&r.b, id);
		r.x.seen_count = 0;
		assert_int_equal(raw_feed(&r, 0), ERR_OK);
		assert_int_equal(side_respond(&r.x, id, "200", false), ERR_OK);
		(void)raw_code(&r, GOAWAY);
		u32_frame(&r.b, RST_STREAM, id, 8);
		assert_int_equal(raw_feed(&r, 0), ERR_OK);
	}
	raw_fini(&r);
}

static void refusals_that_cross_a_cancel_are_no_attack(void **state)
{
	struct raw r;
	int32_t id = 1;

	(void)state;
	raw_init(&r, H2_SERVER);
	for (unsigned int i = 0; i < 2000; i++, id += 2) {
		request(&r.b, id);
		r.x.seen_count = 0;
		assert_int_equal(raw_feed(&r, 0), ERR_OK);
		assert_int_equal(side_respond(&r.x, id, "401", true), ERR_OK);
		(void)raw_code(&r, GOAWAY);
		u32_frame(&r.b, RST_STREAM, id, 8); /* had been on its way */
		assert_int_equal(raw_feed(&r, 0), ERR_OK);
	}
	raw_fini(&r);
}

/* "MadeYouReset": the peer provokes our RST_STREAM instead of sending its own. */
static void provoked_resets_count_like_resets(void **state)
{
	(void)state;
	for (unsigned int way = 0; way < 3; way++) {
		struct raw r;
		unsigned int n = 0;

		raw_init(&r, H2_SERVER);
		for (int32_t id = 1; r.x.err == ERR_OK && n < 1000; id += 2, n++) {
			if (way < 2)
				request(&r.b, id);
			if (way == 0) { /* the stream's window overflows */
				u32_frame(&r.b, WINDOW_UPDATE, id, 0x7fffffff);
			} else if (way == 1) { /* trailers */
				request(&r.b, id);
			} else { /* malformed */
				struct buf block;

				block_init(&block, 4096);
				field(&block, "Upper", "x");
				frame(&r.b, HEADERS, END_HEADERS, id, buf_span(&block));
				buf_fini(&block);
			}
			r.x.seen_count = 0;
			(void)raw_feed(&r, 0);
			(void)raw_code(&r, GOAWAY);
		}
		assert_int_equal(r.x.err, ERR_H2_FLOOD);
		assert_in_range(n, 150, 205);
		raw_fini(&r);
	}
}

/* One request with fields of the test's choice: the RST_STREAM code it meets, or -1 when it was delivered. */
static int64_t fate(struct raw *r, struct buf *block, bool *ret_delivered)
{
	int64_t code;

	raw_init(r, H2_SERVER);
	frame(&r->b, HEADERS, END_HEADERS, 1, buf_span(block));
	assert_int_equal(raw_feed(r, 0), ERR_OK);
	code = raw_code(r, RST_STREAM);
	assert_false(side_seen(&r->x, 1)->reset); /* of a request never heard of nothing is told */
	*ret_delivered = side_seen(&r->x, 1)->request;
	assert_int_equal(h2_session_streams(r->x.s), *ret_delivered ? 1 : 0);
	raw_fini(r);
	return code;
}

static void malformed_heads_reset_the_stream(void **state)
{
	static const char *const bad[][2] = {
		{"Upper", "x"},
		{"bad name", "x"},
		{"", "x"},
		{"x", "a\r\nb"},
		{"x", "a\nb"},
		{"x", " lead"},
		{"x", "trail "},
		{"connection", "close"},
		{"keep-alive", "1"},
		{"proxy-connection", "x"},
		{"transfer-encoding", "chunked"},
		{"upgrade", "h2c"},
		{"te", "gzip"},
		{":method", "CONNECT"},
		{":authority", "10.0.0.2:80"},
		{":status", "200"},
		{":unknown", "x"},
		{":", "x"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct raw r;
		struct buf block;
		bool delivered;

		block_init(&block, 4096);
		connect_block(&block);
		field(&block, bad[i][0], bad[i][1]);
		if (fate(&r, &block, &delivered) != 1 || delivered)
			fail_msg("%s: %s", bad[i][0], bad[i][1]);
		buf_fini(&block);
	}
}

static void pseudo_after_regular_resets_the_stream(void **state)
{
	struct raw r;
	struct buf block;
	bool delivered;

	(void)state;
	block_init(&block, 4096);
	field(&block, ":method", "CONNECT");
	field(&block, "x", "y");
	field(&block, ":authority", "10.0.0.1:80");
	assert_int_equal(fate(&r, &block, &delivered), 1);
	assert_false(delivered);
	block_clear(&block);
	field(&block, ":authority", "10.0.0.1:80"); /* and one without :method */
	assert_int_equal(fate(&r, &block, &delivered), 1);
	assert_false(delivered);
	buf_fini(&block);
}

static void odd_but_well_formed_heads_are_for_hbone_to_judge(void **state)
{
	static const char *const odd[][2] = {
		{":path", "/"},     {":scheme", "http"}, {":protocol", "websocket"},
		{"te", "trailers"}, {"host", "other"},   {"x", ""},
		{"x", "\x80\xff"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		struct raw r;
		struct buf block;
		bool delivered;

		block_init(&block, 4096);
		connect_block(&block);
		field(&block, odd[i][0], odd[i][1]);
		if (fate(&r, &block, &delivered) != -1 || !delivered)
			fail_msg("%s: %s", odd[i][0], odd[i][1]);
		block_clear(&block);
		field(&block, ":method",
		      i % 2 ? "GET" : "CONNECT"); /* no authority: answered with 400 above */
		assert_int_equal(fate(&r, &block, &delivered), -1);
		assert_true(delivered);
		buf_fini(&block);
	}
}

static void too_many_fields_reset_the_stream(void **state)
{
	struct raw r;
	struct buf block;
	bool delivered;

	(void)state;
	block_init(&block, 1 << 20);
	connect_block(&block);
	for (unsigned int i = 0; i < 30; i++)
		field(&block, "cookie", "");
	assert_int_equal(fate(&r, &block, &delivered), -1);
	assert_true(delivered); /* 32 are allowed */
	field(&block, "cookie", "");
	assert_int_equal(fate(&r, &block, &delivered), 0xb);
	assert_false(delivered);
	buf_fini(&block);
}

static void header_list_past_its_limit_resets_the_stream(void **state)
{
	static char big[16000];
	struct raw r;
	struct buf block;
	bool delivered;

	(void)state;
	memset(big, 'x', sizeof(big) - 1);
	block_init(&block, 1 << 20);
	connect_block(&block);
	for (unsigned int i = 0; i < 4; i++)
		field(&block, "big", big);
	assert_int_equal(fate(&r, &block, &delivered), -1);
	assert_true(delivered);
	field(&block, "big", big);
	assert_int_equal(fate(&r, &block, &delivered), 0xb);
	assert_false(delivered);
	buf_fini(&block);
}

static void continuation_flood_ends_the_session(void **state)
{
	struct raw r;
	struct buf block;

	(void)state;
	raw_init(&r, H2_SERVER);
	block_init(&block, 4096);
	connect_block(&block);
	frame(&r.b, HEADERS, 0, 1, buf_span(&block));
	for (unsigned int i = 0; i < 100; i++)
		frame(&r.b, CONTINUATION, 0, 1, span_of(NULL, 0));
	assert_int_equal(raw_feed(&r, 0), ERR_H2_FLOOD);
	assert_int_equal(raw_code(&r, GOAWAY), 0xb);
	buf_fini(&block);
	raw_fini(&r);
}

static void head_in_continuations_is_read(void **state)
{
	struct raw r;
	struct buf block;

	(void)state;
	raw_init(&r, H2_SERVER);
	block_init(&block, 4096);
	connect_block(&block);
	frame(&r.b, HEADERS, 0, 1, span_of(block.p, 5));
	frame(&r.b, CONTINUATION, 0, 1, span_of(block.p + 5, 9));
	frame(&r.b, CONTINUATION, END_HEADERS, 1, span_of(block.p + 14, block.n - 14));
	assert_int_equal(raw_feed(&r, 0), ERR_OK);
	assert_true(side_seen(&r.x, 1)->request);
	buf_fini(&block);
	raw_fini(&r);
}

static void broken_frames_are_reported_by_recv_at_once(void **state)
{
	static const uint8_t five[5], settings[] = {0, 4, 0x80, 0, 0, 0}; /* a window past 2^31-1 */
	static uint8_t big[65536];

	(void)state;
	for (unsigned int i = 0; i < 9; i++) {
		struct raw r;
		enum err expected = ERR_H2;

		raw_init(&r, H2_SERVER);
		request(&r.b, 1);
		switch (i) {
		case 0: frame(&r.b, DATA, 0, 0, span_str("x")); break;    /* on stream 0 */
		case 1: frame(&r.b, DATA, 0, 7, span_str("x")); break;    /* on an idle stream */
		case 2: frame(&r.b, PING, 0, 0, span_of(five, 5)); break; /* of a wrong length */
		case 3: frame(&r.b, CONTINUATION, 4, 1, span_of(NULL, 0)); break;
		case 4: frame(&r.b, PUSH_PROMISE, 4, 1, span_of(five, 4)); break;
		case 5: u32_frame(&r.b, WINDOW_UPDATE, 0, 0); break;
		case 6:
			u32_frame(&r.b, WINDOW_UPDATE, 0, 0x7fffffff);
			expected = ERR_H2_FLOW;
			break;
		case 7:
			frame(&r.b, SETTINGS, 0, 0, span_of(settings, 6));
			expected = ERR_H2_FLOW;
			break;
		default: { /* more than the connection's window */
			struct h2_options narrow = pair_options;

			raw_fini(&r);
			narrow.conn_window = 65535;
			side_init(&r.x, H2_SERVER, &narrow);
			buf_init(&r.b, 1 << 20);
			(void)raw_code(&r, GOAWAY);
			preface(&r.b, H2_SERVER);
			r.x.hold = true;
			request(&r.b, 1);
			frame(&r.b, DATA, 0, 1, span_of(big, 65535));
			assert_int_equal(raw_feed(&r, 0), ERR_OK);
			frame(&r.b, DATA, 0, 1, span_str("x"));
			expected = ERR_H2_FLOW;
		}
		}
		if (raw_feed(&r, 0) != expected)
			fail_msg("case %u: %d", i, r.x.err);
		assert_true(raw_code(&r, GOAWAY) > 0);
		assert_false(h2_session_wants_send(r.x.s));
		raw_fini(&r);
	}
}

static void stream_window_overrun_resets_the_stream(void **state)
{
	static uint8_t big[100001];
	struct h2_options narrow = pair_options;
	struct raw r;

	(void)state;
	narrow.stream_window = 100000;
	side_init(&r.x, H2_SERVER, &narrow);
	buf_init(&r.b, 1 << 20);
	(void)raw_code(&r, GOAWAY);
	preface(&r.b, H2_SERVER);
	r.x.hold = true;
	request(&r.b, 1);
	frame(&r.b, DATA, 0, 1, span_of(big, 100001));
	assert_int_equal(raw_feed(&r, 0), ERR_OK);
	assert_int_equal(raw_code(&r, RST_STREAM), 3);
	assert_true(side_seen(&r.x, 1)->reset);
	assert_int_equal(side_seen(&r.x, 1)->code, 3);
	raw_fini(&r);
}

static void bad_preface_is_refused(void **state)
{
	struct raw r;

	(void)state;
	raw_init(&r, H2_SERVER);
	buf_clear(&r.b);
	buf_put_str(&r.b, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_int_equal(raw_feed(&r, 0), ERR_H2);
	raw_fini(&r);
	raw_init(&r, H2_SERVER);
	buf_clear(&r.b);
	buf_put_str(&r.b, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
	frame(&r.b, PING, 0, 0, span_of("12345678", 8)); /* SETTINGS must come first */
	assert_int_equal(raw_feed(&r, 0), ERR_H2);
	raw_fini(&r);
}

static void streams_above_the_limit_are_refused(void **state)
{
	struct raw r;

	(void)state;
	raw_init(&r, H2_SERVER);
	for (int32_t i = 0; i < 200; i++)
		request(&r.b, 2 * i + 1);
	assert_int_equal(raw_feed(&r, 0), ERR_OK);
	assert_int_equal(h2_session_streams(r.x.s), 200);
	request(&r.b, 401);
	assert_int_equal(raw_feed(&r, 0), ERR_H2); /* it has acknowledged our limit */
	raw_fini(&r);
}

static void trailers_reset_the_stream(void **state)
{
	struct raw r;

	(void)state;
	raw_init(&r, H2_SERVER);
	request(&r.b, 1);
	request(&r.b, 1);
	assert_int_equal(raw_feed(&r, 0), ERR_OK);
	assert_int_equal(raw_code(&r, RST_STREAM), 1);
	assert_true(side_seen(&r.x, 1)->reset);
	assert_int_equal(side_seen(&r.x, 1)->code, 1);
	raw_fini(&r);
}

static void data_after_end_stream_ends_the_session(void **state)
{
	struct raw r;

	(void)state;
	raw_init(&r, H2_SERVER);
	request(&r.b, 1);
	frame(&r.b, DATA, END_STREAM, 1, span_str("x"));
	frame(&r.b, DATA, 0, 1, span_str("x"));
	assert_int_equal(raw_feed(&r, 0), ERR_H2);
	assert_int_equal(side_seen(&r.x, 1)->bytes, 1);
	raw_fini(&r);
}

/* A client with one request out, against answers of the test's making. */
static void answer_block(struct buf *b, uint8_t flags, const char *status)
{
	struct buf block;

	block_init(&block, 4096);
	field(&block, ":status", status);
	frame(b, HEADERS, flags | END_HEADERS, 1, buf_span(&block));
	buf_fini(&block);
}

static void client_init(struct raw *r)
{
	struct pair p = {0};

	side_init(&r->x, H2_CLIENT, &pair_options);
	p.c = r->x; /* shares the session for the call */
	assert_int_equal(pair_connect(&p, "10.0.0.1:80"), 1);
	(void)raw_code(r, GOAWAY);
	buf_init(&r->b, 1 << 20);
	preface(&r->b, H2_CLIENT);
}

static void interim_answers_are_passed_over(void **state)
{
	struct raw r;

	(void)state;
	client_init(&r);
	for (unsigned int i = 0; i < 8; i++)
		answer_block(&r.b, 0, i % 2 ? "103" : "100");
	assert_int_equal(raw_feed(&r, 0), ERR_OK);
	assert_false(side_seen(&r.x, 1)->response);
	answer_block(&r.b, 0, "200");
	frame(&r.b, DATA, 0, 1, span_str("hello"));
	assert_int_equal(raw_feed(&r, 0), ERR_OK);
	assert_string_equal(side_seen(&r.x, 1)->status, "200");
	assert_int_equal(side_seen(&r.x, 1)->bytes, 5);
	raw_fini(&r);
}

static void ninth_interim_answer_resets(void **state)
{
	struct raw r;

	(void)state;
	client_init(&r);
	for (unsigned int i = 0; i < 9; i++)
		answer_block(&r.b, 0, "100");
	assert_int_equal(raw_feed(&r, 0), ERR_OK);
	assert_int_equal(raw_code(&r, RST_STREAM), 1);
	assert_true(side_seen(&r.x, 1)->reset);
	raw_fini(&r);
}

static void malformed_answers_reset_the_stream(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 6; i++) {
		struct raw r;

		client_init(&r);
		switch (i) {
		case 0: answer_block(&r.b, 0, "20"); break;
		case 1: answer_block(&r.b, 0, "2000"); break;
		case 2: answer_block(&r.b, 0, "101"); break;
		case 3: answer_block(&r.b, END_STREAM, "100"); break;
		case 4: /* payload behind a 1xx */
			answer_block(&r.b, 0, "100");
			frame(&r.b, DATA, 0, 1, span_str("x"));
			break;
		default:
			answer_block(&r.b, 0, "100");
			frame(&r.b, DATA, END_STREAM, 1, span_of(NULL, 0));
		}
		assert_int_equal(raw_feed(&r, 0), ERR_OK);
		assert_int_equal(raw_code(&r, RST_STREAM), 1);
		assert_true(side_seen(&r.x, 1)->reset);
		assert_int_equal(side_seen(&r.x, 1)->code, 1);
		assert_false(side_seen(&r.x, 1)->response || side_seen(&r.x, 1)->ended);
		raw_fini(&r);
	}
}

static void data_before_the_answer_ends_the_session(void **state)
{
	struct raw r;

	(void)state;
	client_init(&r);
	frame(&r.b, DATA, 0, 1, span_str("x"));
	assert_int_equal(raw_feed(&r, 0), ERR_H2);
	raw_fini(&r);
}

static void pushed_streams_end_the_session(void **state)
{
	struct raw r;
	struct buf block;

	(void)state;
	client_init(&r);
	block_init(&block, 4096);
	buf_put(&block, span_of("\0\0\0\2", 4));
	connect_block(&block);
	frame(&r.b, PUSH_PROMISE, END_HEADERS, 1, buf_span(&block));
	assert_int_equal(raw_feed(&r, 0), ERR_H2);
	buf_fini(&block);
	raw_fini(&r);
}

static void foreign_ping_answer_does_not_count(void **state)
{
	struct raw r;
	uint64_t next;

	(void)state;
	raw_init(&r, H2_SERVER);
	assert_int_equal(raw_feed(&r, 0), ERR_OK);
	assert_int_equal(h2_session_tick(r.x.s, 10000, &next), ERR_OK);
	frame(&r.b, PING, ACK, 0, span_of("deadbeef", 8));
	assert_int_equal(raw_feed(&r, 10001), ERR_OK);
	assert_int_equal(h2_session_tick(r.x.s, 30000, &next), ERR_H2_PING_TIMEOUT);
	assert_int_equal(raw_code(&r, GOAWAY), 0);
	raw_fini(&r);
}

static void padding_costs_no_window_for_long(void **state)
{
	static uint8_t padded[1 + 200];
	struct h2_options narrow = pair_options;
	struct raw r;

	(void)state;
	narrow.conn_window = 65535;
	narrow.stream_window = 65535;
	side_init(&r.x, H2_SERVER, &narrow);
	buf_init(&r.b, 1 << 20);
	(void)raw_code(&r, GOAWAY);
	preface(&r.b, H2_SERVER);
	request(&r.b, 1);
	padded[0] = 190; /* 10 octets of payload, 190 of padding */
	for (unsigned int i = 0; i < 3000; i++) {
		frame(&r.b, DATA, PADDED, 1, span_of(padded, sizeof(padded)));
		assert_int_equal(raw_feed(&r, 0), ERR_OK);
		(void)raw_code(&r, GOAWAY);
	}
	assert_int_equal(side_seen(&r.x, 1)->bytes, 30000);
	raw_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(server_settings_are_the_contracts),
		CLAIM(client_settings_are_the_contracts),
		CLAIM(heads_do_not_depend_on_earlier_ones),
		CLAIM(floods_of_control_frames_end_the_session),
		CLAIM(flood_is_answered_with_calm_down),
		CLAIM(unread_answers_are_bounded),
		CLAIM(patient_control_frames_are_welcome),
		CLAIM(tiny_data_frames_are_no_flood),
		CLAIM(window_updates_are_paid_by_what_we_send),
		CLAIM(rapid_reset_ends_the_session),
		CLAIM(twenty_resets_a_second_are_fine),
		CLAIM(resets_of_answered_streams_are_no_attack),
		CLAIM(refusals_that_cross_a_cancel_are_no_attack),
		CLAIM(provoked_resets_count_like_resets),
		CLAIM(malformed_heads_reset_the_stream),
		CLAIM(pseudo_after_regular_resets_the_stream),
		CLAIM(odd_but_well_formed_heads_are_for_hbone_to_judge),
		CLAIM(too_many_fields_reset_the_stream),
		CLAIM(header_list_past_its_limit_resets_the_stream),
		CLAIM(continuation_flood_ends_the_session),
		CLAIM(head_in_continuations_is_read),
		CLAIM(broken_frames_are_reported_by_recv_at_once),
		CLAIM(stream_window_overrun_resets_the_stream),
		CLAIM(bad_preface_is_refused),
		CLAIM(streams_above_the_limit_are_refused),
		CLAIM(trailers_reset_the_stream),
		CLAIM(data_after_end_stream_ends_the_session),
		CLAIM(interim_answers_are_passed_over),
		CLAIM(ninth_interim_answer_resets),
		CLAIM(malformed_answers_reset_the_stream),
		CLAIM(data_before_the_answer_ends_the_session),
		CLAIM(pushed_streams_end_the_session),
		CLAIM(foreign_ping_answer_does_not_count),
		CLAIM(padding_costs_no_window_for_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
