/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/base/check.h"
#include "common/base/log_filter.h"

static const char *format(const char *text, char out[LOG_FILTER_TEXT_MAX])
{
	struct log_filter f;
	struct span bad;
	size_t n;

	if (log_filter_parse(span_str(text), &f, &bad) != ERR_OK)
		fail_msg("refused: \"%s\"", text);
	n = log_filter_format(&f, out, LOG_FILTER_TEXT_MAX);
	assert_int_equal(n, strlen(out));
	return out;
}

static enum log_level level_in(const char *text, enum log_scope scope)
{
	struct log_filter f;
	struct span bad;

	assert_int_equal(log_filter_parse(span_str(text), &f, &bad), ERR_OK);
	return log_filter_level(&f, scope);
}

static void the_more_specific_directive_wins(void **state)
{
	static const struct {
		const char *text;
		enum log_scope scope;
		enum log_level level;
	} rows[] = {
		{"", LOG_SCOPE_PROXY, LOG_INFO},
		{"debug", LOG_SCOPE_PROXY, LOG_DEBUG},
		{"debug,warn", LOG_SCOPE_PROXY, LOG_WARN},
		{"info,access=debug", LOG_SCOPE_ACCESS, LOG_DEBUG},
		{"info,access=debug", LOG_SCOPE_PROXY, LOG_INFO},
		{"access=debug", LOG_SCOPE_PROXY, LOG_INFO},
		{"ztunnel::proxy=trace,error", LOG_SCOPE_PROXY, LOG_TRACE},
		{"proxy=trace,proxy=off", LOG_SCOPE_PROXY, LOG_OFF},
		{"proxy=trace,ztunnel::proxy=warn", LOG_SCOPE_PROXY, LOG_WARN},
		{"ztunnel=debug", LOG_SCOPE_DNS, LOG_DEBUG},
		{"ztunnel=debug", LOG_SCOPE_ACCESS, LOG_INFO},
		{"dns=off,ztunnel=debug", LOG_SCOPE_DNS, LOG_OFF},
		{"ztunnel=debug,dns=off", LOG_SCOPE_DNS, LOG_OFF},
		{"hickory_server::server=off,info", LOG_SCOPE_DNS, LOG_INFO},
		{"ztunnel::proxy::inbound=trace", LOG_SCOPE_PROXY, LOG_INFO},
		{"prox=trace", LOG_SCOPE_PROXY, LOG_INFO},
		{"INFO,proxy=DeBuG", LOG_SCOPE_PROXY, LOG_DEBUG},
		{" info , proxy = debug ,", LOG_SCOPE_PROXY, LOG_DEBUG},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (level_in(rows[i].text, rows[i].scope) != rows[i].level)
			fail_msg("\"%s\": scope %s is at %s", rows[i].text,
			         log_scope_name(rows[i].scope),
			         log_level_name(level_in(rows[i].text, rows[i].scope)));
}

static void the_filter_prints_as_directives_that_parse_to_it(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{"", "info"},
		{"warn", "warn"},
		{"info,access=debug", "access=debug,info"},
		{"access=debug,access=warn", "access=warn,info"},
		{"hickory_server::server=off,info", "hickory_server::server=off,info"},
		{"off,ztunnel::proxy=TRACE,dns=error", "ztunnel::proxy=trace,dns=error,off"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char once[LOG_FILTER_TEXT_MAX], twice[LOG_FILTER_TEXT_MAX];

		assert_string_equal(format(rows[i].in, once), rows[i].out);
		assert_string_equal(format(once, twice), once);
	}
}

static void the_offending_directive_is_named(void **state)
{
	static const struct {
		const char *text, *bad;
	} rows[] = {
		{"loud", "loud"},
		{"info,proxy=loud,debug", "proxy=loud"},
		{"info,proxy", "proxy"},
		{"=info", "=info"},
		{"proxy=", "proxy="},
		{"proxy=debug=info", "proxy=debug=info"},
		{"pro xy=debug", "pro xy=debug"},
		{"proxy:debug", "proxy:debug"},
		{"proxy[span]=debug", "proxy[span]=debug"},
		{"a23456789012345678901234567890123456789012345678901234567890abcd=info",
	         "a23456789012345678901234567890123456789012345678901234567890abcd=info"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct log_filter f;
		struct span bad;

		if (log_filter_parse(span_str(rows[i].text), &f, &bad) != ERR_PARSE)
			fail_msg("accepted: \"%s\"", rows[i].text);
		assert_true(span_eq_str(bad, rows[i].bad));
	}
}

static void a_nul_is_no_part_of_a_target(void **state)
{
	static const char text[] = "pro\0xy=debug";
	struct log_filter f;
	struct span bad;

	(void)state;
	assert_int_equal(log_filter_parse(span_of(text, sizeof(text) - 1), &f, &bad), ERR_PARSE);
}

static void targets_have_a_ceiling(void **state)
{
	char text[LOG_FILTER_TARGETS_MAX * 16 + 16] = "";
	struct log_filter f;
	struct span bad;
	size_t at = 0;

	(void)state;
	for (unsigned int i = 0; i <= LOG_FILTER_TARGETS_MAX; i++) {
		enum err want = i < LOG_FILTER_TARGETS_MAX ? ERR_OK : ERR_PARSE;
		const char item[] = {',', 'x', (char)('a' + i / 26), (char)('a' + i % 26), '=', 'o',
		                     'f', 'f'};

		memcpy(text + at, item, sizeof(item));
		at += sizeof(item);
		assert_int_equal(log_filter_parse(span_of(text, at), &f, &bad), want);
	}
}

static void a_small_buffer_gets_a_cut_text(void **state)
{
	struct log_filter f;
	char out[5];

	(void)state;
	log_filter_init(&f);
	assert_int_equal(log_filter_format(&f, out, sizeof(out)), 4);
	assert_string_equal(out, "info");
	assert_int_equal(log_filter_format(&f, out, 3), 2);
	assert_string_equal(out, "in");
	assert_int_equal(log_filter_format(&f, out, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_more_specific_directive_wins),
		cmocka_unit_test(the_filter_prints_as_directives_that_parse_to_it),
		cmocka_unit_test(the_offending_directive_is_named),
		cmocka_unit_test(a_nul_is_no_part_of_a_target),
		cmocka_unit_test(targets_have_a_ceiling),
		cmocka_unit_test(a_small_buffer_gets_a_cut_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
