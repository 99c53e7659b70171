/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/netaddr.h"

static bool parses(const char *text, struct ip *ret_ip)
{
	return ip_parse(span_str(text), ret_ip) == ERR_OK;
}

static void addresses_parse_to_their_canonical_text(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{"0.0.0.0", "0.0.0.0"},
		{"255.255.255.255", "255.255.255.255"},
		{"10.0.1.2", "10.0.1.2"},
		{"::", "::"},
		{"::1", "::1"},
		{"1::", "1::"},
		{"fe80::1", "fe80::1"},
		{"2001:DB8::00ff", "2001:db8::ff"},
		{"2001:db8:0:0:0:0:0:1", "2001:db8::1"},
		{"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"},
		{"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
		{"::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"},
		{"64:ff9b::192.0.2.33", "64:ff9b::c000:221"},
		{"1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"},
		{"::ffff:10.0.0.1", "10.0.0.1"},
		{"::FFFF:a00:1", "10.0.0.1"},
		{"0:0:0:0:0:ffff:10.0.0.1", "10.0.0.1"},
		{"::1.2.3.4", "::1.2.3.4"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[IP_TEXT_MAX];
		struct ip ip;

		if (!parses(rows[i].in, &ip))
			fail_msg("refused: %s", rows[i].in);
		assert_string_equal(ip_format(&ip, text), rows[i].out);
	}
}

static void anything_loose_is_refused_as_an_address(void **state)
{
	static const char *const bad[] = {
		"",
		" ",
		"1",
		"1.2.3",
		"1.2.3.4.5",
		"1.2.3.",
		".1.2.3",
		"1..2.3",
		"1.2.3.256",
		"1.2.3.04",
		"01.2.3.4",
		"0x1.2.3.4",
		"+1.2.3.4",
		"-1.2.3.4",
		" 1.2.3.4",
		"1.2.3.4 ",
		"1.2.3.4/32",
		"1.2.3.4:80",
		"16909060",
		":",
		":::",
		"1:",
		":1",
		"1::2::3",
		"1:2:3:4:5:6:7",
		"1:2:3:4:5:6:7:8:9",
		"1:2:3:4:5:6:7:8::",
		"::1:2:3:4:5:6:7:8",
		"12345::",
		"g::",
		"::1%lo",
		"fe80::1%2",
		"[::1]",
		"::1.2.3",
		"::1.2.3.04",
		"1.2.3.4::",
		"::1.2.3.4:5",
		"1:2:3:4:5:6:7:1.2.3.4",
		"::ffff:1.2.3.4.5",
		"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct ip ip = {.family = 99};

		if (parses(bad[i], &ip))
			fail_msg("accepted: \"%s\"", bad[i]);
		assert_int_equal(ip.family, 99); /* untouched */
	}
	assert_int_equal(ip_parse(span_of("1.2.3.4\0", 8), &(struct ip){.family = 0}), ERR_PARSE);
}

static void endpoints_parse_and_print(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{"10.0.0.1:80", "10.0.0.1:80"},
		{"[2001:db8::1]:65535", "[2001:db8::1]:65535"},
		{"[::ffff:10.0.0.1]:1", "10.0.0.1:1"},
		{"[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535",
	         "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
	};
	static const char *const bad[] = {
		"",
		"10.0.0.1",
		"10.0.0.1:",
		"10.0.0.1:0",
		"10.0.0.1:65536",
		"10.0.0.1:+80",
		":80",
		"10.0.0.1:08",
		"::1:80",
		"[::1]",
		"[::1]80",
		"[::1]:",
		"[]:80",
		"[10.0.0.1]:80",
		"[::1:80",
		"::1]:80",
		"10.0.0.1:80 ",
		"10.0.0.1: 80",
		"a.b:80",
		"[[::1]]:80",
		"[::1%lo]:80",
		"10.0.0.1:80:80",
		"10.0.0.1:99999999999999999999",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[ENDPOINT_TEXT_MAX];
		struct endpoint ep;

		assert_int_equal(endpoint_parse(span_str(rows[i].in), &ep), ERR_OK);
		assert_string_equal(endpoint_format(&ep, text), rows[i].out);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct endpoint ep;

		if (endpoint_parse(span_str(bad[i]), &ep) == ERR_OK)
			fail_msg("accepted: \"%s\"", bad[i]);
	}
}

static void prefixes_parse_with_host_bits_cleared(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{"10.1.2.3/8", "10.0.0.0/8"},
		{"10.1.2.3/0", "0.0.0.0/0"},
		{"10.1.2.255/25", "10.1.2.128/25"},
		{"10.1.2.3", "10.1.2.3/32"},
		{"2001:db8::1/33", "2001:db8::/33"},
		{"2001:db8:ffff::/33", "2001:db8:8000::/33"},
		{"::1", "::1/128"},
		{"::/0", "::/0"},
		{"::ffff:10.1.2.3/104", "10.0.0.0/8"},
		{"::ffff:10.1.2.3", "10.1.2.3/32"},
	};
	static const char *const bad[] = {
		"",
		"/8",
		"10.0.0.0/",
		"10.0.0.0/33",
		"::/129",
		"10.0.0.0/08",
		"10.0.0.0/-1",
		"10.0.0.0/8/8",
		"10/8",
		"::ffff:0.0.0.0/95",
		"10.0.0.0/8 ",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[PREFIX_TEXT_MAX];
		struct prefix p;

		assert_int_equal(prefix_parse(span_str(rows[i].in), &p), ERR_OK);
		assert_string_equal(prefix_format(&p, text), rows[i].out);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct prefix p;

		if (prefix_parse(span_str(bad[i]), &p) == ERR_OK)
			fail_msg("accepted: \"%s\"", bad[i]);
	}
}

