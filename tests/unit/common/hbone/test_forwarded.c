/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/check.h"
#include "common/hbone/forwarded.h"

static void host_is_found_in_every_spelling(void **state)
{
	static const char *const rows[][2] = {
		{"for=\"1.2.3.4:5\";host=a.b", "a.b"},
		{"host=a", "a"},
		{"host=\"a\"", "a"},
		{"HOST=a", "a"},
		{"Host=\"a\";for=x", "a"},
		{"for=x; host=a ", "a"},
		{"host=a;host=b", "a"},
		{"host=a=b", "a"},
		{"host= a", "a"},
		{"host=", ""},
		{"host=\"\"", ""},
		{"host", ""},
		{"", ""},
		{";;;", ""},
		{"for=x", ""},
		{"xhost=a", ""},
		{"for=\"host=a\"", ""},
		{"host=\xc3\xa4", ""},
		{"for=\xff;host=a", ""},
		{"host=a\x01", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct span host = forwarded_host(span_str(rows[i][0]));

		if (!span_eq_str(host, rows[i][1]))
			fail_msg("%s: %.*s", rows[i][0], (int)host.n, (const char *)host.p);
	}
}

static void what_is_built_is_found_again(void **state)
{
	struct endpoint ep;
	struct buf out;

	(void)state;
	assert_int_equal(endpoint_parse(span_str("[fd00::1]:7"), &ep), ERR_OK);
	buf_init(&out, FORWARDED_TEXT_MAX);
	forwarded_build(&ep, span_str("svc.ns.svc.cluster.local"), &out);
	assert_true(
		span_eq_str(buf_span(&out), "for=\"[fd00::1]:7\";host=svc.ns.svc.cluster.local"));
	assert_true(span_eq_str(forwarded_host(buf_span(&out)), "svc.ns.svc.cluster.local"));
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_is_found_in_every_spelling),
		cmocka_unit_test(what_is_built_is_found_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
