/* SPDX-License-Identifier: Apache-2.0 */
/* A server session against peers that waste its time: floods, resets, bombs. */
#include "common/h2/h2_private.h"
#include "tests/unit/common/h2/h2_raw.h"

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
		{"ALTSVC", 0x0a, 0, 0, 2},
		{"PRIORITY_UPDATE", 0x10, 0, 0, 4},
		{"a frame of no known type", 0x42, 0, 0, 8},
		{"the same on a stream", 0xfe, 0, 1, 0},
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
		frame(&r.b, i % 2 == 0 ? PING : 0x42, 0, 0, span_of(zero, 8));
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

static void heads_past_their_limit_cost_ten_resets(void **state)
{
	struct raw r;
	unsigned int n = 0;

	(void)state;
	raw_init(&r, H2_SERVER);
	for (int32_t id = 1; r.x.err == ERR_OK && n < 1000; id += 2, n++) {
		struct buf block;

		block_init(&block, 1 << 20);
		for (unsigned int i = 0; i < 4000; i++)
			field(&block, "x-more", "of the same");
		frame(&r.b, HEADERS, END_HEADERS, id, buf_span(&block));
		buf_fini(&block);
		r.x.seen_count = 0;
		(void)raw_feed(&r, 0);
	}
	assert_int_equal(r.x.err, ERR_H2_FLOOD);
	assert_in_range(n, H2_RESET_BURST / H2_BOMB_COST, H2_RESET_BURST / H2_BOMB_COST + 3);
	raw_fini(&r);
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
		cmocka_unit_test(floods_of_control_frames_end_the_session),
		cmocka_unit_test(flood_is_answered_with_calm_down),
		cmocka_unit_test(unread_answers_are_bounded),
		cmocka_unit_test(patient_control_frames_are_welcome),
		cmocka_unit_test(tiny_data_frames_are_no_flood),
		cmocka_unit_test(window_updates_are_paid_by_what_we_send),
		cmocka_unit_test(rapid_reset_ends_the_session),
		cmocka_unit_test(twenty_resets_a_second_are_fine),
		cmocka_unit_test(resets_of_answered_streams_are_no_attack),
		cmocka_unit_test(refusals_that_cross_a_cancel_are_no_attack),
		cmocka_unit_test(provoked_resets_count_like_resets),
		cmocka_unit_test(heads_past_their_limit_cost_ten_resets),
		cmocka_unit_test(continuation_flood_ends_the_session),
		cmocka_unit_test(stream_window_overrun_resets_the_stream),
		cmocka_unit_test(streams_above_the_limit_are_refused),
		cmocka_unit_test(foreign_ping_answer_does_not_count),
		cmocka_unit_test(padding_costs_no_window_for_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
