/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "bpf/capture_logic.h"
#include "ztunnel/steward/spoof_ports.h"

enum { APP_PORT = 8080 };

static struct endpoint client_at(const char *text)
{
	struct endpoint ep;

	assert_int_equal(endpoint_parse(span_str(text), &ep), ERR_OK);
	return ep;
}

static void a_picked_port_is_one_the_kernel_would_hand_this_worker(void **state)
{
	struct endpoint c = client_at("10.0.0.1:40000");

	(void)state;
	for (unsigned int workers = 1; workers <= 64; workers += 9) {
		for (unsigned int w = 0; w < workers; w++) {
			struct spoof_ports sp;

			spoof_ports_init(&sp, w, workers, 7 * w + 1);
			for (int i = 0; i < 50; i++) {
				uint16_t port = 0;

				assert_int_equal(spoof_ports_pick(&sp, &c.ip, APP_PORT, &port),
				                 ERR_OK);
				assert_in_range(port, SPOOF_PORT_FIRST, SPOOF_PORT_LAST);
				assert_int_equal(capture_slot(CAPTURE_OUT, port, workers), w);
			}
			spoof_ports_fini(&sp);
		}
	}
}

static size_t pick_all(struct spoof_ports *sp, const struct ip *ip, uint8_t seen[65536])
{
	size_t n = 0;
	uint16_t port;

	while (spoof_ports_pick(sp, ip, APP_PORT, &port) == ERR_OK) {
		assert_int_equal(seen[port], 0);
		seen[port] = 1;
		n++;
	}
	return n;
}

static void workers_share_the_range_without_meeting(void **state)
{
	static uint8_t seen[65536];
	struct endpoint c = client_at("[fd00::1]:40000");
	size_t total = 0;

	(void)state;
	memset(seen, 0, sizeof(seen));
	for (unsigned int w = 0; w < 3; w++) {
		struct spoof_ports sp;

		spoof_ports_init(&sp, w, 3, w);
		total += pick_all(&sp, &c.ip, seen);
		spoof_ports_fini(&sp);
	}
	/* every port of both ranges, once */
	assert_int_equal(total, SPOOF_PORT_LAST - SPOOF_PORT_FIRST + 1 + SPOOF_FALLBACK_LAST -
	                                SPOOF_FALLBACK_FIRST + 1);
}

static void the_upper_range_is_used_up_first(void **state)
{
	struct endpoint c = client_at("10.0.0.1:1");
	struct spoof_ports sp;
	uint16_t port;

	(void)state;
	spoof_ports_init(&sp, 0, 1, 99);
	for (int i = 0; i <= SPOOF_PORT_LAST - SPOOF_PORT_FIRST; i++) {
		assert_int_equal(spoof_ports_pick(&sp, &c.ip, APP_PORT, &port), ERR_OK);
		assert_true(port >= SPOOF_PORT_FIRST);
	}
	assert_int_equal(spoof_ports_pick(&sp, &c.ip, APP_PORT, &port), ERR_OK);
	assert_in_range(port, SPOOF_FALLBACK_FIRST, SPOOF_FALLBACK_LAST);
	spoof_ports_fini(&sp);
}

static void a_clients_own_port_is_avoided_while_it_lives(void **state)
{
	static uint8_t seen[65536];
	struct endpoint c = client_at("10.0.0.1:61234");
	struct spoof_ports sp;

	(void)state;
	memset(seen, 0, sizeof(seen));
	spoof_ports_init(&sp, 0, 1, 5);
	assert_int_equal(spoof_ports_note(&sp, &c, APP_PORT), ERR_OK);
	assert_int_equal(spoof_ports_note(&sp, &c, APP_PORT), ERR_OK);
	(void)pick_all(&sp, &c.ip, seen);
	assert_int_equal(seen[61234], 0);
	spoof_ports_release(&sp, &c, APP_PORT);
	assert_int_equal(pick_all(&sp, &c.ip, seen), 0); /* noted twice, one is left */
	spoof_ports_release(&sp, &c, APP_PORT);
	assert_int_equal(pick_all(&sp, &c.ip, seen), 1);
	assert_int_equal(seen[61234], 1);
	spoof_ports_fini(&sp);
}

static void another_client_or_destination_port_does_not_matter(void **state)
{
	struct endpoint c = client_at("10.0.0.1:61234"), d = client_at("10.0.0.2:61234");
	static uint8_t seen[65536];
	struct spoof_ports sp;

	(void)state;
	memset(seen, 0, sizeof(seen));
	spoof_ports_init(&sp, 0, 1, 5);
	assert_int_equal(spoof_ports_note(&sp, &d, APP_PORT), ERR_OK);
	assert_int_equal(spoof_ports_note(&sp, &c, APP_PORT + 1), ERR_OK);
	(void)pick_all(&sp, &c.ip, seen);
	assert_int_equal(seen[61234], 1);
	spoof_ports_fini(&sp);
}

