/* SPDX-License-Identifier: Apache-2.0 */
/* The pool of tunnels against real servers, on the simulated loop. */
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

static void calls(struct talk *t, unsigned int from, unsigned int to)
{
	for (unsigned int i = from; i < to; i++)
		talk_call(t, i);
}

static void asks_at_once_share_one_tunnel(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct lab_options opt = seeded(seed);

		talk_init(&talk, &opt);
		calls(&talk, 0, 20);
		assert_int_equal(talk.answered, 0); /* never inside the call */
		lab_until(&talk.lab, &talk.answered, 20);
		assert_int_equal(talk.ok, 20);
		assert_int_equal(talk.lab.dials, 1);
		assert_int_equal(talk.lab.opened, 1);
		calls(&talk, 20, 40);
		lab_until(&talk.lab, &talk.answered, 40);
		assert_int_equal(talk.ok, 40);
		assert_int_equal(talk.lab.dials, 1);
		talk_fini(&talk);
	}
}

static void a_dial_without_memory_fails_its_ask_and_leaves_nothing(void **state)
{
	struct lab_options opt = seeded(1);

	(void)state;
	talk_init(&talk, &opt);
	talk.lab.no_dial_memory = true;
	calls(&talk, 0, 1);
	assert_int_equal(talk.answered, 0); /* never inside the call */
	lab_until(&talk.lab, &talk.answered, 1);
	assert_int_equal(talk.ok, 0);
	assert_int_equal(hbone_pool_tunnels(&talk.lab.pool), 0);
	talk.lab.no_dial_memory = false;
	calls(&talk, 1, 2);
	lab_until(&talk.lab, &talk.answered, 2);
	assert_int_equal(talk.ok, 1);
	talk_fini(&talk);
}

static void bytes_go_both_ways_and_both_ends_end(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct lab_options opt = seeded(seed);
		size_t n = 5000 * seed;

		opt.stream_window = 65536;
		talk_init(&talk, &opt);
		talk_call(&talk, 0);
		lab_until(&talk.lab, &talk.answered, 1);
		heard_put(&talk.lab, &talk.near[0].h, n);
		hbone_stream_end(&talk.near[0].h.s);
		lab_until(&talk.lab, &talk.far[0].end, 1);
		assert_int_equal(talk.far[0].got, n);
		heard_put(&talk.lab, &talk.far[0], n);
		hbone_stream_end(&talk.far[0].s);
		lab_until(&talk.lab, &talk.near[0].h.end, 1);
		assert_int_equal(talk.near[0].h.got, n);
		lab_turns(&talk.lab, 50);
		assert_null(talk.near[0].h.s.carrier);
		assert_null(talk.far[0].s.carrier);
		assert_int_equal(talk.near[0].h.broken, 0);
		assert_int_equal(talk.far[0].broken, 0);
		talk_fini(&talk);
	}
}

static void bytes_right_behind_the_answer_arrive(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct lab_options opt = seeded(seed);

		talk_init(&talk, &opt);
		talk.mode = TALK_BANNER;
		calls(&talk, 0, 10);
		lab_until(&talk.lab, &talk.answered, 10);
		lab_turns(&talk.lab, 50);
		for (unsigned int i = 0; i < 10; i++)
			assert_int_equal(talk.near[i].h.got, TALK_BANNER_LEN);
		talk_fini(&talk);
	}
}

/* Runs between the request's submission and its departure. */
static void on_early(struct loop_hook *h)
{
	struct heard early = {.got = 0};

	(void)h;
	assert_non_null(talk.near[1].call.stream.carrier);
	early.s = talk.near[1].call.stream;
	heard_put(&talk.lab, &early, 300);
	talk.near[1].call.stream = early.s;
	hbone_stream_end(&talk.near[1].call.stream);
}

