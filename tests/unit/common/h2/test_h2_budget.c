/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/h2/h2_budget.h"

static unsigned int take_all(struct h2_budget *b, uint64_t now_ms)
{
	unsigned int n = 0;

	while (n < 100000 && h2_budget_take(b, now_ms))
		n++;
	return n;
}

static void burst_then_rate(void **state)
{
	struct h2_budget b;

	(void)state;
	h2_budget_init(&b, 200, 20, 5000);
	assert_int_equal(take_all(&b, 5000), 200);
	assert_int_equal(take_all(&b, 5049), 0);
	assert_int_equal(take_all(&b, 5050), 1);
	assert_int_equal(take_all(&b, 6050), 20);
	/* refilled to the brim, never above */
	assert_int_equal(take_all(&b, 6050 + 10000), 200);
	assert_int_equal(take_all(&b, UINT64_MAX), 200);
}

static void clock_that_steps_back_gives_nothing(void **state)
{
	struct h2_budget b;

	(void)state;
	h2_budget_init(&b, 10, 10, 5000);
	assert_int_equal(take_all(&b, 5000), 10);
	assert_int_equal(take_all(&b, 1000), 0);
	assert_int_equal(take_all(&b, 5000), 0);
	assert_int_equal(take_all(&b, 5100), 1);
}

static void small_steps_add_up(void **state)
{
	struct h2_budget b;
	unsigned int n = 0;

	(void)state;
	h2_budget_init(&b, 5, 20, 0);
	(void)take_all(&b, 0);
	for (uint64_t now = 1; now <= 1000; now++)
		n += take_all(&b, now);
	assert_int_equal(n, 20);
}

static void without_rate_nothing_grows_back(void **state)
{
	struct h2_budget b;

	(void)state;
	h2_budget_init(&b, 3, 0, 0);
	assert_int_equal(take_all(&b, 0), 3);
	assert_int_equal(take_all(&b, UINT64_MAX), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(burst_then_rate),
		cmocka_unit_test(clock_that_steps_back_gives_nothing),
		cmocka_unit_test(small_steps_add_up),
		cmocka_unit_test(without_rate_nothing_grows_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
