/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/codec/percent_codec.h"

static void every_octet_but_nul_comes_back(void **state)
{
	uint8_t all[255];
	struct buf coded, back;

	(void)state;
	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = (uint8_t)(i + 1);
	buf_init(&coded, 4096);
	buf_init(&back, 4096);
	percent_encode(span_of(all, sizeof(all)), &coded);
	assert_int_equal(percent_decode(buf_span(&coded), false, &back), ERR_OK);
	assert_true(span_eq(buf_span(&back), span_of(all, sizeof(all))));
	buf_fini(&coded);
	buf_fini(&back);
}

static void what_is_cut_or_no_hex_or_nul_is_refused(void **state)
{
	static const char *const bad[] = {"%", "%4", "a%", "%g0", "%0g", "%00", "%%41", "%-1"};
	struct buf out;

	(void)state;
	buf_init(&out, 100);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(percent_decode(span_str(bad[i]), true, &out), ERR_PARSE);
	buf_fini(&out);
}

static void a_plus_is_a_space_only_in_forms(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 100);
	assert_int_equal(percent_decode(span_str("a+b%2bc"), true, &out), ERR_OK);
	assert_true(span_eq_str(buf_span(&out), "a b+c"));
	buf_clear(&out);
	assert_int_equal(percent_decode(span_str("a+b%2Bc"), false, &out), ERR_OK);
	assert_true(span_eq_str(buf_span(&out), "a+b+c"));
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_octet_but_nul_comes_back),
		cmocka_unit_test(what_is_cut_or_no_hex_or_nul_is_refused),
		cmocka_unit_test(a_plus_is_a_space_only_in_forms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
