/* SPDX-License-Identifier: Apache-2.0 */
/* How payload travels between two sessions: records, windows, buffers. */
#include <string.h>

#include "tests/unit/common/h2/h2_pair.h"

static void connect_and_answer_cross(void **state)
{
	struct pair p;
	int32_t id;

	(void)state;
	pair_init(&p, NULL, NULL);
	id = pair_open(&p);
	assert_int_equal(id, 1);
	assert_int_equal(p.c.settings, 1);
	assert_int_equal(p.s.settings, 1);
	assert_int_equal(h2_session_streams(p.c.s), 1);
	assert_int_equal(h2_session_streams(p.s.s), 1);
	pair_fini(&p);
}

static void head_arrives_in_wire_order(void **state)
{
	const char *names[] = {":method", ":authority", "baggage"};
	struct pair p;
	struct iobuf_queue out;
	const struct h2_head *head = NULL;

	(void)state;
	pair_init(&p, NULL, NULL);
	(void)pair_connect(&p, "[fd00::1]:8080");
	iobuf_queue_init(&out);
	assert_int_equal(h2_session_send(p.c.s, &out, SIZE_MAX, &p.c.ev), ERR_OK);
	while (out.count > 0) {
		struct iobuf_view v = iobuf_queue_pop(&out);

		assert_int_equal(h2_session_recv(p.s.s, span_of(v.p, v.len), 0, &p.s.ev), ERR_OK);
		iobuf_unref(v.buf);
	}
	for (uint32_t i = 0; i < p.s.ev.count; i++)
		if (p.s.ev.ev[i].kind == H2_EV_REQUEST)
			head = p.s.ev.ev[i].head;
	if (!head)
		fail_msg("no request");
	assert_int_equal(head->count, 3);
	for (unsigned int i = 0; i < 3; i++)
		assert_true(span_eq_str(head->fields[i].name, names[i]));
	assert_true(span_eq_str(h2_head_find(head, ":authority")->value, "[fd00::1]:8080"));
	assert_int_equal(h2_head_find(head, "baggage")->value.n, 0);
	assert_null(h2_head_find(head, ":path"));
	side_take_events(&p.s);
	pair_fini(&p);
}

static void megabytes_both_ways_arrive_unchanged(void **state)
{
	struct pair p;
	uint64_t up = HASH_START, down = HASH_START;
	int32_t id;

	(void)state;
	pair_init(&p, NULL, NULL);
	id = pair_open(&p);
	side_put(&p.c, id, 9 << 20, &p, &up);
	side_put(&p.s, id, 7 << 20, &p, &down);
	pair_settle(&p);
	assert_int_equal(side_seen(&p.s, id)->bytes, 9 << 20);
	assert_true(side_seen(&p.s, id)->hash == up);
	assert_int_equal(side_seen(&p.c, id)->bytes, 7 << 20);
	assert_true(side_seen(&p.c, id)->hash == down);
	assert_int_equal(side_seen(&p.c, id)->sent, 9 << 20);
	assert_int_equal(side_seen(&p.s, id)->sent, 7 << 20);
	assert_int_equal(h2_session_queued(p.c.s, id), 0);
	pair_fini(&p);
}

/* 60 seeds: random piece sizes, random fragments of the wire, random emission sizes, ends, several streams. */
static void any_chunking_keeps_every_stream_identical(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct h2_options small = pair_options;
		struct pair p;
		int32_t id[5];
		uint64_t hash[2][5], bytes[2][5];

		small.stream_window = 20000 + (uint32_t)seed * 3001;
		small.conn_window = 65535 + (uint32_t)seed * 5003;
		pair_init(&p, &small, seed % 2 ? &small : NULL);
		p.rng = seed * 0x9E3779B97F4A7C15ULL + 1;
		for (unsigned int i = 0; i < 5; i++) {
			id[i] = pair_open(&p);
			hash[0][i] = hash[1][i] = HASH_START;
			bytes[0][i] = bytes[1][i] = 0;
		}
		p.chop = seed % 3 != 0;
		for (unsigned int step = 0; step < 120; step++) {
			unsigned int i = (unsigned int)pair_random(&p, 5),
				     dir = (unsigned int)pair_random(&p, 2);
			size_t n = 1 + pair_random(&p, pair_random(&p, 3) ? 300 : 40000);

			side_put(dir ? &p.s : &p.c, id[i], n, &p, &hash[dir][i]);
			bytes[dir][i] += n;
			if (pair_random(&p, 3) == 0)
				(void)pair_move(&p, &p.c, &p.s, 1 + pair_random(&p, 50000));
			if (pair_random(&p, 3) == 0)
				(void)pair_move(&p, &p.s, &p.c, 1 + pair_random(&p, 50000));
		}
		for (unsigned int i = 0; i < 5; i++) {
			h2_session_end(p.c.s, id[i]);
			h2_session_end(p.s.s, id[i]);
		}
		pair_settle(&p);
		for (unsigned int i = 0; i < 5; i++) {
			struct seen *c = side_seen(&p.c, id[i]), *s = side_seen(&p.s, id[i]);

			assert_int_equal(s->bytes, bytes[0][i]);
			assert_true(s->hash == hash[0][i]);
			assert_int_equal(c->bytes, bytes[1][i]);
			assert_true(c->hash == hash[1][i]);
			assert_int_equal(c->sent, bytes[0][i]);
			assert_int_equal(s->sent, bytes[1][i]);
			assert_true(c->closed && s->closed && c->ended && s->ended);
		}
		assert_int_equal(h2_session_streams(p.c.s), 0);
		pair_fini(&p);
	}
}

