/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/check.h"
#include "common/tls/tls_gate.h"
#include "tests/sim/sim.h"

enum { COMERS = 100 };

struct comer {
	struct tls_gate_entry entry;
	unsigned int times;
};

static struct comer comers[COMERS];
static struct loop *loop;
static struct tls_gate gate;
static unsigned int order[COMERS], run_count;

static void on_run(struct tls_gate_entry *e)
{
	struct comer *c = container_of(e, struct comer, entry);

	c->times++;
	order[run_count++] = (unsigned int)(c - comers);
}

static int set_up(void **state)
{
	(void)state;
	loop = sim_new(NULL);
	tls_gate_init(&gate, loop);
	run_count = 0;
	for (unsigned int i = 0; i < COMERS; i++) {
		comers[i].times = 0;
		tls_gate_entry_init(&comers[i].entry, on_run);
	}
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	while (sim_turn(loop))
		;
	tls_gate_fini(&gate);
	loop_free(loop);
	return 0;
}

static void as_many_as_a_turn_has_go_on_at_once(void **state)
{
	(void)state;
	for (unsigned int turn = 0; turn < 3; turn++) {
		for (unsigned int i = 0; i < TLS_GATE_STEPS; i++)
			assert_true(tls_gate_pass(&gate, &comers[i].entry));
		(void)sim_turn(loop);
	}
	assert_int_equal(run_count, 0); /* nobody had to be called */
}

static void the_others_wait_in_order_and_each_turn_takes_no_more_than_its_share(void **state)
{
	unsigned int passed = 0;

	(void)state;
	for (unsigned int i = 0; i < COMERS; i++)
		passed += tls_gate_pass(&gate, &comers[i].entry);
	assert_int_equal(passed, TLS_GATE_STEPS);
	assert_false(tls_gate_pass(&gate, &comers[50].entry)); /* asking twice changes nothing */
	for (unsigned int before = 0; run_count < COMERS - passed; before = run_count) {
		assert_true(sim_turn(loop));
		assert_true(run_count - before <= TLS_GATE_STEPS);
	}
	for (unsigned int i = 0; i < run_count; i++)
		assert_int_equal(order[i], passed + i);
}

/* Who comes while others wait does not overtake them. */
static void a_newcomer_does_not_overtake(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < COMERS - 1; i++)
		(void)tls_gate_pass(&gate, &comers[i].entry);
	(void)sim_turn(loop);
	assert_false(tls_gate_pass(&gate, &comers[COMERS - 1].entry));
	while (sim_turn(loop))
		;
	assert_int_equal(order[run_count - 1], COMERS - 1);
}

static void who_leaves_is_not_called(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < COMERS; i++)
		(void)tls_gate_pass(&gate, &comers[i].entry);
	for (unsigned int i = 20; i < COMERS; i += 2)
		tls_gate_leave(&comers[i].entry);
	tls_gate_leave(&comers[0].entry); /* which does not wait */
	while (sim_turn(loop))
		;
	for (unsigned int i = TLS_GATE_STEPS; i < COMERS; i++)
		assert_int_equal(comers[i].times, i < 20 || i % 2 == 1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(as_many_as_a_turn_has_go_on_at_once),
		TEST(the_others_wait_in_order_and_each_turn_takes_no_more_than_its_share),
		TEST(a_newcomer_does_not_overtake),
		TEST(who_leaves_is_not_called),
	};

	return cmocka_run_group_tests_name("tls_gate", tests, NULL, NULL);
}
