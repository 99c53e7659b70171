/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/backoff.h"
#include "common/base/check.h"
#include "common/base/rand.h"

static void backoff_doubles_up_to_its_cap_with_jitter(void **state)
{
	struct backoff b;
	struct rand dice;

	(void)state;
	rand_init(&dice, 1);
	backoff_init(&b, 100, 1500);
	for (unsigned int round = 0; round < 100; round++) {
		static const uint64_t steps[] = {100, 200, 400, 800, 1500, 1500, 1500};

		for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
			uint64_t delay = backoff_next_ms(&b, rand_u64(&dice));

			assert_true(delay >= steps[i] / 2 && delay <= steps[i]);
		}
		backoff_reset(&b);
	}
	backoff_init(&b, 1, 1);
	assert_true(backoff_next_ms(&b, 0) == 1);
	backoff_init(&b, UINT64_MAX, UINT64_MAX);
	assert_true(backoff_next_ms(&b, 0) == UINT64_MAX);
	assert_true(backoff_next_ms(&b, 0) == UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(backoff_doubles_up_to_its_cap_with_jitter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
