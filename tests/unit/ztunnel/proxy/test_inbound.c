/* SPDX-License-Identifier: Apache-2.0 */
/* What only befalls inbound connections: their workload comes late, policies change under them; at any turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/telemetry/access_log.h"
#include "tests/unit/ztunnel/proxy/proxy_lab.h"

enum { SEEDS = 40, TURNS = 90 };

static struct plab_options seeded(uint64_t seed)
{
	return (struct plab_options){
		.sim = {.seed = seed, .connect_ms_max = seed % 5 == 0 ? 200 : 0},
		.stream_window = seed % 2 == 0 ? 65535 : 0,
	};
}

static struct plab_path *open_inbound(uint64_t seed)
{
	return plab_open(seed % 2 == 0 ? PATH_HBONE : PATH_PLAIN_IN);
}

static void who_comes_before_its_workload_is_served_when_that_is_known(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct plab_options opt = seeded(seed);
		struct plab_path *p;

		opt.stranger = true;
		plab_init(&opt);
		p = open_inbound(seed);
		p->app[0].total = 5000; /* it speaks at once, and is not heard yet */
		p->app[0].ending = END_ORDERLY;
		p->app[1].ending = END_AFTER_FIN;
		p->app[1].total = 7000;
		for (uint64_t t = seed * 7 % TURNS; t > 0; t--)
			plab_turn();
		assert_int_equal(p->app[1].fd, -1);
		plab_new_mesh(false);
		plab_run();
		assert_int_equal(p->app[0].seen, SEEN_FIN);
		assert_int_equal(p->app[0].got, 7000);
		assert_int_equal(p->app[1].got, 5000);
		plab_fini();
	}
}

static void who_waits_in_vain_is_reset_without_a_word(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct plab_options opt = seeded(seed);
		uint64_t began, waited;
		struct plab_path *p;

		opt.stranger = true;
		plab_init(&opt);
		began = loop_now_ms(plab.loop);
		p = open_inbound(seed);
		p->app[0].ending = END_AFTER_FIN;
		p->app[0].total = 100;
		plab_run();
		waited = loop_now_ms(plab.loop) - began;
		assert_int_equal(p->app[0].seen, SEEN_RESET);
		assert_true(waited >= PROXY_LOCAL_WAIT_MS);
		assert_int_equal(plab.opened[ACCESS_INBOUND],
		                 0); /* refused early: only a line in the log */
		assert_int_equal(plab.turned_away[ACCESS_INBOUND], 1);
		plab_fini();
	}
}

static void a_pod_that_goes_takes_along_who_waits_for_its_workload(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct plab_options opt = seeded(seed);
		struct plab_path *p;

		opt.stranger = true;
		plab_init(&opt);
		p = open_inbound(seed);
		p->app[0].ending = END_AFTER_FIN;
		for (uint64_t t = seed * 7 % TURNS; t > 0; t--)
			plab_turn();
		pod_proxy_cut(plab.node[1].proxy, ERR_DRAINED);
		plab_run();
		assert_int_equal(p->app[0].seen, SEEN_RESET);
		plab_fini();
	}
}

/* Neither application would ever end this by itself. */
static void a_policy_that_comes_at_any_turn_leaves_no_connection_it_forbids(void **state)
{
	(void)state;
	for (uint64_t turns = 0; turns < TURNS; turns++) {
		for (uint64_t seed = 1; seed <= 6; seed++) {
			struct plab_options opt = seeded(seed);
			struct plab_path *p;

			plab_init(&opt);
			p = open_inbound(seed + turns);
			p->app[0].ending = END_AFTER_FIN;
			p->app[1].ending = END_AFTER_FIN;
			for (uint64_t t = 0; t < turns; t++)
				plab_turn();
			plab_new_mesh(true);
			plab_run();
			assert_int_equal(p->app[0].seen, SEEN_RESET);
			if (p->app[1].closed)
				assert_int_equal(p->app[1].seen, SEEN_RESET);
			assert_int_equal(plab.node[1].worker.live.count, 0);
			plab_fini();
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_comes_before_its_workload_is_served_when_that_is_known),
		cmocka_unit_test(who_waits_in_vain_is_reset_without_a_word),
		cmocka_unit_test(a_pod_that_goes_takes_along_who_waits_for_its_workload),
		cmocka_unit_test(a_policy_that_comes_at_any_turn_leaves_no_connection_it_forbids),
	};

	return cmocka_run_group_tests(tests, plab_set_up, plab_tear_down);
}