static void full_slot_passes_without_a_copy(void **state)
{
	struct pair p;
	struct iobuf_queue out;
	struct iobuf_view v, r;
	int32_t id;

	(void)state;
	pair_init(&p, NULL, NULL);
	id = pair_open(&p);
	v = side_slot(&p.c, IOBUF_SLOT_LEN, 'x');
	assert_int_equal(h2_session_put(p.c.s, id, v), ERR_OK);
	iobuf_queue_init(&out);
	assert_int_equal(h2_session_send(p.c.s, &out, SIZE_MAX, &p.c.ev), ERR_OK);
	assert_int_equal(out.count, 1);
	r = iobuf_queue_pop(&out);
	assert_ptr_equal(r.buf, v.buf);
	assert_ptr_equal(r.p + 9, v.p);
	assert_int_equal(r.len, TLS_PLAIN_MAX);
	assert_int_equal(r.p[0] << 16 | r.p[1] << 8 | r.p[2], IOBUF_SLOT_LEN);
	assert_int_equal(r.p[3], 0); /* DATA */
	assert_int_equal(r.p[8], id);
	iobuf_unref(r.buf);
	pair_fini(&p);
}

static void shared_slot_is_copied_and_left_alone(void **state)
{
	struct pair p;
	struct iobuf_view v;
	struct iobuf_queue out;
	uint8_t before[IOBUF_HEAD];
	int32_t id;

	(void)state;
	pair_init(&p, NULL, NULL);
	id = pair_open(&p);
	v = side_slot(&p.c, IOBUF_SLOT_LEN, 'x');
	iobuf_ref(v.buf);
	memcpy(before, v.buf->mem, sizeof(before));
	assert_int_equal(h2_session_put(p.c.s, id, v), ERR_OK);
	iobuf_queue_init(&out);
	assert_int_equal(h2_session_send(p.c.s, &out, SIZE_MAX, &p.c.ev), ERR_OK);
	assert_int_equal(out.bytes, TLS_PLAIN_MAX);
	assert_ptr_not_equal(iobuf_queue_at(&out, 0)->buf, v.buf);
	assert_memory_equal(before, v.buf->mem, sizeof(before));
	iobuf_unref(v.buf);
	iobuf_queue_fini(&out);
	pair_fini(&p);
}

static void end_rides_on_the_last_payload(void **state)
{
	struct pair p;
	struct iobuf_queue out;
	int32_t id;

	(void)state;
	pair_init(&p, NULL, NULL);
	id = pair_open(&p);
	assert_int_equal(h2_session_put(p.c.s, id, side_slot(&p.c, 5000, 'x')), ERR_OK);
	h2_session_end(p.c.s, id);
	iobuf_queue_init(&out);
	assert_int_equal(h2_session_send(p.c.s, &out, SIZE_MAX, &p.c.ev), ERR_OK);
	assert_int_equal(out.count, 1);
	assert_int_equal(out.bytes, 5009);
	assert_int_equal(iobuf_queue_at(&out, 0)->p[4], 1); /* END_STREAM */
	iobuf_queue_fini(&out);
	pair_fini(&p);
}

static void small_pieces_become_one_frame(void **state)
{
	struct pair p;
	int32_t id;
	size_t n;

	(void)state;
	pair_init(&p, NULL, NULL);
	id = pair_open(&p);
	for (unsigned int i = 0; i < 3000; i++)
		assert_int_equal(h2_session_put(p.c.s, id, side_slot(&p.c, 1, 'x')), ERR_OK);
	/* and they share blocks while they wait */
	assert_true(iobuf_pool_bytes_in_use(p.c.pool) < (size_t)2 * (IOBUF_SLOT_MEM + 64));
	p.c.records = 0;
	n = pair_move(&p, &p.c, &p.s, SIZE_MAX);
	assert_int_equal(n, 3000 + 9);
	assert_int_equal(p.c.records, 1);
	assert_int_equal(side_seen(&p.s, id)->bytes, 3000);
	pair_fini(&p);
}