static void bytes_and_an_end_right_behind_the_request_arrive(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct lab_options opt = seeded(seed);
		struct loop_hook hook;

		talk_init(&talk, &opt);
		talk_call(&talk, 0);
		lab_until(&talk.lab, &talk.answered, 1);
		loop_hook_init(&hook, on_early);
		talk_call(&talk, 1);
		loop_at_turn_end(talk.lab.loop, &hook);
		lab_until(&talk.lab, &talk.far_count, 2);
		lab_turns(&talk.lab, 100);
		assert_int_equal(talk.far[1].got, 300);
		assert_int_equal(talk.far[1].end, 1);
		talk_fini(&talk);
	}
}

static void the_failure_of_a_dial_reaches_everyone_and_the_next_ask_dials_anew(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct lab_options opt = seeded(seed);

		opt.nobody_listens = true;
		talk_init(&talk, &opt);
		calls(&talk, 0, 20);
		lab_until(&talk.lab, &talk.answered, 20);
		for (unsigned int i = 0; i < 20; i++)
			assert_int_equal(talk.near[i].cause, ERR_DIAL_REFUSED);
		assert_int_equal(talk.lab.dials, 1);
		assert_int_equal(talk.lab.failed, 1);
		assert_int_equal(hbone_pool_tunnels(&talk.lab.pool), 0);
		talk_call(&talk, 20);
		lab_until(&talk.lab, &talk.answered, 21);
		assert_int_equal(talk.lab.dials, 2);
		talk_fini(&talk);
	}
}

static void a_dial_that_times_out_names_the_hbone_port(void **state)
{
	struct lab_options opt = seeded(1);

	(void)state;
	opt.black_hole = true;
	talk_init(&talk, &opt);
	calls(&talk, 0, 3);
	lab_until(&talk.lab, &talk.answered, 3);
	assert_int_equal(talk.near[2].cause, ERR_DIAL_HBONE_TIMEOUT);
	talk_fini(&talk);
}

static void a_silent_peer_meets_the_handshake_deadline(void **state)
{
	struct lab_options opt = seeded(1);

	(void)state;
	opt.mute = true;
	talk_init(&talk, &opt);
	calls(&talk, 0, 5);
	lab_until(&talk.lab, &talk.answered, 5);
	for (unsigned int i = 0; i < 5; i++)
		assert_int_equal(talk.near[i].cause, ERR_TLS_TIMEOUT);
	assert_in_range(loop_now_ms(talk.lab.loop), 1000 + LAB_HANDSHAKE_MS,
	                1000 + LAB_HANDSHAKE_MS + 200);
	talk_fini(&talk);
}

static void on_other_answered(struct hbone_call *c, enum err cause)
{
	struct near_end *n = container_of(c, struct near_end, call);

	n->answered++;
	n->cause = cause;
	talk.answered++;
}

static void who_expects_somebody_else_gets_a_tunnel_of_its_own_and_is_refused(void **state)
{
	static const struct hbone_call_owner other = {.answered = on_other_answered};

	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct lab_options opt = seeded(seed);

		talk_init(&talk, &opt);
		talk_call(&talk, 0);
		lab_call_other(&talk.lab, &talk.near[1].call, &other);
		lab_until(&talk.lab, &talk.answered, 2);
		assert_int_equal(talk.near[0].cause, ERR_OK);
		assert_int_equal(talk.near[1].cause, ERR_TLS_WRONG_IDENTITY);
		assert_int_equal(talk.lab.dials, 2);
		talk_fini(&talk);
	}
}

static void an_answer_that_does_not_come_is_a_time_out_of_that_stream_only(void **state)
{
	struct lab_options opt = seeded(3);

	(void)state;
	talk_init(&talk, &opt);
	talk_call(&talk, 0);
	lab_until(&talk.lab, &talk.answered, 1);
	talk.mode = TALK_SILENT;
	talk_call(&talk, 1);
	lab_until(&talk.lab, &talk.answered, 2);
	assert_int_equal(talk.near[1].cause, ERR_HBONE_TIMEOUT);
	lab_until(&talk.lab, &talk.far[1].broken, 1);
	assert_int_equal(talk.near[0].h.broken, 0);
	assert_int_equal(hbone_pool_tunnels(&talk.lab.pool), 1);
	talk_fini(&talk);
}

