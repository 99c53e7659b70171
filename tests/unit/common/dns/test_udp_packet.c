/* SPDX-License-Identifier: Apache-2.0 */
#include "common/dns/udp_packet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static struct endpoint ep(const char *text)
{
	struct endpoint e;

	assert_int_equal(endpoint_parse(span_str(text), &e), ERR_OK);
	return e;
}

/* The sum over pseudo header and datagram, its checksum included, is all ones: RFC 768. */
static uint16_t sum_of(const struct endpoint *from, const struct endpoint *to, struct span udp)
{
	size_t n = from->ip.family == IP_V4 ? 4 : 16;
	uint32_t acc = (uint32_t)udp.n + 17;

	for (size_t i = 0; i < n; i++)
		acc += (uint32_t)(from->ip.bytes[i] + to->ip.bytes[i]) << (i % 2 == 0 ? 8 : 0);
	for (size_t i = 0; i < udp.n; i++)
		acc += (uint32_t)udp.p[i] << (i % 2 == 0 ? 8 : 0);
	while (acc > 0xffff)
		acc = (acc & 0xffff) + (acc >> 16);
	return (uint16_t)acc;
}

static void check(const char *from_text, const char *to_text, size_t head)
{
	struct endpoint from = ep(from_text), to = ep(to_text);
	uint8_t payload[1301];
	struct buf out;

	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 7 + 0xf0);
	buf_init(&out, 70000);
	for (size_t n = 0; n <= sizeof(payload); n += 13) {
		buf_clear(&out);
		assert_int_equal(udp_packet_write(&from, &to, span_of(payload, n), &out), ERR_OK);
		assert_int_equal(out.n, head + 8 + n);
		assert_int_equal(sum_of(&from, &to, span_of(out.p + head, 8 + n)), 0xffff);
		assert_int_equal(out.p[head] << 8 | out.p[head + 1], from.port);
		assert_int_equal(out.p[head + 2] << 8 | out.p[head + 3], to.port);
		assert_int_equal(out.p[head + 4] << 8 | out.p[head + 5], 8 + n);
		assert_memory_equal(out.p + head + 8, payload, n);
	}
	buf_fini(&out);
}

static void the_checksum_is_right_for_every_length_in_both_families(void **state)
{
	(void)state;
	check("10.96.0.10:53", "10.0.1.2:40123", 20);
	check("[fd00::a]:53", "[fd00:1::2]:65535", 40);
}

static void families_do_not_mix_and_too_long_is_refused(void **state)
{
	static const uint8_t big[UDP_PAYLOAD_MAX + 1];
	struct endpoint v4 = ep("10.0.0.1:53"), v6 = ep("[fd00::1]:53");
	struct buf out;

	(void)state;
	buf_init(&out, 70000);
	assert_int_equal(udp_packet_write(&v4, &v6, span_of(big, 1), &out), ERR_CONFIG);
	assert_int_equal(udp_packet_write(&v4, &v4, span_of(big, sizeof(big)), &out), ERR_LIMIT);
	assert_int_equal(out.n, 0);
	assert_int_equal(udp_packet_write(&v6, &v6, span_of(big, sizeof(big) - 1), &out), ERR_OK);
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_checksum_is_right_for_every_length_in_both_families),
		cmocka_unit_test(families_do_not_mix_and_too_long_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
