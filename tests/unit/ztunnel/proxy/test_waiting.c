/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that come before their pod's certificate. Contract 4.5. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/ztunnel/proxy/proxy_lab.h"

static struct plab_path *open_path(uint64_t seed)
{
	struct plab_options opt = {.sim = {.seed = seed}};
	struct plab_path *p;

	plab_init(&opt);
	plab_new_certs(CERT_INITIALIZING);
	p = plab_open(PATH_HBONE);
	p->app[0].total = p->app[1].total = 1000;
	p->app[0].ending = p->app[1].ending = END_ORDERLY;
	p->app[0].read_max = p->app[1].read_max = SIZE_MAX;
	return p;
}

/* Whoever fetches certificates is told once that somebody waits; then all goes its way. */
static void a_connection_waits_for_its_certificate_and_says_so(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct plab_path *p = open_path(seed);
		uint64_t until = loop_now_ms(plab.loop) + 4 * PROXY_LOCAL_LOOK_MS;

		while (loop_now_ms(plab.loop) < until)
			plab_turn();
		assert_int_equal(plab.awaited, 1);
		assert_int_equal(p->app[0].seen, SEEN_NOTHING);
		plab_new_certs(CERT_AVAILABLE);
		plab_run();
		assert_int_equal(p->app[0].got, 1000);
		assert_int_equal(p->app[1].got, 1000);
		plab_fini();
	}
}

static void a_connection_whose_certificate_cannot_be_had_fails_at_once(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct plab_path *p = open_path(seed);
		uint64_t from = loop_now_ms(plab.loop);

		plab_new_certs(CERT_UNAVAILABLE);
		plab_run();
		assert_int_equal(p->app[0].seen, SEEN_RESET);
		assert_true(loop_now_ms(plab.loop) - from < PROXY_LOCAL_WAIT_MS);
		assert_int_equal(plab.awaited, 0);
		plab_fini();
	}
}

static void a_connection_that_waits_in_vain_is_given_up(void **state)
{
	struct plab_path *p = open_path(1);
	uint64_t from = loop_now_ms(plab.loop);

	(void)state;
	plab_run();
	assert_int_equal(p->app[0].seen, SEEN_RESET);
	assert_true(loop_now_ms(plab.loop) - from >= PROXY_LOCAL_WAIT_MS);
	plab_fini();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_connection_waits_for_its_certificate_and_says_so),
		cmocka_unit_test(a_connection_whose_certificate_cannot_be_had_fails_at_once),
		cmocka_unit_test(a_connection_that_waits_in_vain_is_given_up),
	};

	return cmocka_run_group_tests_name("proxy_waiting", tests, plab_set_up, plab_tear_down);
}