static void a_refusal_tells_its_status_and_leaves_the_tunnel(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct lab_options opt = seeded(seed);

		talk_init(&talk, &opt);
		talk.mode = seed % 2 == 0 ? TALK_401 : TALK_503;
		calls(&talk, 0, 5);
		lab_until(&talk.lab, &talk.answered, 5);
		for (unsigned int i = 0; i < 5; i++) {
			assert_int_equal(talk.near[i].cause, ERR_HBONE_STATUS);
			assert_int_equal(talk.near[i].call.status, seed % 2 == 0 ? 401 : 503);
		}
		talk.mode = TALK_GRANT;
		talk_call(&talk, 5);
		lab_until(&talk.lab, &talk.ok, 1);
		lab_turns(&talk.lab, 50);
		assert_int_equal(talk.lab.dials, 1);
		assert_int_equal(
			h2_session_streams(lab_first_peer(&talk.lab)->server.conn.h2.session), 1);
		talk_fini(&talk);
	}
}

static void more_streams_than_one_tunnel_may_carry_open_another(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct lab_options opt = seeded(seed);

		opt.pool_streams = 3;
		talk_init(&talk, &opt);
		calls(&talk, 0, 7);
		lab_until(&talk.lab, &talk.ok, 7);
		assert_int_equal(talk.lab.dials, 3);
		/* a place that becomes free is used before a new tunnel is made */
		hbone_stream_reset(&talk.near[0].h.s, 0x8);
		lab_turns(&talk.lab, 100);
		calls(&talk, 7, 10);
		lab_until(&talk.lab, &talk.ok, 10);
		assert_int_equal(talk.lab.dials, 3);
		talk_fini(&talk);
	}
}

static void a_peers_own_limit_is_met_by_another_tunnel(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct lab_options opt = seeded(seed);

		opt.server_streams = 2;
		talk_init(&talk, &opt);
		for (unsigned int i = 0; i < 6; i++) {
			talk_call(&talk, i);
			lab_until(&talk.lab, &talk.answered, i + 1);
			lab_turns(&talk.lab, 30);
		}
		assert_int_equal(talk.ok, 6);
		assert_int_equal(talk.lab.dials, 3);
		talk_fini(&talk);
	}
}

static void asks_beyond_what_a_fresh_tunnel_may_carry_move_to_another(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct lab_options opt = seeded(seed);

		opt.pool_streams = 200; /* but 100 are assumed until a peer says otherwise */
		talk_init(&talk, &opt);
		calls(&talk, 0, 150);
		lab_until(&talk.lab, &talk.answered, 150);
		assert_int_equal(talk.ok, 150);
		assert_int_equal(talk.lab.dials, 2);
		talk_fini(&talk);
	}
}

static void a_burst_against_a_small_limit_is_answered_to_the_last(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct lab_options opt = seeded(seed);

		opt.server_streams = 2;
		talk_init(&talk, &opt);
		calls(&talk, 0, 50);
		lab_until(&talk.lab, &talk.answered, 50);
		for (unsigned int i = 0; i < 50; i++)
			assert_true(talk.near[i].cause == ERR_OK ||
			            talk.near[i].cause == ERR_H2_STREAM_REFUSED);
		assert_true(talk.ok >= 2);
		talk_fini(&talk);
	}
}

static void a_draining_server_loses_no_ask(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct lab_options opt = seeded(seed);
		unsigned int n = 0;

		talk_init(&talk, &opt);
		talk_call(&talk, n++);
		lab_until(&talk.lab, &talk.ok, 1);
		lab_turns(&talk.lab, (unsigned int)seed % 5);
		hbone_server_drain(&lab_first_peer(&talk.lab)->server);
		for (unsigned int i = 0; i < 60; i++) {
			talk_call(&talk, n++);
			(void)sim_turn(talk.lab.loop);
		}
		lab_until(&talk.lab, &talk.answered, n);
		assert_int_equal(talk.ok, n);
		assert_int_equal(talk.lab.dials, 2);
		assert_int_equal(talk.near[0].h.broken, 0);
		talk_fini(&talk);
	}
}

