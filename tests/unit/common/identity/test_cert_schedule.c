/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/identity/cert_schedule.h"

static void retries_double_from_one_second_to_the_cap(void **state)
{
	struct cert_retry r = {0};
	uint64_t step = 1000;

	(void)state;
	for (int i = 0; i < 20; i++) {
		uint64_t ms = cert_retry_next_ms(&r, 1000, (uint64_t)i * 7919);

		assert_in_range(ms, step * 4 / 5, step * 6 / 5);
		step = step * 2 > CERT_RETRY_CAP_MS ? CERT_RETRY_CAP_MS : step * 2;
	}
	cert_retry_reset(&r);
	assert_in_range(cert_retry_next_ms(&r, 1000, 0), 800, 1200);
}

static void after_a_quarter_of_an_hour_every_wait_is_the_longest(void **state)
{
	struct cert_retry r = {0};

	(void)state;
	assert_in_range(cert_retry_next_ms(&r, 1000, 3), 800, 1200);
	assert_in_range(cert_retry_next_ms(&r, 1000 + CERT_RETRY_PATIENCE_S, 3), 120000, 180000);
}

static void jitter_reaches_both_ends(void **state)
{
	struct cert_retry low = {0}, high = {0};

	(void)state;
	assert_int_equal(cert_retry_next_ms(&low, 0, 0), 800);
	assert_int_equal(cert_retry_next_ms(&high, 0, 400), 1200);
	assert_int_equal(cert_renew_ms(0, 1000, 1000, 0, 0), 450 * 1000);
	assert_int_equal(cert_renew_ms(0, 1000, 1000, 0, 100 * 1000), 550 * 1000);
}

static void renewal_is_due_at_half_life(void **state)
{
	(void)state;
	for (uint64_t dice = 0; dice < 1000000; dice += 9973) {
		assert_in_range(cert_renew_ms(1000, 87400, 86400, 1000, dice), 43200 * 900,
		                43200 * 1100);
		/* the longest life of a certificate is what we asked for */
		assert_in_range(cert_renew_ms(1000, 1000 + 315360000, 86400, 1000, dice),
		                43200 * 900, 43200 * 1100);
		/* begun before it came */
		assert_in_range(cert_renew_ms(1000, 87400, 86400, 1000 + 21600, dice),
		                43200 * 900 - 21600 * 1000, 43200 * 1100 - 21600 * 1000);
	}
}

static void dates_without_sense_are_due_at_once_but_not_in_a_loop(void **state)
{
	(void)state;
	assert_int_equal(cert_renew_ms(100, 100, 60, 100, 5), CERT_RENEW_MIN_MS);
	assert_int_equal(cert_renew_ms(200, 100, 60, 150, 5), CERT_RENEW_MIN_MS);
	assert_int_equal(cert_renew_ms(100, 200, 60, 500, 5), CERT_RENEW_MIN_MS);
	assert_int_equal(cert_renew_ms(100, 200, 100, 199, 5), CERT_RENEW_MIN_MS);
	assert_int_equal(cert_renew_ms(100, 101, 100, 100, 5), CERT_RENEW_MIN_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(retries_double_from_one_second_to_the_cap),
		cmocka_unit_test(after_a_quarter_of_an_hour_every_wait_is_the_longest),
		cmocka_unit_test(jitter_reaches_both_ends),
		cmocka_unit_test(renewal_is_due_at_half_life),
		cmocka_unit_test(dates_without_sense_are_due_at_once_but_not_in_a_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