static bool contains(const char *prefix, const char *ip_text)
{
	struct prefix p;
	struct ip ip;

	assert_int_equal(prefix_parse(span_str(prefix), &p), ERR_OK);
	assert_true(parses(ip_text, &ip));
	return prefix_contains(&p, &ip);
}

static void a_prefix_contains_its_own_family_alone(void **state)
{
	(void)state;
	assert_true(contains("10.0.0.0/8", "10.255.255.255"));
	assert_false(contains("10.0.0.0/8", "11.0.0.0"));
	assert_true(contains("10.1.2.128/25", "10.1.2.129"));
	assert_false(contains("10.1.2.128/25", "10.1.2.127"));
	assert_true(contains("0.0.0.0/0", "1.2.3.4"));
	assert_false(contains("0.0.0.0/0", "::1"));
	assert_false(contains("::/0", "1.2.3.4"));
	assert_true(contains("::/0", "1::"));
	assert_true(contains("2001:db8::/33", "2001:db8:7fff::"));
	assert_false(contains("2001:db8::/33", "2001:db8:8000::"));
	assert_true(contains("1.2.3.4", "::ffff:1.2.3.4"));
}

static void sockaddrs_round_trip_and_unmap(void **state)
{
	static const char *const texts[] = {"10.0.0.1:80", "[2001:db8::1]:65535"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		for (int mapped = 0; mapped < 2; mapped++) {
			struct sockaddr_storage ss;
			struct endpoint a, b;
			bool v6;

			assert_int_equal(endpoint_parse(span_str(texts[i]), &a), ERR_OK);
			a.scope_id = a.ip.family == IP_V6 ? 3 : 0;
			v6 = mapped || a.ip.family == IP_V6;
			assert_int_equal(endpoint_to_sockaddr(&a, mapped, &ss),
			                 v6 ? sizeof(struct sockaddr_in6)
			                    : sizeof(struct sockaddr_in));
			assert_int_equal(ss.ss_family, v6 ? AF_INET6 : AF_INET);
			b = endpoint_of_sockaddr(&ss);
			assert_true(endpoint_eq(&a, &b));
			assert_int_equal(a.scope_id, b.scope_id);
		}
	}
	assert_int_equal(
		endpoint_of_sockaddr(&(struct sockaddr_storage){.ss_family = AF_UNIX}).ip.family,
		IP_NONE);
}

static void bytes_become_addresses(void **state)
{
	uint8_t mapped[16];
	struct ip a, b;

	(void)state;
	assert_true(parses("10.0.0.1", &a));
	ip_to_mapped(&a, mapped);
	assert_int_equal(ip_of_bytes(span_of(mapped, 16), &b), ERR_OK);
	assert_true(ip_eq(&a, &b));
	assert_int_equal(ip_of_bytes(span_of(a.bytes, 4), &b), ERR_OK);
	assert_true(ip_eq(&a, &b));
	for (size_t n = 0; n <= 16; n++)
		if (n != 4 && n != 16)
			assert_int_equal(ip_of_bytes(span_of(mapped, n), &b), ERR_PARSE);
}

static void addresses_are_totally_ordered(void **state)
{
	static const char *const sorted[] = {"0.0.0.0", "1.2.3.4", "1.2.3.5", "255.0.0.0",
	                                     "::",      "::1",     "ff::"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sorted); i++) {
		for (size_t j = 0; j < ARRAY_LEN(sorted); j++) {
			struct ip a, b;
			int got, want = (i > j) - (i < j);

			assert_true(parses(sorted[i], &a) && parses(sorted[j], &b));
			got = ip_cmp(&a, &b);
			assert_int_equal((got > 0) - (got < 0), want);
			assert_int_equal(ip_eq(&a, &b), i == j);
		}
	}
}

static void kinds_of_addresses_are_told_apart(void **state)
{
	static const struct {
		const char *text, *kinds; /* letters of the predicates that hold */
	} rows[] = {
		{"127.0.0.1", "l"}, {"127.255.0.9", "l"},
		{"::1", "l"},       {"::ffff:127.0.0.1", "l"},
		{"0.0.0.0", "u"},   {"::", "u"},
		{"224.0.0.1", "m"}, {"239.255.255.255", "m"},
		{"ff02::1", "m"},   {"169.254.0.1", "k"},
		{"fe80::1", "k"},   {"febf::1", "k"},
		{"10.0.0.1", ""},   {"240.0.0.1", ""},
		{"fec0::1", ""},    {"2001:db8::1", ""},
		{"::2", ""},        {"128.0.0.1", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ip ip;
		char kinds[5] = "";

		assert_true(parses(rows[i].text, &ip));
		(void)snprintf(kinds, sizeof(kinds), "%s%s%s%s", ip_is_loopback(&ip) ? "l" : "",
		               ip_is_unspecified(&ip) ? "u" : "", ip_is_multicast(&ip) ? "m" : "",
		               ip_is_link_local(&ip) ? "k" : "");
		assert_string_equal(kinds, rows[i].kinds);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_parse_to_their_canonical_text),
		cmocka_unit_test(anything_loose_is_refused_as_an_address),
		cmocka_unit_test(endpoints_parse_and_print),
		cmocka_unit_test(prefixes_parse_with_host_bits_cleared),
		cmocka_unit_test(a_prefix_contains_its_own_family_alone),
		cmocka_unit_test(sockaddrs_round_trip_and_unmap),
		cmocka_unit_test(bytes_become_addresses),
		cmocka_unit_test(addresses_are_totally_ordered),
		cmocka_unit_test(kinds_of_addresses_are_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
