/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "ztunnel/proxy/handshakes.h"

static struct handshakes h;
static struct handshake_source *taken[HANDSHAKES_MAX];

static struct ip address(unsigned int n)
{
	char text[IP_TEXT_MAX];
	struct ip ip;

	(void)snprintf(text, sizeof(text), "10.0.%u.%u", n / 250, n % 250 + 1);
	assert_int_equal(ip_parse(span_str(text), &ip), ERR_OK);
	return ip;
}

static struct handshake_source *take(unsigned int source)
{
	const struct ip from = address(source);

	return handshakes_take(&h, &from);
}

static void one_address_has_its_own_places_and_no_more(void **state)
{
	(void)state;
	handshakes_init(&h);
	for (unsigned int i = 0; i < HANDSHAKES_OF_SOURCE_MAX; i++) {
		taken[i] = take(1);
		assert_non_null(taken[i]);
	}
	assert_null(take(1));
	assert_int_equal(h.refused, 1);
	handshakes_give(&h, take(2)); /* others do not notice */
	handshakes_give(&h, taken[0]);
	taken[0] = take(1);
	assert_non_null(taken[0]);
	assert_null(take(1));
	for (unsigned int i = 0; i < HANDSHAKES_OF_SOURCE_MAX; i++)
		handshakes_give(&h, taken[i]);
	assert_int_equal(h.count, 0);
	assert_int_equal(h.sources.count, 0); /* an address without any is forgotten */
	handshakes_fini(&h);
}

static void all_addresses_together_have_a_limit_too(void **state)
{
	(void)state;
	handshakes_init(&h);
	for (unsigned int i = 0; i < HANDSHAKES_MAX; i++) {
		taken[i] = take(i);
		assert_non_null(taken[i]);
	}
	assert_null(take(HANDSHAKES_MAX));
	assert_null(take(0));
	assert_int_equal(h.refused, 2);
	handshakes_give(&h, taken[7]);
	taken[7] = take(HANDSHAKES_MAX);
	assert_non_null(taken[7]);
	for (unsigned int i = 0; i < HANDSHAKES_MAX; i++)
		handshakes_give(&h, taken[i]);
	handshakes_fini(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_address_has_its_own_places_and_no_more),
		cmocka_unit_test(all_addresses_together_have_a_limit_too),
	};

	return cmocka_run_group_tests_name("handshakes", tests, NULL, NULL);
}
