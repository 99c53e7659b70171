/* SPDX-License-Identifier: Apache-2.0 */
/* How streams and sessions end: in order, by reset, by GOAWAY, by silence. */
#include "tests/unit/common/h2/h2_pair.h"

static void both_ends_give_closed_not_reset(void **state)
{
	struct pair p;
	int32_t id;

	(void)state;
	pair_init(&p, NULL, NULL);
	id = pair_open(&p);
	h2_session_end(p.c.s, id);
	pair_settle(&p);
	assert_true(side_seen(&p.s, id)->ended);
	assert_false(side_seen(&p.s, id)->closed);
	side_put(&p.s, id, 100, &p, NULL); /* the other half still works */
	h2_session_end(p.s.s, id);
	pair_settle(&p);
	assert_int_equal(side_seen(&p.c, id)->bytes, 100);
	assert_true(side_seen(&p.c, id)->ended && side_seen(&p.c, id)->closed);
	assert_true(side_seen(&p.s, id)->closed);
	assert_false(side_seen(&p.s, id)->reset || side_seen(&p.c, id)->reset);
	pair_fini(&p);
}

static void refusal_ends_the_stream_with_no_error(void **state)
{
	struct pair p;
	int32_t id;

	(void)state;
	pair_init(&p, NULL, NULL);
	id = pair_connect(&p, "10.0.0.1:80");
	pair_settle(&p);
	assert_int_equal(side_respond(&p.s, id, "401", true), ERR_OK);
	pair_settle(&p);
	assert_string_equal(side_seen(&p.c, id)->status, "401");
	assert_true(side_seen(&p.c, id)->ended);
	assert_true(side_seen(&p.c, id)->reset);
	assert_int_equal(side_seen(&p.c, id)->code, 0);
	assert_true(side_seen(&p.s, id)->closed);
	assert_int_equal(h2_session_streams(p.s.s), 0);
	assert_int_equal(h2_session_streams(p.c.s), 0);
	assert_int_equal(side_respond(&p.s, id, "401", true), ERR_INTERNAL);
	pair_fini(&p);
}

static void refusal_of_an_ended_request_closes_quietly(void **state)
{
	struct pair p;
	int32_t id;

	(void)state;
	pair_init(&p, NULL, NULL);
	id = pair_connect(&p, "10.0.0.1:80");
	h2_session_end(p.c.s, id);
	pair_settle(&p);
	assert_true(side_seen(&p.s, id)->ended);
	assert_int_equal(side_respond(&p.s, id, "503", true), ERR_OK);
	pair_settle(&p);
	assert_true(side_seen(&p.c, id)->closed);
	assert_true(side_seen(&p.s, id)->closed);
	pair_fini(&p);
}

static void reset_reaches_the_other_side_once(void **state)
{
	(void)state;
	for (unsigned int who = 0; who < 2; who++) {
		struct pair p;
		struct side *me, *other;
		int32_t id;

		pair_init(&p, NULL, NULL);
		me = who ? &p.s : &p.c;
		other = who ? &p.c : &p.s;
		id = pair_open(&p);
		side_put(me, id, 100000, &p, NULL);
		h2_session_reset(me->s, id, 8);
		assert_int_equal(h2_session_streams(me->s), 0);
		assert_int_equal(h2_session_queued(me->s, id), 0);
		assert_int_equal(iobuf_pool_bytes_in_use(me->pool), 0); /* at once */
		assert_int_equal(h2_session_put(me->s, id, side_slot(me, 10, 'x')),
		                 ERR_H2_STREAM_RESET);
		pair_settle(&p);
		assert_true(side_seen(other, id)->reset);
		assert_int_equal(side_seen(other, id)->code, 8);
		assert_int_equal(side_seen(other, id)->bytes, 0); /* the queue was dropped */
		assert_false(side_seen(me, id)->reset || side_seen(me, id)->closed);
		pair_fini(&p);
	}
}

