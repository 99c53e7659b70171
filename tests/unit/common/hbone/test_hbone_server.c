/* SPDX-License-Identifier: Apache-2.0 */
/* Servers of tunnels against the pool, on the simulated loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/common/hbone/hbone_talk.h"

enum { SEEDS = 40 };

static struct talk talk;

static struct lab_options seeded(uint64_t seed)
{
	return (struct lab_options){.sim = {.seed = seed, .connect_ms_max = seed % 3 * 20}};
}

static struct hbone_server *server(void)
{
	return &lab_first_peer(&talk.lab)->server;
}

static void open_streams(unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		talk_call(&talk, i);
	lab_until(&talk.lab, &talk.ok, n);
}

static void a_drained_server_without_streams_closes_in_order(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct lab_options opt = seeded(seed);

		talk_init(&talk, &opt);
		open_streams(1);
		hbone_stream_end(&talk.near[0].h.s);
		hbone_stream_end(&talk.far[0].s);
		hbone_server_drain(server());
		hbone_server_drain(server()); /* once is enough */
		lab_until(&talk.lab, &talk.lab.peers_over, 1);
		lab_until(&talk.lab, &talk.lab.closed, 1);
		assert_int_equal(talk.lab.peer_cause, ERR_OK);
		assert_int_equal(talk.lab.close_cause, ERR_OK);
		assert_int_equal(talk.near[0].h.broken, 0);
		assert_int_equal(talk.near[0].h.end, 1);
		talk_fini(&talk);
	}
}

static void a_drained_server_lets_its_streams_finish(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct lab_options opt = seeded(seed);

		talk_init(&talk, &opt);
		open_streams(5);
		hbone_server_drain(server());
		lab_until_ms(&talk.lab, loop_now_ms(talk.lab.loop) + 20 * HBONE_SHUTDOWN_STEP_MS);
		assert_int_equal(talk.lab.peers_over, 0);
		for (unsigned int i = 0; i < 5; i++) {
			assert_int_equal(talk.near[i].h.broken, 0);
			heard_put(&talk.lab, &talk.near[i].h, 100000);
			hbone_stream_end(&talk.near[i].h.s);
			heard_put(&talk.lab, &talk.far[i], 200000);
			hbone_stream_end(&talk.far[i].s);
		}
		lab_until(&talk.lab, &talk.lab.peers_over, 1);
		assert_int_equal(talk.lab.peer_cause, ERR_OK);
		lab_turns(&talk.lab, 50);
		for (unsigned int i = 0; i < 5; i++) {
			assert_int_equal(talk.near[i].h.got, 200000);
			assert_int_equal(talk.near[i].h.end, 1);
			assert_int_equal(talk.near[i].h.broken, 0);
			assert_int_equal(talk.far[i].got, 100000);
			assert_int_equal(talk.far[i].broken, 0);
		}
		talk_fini(&talk);
	}
}

static void a_drain_waits_for_an_end_that_waits_for_window(void **state)
{
	struct lab_options opt = seeded(2);

	(void)state;
	opt.stream_window = 65535;
	talk_init(&talk, &opt);
	open_streams(1);
	talk.near[0].h.hold = true;
	hbone_stream_end(&talk.near[0].h.s);
	lab_until(&talk.lab, &talk.far[0].end, 1);
	heard_put(&talk.lab, &talk.far[0], 65535);
	for (unsigned int i = 0; i < 10000 && talk.near[0].h.got < 65535; i++)
		(void)sim_turn(talk.lab.loop);
	hbone_stream_end(&talk.far[0].s);
	hbone_stream_detach(&talk.far[0].s);
	hbone_server_drain(server());
	lab_until_ms(&talk.lab, loop_now_ms(talk.lab.loop) + 10 * HBONE_SHUTDOWN_STEP_MS);
	assert_int_equal(talk.near[0].h.broken, 0);
	heard_take(&talk.near[0].h);
	lab_until(&talk.lab, &talk.near[0].h.end, 1);
	lab_until(&talk.lab, &talk.lab.peers_over, 1);
	assert_int_equal(talk.lab.peer_cause, ERR_OK);
	assert_int_equal(talk.near[0].h.broken, 0);
	talk_fini(&talk);
}

static void a_drain_in_the_handshake_ends_it(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct lab_options opt = seeded(seed);

		talk_init(&talk, &opt);
		talk_call(&talk, 0);
		lab_until(&talk.lab, &talk.lab.peers_made, 1);
		lab_turns(&talk.lab, (unsigned int)seed % 4);
		if (lab_first_peer(&talk.lab)->ready == 0) {
			hbone_server_drain(server());
			lab_until(&talk.lab, &talk.lab.peers_over, 1);
			assert_int_equal(talk.lab.peer_cause, ERR_DRAINED);
		}
		lab_until(&talk.lab, &talk.answered, 1);
		talk_fini(&talk);
	}
}

static void who_asks_nonsense_again_and_again_loses_the_tunnel(void **state)
{
	struct lab_options opt = {.sim = {.whole = true, .eager = true}};
	unsigned int i = 0, refused = 0;

	(void)state;
	talk_init(&talk, &opt);
	for (unsigned int f = 0; f < talk.lab.head.count; f++) {
		if (span_eq_str(talk.lab.head.field[f].name, ":authority"))
			talk.lab.head.field[f].value = span_str("not an authority");
	}
	for (; i < TALK_MAX && talk.lab.peers_over == 0; i++) {
		talk_call(&talk, i);
		lab_until(&talk.lab, &talk.answered, i + 1);
		refused +=
			talk.near[i].cause == ERR_HBONE_STATUS && talk.near[i].call.status == 400;
	}
	assert_in_range(refused, HBONE_MALFORMED_BURST, HBONE_MALFORMED_BURST + 5);
	lab_until(&talk.lab, &talk.lab.peers_over, 1);
	assert_int_equal(talk.lab.peer_cause, ERR_H2_FLOOD);
	talk_fini(&talk);
}

