/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <string.h>

#include "ztunnel/capture/datagram.h"

static struct endpoint at(const char *text)
{
	struct endpoint ep = {0};

	assert_int_equal(endpoint_parse(span_str(text), &ep), ERR_OK);
	return ep;
}

/* The packet was made by another implementation. */
static void an_ipv4_answer_has_the_headers_another_stack_would_write(void **state)
{
	static const uint8_t want[] = {
		0x45, 0x00, 0x00, 0x1f, 0x00, 0x00, 0x00, 0x00, 0x40, 0x11, 0x66, 0x62, 0x0a, 0x60,
		0x00, 0x0a, 0x0a, 0x01, 0x00, 0x02, 0x00, 0x35, 0x9c, 0x40, 0x00, 0x0b, 0x8a, 0x93,
	};
	const struct endpoint from = at("10.96.0.10:53"), to = at("10.1.0.2:40000");
	uint8_t head[DATAGRAM_HEAD_MAX];

	(void)state;
	assert_int_equal(datagram_head(&from, &to, span_str("abc"), head), sizeof(want));
	assert_memory_equal(head, want, sizeof(want));
}

static uint32_t word_sum(const uint8_t *p, size_t n)
{
	uint32_t acc = 0;

	for (size_t i = 0; i < n; i++)
		acc += (uint32_t)p[i] << (i % 2 == 0 ? 8 : 0);
	while (acc > 0xffff)
		acc = (acc & 0xffff) + (acc >> 16);
	return acc;
}

/* RFC 8200 8.1: pseudo header, then UDP; the sum over all of it is all ones. */
static void the_checksum_holds_for_every_length(void **state)
{
	const struct endpoint from = at("[fd00:10::a]:53"), to = at("[fd00:1::2]:40001");
	static uint8_t payload[2000];

	(void)state;
	for (size_t n = 0; n < sizeof(payload); n += 61) {
		uint8_t all[16 + 16 + 4 + 4 + 8 + sizeof(payload)];
		uint8_t head[DATAGRAM_HEAD_MAX];
		size_t at_udp = 40;

		for (size_t i = 0; i < n; i++)
			payload[i] = (uint8_t)(255 - i * 7);
		assert_int_equal(datagram_head(&from, &to, span_of(payload, n), head), 48);
		memset(all, 0, sizeof(all));
		memcpy(all, head + 8, 32);
		all[34] = (uint8_t)((8 + n) >> 8);
		all[35] = (uint8_t)(8 + n);
		all[39] = IPPROTO_UDP;
		memcpy(all + 40, head + at_udp, 8);
		memcpy(all + 48, payload, n);
		assert_int_equal(word_sum(all, 48 + n), 0xffff);
		assert_int_equal(head[4] << 8 | head[5], 8 + n);
	}
}

static void a_checksum_that_comes_out_as_none_is_sent_as_all_ones(void **state)
{
	const struct endpoint from = at("0.0.0.1:53"), to = at("0.0.0.2:1");
	uint8_t head[DATAGRAM_HEAD_MAX], payload[2] = {0, 0};
	uint32_t rest;

	(void)state;
	assert_int_equal(datagram_head(&from, &to, span_of(payload, 2), head), 28);
	rest = (uint32_t)head[26] << 8 | head[27];
	payload[0] = (uint8_t)(rest >> 8);
	payload[1] = (uint8_t)rest;
	assert_int_equal(datagram_head(&from, &to, span_of(payload, 2), head), 28);
	assert_int_equal(head[26] << 8 | head[27], 0xffff);
}

static void mixed_families_and_too_long_payloads_give_nothing(void **state)
{
	const struct endpoint v4 = at("10.0.0.1:53"), v6 = at("[::2]:53");
	const struct endpoint none = {0};
	static uint8_t big[DATAGRAM_BYTES_MAX + 1];
	uint8_t head[DATAGRAM_HEAD_MAX];

	(void)state;
	assert_int_equal(datagram_head(&v4, &v6, span_str("x"), head), 0);
	assert_int_equal(datagram_head(&none, &none, span_str("x"), head), 0);
	assert_int_equal(datagram_head(&v4, &v4, span_of(big, sizeof(big)), head), 0);
	assert_int_equal(datagram_head(&v4, &v4, span_of(big, sizeof(big) - 1), head), 28);
}

static void put_control(struct msghdr *m, int level, int type, const void *p, size_t n)
{
	struct cmsghdr *c = m->msg_control;

	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(n);
	memcpy(CMSG_DATA(c), p, n);
	m->msg_controllen = CMSG_SPACE(n);
}

static void the_original_destination_is_read_of_both_families(void **state)
{
	const struct endpoint v4 = at("10.96.0.10:53"), v6 = at("[fd00::a]:53");
	_Alignas(struct cmsghdr) uint8_t control[DATAGRAM_CONTROL_MAX] = {0};
	struct msghdr m = {.msg_control = control, .msg_controllen = sizeof(control)};
	struct sockaddr_storage ss;
	struct endpoint got;
	int ttl = 64;

	(void)state;
	(void)endpoint_to_sockaddr(&v4, false, &ss);
	put_control(&m, IPPROTO_IP, IP_ORIGDSTADDR, &ss, sizeof(struct sockaddr_in));
	assert_true(datagram_original_dst(&m, &got));
	assert_true(endpoint_eq(&got, &v4));
	put_control(&m, IPPROTO_IP, IP_ORIGDSTADDR, &ss, 4); /* cut off */
	assert_false(datagram_original_dst(&m, &got));

	(void)endpoint_to_sockaddr(&v6, false, &ss);
	put_control(&m, IPPROTO_IPV6, IPV6_ORIGDSTADDR, &ss, sizeof(struct sockaddr_in6));
	assert_true(datagram_original_dst(&m, &got));
	assert_true(endpoint_eq(&got, &v6));

	put_control(&m, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl));
	assert_false(datagram_original_dst(&m, &got));
	m.msg_controllen = 0;
	assert_false(datagram_original_dst(&m, &got));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_ipv4_answer_has_the_headers_another_stack_would_write),
		cmocka_unit_test(the_checksum_holds_for_every_length),
		cmocka_unit_test(a_checksum_that_comes_out_as_none_is_sent_as_all_ones),
		cmocka_unit_test(mixed_families_and_too_long_payloads_give_nothing),
		cmocka_unit_test(the_original_destination_is_read_of_both_families),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
