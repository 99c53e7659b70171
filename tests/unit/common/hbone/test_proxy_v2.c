/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/check.h"
#include "common/hbone/proxy_v2.h"

static struct proxy_v2 header_of(const char *source, const char *destination, const char *identity)
{
	struct proxy_v2 h = {.identity = span_str(identity)};

	assert_int_equal(endpoint_parse(span_str(source), &h.source), ERR_OK);
	assert_int_equal(endpoint_parse(span_str(destination), &h.destination), ERR_OK);
	return h;
}

static void ipv4_header_is_the_specifications(void **state)
{
	static const uint8_t expected[] = {
		0x0d, 0x0a, 0x0d, 0x0a,       0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a,
		0x21, 0x11, 0,    12 + 3 + 4, 10,   0,    0,    1,    10,   0,    0,    2,
		0x9c, 0x40, 0,    80,         0xd0, 0,    4,    's',  'p',  'i',  'f'};
	struct proxy_v2 h = header_of("10.0.0.1:40000", "10.0.0.2:80", "spif");
	uint8_t out[PROXY_V2_LEN_MAX];
	size_t len;

	(void)state;
	assert_int_equal(proxy_v2_build(&h, out, &len), ERR_OK);
	assert_int_equal(len, sizeof(expected));
	assert_memory_equal(out, expected, len);
}

static void no_identity_no_tlv(void **state)
{
	struct proxy_v2 h = header_of("10.0.0.1:40000", "10.0.0.2:80", "");
	uint8_t out[PROXY_V2_LEN_MAX];
	size_t len;

	(void)state;
	assert_int_equal(proxy_v2_build(&h, out, &len), ERR_OK);
	assert_int_equal(len, PROXY_V2_HEAD + 12);
}

static void built_headers_parse_back(void **state)
{
	static const char *const rows[][3] = {
		{"10.0.0.1:40000", "10.0.0.2:80", "spiffe://cluster.local/ns/a/sa/b"},
		{"[fd00::1]:1", "[fd00::2]:65535", ""},
		{"10.0.0.1:40000", "[fd00::2]:80", "spiffe://x/ns/a/sa/b"}, /* families differ */
		{"[fd00::1]:40000", "10.0.0.2:80", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct proxy_v2 h = header_of(rows[i][0], rows[i][1], rows[i][2]), back;
		uint8_t out[PROXY_V2_LEN_MAX];
		size_t len, used;

		assert_int_equal(proxy_v2_build(&h, out, &len), ERR_OK);
		assert_int_equal(proxy_v2_parse(span_of(out, len), &back, &used), ERR_OK);
		assert_int_equal(used, len);
		assert_true(endpoint_eq(&back.source, &h.source));
		assert_true(endpoint_eq(&back.destination, &h.destination));
		assert_true(span_eq(back.identity, h.identity));
		for (size_t cut = 0; cut < len; cut++)
			assert_int_equal(proxy_v2_parse(span_of(out, cut), &back, &used), ERR_EOF);
	}
}

static void identity_has_a_limit(void **state)
{
	static char big[PROXY_V2_IDENTITY_MAX + 2];
	uint8_t out[PROXY_V2_LEN_MAX];
	struct proxy_v2 h;
	size_t len;

	(void)state;
	memset(big, 'x', PROXY_V2_IDENTITY_MAX);
	h = header_of("[fd00::1]:1", "[fd00::2]:2", big);
	assert_int_equal(proxy_v2_build(&h, out, &len), ERR_OK);
	assert_int_equal(len, PROXY_V2_LEN_MAX);
	h.identity.n++;
	assert_int_equal(proxy_v2_build(&h, out, &len), ERR_LIMIT);
}

static void foreign_headers_are_refused(void **state)
{
	struct proxy_v2 h = header_of("10.0.0.1:40000", "10.0.0.2:80", "id"), back;
	uint8_t good[PROXY_V2_LEN_MAX], out[PROXY_V2_LEN_MAX];
	size_t len, used;

	(void)state;
	assert_int_equal(proxy_v2_build(&h, good, &len), ERR_OK);
	for (size_t at = 0; at < 16; at++) {
		memcpy(out, good, len);
		out[at] ^= 0x40;
		assert_int_not_equal(proxy_v2_parse(span_of(out, len), &back, &used), ERR_OK);
	}
	memcpy(out, good, len);
	out[12] = 0x20; /* LOCAL */
	assert_int_equal(proxy_v2_parse(span_of(out, len), &back, &used), ERR_UNSUPPORTED);
	memcpy(out, good, len);
	out[13] = 0x12; /* UDP */
	assert_int_equal(proxy_v2_parse(span_of(out, len), &back, &used), ERR_UNSUPPORTED);
	memcpy(out, good, len);
	out[15] = 5; /* shorter than its addresses */
	assert_int_equal(proxy_v2_parse(span_of(out, len), &back, &used), ERR_PARSE);
	memcpy(out, good, len);
	out[len - 3] = 9; /* a TLV longer than the rest */
	assert_int_equal(proxy_v2_parse(span_of(out, len), &back, &used), ERR_PARSE);
	assert_int_equal(proxy_v2_parse(span_str("GET / HTTP/1.1"), &back, &used), ERR_PARSE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ipv4_header_is_the_specifications),
		cmocka_unit_test(no_identity_no_tlv),
		cmocka_unit_test(built_headers_parse_back),
		cmocka_unit_test(identity_has_a_limit),
		cmocka_unit_test(foreign_headers_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
