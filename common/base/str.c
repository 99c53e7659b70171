/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/str.h"

#include <string.h>
#include <strings.h>

#include "common/base/check.h"

bool str_copy(char *out, size_t out_len, struct span s)
{
	size_t n = s.n < out_len ? s.n : out_len - 1;

	CHECK(out_len > 0);
	if (n > 0)
		memcpy(out, s.p, n);
	out[n] = '\0';
	return n == s.n;
}

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

bool str_eq_nocase(struct span a, const char *b)
{
	if (strlen(b) != a.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (lower(a.p[i]) != lower((uint8_t)b[i]))
			return false;
	return true;
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

struct span str_trim(struct span s)
{
	while (s.n > 0 && is_blank(s.p[0])) {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

struct span str_split(struct span *rest, char sep)
{
	struct span all = *rest;
	const uint8_t *at = all.n > 0 ? memchr(all.p, sep, all.n) : NULL;
	size_t n;

	if (at == NULL) {
		*rest = (struct span){.p = NULL, .n = 0};
		return all;
	}
	n = (size_t)(at - all.p);
	*rest = span_of(at + 1, all.n - n - 1);
	return span_of(all.p, n);
}

enum err str_parse_u64(struct span s, uint64_t max, uint64_t *ret_v)
{
	uint64_t v = 0;

	if (s.n == 0 || (s.n > 1 && s.p[0] == '0'))
		return ERR_PARSE;
	for (size_t i = 0; i < s.n; i++) {
		unsigned int digit = (unsigned int)s.p[i] - '0';

		if (digit > 9 || v > (UINT64_MAX - digit) / 10)
			return ERR_PARSE;
		v = v * 10 + digit;
	}
	if (v > max)
		return ERR_PARSE;
	*ret_v = v;
	return ERR_OK;
}

static size_t count_digits(struct span s)
{
	size_t n = 0;

	while (n < s.n && s.p[n] >= '0' && s.p[n] <= '9')
		n++;
	return n;
}

/* Milliseconds of the unit at the start of s, 0 for none; its length in *ret_len. */
static uint64_t duration_unit(struct span s, size_t *ret_len)
{
	static const struct {
		const char *name;
		uint64_t ms;
	} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
	size_t n = 0;

	while (n < s.n && (s.p[n] < '0' || s.p[n] > '9'))
		n++;
	*ret_len = n;
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (span_eq_str(span_of(s.p, n), units[i].name))
			return units[i].ms;
	return 0;
}

enum err str_parse_duration(struct span s, uint64_t *ret_ms)
{
	uint64_t total = 0;
	bool bare = count_digits(s) == s.n;

	do {
		size_t digits = count_digits(s), unit_len = 0;
		uint64_t count, unit;

		if (str_parse_u64(span_of(s.p, digits), STR_DURATION_MS_MAX, &count) != ERR_OK)
			return ERR_PARSE;
		s = span_of(s.p + digits, s.n - digits);
		unit = bare ? 1000 : duration_unit(s, &unit_len);
		if (unit == 0 || count > (STR_DURATION_MS_MAX - total) / unit)
			return ERR_PARSE;
		total += count * unit;
		s = span_of(s.p + unit_len, s.n - unit_len);
	} while (s.n > 0);
	*ret_ms = total;
	return ERR_OK;
}

/* The civil date of a day number since 1970-01-01, by eras of 400 years starting on 1 March. */
static void civil_of_days(int64_t days, int64_t *ret_year, unsigned int *ret_month,
                          unsigned int *ret_day)
{
	int64_t z = days + 719468; /* since 0000-03-01 */
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;

	*ret_day = (unsigned int)(doy - (153 * mp + 2) / 5 + 1);
	*ret_month = (unsigned int)(mp < 10 ? mp + 3 : mp - 9);
	*ret_year = yoe + era * 400 + (*ret_month <= 2);
}

/* value in exactly width digits; returns the place behind them. */
static char *put_digits(char *at, unsigned int value, unsigned int width)
{
	for (unsigned int i = width; i > 0; i--) {
		at[i - 1] = (char)('0' + value % 10);
		value /= 10;
	}
	return at + width;
}

static char *put_seconds(char *at, int64_t wall_s)
{
	int64_t days = wall_s / 86400, rest = wall_s % 86400, year;
	unsigned int month, day, second;

	if (rest < 0) {
		rest += 86400;
		days--;
	}
	second = (unsigned int)rest;
	civil_of_days(days, &year, &month, &day);
	if (year < 0 || year > 9999) {
		year = year < 0 ? 0 : 9999;
	}
	at = put_digits(at, (unsigned int)year, 4);
	*at++ = '-';
	at = put_digits(at, month, 2);
	*at++ = '-';
	at = put_digits(at, day, 2);
	*at++ = 'T';
	at = put_digits(at, second / 3600, 2);
	*at++ = ':';
	at = put_digits(at, second / 60 % 60, 2);
	*at++ = ':';
	return put_digits(at, second % 60, 2);
}

const char *str_format_time(int64_t wall_us, char out[STR_TIME_MAX])
{
	int64_t s = wall_us / 1000000, us = wall_us % 1000000;
	char *at;

	if (us < 0) {
		us += 1000000;
		s--;
	}
	at = put_seconds(out, s);
	*at++ = '.';
	at = put_digits(at, (unsigned int)us, 6);
	*at++ = 'Z';
	*at = '\0';
	return out;
}

const char *str_format_time_s(int64_t wall_s, char out[STR_TIME_MAX])
{
	char *at = put_seconds(out, wall_s);

	*at++ = 'Z';
	*at = '\0';
	return out;
}
