/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole connections through the proxy, in every order of events a seed can think of: applications that half-close, reset,
 * close with unread data, stay mute, go while they are being connected; proxies that are cut, drained, given new
 * policies. Whatever happens: an application that sees a FIN has every byte before it (decision 0008), the books
 * balance, and nothing is left.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/ztunnel/proxy/proxy_lab.h"

/* Thousands of lives in a few seconds; more by hand: PROXY_SEEDS=100000 PROXY_SEED_FIRST=1 build/.../test_connections */
enum { SEEDS = 1500 };

static uint64_t seeds(uint64_t otherwise)
{
	const char *text = getenv("PROXY_SEEDS");

	return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static uint64_t first_seed(void)
{
	const char *text = getenv("PROXY_SEED_FIRST");

	return text == NULL ? 1 : strtoull(text, NULL, 10);
}

static struct plab_options seeded(uint64_t seed)
{
	return (struct plab_options){
		.sim = {.seed = seed,
	                .socket_bytes = seed % 3 == 0 ? 2000 : 65536,
	                .connect_ms_max = seed % 5 == 0 ? 200 : 0},
		.stream_window = seed % 2 == 0 ? 65535 : 0,
	};
}

static struct rand plans;

static uint64_t roll(uint64_t n)
{
	return rand_below(&plans, n);
}

static void plan_app(struct plab_app *a, enum plab_ending ending)
{
	static const size_t sizes[] = {0, 1, 100, 5000, 16000, 40000, 150000};

	a->ending = ending;
	a->total = sizes[roll(roll(4) == 0 ? 7 : 6)];
	if (a->total > 100)
		a->total -= (size_t)roll(100);
	a->delay = (unsigned int)(roll(3) == 0 ? roll(40) : 0);
}

/* One at whose end somebody listens. */
static enum path_kind roll_open_kind(void)
{
	static const enum path_kind kinds[] = {PATH_HBONE, PATH_PLAIN_OUT, PATH_PLAIN_IN, PATH_FAR};

	return kinds[roll(4)];
}

static void plan_orderly(struct plab_path *p)
{
	unsigned int late = (unsigned int)roll(3); /* 2: neither */

	for (unsigned int i = 0; i < 2; i++)
		plan_app(&p->app[i], i == late ? END_AFTER_FIN : END_ORDERLY);
}

static void plan_any(struct plab_path *p)
{
	plan_orderly(p);
	for (unsigned int i = 0; i < 2; i++) {
		if (roll(3) != 0)
			p->app[i].ending = (enum plab_ending)roll(END_KINDS);
		if (roll(6) == 0)
			p->app[i].read_max = (size_t)roll(20000);
	}
	if (p->app[0].ending == END_AFTER_FIN && p->app[1].ending == END_AFTER_FIN)
		p->app[0].ending = END_ORDERLY; /* else each waits for the other */
}

static void say_seed(uint64_t seed)
{
	if (getenv("PROXY_SAY_SEED") != NULL)
		print_message("seed %llu\n", (unsigned long long)seed);
}

static void start(uint64_t seed, const struct plab_options *opt)
{
	say_seed(seed);
	rand_init(&plans, seed * 77 + 5);
	plab_init(opt);
}

/* --- claims ------------------------------------------------------------------------------------ */

static void what_ends_in_order_arrives_whole_and_ends_in_order(void **state)
{
	uint64_t end = first_seed() + seeds(SEEDS / 3);

	(void)state;
	for (uint64_t seed = first_seed(); seed < end; seed++) {
		struct plab_options opt = seeded(seed);
		unsigned int n = 1 + (unsigned int)(seed % 4);

		start(seed, &opt);
		for (unsigned int i = 0; i < n; i++)
			plan_orderly(plab_open(roll_open_kind()));
		plab_run();
		for (unsigned int i = 0; i < n; i++) {
			for (unsigned int side = 0; side < 2; side++)
				assert_int_equal(plab.path[i].app[side].seen, SEEN_FIN);
		}
		plab_fini();
	}
}

static void whoever_resets_is_heard_as_a_reset(void **state)
{
	uint64_t end = first_seed() + seeds(SEEDS / 3);

	(void)state;
	for (uint64_t seed = first_seed(); seed < end; seed++) {
		struct plab_options opt = seeded(seed);
		unsigned int from = (unsigned int)(seed & 1);
		struct plab_path *p;

		start(seed, &opt);
		p = plab_open(roll_open_kind());
		plan_orderly(p);
		p->app[from].ending = END_RESET;
		p->app[1 - from].ending = END_AFTER_FIN;
		plab_run();
		/* a client that resets before anybody was called never troubles the application there */
		if (p->app[1].closed)
			assert_int_equal(p->app[1 - from].seen, SEEN_RESET);
		plab_fini();
	}
}

static void any_two_lives_end_truly_and_leave_nothing(void **state)
{
	uint64_t end = first_seed() + seeds(SEEDS);

	(void)state;
	for (uint64_t seed = first_seed(); seed < end; seed++) {
		struct plab_options opt = seeded(seed);
		unsigned int n = 1 + (unsigned int)(seed % PLAB_PATHS_MAX);

		start(seed, &opt);
		for (unsigned int i = 0; i < n; i++) {
			plan_any(plab_open((enum path_kind)roll(PATH_KINDS)));
			for (uint64_t t = roll(30); t > 0; t--)
				plab_turn();
		}
		plab_run();
		plab_fini();
	}
}

static void a_port_nobody_listens_at_is_a_reset_never_an_empty_success(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct plab_options opt = seeded(seed);
		struct plab_path *p;

		start(seed, &opt);
		p = plab_open(seed % 2 == 0 ? PATH_HBONE_CLOSED : PATH_PLAIN_CLOSED);
		plan_orderly(p);
		plab_run();
		assert_int_equal(p->app[0].seen, SEEN_RESET);
		assert_int_equal(p->app[0].got, 0);
		plab_fini();
	}
}