static void small_frames_of_many_streams_share_a_record(void **state)
{
	struct pair p;
	int32_t id[40];

	(void)state;
	pair_init(&p, NULL, NULL);
	for (unsigned int i = 0; i < 40; i++)
		id[i] = pair_open(&p);
	for (unsigned int i = 0; i < 40; i++)
		assert_int_equal(h2_session_put(p.c.s, id[i], side_slot(&p.c, 100, 'x')), ERR_OK);
	p.c.records = 0;
	assert_int_equal(pair_move(&p, &p.c, &p.s, SIZE_MAX), 40 * 109);
	assert_int_equal(p.c.records, 1);
	for (unsigned int i = 0; i < 40; i++)
		assert_int_equal(side_seen(&p.s, id[i])->bytes, 100);
	pair_fini(&p);
}

static void records_are_filled_before_another_begins(void **state)
{
	struct pair p;
	int32_t id[24];

	(void)state;
	pair_init(&p, NULL, NULL);
	for (unsigned int i = 0; i < 24; i++)
		id[i] = pair_open(&p);
	for (unsigned int i = 0; i < 24; i++)
		side_put(&p.c, id[i], 3300, &p, NULL); /* four and a bit to a record */
	p.c.records = 0;
	(void)pair_move(&p, &p.c, &p.s, SIZE_MAX);
	assert_int_equal(p.c.records, 5);
	for (unsigned int i = 0; i < 24; i++)
		assert_int_equal(side_seen(&p.s, id[i])->bytes, 3300);
	pair_fini(&p);
}

static void closed_window_stops_its_stream_only(void **state)
{
	struct h2_options narrow = pair_options;
	struct pair p;
	int32_t a, b;

	(void)state;
	narrow.stream_window = 50000;
	pair_init(&p, NULL, &narrow);
	a = pair_open(&p);
	b = pair_open(&p);
	p.s.hold = true;
	side_put(&p.c, a, 200000, &p, NULL);
	pair_settle(&p);
	assert_int_equal(side_seen(&p.s, a)->bytes, 50000);
	assert_int_equal(h2_session_queued(p.c.s, a), 150000);
	assert_false(h2_session_wants_send(p.c.s));
	side_put(&p.c, b, 1000, &p, NULL);
	pair_settle(&p);
	assert_int_equal(side_seen(&p.s, b)->bytes, 1000);
	/* taken by the application: goes on */
	p.s.hold = false;
	h2_session_consumed_stream(p.s.s, a, 50000);
	h2_session_consumed_conn(p.s.s, 51000);
	side_seen(&p.s, a)->unread = 0;
	pair_settle(&p);
	assert_int_equal(side_seen(&p.s, a)->bytes, 200000);
	assert_int_equal(h2_session_queued(p.c.s, a), 0);
	pair_fini(&p);
}

static void closed_connection_window_stops_all(void **state)
{
	struct h2_options narrow = pair_options;
	struct pair p;
	int32_t a, b;

	(void)state;
	narrow.conn_window = 65535;
	pair_init(&p, NULL, &narrow);
	a = pair_open(&p);
	b = pair_open(&p);
	p.s.hold = true;
	side_put(&p.c, a, 100000, &p, NULL);
	side_put(&p.c, b, 100000, &p, NULL);
	pair_settle(&p);
	assert_int_equal(side_seen(&p.s, a)->bytes + side_seen(&p.s, b)->bytes, 65535);
	assert_true(side_seen(&p.s, b)->bytes > 16000); /* shared fairly meanwhile */
	p.s.hold = false;
	h2_session_consumed_conn(p.s.s, 65535);
	side_seen(&p.s, a)->unread = side_seen(&p.s, b)->unread = 0;
	pair_settle(&p);
	assert_int_equal(side_seen(&p.s, a)->bytes + side_seen(&p.s, b)->bytes, 200000);
	pair_fini(&p);
}

