/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/base/check.h"
#include "common/base/str.h"

static void durations_parse_as_the_contract_writes_them(void **state)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} rows[] = {
		{"0", 0},
		{"5", 5000},
		{"500ms", 500},
		{"5s", 5000},
		{"10m", 600000},
		{"1h", 3600000},
		{"1d", 86400000},
		{"1h30m", 5400000},
		{"0s", 0},
		{"1d2h3m4s5ms", 93784005},
		{"24h", 86400000},
		{"1m1m", 120000},
		{"36525d", STR_DURATION_MS_MAX},
	};
	static const char *const bad[] = {
		"",
		" ",
		"s",
		"ms",
		"5 s",
		"-5s",
		"+5s",
		"5S",
		"1h30",
		"1.5s",
		"05s",
		"5sec",
		"5x",
		"1h 30m",
		"5us",
		"5ns",
		"36525d1ms",
		"99999999999999999999s",
		"18446744073709551616",
		"5s,",
		"1h-5m",
		"00",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t ms = 1;

		if (str_parse_duration(span_str(rows[i].text), &ms) != ERR_OK || ms != rows[i].ms)
			fail_msg("\"%s\" gives %lu", rows[i].text, (unsigned long)ms);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		uint64_t ms = 77;

		if (str_parse_duration(span_str(bad[i]), &ms) != ERR_PARSE)
			fail_msg("accepted: \"%s\"", bad[i]);
		assert_int_equal(ms, 77);
	}
}

static void numbers_are_plain_decimal_within_bounds(void **state)
{
	uint64_t v = 7;

	(void)state;
	assert_int_equal(str_parse_u64(span_str("0"), 0, &v), ERR_OK);
	assert_int_equal(v, 0);
	assert_int_equal(str_parse_u64(span_str("18446744073709551615"), UINT64_MAX, &v), ERR_OK);
	assert_true(v == UINT64_MAX);
	v = 7;
	assert_int_equal(str_parse_u64(span_str("18446744073709551616"), UINT64_MAX, &v),
	                 ERR_PARSE);
	assert_int_equal(str_parse_u64(span_str("65536"), 65535, &v), ERR_PARSE);
	assert_int_equal(str_parse_u64(span_str("01"), 10, &v), ERR_PARSE);
	assert_int_equal(str_parse_u64(span_str("-1"), 10, &v), ERR_PARSE);
	assert_int_equal(str_parse_u64(span_str("0x1"), 10, &v), ERR_PARSE);
	assert_int_equal(str_parse_u64(span_str(""), 10, &v), ERR_PARSE);
	assert_int_equal(v, 7);
}

static void times_are_rfc_3339_in_utc(void **state)
{
	static const struct {
		int64_t s;
		const char *text;
	} rows[] = {
		{0, "1970-01-01T00:00:00Z"},
		{-1, "1969-12-31T23:59:59Z"},
		{951782399, "2000-02-28T23:59:59Z"},
		{951782400, "2000-02-29T00:00:00Z"},
		{951868800, "2000-03-01T00:00:00Z"},
		{1787233553, "2026-08-20T13:45:53Z"},
		{4107542400, "2100-03-01T00:00:00Z"},
		{4107542399, "2100-02-28T23:59:59Z"},
		{253402300799, "9999-12-31T23:59:59Z"},
		{-62167219200, "0000-01-01T00:00:00Z"},
	};
	char text[STR_TIME_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_string_equal(str_format_time_s(rows[i].s, text), rows[i].text);
	assert_string_equal(str_format_time(INT64_C(1787233553123456), text),
	                    "2026-08-20T13:45:53.123456Z");
	assert_string_equal(str_format_time(-1, text), "1969-12-31T23:59:59.999999Z");
	assert_true(strlen(str_format_time(INT64_MAX, text)) == STR_TIME_MAX - 1);
	assert_true(strlen(str_format_time(INT64_MIN, text)) == STR_TIME_MAX - 1);
}

static void copies_are_cut_and_ended(void **state)
{
	char out[4] = "xxx";

	(void)state;
	assert_true(str_copy(out, sizeof(out), span_str("abc")));
	assert_string_equal(out, "abc");
	assert_false(str_copy(out, sizeof(out), span_str("wxyz")));
	assert_string_equal(out, "wxy");
	assert_true(str_copy(out, 1, span_of(NULL, 0)));
	assert_string_equal(out, "");
}

static void splitting_gives_every_part_once(void **state)
{
	struct span rest = span_str("a,,bc,");
	const char *const want[] = {"a", "", "bc", ""};
	size_t count = 0;

	(void)state;
	while (rest.p != NULL) {
		assert_true(count < ARRAY_LEN(want));
		assert_true(span_eq_str(str_split(&rest, ','), want[count++]));
	}
	assert_int_equal(count, ARRAY_LEN(want));
	assert_true(span_eq_str(str_trim(span_str(" \ta b\t ")), "a b"));
	assert_int_equal(str_trim(span_str(" \t ")).n, 0);
	assert_true(str_eq_nocase(span_str("WaRn"), "warn"));
	assert_false(str_eq_nocase(span_str("warn"), "warning"));
	assert_false(str_eq_nocase(span_str("@"), "`"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations_parse_as_the_contract_writes_them),
		cmocka_unit_test(numbers_are_plain_decimal_within_bounds),
		cmocka_unit_test(times_are_rfc_3339_in_utc),
		cmocka_unit_test(copies_are_cut_and_ended),
		cmocka_unit_test(splitting_gives_every_part_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
