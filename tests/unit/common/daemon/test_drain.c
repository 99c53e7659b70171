/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/daemon/drain.h"

static void the_grace_rule_of_the_contract_holds(void **state)
{
	static const struct {
		int64_t deadline_ms, grace_s;
		uint64_t want_ms;
	} rows[] = {
		{-1, -1, 5000}, {-1, 30, 25000}, {-1, 11, 6000}, {-1, 10, 9000}, {-1, 2, 1000},
		{-1, 1, 1000},  {-1, 0, 1000},   {700, 30, 700}, {0, 30, 0},     {12000, -1, 12000},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct drain_settings s = {rows[i].deadline_ms, rows[i].grace_s};

		assert_int_equal(drain_grace_ms(&s), rows[i].want_ms);
	}
}

static void it_ends_when_nothing_is_open(void **state)
{
	struct drain d;

	(void)state;
	drain_init(&d);
	assert_int_equal(drain_step(&d, 100, 0), DRAIN_RUNNING);
	assert_int_equal(drain_wait_ms(&d, 100), UINT64_MAX);
	assert_true(drain_start(&d, 100, 1000));
	assert_int_equal(drain_step(&d, 200, 3), DRAIN_DRAINING);
	assert_int_equal(drain_wait_ms(&d, 200), 900);
	assert_int_equal(drain_step(&d, 300, 0), DRAIN_DONE);
	assert_false(d.forced);
}

static void it_ends_by_force_at_the_deadline(void **state)
{
	struct drain d;

	(void)state;
	drain_init(&d);
	assert_true(drain_start(&d, 100, 1000));
	assert_int_equal(drain_step(&d, 1099, 1), DRAIN_DRAINING);
	assert_int_equal(drain_step(&d, 1100, 1), DRAIN_DONE);
	assert_true(d.forced);
	assert_int_equal(drain_wait_ms(&d, 1100), 0);
}

static void asking_again_does_not_move_the_deadline(void **state)
{
	struct drain d;

	(void)state;
	drain_init(&d);
	assert_true(drain_start(&d, 100, 1000));
	assert_false(drain_start(&d, 900, 1000));
	assert_int_equal(d.deadline_ms, 1100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_grace_rule_of_the_contract_holds),
		cmocka_unit_test(it_ends_when_nothing_is_open),
		cmocka_unit_test(it_ends_by_force_at_the_deadline),
		cmocka_unit_test(asking_again_does_not_move_the_deadline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