static void two_hundred_streams_run_at_once(void **state)
{
	struct pair p;
	int32_t id[200];
	uint64_t hash[200];

	(void)state;
	pair_init(&p, NULL, NULL);
	pair_settle(&p);
	for (unsigned int i = 0; i < 200; i++) {
		assert_true(h2_session_can_open(p.c.s));
		id[i] = pair_connect(&p, "10.0.0.1:80");
	}
	assert_false(h2_session_can_open(p.c.s));
	pair_settle(&p);
	assert_int_equal(h2_session_streams(p.s.s), 200);
	for (unsigned int i = 0; i < 200; i++) {
		hash[i] = HASH_START;
		assert_int_equal(side_respond(&p.s, id[i], "200", false), ERR_OK);
		side_put(&p.c, id[i], 30000 + i, &p, &hash[i]);
		h2_session_end(p.c.s, id[i]);
	}
	pair_settle(&p);
	for (unsigned int i = 0; i < 200; i++) {
		assert_int_equal(side_seen(&p.s, id[i])->bytes, 30000 + i);
		assert_true(side_seen(&p.s, id[i])->hash == hash[i]);
		assert_true(side_seen(&p.s, id[i])->ended);
		h2_session_end(p.s.s, id[i]);
	}
	pair_settle(&p);
	assert_int_equal(h2_session_streams(p.c.s), 0);
	assert_int_equal(h2_session_streams(p.s.s), 0);
	assert_true(h2_session_can_open(p.c.s));
	pair_fini(&p);
}

static void bulk_does_not_starve_a_small_stream(void **state)
{
	struct pair p;
	int32_t bulk, small;

	(void)state;
	pair_init(&p, NULL, NULL);
	bulk = pair_open(&p);
	small = pair_open(&p);
	side_put(&p.c, bulk, 2 << 20, &p, NULL);
	(void)pair_move(&p, &p.c, &p.s, 200000);
	side_put(&p.c, small, 64, &p, NULL);
	(void)pair_move(&p, &p.c, &p.s, 60000);
	assert_int_equal(side_seen(&p.s, small)->bytes, 64);
	assert_true(side_seen(&p.s, bulk)->bytes < 300000);
	pair_fini(&p);
}

static void peer_limit_of_streams_is_respected(void **state)
{
	struct h2_options few = pair_options;
	struct pair p;

	(void)state;
	few.streams_max = 3;
	pair_init(&p, NULL, &few);
	pair_settle(&p);
	for (unsigned int i = 0; i < 3; i++)
		(void)pair_open(&p);
	assert_false(h2_session_can_open(p.c.s));
	{
		const struct h2_field f[] = {{span_str(":method"), span_str("CONNECT")}};
		int32_t id;

		assert_int_equal(h2_session_request(p.c.s, f, 1, NULL, &id), ERR_H2_STREAM_REFUSED);
	}
	h2_session_reset(p.c.s, 1, 8);
	pair_settle(&p);
	assert_true(h2_session_can_open(p.c.s));
	pair_fini(&p);
}

static void hundred_streams_are_assumed_before_settings(void **state)
{
	struct pair p;

	(void)state;
	pair_init(&p, NULL, NULL);
	for (unsigned int i = 0; i < 100; i++)
		(void)pair_connect(&p, "10.0.0.1:80");
	assert_false(h2_session_can_open(p.c.s));
	pair_settle(&p);
	assert_true(h2_session_can_open(p.c.s));
	assert_int_equal(h2_session_streams(p.s.s), 100);
	pair_fini(&p);
}

static void payload_put_before_the_request_left_follows_it(void **state)
{
	struct pair p;
	uint64_t hash = HASH_START;
	int32_t id;

	(void)state;
	pair_init(&p, NULL, NULL);
	id = pair_connect(&p, "10.0.0.1:80");
	side_put(&p.c, id, 40000, &p, &hash);
	assert_int_equal(h2_session_queued(p.c.s, id), 40000);
	pair_settle(&p);
	assert_int_equal(side_seen(&p.s, id)->bytes, 40000);
	assert_true(side_seen(&p.s, id)->hash == hash);
	pair_fini(&p);
}

static void emission_stops_at_its_bound(void **state)
{
	struct pair p;
	int32_t id;
	size_t sum = 0, n;

	(void)state;
	pair_init(&p, NULL, NULL);
	id = pair_open(&p);
	side_put(&p.c, id, 1 << 20, &p, NULL);
	while ((n = pair_move(&p, &p.c, &p.s, 40000)) > 0) {
		assert_true(n < 40000 + TLS_PLAIN_MAX);
		sum += n;
	}
	assert_true(sum > 1 << 20);
	assert_int_equal(side_seen(&p.s, id)->bytes, 1 << 20);
	pair_fini(&p);
}

