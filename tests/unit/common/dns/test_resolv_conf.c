/* SPDX-License-Identifier: Apache-2.0 */
#include "common/dns/resolv_conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/base/check.h"

struct complaints {
	unsigned int count, last_line;
};

static void on_bad(void *arg, unsigned int line, const char *why)
{
	struct complaints *c = arg;

	assert_true(strlen(why) > 0);
	c->count++;
	c->last_line = line;
}

static struct complaints parse(const char *text, struct resolv_conf *ret_conf)
{
	struct complaints c = {0};

	resolv_conf_parse(span_str(text), ret_conf, on_bad, &c);
	return c;
}

static void what_kubernetes_writes_is_understood(void **state)
{
	struct resolv_conf c;

	(void)state;
	assert_int_equal(parse("search ns1.svc.cluster.local svc.cluster.local cluster.local\n"
	                       "nameserver 10.96.0.10\n"
	                       "options ndots:5\n",
	                       &c)
	                         .count,
	                 0);
	assert_int_equal(c.server_count, 1);
	assert_int_equal(c.search_count, 3);
	assert_string_equal(c.search[1].text, "svc.cluster.local");
	assert_int_equal(c.timeout_ms, 5000);
	assert_int_equal(c.tries, 2);
	assert_false(c.rotate);
}

static void options_count_within_their_bounds(void **state)
{
	struct resolv_conf c;

	(void)state;
	(void)parse("options timeout:3 attempts:4 rotate edns0\n", &c);
	assert_int_equal(c.timeout_ms, 3000);
	assert_int_equal(c.tries, 4);
	assert_true(c.rotate);
	(void)parse("options timeout:99 attempts:99\n", &c);
	assert_int_equal(c.timeout_ms, 30000);
	assert_int_equal(c.tries, 5);
	(void)parse("options timeout:0 attempts:0\n", &c);
	assert_int_equal(c.timeout_ms, 1000);
	assert_int_equal(c.tries, 1);
}

static void a_bad_line_is_told_with_its_number_and_the_others_count(void **state)
{
	static const struct {
		const char *text;
		unsigned int line;
	} bad[] = {
		{"nameserver 10.0.0.1\nnameserver 10.0.0.300\n", 2},
		{"nameserver fe80::1%eth0\nnameserver 10.0.0.1\n", 1},
		{"# comment\n\nnamserver 1.2.3.4\nnameserver 10.0.0.1", 3},
		{"nameserver 10.0.0.1\noptions timeout:x\n", 2},
		{"nameserver 10.0.0.1\nsearch a..b\n", 2},
		{"nameserver\nnameserver 10.0.0.1\n", 1},
	};
	struct resolv_conf c;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct complaints told = parse(bad[i].text, &c);

		assert_int_equal(told.count, 1);
		assert_int_equal(told.last_line, bad[i].line);
		assert_int_equal(c.server_count, 1);
	}
}

static void more_than_is_used_is_told(void **state)
{
	struct resolv_conf c;

	(void)state;
	assert_int_equal(parse("nameserver ::1\nnameserver ::2\nnameserver ::3\nnameserver ::4\n"
	                       "nameserver ::5\nnameserver ::6\nnameserver ::7\nnameserver ::8\n"
	                       "nameserver ::9\nsearch a b c d e f g h i\n",
	                       &c)
	                         .count,
	                 2);
	assert_int_equal(c.server_count, RESOLV_SERVERS_MAX);
	assert_int_equal(c.search_count, DNS_SEARCH_MAX);
}

static void the_last_search_or_domain_line_counts(void **state)
{
	struct resolv_conf c;

	(void)state;
	assert_int_equal(parse("search a b\ndomain Corp.Example.\r\n", &c).count, 0);
	assert_int_equal(c.search_count, 1);
	assert_string_equal(c.search[0].text, "corp.example");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_kubernetes_writes_is_understood),
		cmocka_unit_test(options_count_within_their_bounds),
		cmocka_unit_test(a_bad_line_is_told_with_its_number_and_the_others_count),
		cmocka_unit_test(more_than_is_used_is_told),
		cmocka_unit_test(the_last_search_or_domain_line_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
