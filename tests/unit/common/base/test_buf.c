/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/base/buf.h"
#include "common/base/check.h"

static void appends_are_read_back(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1 << 20);
	assert_null(b.p);
	buf_put(&b, span_of(NULL, 0));
	assert_null(b.p);
	buf_put_str(&b, "abc");
	buf_put_u8(&b, 'd');
	buf_printf(&b, "%d-%s", 42, "x");
	buf_printf(&b, "%s", "");
	assert_true(span_eq_str(buf_span(&b), "abcd42-x"));
	buf_consume(&b, 3);
	assert_true(span_eq_str(buf_span(&b), "d42-x"));
	buf_consume(&b, 5);
	assert_int_equal(b.n, 0);
	for (unsigned int i = 0; i < 10000; i++)
		buf_put_u8(&b, (uint8_t)i);
	for (unsigned int i = 0; i < 10000; i++)
		assert_int_equal(b.p[i], (uint8_t)i);
	assert_int_equal(buf_status(&b), ERR_OK);
	buf_fini(&b);
	assert_null(b.p);
}

static void the_ceiling_is_reached_and_not_passed(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 8);
	buf_put_str(&b, "1234567");
	buf_put_str(&b, "89"); /* one too many: all of it is refused */
	assert_int_equal(b.n, 7);
	assert_int_equal(buf_status(&b), ERR_LIMIT);
	buf_put_u8(&b, '8'); /* would fit, but the text would have a hole */
	assert_int_equal(b.n, 7);
	buf_clear(&b);
	assert_int_equal(buf_status(&b), ERR_OK);
	buf_printf(&b, "%s", "12345678");
	assert_int_equal(buf_status(&b), ERR_OK);
	assert_true(span_eq_str(buf_span(&b), "12345678"));
	buf_printf(&b, "%s", "");
	assert_int_equal(buf_status(&b), ERR_OK);
	buf_printf(&b, "%d", 1);
	assert_int_equal(buf_status(&b), ERR_LIMIT);
	buf_fini(&b);
}

static void reserved_room_is_the_writers(void **state)
{
	struct buf b;
	uint8_t *at;

	(void)state;
	buf_init(&b, 100);
	at = buf_reserve(&b, 60);
	assert_non_null(at);
	memset(at, 'x', 60);
	buf_added(&b, 10);
	assert_int_equal(b.n, 10);
	assert_non_null(buf_reserve(&b, 90));
	assert_null(buf_reserve(&b, 91));
	assert_true(b.failed);
	assert_null(buf_reserve(&b, 1));
	buf_wipe_fini(&b);
	assert_null(b.p);
	assert_int_equal(b.n, 0);
}

static void a_huge_request_is_refused_without_wrapping(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, SIZE_MAX);
	buf_put_str(&b, "x");
	assert_null(buf_reserve(&b, SIZE_MAX));
	assert_true(b.failed);
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(appends_are_read_back),
		cmocka_unit_test(the_ceiling_is_reached_and_not_passed),
		cmocka_unit_test(reserved_room_is_the_writers),
		cmocka_unit_test(a_huge_request_is_refused_without_wrapping),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
