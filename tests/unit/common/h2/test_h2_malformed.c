/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions against heads and frames that are wrong, or odd; and what ours look like on the wire. */
#include <string.h>

#include "tests/unit/common/h2/h2_raw.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(server_settings_are_the_contracts),
		cmocka_unit_test(client_settings_are_the_contracts),
		cmocka_unit_test(heads_do_not_depend_on_earlier_ones),
		cmocka_unit_test(malformed_heads_reset_the_stream),
		cmocka_unit_test(pseudo_after_regular_resets_the_stream),
		cmocka_unit_test(odd_but_well_formed_heads_are_for_hbone_to_judge),
		cmocka_unit_test(too_many_fields_reset_the_stream),
		cmocka_unit_test(header_list_past_its_limit_resets_the_stream),
		cmocka_unit_test(head_in_continuations_is_read),
		cmocka_unit_test(broken_frames_are_reported_by_recv_at_once),
		cmocka_unit_test(bad_preface_is_refused),
		cmocka_unit_test(trailers_reset_the_stream),
		cmocka_unit_test(data_after_end_stream_ends_the_session),
		cmocka_unit_test(interim_answers_are_passed_over),
		cmocka_unit_test(ninth_interim_answer_resets),
		cmocka_unit_test(malformed_answers_reset_the_stream),
		cmocka_unit_test(data_before_the_answer_ends_the_session),
		cmocka_unit_test(pushed_streams_end_the_session),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