static void without_buffers_nothing_is_lost(void **state)
{
	struct pair p;
	struct iobuf *taken[8];
	unsigned int n = 0;
	struct iobuf_queue out;
	struct iobuf_pool *tight = iobuf_pool_new((size_t)3 * (IOBUF_SLOT_MEM + 128));
	uint64_t hash = HASH_START;
	int32_t id;

	(void)state;
	pair_init(&p, NULL, NULL);
	h2_session_free(p.c.s);
	p.c.s = h2_session_new(H2_CLIENT, &pair_options, tight, 0);
	id = pair_open(&p);
	side_put(&p.c, id, 3000, &p, &hash);
	while ((taken[n] = iobuf_take(tight, IOBUF_SLOT)) != NULL)
		n++;
	assert_true(n > 0);
	iobuf_queue_init(&out);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(h2_session_send(p.c.s, &out, SIZE_MAX, &p.c.ev), ERR_MEMORY);
		assert_int_equal(out.count, 0);
		assert_true(h2_session_wants_send(p.c.s));
		side_put(&p.c, id, 700, &p, &hash);
	}
	while (n > 0)
		iobuf_unref(taken[--n]);
	pair_settle(&p);
	assert_int_equal(side_seen(&p.s, id)->bytes, 3000 + 3 * 700);
	assert_true(side_seen(&p.s, id)->hash == hash);
	h2_session_free(p.c.s);
	p.c.s = NULL;
	iobuf_pool_free(tight);
	pair_fini(&p);
}

static void users_travel_with_events(void **state)
{
	struct pair p;
	int32_t id;
	int tag;
	unsigned int found = 0;

	(void)state;
	pair_init(&p, NULL, NULL);
	id = pair_open(&p);
	h2_session_set_user(p.s.s, id, &tag);
	h2_session_set_user(p.s.s, 77, &tag); /* nobody: harmless */
	h2_session_reset(p.c.s, id, 8);
	{
		struct iobuf_queue out;

		iobuf_queue_init(&out);
		assert_int_equal(h2_session_send(p.c.s, &out, SIZE_MAX, &p.c.ev), ERR_OK);
		while (out.count > 0) {
			struct iobuf_view v = iobuf_queue_pop(&out);

			assert_int_equal(h2_session_recv(p.s.s, span_of(v.p, v.len), 0, &p.s.ev),
			                 ERR_OK);
			iobuf_unref(v.buf);
		}
	}
	for (uint32_t i = 0; i < p.s.ev.count; i++)
		if (p.s.ev.ev[i].kind == H2_EV_RESET && p.s.ev.ev[i].user == &tag)
			found++;
	assert_int_equal(found, 1);
	pair_fini(&p);
}

static void sessions_are_freed_at_any_stage(void **state)
{
	(void)state;
	for (unsigned int stage = 0; stage < 5; stage++) {
		struct pair p;
		int32_t id;

		pair_init(&p, NULL, NULL);
		if (stage > 0)
			(void)pair_connect(&p, "10.0.0.1:80");
		if (stage > 1)
			(void)pair_move(&p, &p.c, &p.s, 10);
		if (stage > 2) {
			id = pair_open(&p);
			side_put(&p.c, id, 100000, &p, NULL);
		}
		if (stage > 3)
			(void)pair_move(&p, &p.c, NULL, 20000);
		pair_fini(&p);
	}
	h2_session_free(NULL);
	h2_head_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connect_and_answer_cross),
		cmocka_unit_test(head_arrives_in_wire_order),
		cmocka_unit_test(megabytes_both_ways_arrive_unchanged),
		cmocka_unit_test(any_chunking_keeps_every_stream_identical),
		cmocka_unit_test(full_slot_passes_without_a_copy),
		cmocka_unit_test(shared_slot_is_copied_and_left_alone),
		cmocka_unit_test(end_rides_on_the_last_payload),
		cmocka_unit_test(small_pieces_become_one_frame),
		cmocka_unit_test(small_frames_of_many_streams_share_a_record),
		cmocka_unit_test(records_are_filled_before_another_begins),
		cmocka_unit_test(closed_window_stops_its_stream_only),
		cmocka_unit_test(closed_connection_window_stops_all),
		cmocka_unit_test(two_hundred_streams_run_at_once),
		cmocka_unit_test(bulk_does_not_starve_a_small_stream),
		cmocka_unit_test(peer_limit_of_streams_is_respected),
		cmocka_unit_test(hundred_streams_are_assumed_before_settings),
		cmocka_unit_test(payload_put_before_the_request_left_follows_it),
		cmocka_unit_test(emission_stops_at_its_bound),
		cmocka_unit_test(without_buffers_nothing_is_lost),
		cmocka_unit_test(users_travel_with_events),
		cmocka_unit_test(sessions_are_freed_at_any_stage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
