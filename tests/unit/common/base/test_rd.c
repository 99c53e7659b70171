/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/rd.h"

static void numbers_are_big_endian(void **state)
{
	static const uint8_t bytes[] = {1,    0x12, 0x34, 0x12, 0x34, 0x56, 0x12, 0x34, 0x56,
	                                0x78, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0};
	struct rd r = rd_of(span_of(bytes, sizeof(bytes)));

	(void)state;
	assert_int_equal(rd_u8(&r), 1);
	assert_int_equal(rd_u16(&r), 0x1234);
	assert_int_equal(rd_u24(&r), 0x123456);
	assert_int_equal(rd_u32(&r), 0x12345678);
	assert_true(rd_u64(&r) == UINT64_C(0x123456789abcdef0));
	assert_int_equal(rd_left(&r), 0);
	assert_false(rd_failed(&r));
	assert_int_equal(rd_rest(&r).n, 0);
	assert_false(rd_failed(&r)); /* the end is no failure until something is missing */
}

static void a_cursor_that_failed_stays_failed(void **state)
{
	struct rd r = rd_of(span_str("abc"));

	(void)state;
	assert_int_equal(rd_u32(&r), 0);
	assert_true(rd_failed(&r));
	assert_int_equal(rd_u8(&r), 0); /* though three octets were there */
	assert_int_equal(rd_left(&r), 0);
	assert_int_equal(rd_bytes(&r, 0).n, 0);
	assert_true(rd_failed(&r));
}

static void views_point_into_the_input(void **state)
{
	const char *text = "abcdef";
	struct rd r = rd_of(span_str(text));
	struct span s;

	(void)state;
	rd_skip(&r, 1);
	s = rd_bytes(&r, 2);
	assert_ptr_equal(s.p, text + 1);
	assert_int_equal(s.n, 2);
	assert_true(span_eq_str(rd_rest(&r), "def"));
	rd_fail(&r);
	assert_true(rd_failed(&r));
}

static void an_empty_input_can_be_read_for_nothing(void **state)
{
	struct rd r = rd_of(span_of(NULL, 0));

	(void)state;
	assert_int_equal(rd_bytes(&r, 0).n, 0);
	assert_false(rd_failed(&r));
	rd_skip(&r, SIZE_MAX);
	assert_true(rd_failed(&r));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_big_endian),
		cmocka_unit_test(a_cursor_that_failed_stays_failed),
		cmocka_unit_test(views_point_into_the_input),
		cmocka_unit_test(an_empty_input_can_be_read_for_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
