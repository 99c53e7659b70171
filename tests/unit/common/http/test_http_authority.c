/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/check.h"
#include "common/http/http_authority.h"

static void good_ones_have_one_canonical_form(void **state)
{
	static const struct {
		const char *in, *out;
		bool is_name;
	} rows[] = {
		{"10.0.0.1:80", "10.0.0.1:80", false},
		{"255.255.255.255:65535", "255.255.255.255:65535", false},
		{"0.0.0.0:1", "0.0.0.0:1", false}, /* whether it is ours is judged elsewhere */
		{"[::1]:1", "[::1]:1", false},
		{"[fd00::1]:15008", "[fd00::1]:15008", false},
		{"[FD00:0:0:0:0:0:0:1]:80", "[fd00::1]:80", false},
		{"[fe80::1]:80", "[fe80::1]:80", false},
		{"a:1", "a:1", true},
		{"httpbin.default.svc.cluster.local:8000", "httpbin.default.svc.cluster.local:8000",
	         true},
		{"HTTPBIN.Default:8000", "httpbin.default:8000", true},
		{"my_svc.x:80", "my_svc.x:80", true},
		{"_x._tcp.example.com:80", "_x._tcp.example.com:80", true},
		{"1.2.3.4.example:80", "1.2.3.4.example:80", true},
		{"10-0-0-1.pods:80", "10-0-0-1.pods:80", true},
	};
	char text[HTTP_AUTHORITY_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct http_authority a;

		if (http_authority_parse(span_str(rows[i].in), &a) != ERR_OK)
			fail_msg("%s", rows[i].in);
		assert_int_equal(a.is_name, rows[i].is_name);
		assert_string_equal(http_authority_format(&a, text), rows[i].out);
		/* the canonical form is a fixed point */
		assert_int_equal(http_authority_parse(span_str(text), &a), ERR_OK);
		assert_string_equal(http_authority_format(&a, text), rows[i].out);
	}
}

static void bad_ones_are_refused(void **state)
{
	static const char *const rows[] = {
		"",
		"[::ffff:10.0.0.1]:80", /* a second name for 10.0.0.1 */
		"[::ffff:127.0.0.1]:80",
		":",
		":80",
		"a",
		"a:",
		"10.0.0.1",
		"10.0.0.1:",
		"[::1]",
		"[::1]:",
		"::1:80",
		"fd00::1:80",
		/* ports */
		"a:0",
		"a:65536",
		"a:99999999999999999999",
		"a:-1",
		"a:+80",
		"a:080",
		"a: 80",
		"a:80 ",
		"a:8o",
		"a:0x50",
		"a:80:80",
		"10.0.0.1:00080",
		/* userinfo, path, query, scheme */
		"user@a:80",
		"user:pw@a:80",
		"user@10.0.0.1:80",
		"http://a:80",
		"a:80/",
		"/a:80",
		"a/b:80",
		"a?b:80",
		"a#b:80",
		"a\\b:80",
		"a%41:80",
		/* zones and odd brackets */
		"[fe80::1%eth0]:80",
		"[fe80::1%25eth0]:80",
		"fe80::1%eth0:80",
		"[]:80",
		"[::1:80",
		"::1]:80",
		"[[::1]]:80",
		"[10.0.0.1]:80",
		"[a]:80",
		"[::1]x:80",
		"x[::1]:80",
		"[::1 ]:80",
		"[v1.x]:80",
		/* other spellings of addresses */
		"0177.0.0.1:80",
		"010.0.0.1:80",
		"0x7f.0.0.1:80",
		"0x7f000001:80",
		"2130706433:80",
		"127.1:80",
		"1.2.3:80",
		"1.2.3.4.5:80",
		"1.2.3.256:80",
		"10.0.0.01:80",
		"1:80",
		"foo.0x7f:80",
		"foo.1:80",
		"0xg:80",
		/* dots and dashes */
		"a.:80",
		".a:80",
		"a..b:80",
		".:80",
		"10.0.0.1.:80",
		"-a:80",
		"a-:80",
		"a.-b:80",
		/* octets */
		"a b:80",
		"a\tb:80",
		"a\r\nb:80",
		"\xc3\xa4:80",
		"a\x7f:80",
		"a,b:80",
		"a;b:80",
		"*:80",
		"*.a:80",
		" a:80",
		"a\"b:80",
		"a'b:80",
		"a!b:80",
		"a~b:80",
		"a$b:80",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct http_authority a = {.port = 7};

		if (http_authority_parse(span_str(rows[i]), &a) != ERR_PARSE)
			fail_msg("taken: %s", rows[i]);
		assert_int_equal(a.port, 7); /* untouched */
	}
}

static void nul_inside_is_refused(void **state)
{
	struct http_authority a;

	(void)state;
	assert_int_equal(http_authority_parse(span_of("a\0b:80", 6), &a), ERR_PARSE);
	assert_int_equal(http_authority_parse(span_of("a:8\0", 4), &a), ERR_PARSE);
	assert_int_equal(http_authority_parse(span_of(NULL, 0), &a), ERR_PARSE);
}

static void lengths_have_limits(void **state)
{
	char text[100001];
	struct http_authority a;

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text + 63, ":80", 4);
	assert_int_equal(http_authority_parse(span_str(text), &a), ERR_OK);
	memset(text, 'a', sizeof(text));
	memcpy(text + 64, ":80", 4);
	assert_int_equal(http_authority_parse(span_str(text), &a), ERR_PARSE);
	for (size_t len = 250; len < 260; len++) {
		for (size_t i = 0; i < len; i++)
			text[i] = i % 40 == 39 ? '.' : 'a';
		memcpy(text + len, ":80", 4);
		assert_int_equal(http_authority_parse(span_str(text), &a),
		                 len <= HTTP_HOST_MAX ? ERR_OK : ERR_PARSE);
	}
	memset(text, 'a', sizeof(text));
	memcpy(text + 99997, ":80", 4);
	assert_int_equal(http_authority_parse(span_str(text), &a), ERR_PARSE);
}

/* Every octet at every place of a name: only letters, digits, '-', '_' and '.' ever pass. */
static void only_name_octets_pass(void **state)
{
	(void)state;
	for (unsigned int c = 0; c < 256; c++) {
		uint8_t host[3] = {'a', (uint8_t)c, 'b'};
		bool allowed = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
		               (c >= 'A' && c <= 'Z') || c == '-' || c == '_' || c == '.';

		assert_int_equal(http_host_valid(span_of(host, 3)), allowed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_ones_have_one_canonical_form),
		cmocka_unit_test(bad_ones_are_refused),
		cmocka_unit_test(nul_inside_is_refused),
		cmocka_unit_test(lengths_have_limits),
		cmocka_unit_test(only_name_octets_pass),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