static void reset_before_the_request_left_sends_nothing(void **state)
{
	struct pair p;
	int32_t a, b;

	(void)state;
	pair_init(&p, NULL, NULL);
	a = pair_connect(&p, "10.0.0.1:80");
	h2_session_reset(p.c.s, a, 8);
	b = pair_connect(&p, "10.0.0.1:81");
	pair_settle(&p);
	assert_false(side_seen(&p.s, a)->request);
	assert_true(side_seen(&p.s, b)->request);
	assert_false(side_seen(&p.c, a)->reset);
	pair_fini(&p);
}

static void late_data_after_reset_still_returns_connection_window(void **state)
{
	struct h2_options narrow = pair_options;
	struct pair p;

	(void)state;
	narrow.conn_window = 100000;
	pair_init(&p, NULL, &narrow);
	for (unsigned int i = 0; i < 40; i++) {
		int32_t id = pair_open(&p);

		/* the reset and the payload cross on the way */
		side_put(&p.c, id, 90000, &p, NULL);
		h2_session_reset(p.s.s, id, 8);
		(void)pair_move(&p, &p.c, &p.s, SIZE_MAX);
		assert_int_equal(side_seen(&p.s, id)->bytes, 0);
		pair_settle(&p);
		assert_true(side_seen(&p.c, id)->reset);
	}
	assert_int_equal(p.s.err, ERR_OK);
	pair_fini(&p);
}

static void reset_in_the_middle_of_a_frame_returns_the_rest(void **state)
{
	struct h2_options narrow = pair_options;
	struct pair p;

	(void)state;
	narrow.conn_window = 65535;
	pair_init(&p, NULL, &narrow);
	for (unsigned int i = 0; i < 40; i++) {
		struct iobuf_queue out;
		struct iobuf_view v;
		int32_t id = pair_open(&p);

		side_put(&p.c, id, 16000, &p, NULL);
		iobuf_queue_init(&out);
		assert_int_equal(h2_session_send(p.c.s, &out, SIZE_MAX, &p.c.ev), ERR_OK);
		v = iobuf_queue_pop(&out);
		assert_int_equal(out.count, 0);
		assert_int_equal(side_feed(&p.s, v.p, 5000, 0), ERR_OK);
		assert_int_equal(side_seen(&p.s, id)->bytes, 5000 - 9);
		h2_session_reset(p.s.s, id, 8);
		assert_int_equal(side_feed(&p.s, v.p + 5000, v.len - 5000, 0), ERR_OK);
		assert_int_equal(side_seen(&p.s, id)->bytes, 5000 - 9);
		iobuf_unref(v.buf);
		pair_settle(&p);
	}
	assert_int_equal(p.s.err, ERR_OK);
	pair_fini(&p);
}

static void shutdown_lets_streams_finish(void **state)
{
	struct pair p;
	int32_t id;

	(void)state;
	pair_init(&p, NULL, NULL);
	id = pair_open(&p);
	h2_session_shutdown(p.s.s);
	pair_settle(&p);
	assert_int_equal(p.c.goaways, 1);
	assert_int_equal(p.c.goaway_last, INT32_MAX);
	assert_false(h2_session_can_open(p.c.s));
	h2_session_shutdown(p.s.s);
	pair_settle(&p);
	assert_int_equal(p.c.goaways, 2);
	assert_int_equal(p.c.goaway_last, id);
	side_put(&p.c, id, 100000, &p, NULL);
	pair_settle(&p);
	assert_int_equal(side_seen(&p.s, id)->bytes, 100000);
	h2_session_end(p.c.s, id);
	h2_session_end(p.s.s, id);
	pair_settle(&p);
	assert_true(side_seen(&p.c, id)->closed);
	assert_int_equal(h2_session_streams(p.s.s), 0);
	pair_fini(&p);
}