static void a_close_resets_every_stream_on_both_sides_with_its_cause(void **state)
{
	(void)state;
	for (unsigned int cut = 0; cut < 80; cut++) {
		struct lab_options opt = seeded(cut + 1);
		unsigned int answered;

		talk_init(&talk, &opt);
		for (unsigned int i = 0; i < 5; i++)
			talk_call(&talk, i);
		lab_until(&talk.lab, &talk.lab.peers_made, 1);
		for (unsigned int i = 0; i < cut / 2; i++) {
			if (talk.ok == 5)
				heard_put(&talk.lab, &talk.near[i % 5].h, 20000);
			(void)sim_turn(talk.lab.loop);
		}
		answered = talk.far_count;
		hbone_server_close(server(), ERR_POLICY_CHANGED);
		for (unsigned int i = 0; i < answered; i++) {
			assert_int_equal(talk.far[i].broken, 1);
			assert_int_equal(talk.far[i].cause, ERR_POLICY_CHANGED);
		}
		lab_until(&talk.lab, &talk.answered, 5);
		lab_until(&talk.lab, &talk.lab.peers_over, 1);
		lab_turns(&talk.lab, 50);
		for (unsigned int i = 0; i < 5; i++)
			assert_int_equal(talk.near[i].h.broken, talk.near[i].cause == ERR_OK);
		talk_fini(&talk);
	}
}

static void one_reader_that_stops_does_not_stop_the_others(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct lab_options opt = seeded(seed);

		opt.stream_window = 2 * 1024 * 1024; /* two of them are the connection's window */
		talk_init(&talk, &opt);
		open_streams(4);
		for (unsigned int i = 0; i < 3; i++) {
			talk.far[i].hold = true;
			heard_put(&talk.lab, &talk.near[i].h, 2 * 1024 * 1024);
		}
		heard_put(&talk.lab, &talk.near[3].h, 3 * 1024 * 1024);
		hbone_stream_end(&talk.near[3].h.s);
		lab_until(&talk.lab, &talk.far[3].end, 1);
		assert_int_equal(talk.far[3].got, 3 * 1024 * 1024);
		for (unsigned int i = 0; i < 3; i++) {
			talk.far[i].hold = false;
			heard_take(&talk.far[i]);
			heard_put(&talk.lab, &talk.near[i].h, 100000);
			hbone_stream_end(&talk.near[i].h.s);
			lab_until(&talk.lab, &talk.far[i].end, 1);
			assert_int_equal(talk.far[i].got, 2 * 1024 * 1024 + 100000);
		}
		talk_fini(&talk);
	}
}

static void what_stalled_streams_hold_of_a_tunnel_is_bounded_and_comes_back(void **state)
{
	struct lab_options opt = {.sim = {.seed = 4, .iobuf_bytes_max = 512 << 20}};
	enum { STREAMS = 12, EACH = 4 * 1024 * 1024 };
	size_t got = 0;

	(void)state;
	opt.stream_window = EACH;
	talk_init(&talk, &opt);
	talk.hold = true;
	open_streams(STREAMS);
	for (unsigned int i = 0; i < STREAMS; i++)
		heard_put(&talk.lab, &talk.near[i].h, EACH);
	lab_turns(&talk.lab, 20000);
	for (unsigned int i = 0; i < STREAMS; i++)
		got += talk.far[i].got;
	assert_in_range(got, CARRIER_HELD_MAX, CARRIER_HELD_MAX + 5 * 1024 * 1024);
	/* half of them go away, the others read on: no window may be lost on either way */
	for (unsigned int i = 0; i < STREAMS; i++) {
		if (i % 2 == 0) {
			hbone_stream_reset(&talk.far[i].s, 0x8);
			continue;
		}
		talk.far[i].hold = false;
		heard_take(&talk.far[i]);
		hbone_stream_end(&talk.near[i].h.s);
	}
	for (unsigned int i = 1; i < STREAMS; i += 2) {
		lab_until(&talk.lab, &talk.far[i].end, 1);
		assert_int_equal(talk.far[i].got, EACH);
	}
	assert_int_equal(server()->conn.carrier.held, 0);
	assert_int_equal(server()->conn.carrier.owed, 0);
	talk_fini(&talk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_drained_server_without_streams_closes_in_order),
		cmocka_unit_test(a_drained_server_lets_its_streams_finish),
		cmocka_unit_test(a_drain_waits_for_an_end_that_waits_for_window),
		cmocka_unit_test(a_drain_in_the_handshake_ends_it),
		cmocka_unit_test(who_asks_nonsense_again_and_again_loses_the_tunnel),
		cmocka_unit_test(a_close_resets_every_stream_on_both_sides_with_its_cause),
		cmocka_unit_test(one_reader_that_stops_does_not_stop_the_others),
		cmocka_unit_test(what_stalled_streams_hold_of_a_tunnel_is_bounded_and_comes_back),
	};

	return cmocka_run_group_tests(tests, lab_set_up, lab_tear_down);
}