static void a_range_that_was_full_hands_out_what_is_given_back(void **state)
{
	static uint8_t seen[65536];
	struct endpoint c = client_at("10.0.0.1:61234"), d = client_at("10.0.0.1:12345");
	struct spoof_ports sp;
	uint16_t port = 0;

	(void)state;
	memset(seen, 0, sizeof(seen));
	spoof_ports_init(&sp, 0, 1, 5);
	(void)pick_all(&sp, &c.ip, seen);
	assert_int_equal(spoof_ports_pick(&sp, &c.ip, APP_PORT, &port), ERR_OVERLOAD);
	assert_int_equal(spoof_ports_pick(&sp, &c.ip, APP_PORT + 1, &port), ERR_OK);
	spoof_ports_release(&sp, &d, APP_PORT);
	assert_int_equal(spoof_ports_pick(&sp, &c.ip, APP_PORT, &port), ERR_OK);
	assert_int_equal(port, d.port);
	assert_int_equal(spoof_ports_pick(&sp, &c.ip, APP_PORT, &port), ERR_OVERLOAD);
	spoof_ports_release(&sp, &c, APP_PORT);
	assert_int_equal(spoof_ports_pick(&sp, &c.ip, APP_PORT, &port), ERR_OK);
	assert_int_equal(port, c.port);
	spoof_ports_fini(&sp);
}

static void releasing_what_is_unknown_is_harmless(void **state)
{
	struct endpoint c = client_at("10.0.0.1:61234");
	struct spoof_ports sp;

	(void)state;
	spoof_ports_init(&sp, 0, 1, 5);
	spoof_ports_release(&sp, &c, APP_PORT);
	assert_int_equal(spoof_ports_note(&sp, &c, APP_PORT), ERR_OK);
	c.port++;
	spoof_ports_release(&sp, &c, APP_PORT);
	c.port--;
	spoof_ports_release(&sp, &c, APP_PORT);
	spoof_ports_release(&sp, &c, APP_PORT);
	spoof_ports_fini(&sp);
}

static void an_idle_table_holds_no_memory(void **state)
{
	struct endpoint c = client_at("10.0.0.1:61234");
	struct spoof_ports sp;

	(void)state;
	spoof_ports_init(&sp, 0, 1, 5);
	assert_null(sp.slots);
	assert_int_equal(spoof_ports_note(&sp, &c, APP_PORT), ERR_OK);
	assert_non_null(sp.slots);
	spoof_ports_release(&sp, &c, APP_PORT);
	assert_null(sp.slots);
}

/* Against the plainest model there is. */
static void a_long_random_life_agrees_with_a_bitmap(void **state)
{
	static uint8_t taken[65536];
	struct endpoint c = client_at("10.0.0.1:1");
	struct spoof_ports sp;
	uint64_t dice = 42;
	size_t live = 0;

	(void)state;
	memset(taken, 0, sizeof(taken));
	spoof_ports_init(&sp, 1, 2, 11);
	for (int i = 0; i < 60000; i++) { /* full after less than half of them */
		uint16_t port;

		dice = dice * UINT64_C(6364136223846793005) + 1;
		port = (uint16_t)(dice >> 33);
		if ((dice >> 60) < 9) {
			if (spoof_ports_pick(&sp, &c.ip, APP_PORT, &port) != ERR_OK)
				continue;
			assert_int_equal(taken[port], 0);
			taken[port] = 1;
			live++;
		} else if (taken[port] != 0) {
			c.port = port;
			spoof_ports_release(&sp, &c, APP_PORT);
			taken[port] = 0;
			live--;
		}
		assert_int_equal(sp.live, live);
		assert_true(sp.cap <= 4 * (live + 1) + 64 || sp.cap <= 65536);
	}
	spoof_ports_fini(&sp);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_picked_port_is_one_the_kernel_would_hand_this_worker),
		cmocka_unit_test(workers_share_the_range_without_meeting),
		cmocka_unit_test(the_upper_range_is_used_up_first),
		cmocka_unit_test(a_clients_own_port_is_avoided_while_it_lives),
		cmocka_unit_test(another_client_or_destination_port_does_not_matter),
		cmocka_unit_test(a_range_that_was_full_hands_out_what_is_given_back),
		cmocka_unit_test(releasing_what_is_unknown_is_harmless),
		cmocka_unit_test(an_idle_table_holds_no_memory),
		cmocka_unit_test(a_long_random_life_agrees_with_a_bitmap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