static void request_that_crosses_the_first_goaway_is_served(void **state)
{
	struct pair p;
	int32_t id;

	(void)state;
	pair_init(&p, NULL, NULL);
	pair_settle(&p);
	h2_session_shutdown(p.s.s);
	id = pair_connect(&p, "10.0.0.1:80");
	(void)pair_move(&p, &p.c, &p.s, SIZE_MAX);
	(void)pair_move(&p, &p.s, &p.c, SIZE_MAX);
	assert_true(side_seen(&p.s, id)->request);
	h2_session_shutdown(p.s.s);
	assert_int_equal(side_respond(&p.s, id, "200", false), ERR_OK);
	pair_settle(&p);
	assert_int_equal(p.c.goaway_last, id);
	assert_string_equal(side_seen(&p.c, id)->status, "200");
	pair_fini(&p);
}

static void goaway_refuses_streams_above_the_last_id(void **state)
{
	struct pair p;
	int32_t a, b;

	(void)state;
	pair_init(&p, NULL, NULL);
	a = pair_open(&p);
	h2_session_shutdown(p.s.s);
	h2_session_shutdown(p.s.s);
	b = pair_connect(&p, "10.0.0.1:80"); /* crosses both */
	(void)pair_move(&p, &p.s, NULL, 0);
	{
		/* the server's GOAWAYs leave first, the client's HEADERS is on the way */
		struct iobuf_queue out;

		iobuf_queue_init(&out);
		assert_int_equal(h2_session_send(p.s.s, &out, SIZE_MAX, &p.s.ev), ERR_OK);
		(void)pair_move(&p, &p.c, &p.s, SIZE_MAX);
		while (out.count > 0) {
			struct iobuf_view v = iobuf_queue_pop(&out);

			assert_int_equal(side_feed(&p.c, v.p, v.len, 0), ERR_OK);
			iobuf_unref(v.buf);
		}
	}
	pair_settle(&p);
	assert_false(side_seen(&p.s, b)->request);
	assert_true(side_seen(&p.c, b)->reset);
	assert_int_equal(side_seen(&p.c, b)->code, 7); /* REFUSED_STREAM */
	assert_false(side_seen(&p.c, a)->reset);
	pair_fini(&p);
}

static void final_goaway_is_the_last_frame(void **state)
{
	struct pair p;
	int32_t id;

	(void)state;
	pair_init(&p, NULL, NULL);
	id = pair_open(&p);
	side_put(&p.s, id, 50000, &p, NULL);
	h2_session_goaway(p.s.s, 0);
	assert_int_equal(pair_move(&p, &p.s, &p.c, SIZE_MAX), 9 + 8);
	assert_false(h2_session_wants_send(p.s.s));
	assert_int_equal(p.c.goaways, 1);
	assert_int_equal(p.s.err, ERR_OK);
	pair_fini(&p);
}

static void reset_while_a_frame_waits_for_a_buffer_is_harmless(void **state)
{
	struct pair p;
	struct iobuf *taken[8];
	unsigned int n = 0;
	struct iobuf_queue out;
	struct iobuf_pool *tight = iobuf_pool_new((size_t)2 * (IOBUF_SLOT_MEM + 128));
	int32_t a, b;

	(void)state;
	pair_init(&p, NULL, NULL);
	h2_session_free(p.c.s);
	p.c.s = h2_session_new(H2_CLIENT, &pair_options, tight, 0);
	a = pair_open(&p);
	b = pair_open(&p);
	side_put(&p.c, a, 3000, &p, NULL);
	side_put(&p.c, b, 100, &p, NULL);
	while ((taken[n] = iobuf_take(tight, IOBUF_SLOT)) != NULL)
		n++;
	iobuf_queue_init(&out);
	assert_int_equal(h2_session_send(p.c.s, &out, SIZE_MAX, &p.c.ev), ERR_MEMORY);
	h2_session_reset(p.c.s, a, 8);
	while (n > 0)
		iobuf_unref(taken[--n]);
	pair_settle(&p);
	assert_true(side_seen(&p.s, a)->reset);
	assert_int_equal(side_seen(&p.s, b)->bytes, 100);
	assert_int_equal(p.s.err, ERR_OK);
	h2_session_free(p.c.s);
	p.c.s = NULL;
	iobuf_pool_free(tight);
	pair_fini(&p);
}