static void who_is_denied_sees_a_reset_and_the_application_nothing(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct plab_options opt = seeded(seed);
		struct plab_path *p;

		opt.deny = true;
		start(seed, &opt);
		p = plab_open(seed % 2 == 0 ? PATH_HBONE : PATH_PLAIN_IN);
		plan_orderly(p);
		plab_run();
		assert_int_equal(p->app[0].seen, SEEN_RESET);
		assert_int_equal(p->app[1].fd, -1);
		assert_false(p->app[1].closed);
		plab_fini();
	}
}

static void a_peer_that_answers_nothing_is_a_reset_in_bounded_time(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct plab_options opt = seeded(seed);
		struct plab_path *p;

		opt.black_hole = true;
		start(seed, &opt);
		p = plab_open(PATH_HBONE);
		plan_orderly(p);
		plab_run();
		assert_int_equal(p->app[0].seen, SEEN_RESET);
		plab_fini();
	}
}

/* Descriptors or memory run out: connections wait in the kernel's queue, in bounded turns, and are then served. */
static void accepts_that_fail_delay_connections_and_spin_not(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 100; seed++) {
		struct plab_options opt = seeded(seed);
		uint64_t began;

		opt.sim.no_accept_of_1000 = 500;
		start(seed, &opt);
		began = loop_now_ms(plab.loop);
		for (unsigned int i = 0; i < 4; i++)
			plan_orderly(plab_open((enum path_kind)roll(PATH_PLAIN_IN + 1)));
		plab_run();
		for (unsigned int i = 0; i < 4; i++)
			assert_int_equal(plab.path[i].app[0].seen, SEEN_FIN);
		/* one try for each pause, and not one more */
		assert_in_range(
			plab.accept_errors, 0,
			1 + LISTENER_KINDS * (loop_now_ms(plab.loop) - began) / ACCEPT_BACKOFF_MS +
				LISTENER_KINDS);
		plab_fini();
	}
}

/* What else can befall the proxies while connections live. */
static void befall(void)
{
	unsigned int node = (unsigned int)roll(2);

	switch (roll(4)) {
	case 0:
		if (plab.node[node].proxy != NULL)
			pod_proxy_cut(plab.node[node].proxy, ERR_POLICY_CHANGED);
		break;
	case 1: plab_drain(node); break;
	case 2: plab_new_mesh(true); break;
	case 3: plab_new_mesh(false); break;
	default: break;
	}
}

static void cuts_drains_and_new_policies_at_any_turn_lose_no_byte_before_a_fin(void **state)
{
	uint64_t end = first_seed() + seeds(SEEDS);

	(void)state;
	for (uint64_t seed = first_seed(); seed < end; seed++) {
		struct plab_options opt = seeded(seed);
		unsigned int n = 1 + (unsigned int)(seed % 5);

		opt.no_socket_of_1000 = seed % 7 == 0 ? 200 : 0;
		opt.gone_of_1000 = seed % 5 == 0 ? 200 : 0;
		opt.sim.no_accept_of_1000 = seed % 4 == 0 ? 100 : 0;
		opt.sim.enobufs_of_1000 = seed % 11 == 0 ? 100 : 0;
		start(seed, &opt);
		for (unsigned int i = 0; i < n; i++) {
			plan_any(plab_open((enum path_kind)roll(PATH_KINDS)));
			for (uint64_t t = roll(120); t > 0; t--)
				plab_turn();
			if (roll(3) != 0)
				befall();
		}
		plab_run();
		plab_fini();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_ends_in_order_arrives_whole_and_ends_in_order),
		cmocka_unit_test(whoever_resets_is_heard_as_a_reset),
		cmocka_unit_test(a_port_nobody_listens_at_is_a_reset_never_an_empty_success),
		cmocka_unit_test(who_is_denied_sees_a_reset_and_the_application_nothing),
		cmocka_unit_test(a_peer_that_answers_nothing_is_a_reset_in_bounded_time),
		cmocka_unit_test(accepts_that_fail_delay_connections_and_spin_not),
		cmocka_unit_test(any_two_lives_end_truly_and_leave_nothing),
		cmocka_unit_test(
			cuts_drains_and_new_policies_at_any_turn_lose_no_byte_before_a_fin),
	};

	return cmocka_run_group_tests(tests, plab_set_up, plab_tear_down);
}