static void an_unused_tunnel_is_released_and_a_used_one_is_not(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct lab_options opt = seeded(seed);

		talk_init(&talk, &opt);
		talk_call(&talk, 0);
		lab_until(&talk.lab, &talk.ok, 1);
		lab_until_ms(&talk.lab, 5 * LAB_IDLE_MS);
		assert_int_equal(hbone_pool_tunnels(&talk.lab.pool), 1);
		hbone_stream_end(&talk.near[0].h.s);
		hbone_stream_end(&talk.far[0].s);
		lab_until(&talk.lab, &talk.lab.peers_over, 1);
		lab_until(&talk.lab, &talk.lab.closed, 1);
		assert_int_equal(talk.lab.close_cause, ERR_OK);
		assert_int_equal(talk.lab.peer_cause, ERR_OK);
		lab_turns(&talk.lab, 30);
		assert_int_equal(hbone_pool_tunnels(&talk.lab.pool), 0);
		talk_call(&talk, 1);
		lab_until(&talk.lab, &talk.ok, 2);
		talk_fini(&talk);
	}
}

/* An end that waits for window belongs to a stream which both owners may have let go of already. */
static void an_idle_close_waits_for_ends_that_have_not_left(void **state)
{
	struct lab_options opt = seeded(1);

	(void)state;
	opt.stream_window = 65535;
	talk_init(&talk, &opt);
	talk.hold = true;
	talk_call(&talk, 0);
	lab_until(&talk.lab, &talk.ok, 1);
	hbone_stream_end(&talk.far[0].s);
	lab_until(&talk.lab, &talk.near[0].h.end, 1);
	heard_put(&talk.lab, &talk.near[0].h, 65535);
	while (hbone_stream_queued(&talk.near[0].h.s) > 0)
		(void)sim_turn(talk.lab.loop);
	hbone_stream_end(&talk.near[0].h.s); /* behind a window of nothing */
	hbone_stream_detach(&talk.near[0].h.s);
	lab_until_ms(&talk.lab, 3 * LAB_IDLE_MS);
	assert_int_equal(talk.far[0].broken, 0);
	talk.far[0].hold = false;
	heard_take(&talk.far[0]);
	lab_until(&talk.lab, &talk.far[0].end, 1);
	assert_int_equal(talk.far[0].got, 65535);
	lab_until(&talk.lab, &talk.lab.closed, 1);
	talk_fini(&talk);
}

static bool servers_quiet(struct lab *l)
{
	list_for_each (it, &l->peers) {
		struct lab_peer *p = list_entry(it, struct lab_peer, link);

		if (p->server.conn.carrier.count > 0 ||
		    (p->ready > 0 && h2_session_streams(p->server.conn.h2.session) > 0))
			return false;
	}
	return true;
}

static void cancel_at_every_step_is_silent_and_leaves_nothing(void **state)
{
	(void)state;
	for (unsigned int cut = 0; cut < 120; cut++) {
		struct lab_options opt = seeded(cut + 1);

		talk_init(&talk, &opt);
		calls(&talk, 0, 3);
		lab_turns(&talk.lab, cut / 2);
		for (unsigned int i = 0; i < 2; i++) {
			hbone_call_cancel(&talk.near[i].call);
			talk.near[i].cancelled = talk.near[i].answered == 0;
		}
		lab_until(&talk.lab, &talk.near[2].answered, 1);
		assert_int_equal(talk.near[2].cause, ERR_OK);
		talk_reset_all(&talk);
		for (unsigned int i = 0; i < 1000 && !servers_quiet(&talk.lab); i++)
			(void)sim_turn(talk.lab.loop);
		assert_true(servers_quiet(&talk.lab));
		talk_fini(&talk);
	}
}