static void silent_peer_times_out(void **state)
{
	struct pair p;
	uint64_t next = 0;

	(void)state;
	pair_init(&p, NULL, NULL);
	pair_settle(&p);
	assert_int_equal(h2_session_tick(p.c.s, 0, &next), ERR_OK);
	assert_int_equal(next, 10000);
	assert_int_equal(h2_session_tick(p.c.s, 9999, &next), ERR_OK);
	assert_false(h2_session_wants_send(p.c.s));
	assert_int_equal(next, 1);
	assert_int_equal(h2_session_tick(p.c.s, 10000, &next), ERR_OK);
	assert_true(h2_session_wants_send(p.c.s));
	(void)pair_move(&p, &p.c, NULL, SIZE_MAX); /* lost */
	assert_int_equal(h2_session_tick(p.c.s, 20000, &next), ERR_OK);
	assert_false(h2_session_wants_send(p.c.s)); /* one at a time */
	assert_int_equal(next, 10000);
	assert_int_equal(h2_session_tick(p.c.s, 29999, &next), ERR_OK);
	assert_int_equal(next, 1);
	assert_int_equal(h2_session_tick(p.c.s, 30000, &next), ERR_H2_PING_TIMEOUT);
	pair_fini(&p);
}

static void answered_pings_keep_a_session_alive(void **state)
{
	struct pair p;
	uint64_t next;

	(void)state;
	pair_init(&p, NULL, NULL);
	pair_settle(&p);
	for (unsigned int i = 1; i <= 50; i++) {
		p.now_ms = 10000 * i;
		assert_int_equal(h2_session_tick(p.c.s, p.now_ms, &next), ERR_OK);
		assert_true(h2_session_wants_send(p.c.s));
		assert_int_equal(h2_session_tick(p.s.s, p.now_ms, &next), ERR_OK);
		assert_int_equal(next, 10000);
		pair_settle(&p);
	}
	assert_int_equal(p.c.err, ERR_OK);
	assert_int_equal(p.s.err, ERR_OK);
	pair_fini(&p);
}

static void no_interval_means_no_ping(void **state)
{
	struct h2_options o = pair_options;
	struct pair p;
	uint64_t next;

	(void)state;
	o.ping_interval_ms = 0;
	pair_init(&p, &o, &o);
	assert_int_equal(h2_session_tick(p.c.s, 1000000, &next), ERR_OK);
	assert_true(next == UINT64_MAX);
	pair_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_ends_give_closed_not_reset),
		cmocka_unit_test(refusal_ends_the_stream_with_no_error),
		cmocka_unit_test(refusal_of_an_ended_request_closes_quietly),
		cmocka_unit_test(reset_reaches_the_other_side_once),
		cmocka_unit_test(reset_before_the_request_left_sends_nothing),
		cmocka_unit_test(late_data_after_reset_still_returns_connection_window),
		cmocka_unit_test(reset_in_the_middle_of_a_frame_returns_the_rest),
		cmocka_unit_test(shutdown_lets_streams_finish),
		cmocka_unit_test(request_that_crosses_the_first_goaway_is_served),
		cmocka_unit_test(goaway_refuses_streams_above_the_last_id),
		cmocka_unit_test(final_goaway_is_the_last_frame),
		cmocka_unit_test(reset_while_a_frame_waits_for_a_buffer_is_harmless),
		cmocka_unit_test(silent_peer_times_out),
		cmocka_unit_test(answered_pings_keep_a_session_alive),
		cmocka_unit_test(no_interval_means_no_ping),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
