/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/rand.h"

static void dice_are_fair_and_repeatable(void **state)
{
	unsigned int count[6] = {0};
	struct rand a, b;

	(void)state;
	rand_init(&a, 42);
	rand_init(&b, 42);
	for (unsigned int i = 0; i < 60000; i++) {
		uint64_t v = rand_below(&a, 6);

		assert_true(v < 6);
		assert_true(v == rand_below(&b, 6));
		count[v]++;
	}
	for (size_t i = 0; i < 6; i++)
		assert_in_range(count[i], 9500, 10500);
	assert_true(rand_below(&a, 1) == 0);
	rand_init_system(&a);
	rand_init_system(&b);
	assert_true(rand_u64(&a) != rand_u64(&b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dice_are_fair_and_repeatable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