static void a_tunnel_that_dies_at_any_turn_answers_or_breaks_everyone_once(void **state)
{
	(void)state;
	for (unsigned int cut = 0; cut < 160; cut++) {
		struct lab_options opt = seeded(cut + 1);
		bool aborted;

		talk_init(&talk, &opt);
		calls(&talk, 0, 5);
		for (unsigned int i = 0; i < cut / 2; i++) {
			if (talk.ok == 5)
				heard_put(&talk.lab, &talk.near[i % 5].h, 20000);
			(void)sim_turn(talk.lab.loop);
		}
		aborted = !list_empty(&talk.lab.peers);
		if (aborted)
			h2_conn_abort(&lab_first_peer(&talk.lab)->server.conn.h2,
			              ERR_POLICY_CHANGED);
		lab_until(&talk.lab, &talk.answered, 5);
		if (aborted)
			lab_until(&talk.lab, &talk.lab.peers_over, 1);
		lab_turns(&talk.lab, 100);
		for (unsigned int i = 0; i < 5 && aborted; i++)
			assert_int_equal(talk.near[i].h.broken, talk.near[i].cause == ERR_OK);
		for (unsigned int i = 0; i < talk.far_count && aborted; i++)
			assert_int_equal(talk.far[i].broken, 1);
		talk_fini(&talk);
	}
}

static void a_stop_at_any_turn_answers_or_breaks_everyone(void **state)
{
	(void)state;
	for (unsigned int cut = 0; cut < 120; cut++) {
		struct lab_options opt = seeded(cut + 1);

		opt.black_hole = cut % 10 == 9;
		talk_init(&talk, &opt);
		calls(&talk, 0, 5);
		lab_turns(&talk.lab, cut / 2);
		hbone_pool_stop(&talk.lab.pool);
		talk_call(&talk, 5);
		lab_stop(&talk.lab);
		assert_int_equal(talk.answered, 6);
		assert_int_not_equal(talk.near[5].cause, ERR_OK);
		for (unsigned int i = 0; i < 5; i++)
			assert_int_equal(talk.near[i].h.broken, talk.near[i].cause == ERR_OK);
		talk_fini(&talk);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(asks_at_once_share_one_tunnel),
		cmocka_unit_test(a_dial_without_memory_fails_its_ask_and_leaves_nothing),
		cmocka_unit_test(bytes_go_both_ways_and_both_ends_end),
		cmocka_unit_test(bytes_right_behind_the_answer_arrive),
		cmocka_unit_test(bytes_and_an_end_right_behind_the_request_arrive),
		cmocka_unit_test(
			the_failure_of_a_dial_reaches_everyone_and_the_next_ask_dials_anew),
		cmocka_unit_test(a_dial_that_times_out_names_the_hbone_port),
		cmocka_unit_test(a_silent_peer_meets_the_handshake_deadline),
		cmocka_unit_test(who_expects_somebody_else_gets_a_tunnel_of_its_own_and_is_refused),
		cmocka_unit_test(an_answer_that_does_not_come_is_a_time_out_of_that_stream_only),
		cmocka_unit_test(a_refusal_tells_its_status_and_leaves_the_tunnel),
		cmocka_unit_test(more_streams_than_one_tunnel_may_carry_open_another),
		cmocka_unit_test(a_peers_own_limit_is_met_by_another_tunnel),
		cmocka_unit_test(asks_beyond_what_a_fresh_tunnel_may_carry_move_to_another),
		cmocka_unit_test(a_burst_against_a_small_limit_is_answered_to_the_last),
		cmocka_unit_test(a_draining_server_loses_no_ask),
		cmocka_unit_test(an_unused_tunnel_is_released_and_a_used_one_is_not),
		cmocka_unit_test(an_idle_close_waits_for_ends_that_have_not_left),
		cmocka_unit_test(cancel_at_every_step_is_silent_and_leaves_nothing),
		cmocka_unit_test(a_tunnel_that_dies_at_any_turn_answers_or_breaks_everyone_once),
		cmocka_unit_test(a_stop_at_any_turn_answers_or_breaks_everyone),
	};

	return cmocka_run_group_tests(tests, lab_set_up, lab_tear_down);
}
