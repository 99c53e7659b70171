/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decisions of the capture programs, on the host.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <string.h>

#include "bpf/capture_logic.h"

static struct capture_addr addr(const char *text)
{
	struct capture_addr a = {{0}};

	if (strchr(text, ':') == NULL) {
		uint32_t v4;

		assert_int_equal(inet_pton(AF_INET, text, &v4), 1);
		return capture_addr_of_v4(v4);
	}
	assert_int_equal(inet_pton(AF_INET6, text, &a), 1);
	return a;
}

static void v4_is_written_mapped(void **state)
{
	struct capture_addr a = addr("10.1.2.3"), b = addr("::ffff:10.1.2.3");

	(void)state;
	assert_true(capture_addr_eq(&a, &b));
	b = addr("::10.1.2.3");
	assert_false(capture_addr_eq(&a, &b));
}

static void loopback_is_127_8_and_one(void **state)
{
	static const struct {
		const char *text;
		int loopback;
	} cases[] = {{"127.0.0.1", 1},
	             {"127.255.0.9", 1},
	             {"::ffff:127.0.0.1", 1},
	             {"::1", 1},
	             {"126.0.0.1", 0},
	             {"128.0.0.1", 0},
	             {"::", 0},
	             {"::2", 0},
	             {"::127.0.0.1", 0},
	             {"fe80::1", 0},
	             {"0.0.0.0", 0},
	             {"1::1", 0},
	             {"64:ff9b::7f00:1", 0},
	             {"::1:0:0:1", 0}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct capture_addr a = addr(cases[i].text);

		assert_int_equal(capture_addr_is_loopback(&a), cases[i].loopback);
	}
}

static void mark_keeps_the_applications_upper_bits(void **state)
{
	(void)state;
	assert_int_equal(capture_mark(0), 0x111);
	assert_int_equal(capture_mark(0x539), 0x111);
	assert_int_equal(capture_mark(0xabcde539), 0xabcde111);
}

static void an_enrolled_pods_connect_is_steered(void **state)
{
	struct capture_connect_facts f = {.pod_flags = CAPTURE_POD_OUT};

	(void)state;
	assert_int_equal(capture_decide_connect(&f), CAPTURE_CONNECT_STEER);
	f.to_pod = 1;
	assert_int_equal(capture_decide_connect(&f), CAPTURE_CONNECT_STEER);
}

static void loopback_and_pods_not_captured_are_left_alone(void **state)
{
	struct capture_connect_facts f = {.pod_flags = CAPTURE_POD_OUT, .to_loopback = 1};

	(void)state;
	assert_int_equal(capture_decide_connect(&f), CAPTURE_CONNECT_LEAVE);
	f = (struct capture_connect_facts){.pod_flags = CAPTURE_POD_INBOUND};
	assert_int_equal(capture_decide_connect(&f), CAPTURE_CONNECT_LEAVE);
	f = (struct capture_connect_facts){0};
	assert_int_equal(capture_decide_connect(&f), CAPTURE_CONNECT_LEAVE);
}

static void the_proxy_is_never_steered(void **state)
{
	struct capture_connect_facts f = {.pod_flags = CAPTURE_POD_OUT,
	                                  .zt_kind = CAPTURE_ZT_UPSTREAM};

	(void)state;
	assert_int_equal(capture_decide_connect(&f), CAPTURE_CONNECT_LEAVE);
	f.zt_kind = CAPTURE_ZT_APP;
	assert_int_equal(capture_decide_connect(&f), CAPTURE_CONNECT_RECORD_POD);
	f.to_loopback = 1;
	assert_int_equal(capture_decide_connect(&f), CAPTURE_CONNECT_RECORD_POD);
}

static void a_node_process_is_recorded_only_towards_pods(void **state)
{
	struct capture_connect_facts f = {.from_node = 1, .to_pod = 1};

	(void)state;
	assert_int_equal(capture_decide_connect(&f), CAPTURE_CONNECT_RECORD_NODE);
	f.to_pod = 0;
	assert_int_equal(capture_decide_connect(&f), CAPTURE_CONNECT_LEAVE);
	f = (struct capture_connect_facts){.from_node = 1, .to_pod = 1, .to_loopback = 1};
	assert_int_equal(capture_decide_connect(&f), CAPTURE_CONNECT_LEAVE);
}

static void what_leaves_the_pod_over_loopback_is_outbound(void **state)
{
	struct capture_arrival_facts f = {
		.remote_is_own = 1, .from_lo = 1, .local_port = 80, .flags = CAPTURE_POD_INBOUND};

	(void)state;
	assert_int_equal(capture_decide_arrival(&f), CAPTURE_ARRIVAL_OUT);
	f.local_port = 15008; /* calling another pod's HBONE port directly is outbound too */
	assert_int_equal(capture_decide_arrival(&f), CAPTURE_ARRIVAL_OUT);
	/* a spoofed or bound source, told by the device alone */
	f.remote_is_own = 0;
	assert_int_equal(capture_decide_arrival(&f), CAPTURE_ARRIVAL_OUT);
	/* a device bound socket, told by its source alone */
	f.remote_is_own = 1;
	f.from_lo = 0;
	assert_int_equal(capture_decide_arrival(&f), CAPTURE_ARRIVAL_OUT);
}

static void what_comes_from_elsewhere_is_inbound(void **state)
{
	struct capture_arrival_facts f = {
		.local_is_own = 1, .local_port = 80, .flags = CAPTURE_POD_INBOUND};

	(void)state;
	assert_int_equal(capture_decide_arrival(&f), CAPTURE_ARRIVAL_INBOUND);
	f.from_lo = 1; /* the proxy's spoofed connection: its tuple decides */
	assert_int_equal(capture_decide_arrival(&f), CAPTURE_ARRIVAL_INBOUND);
	f.flags = 0; /* ingress mode */
	assert_int_equal(capture_decide_arrival(&f), CAPTURE_ARRIVAL_PASS);
}

static void a_pod_talking_to_itself_is_left_alone(void **state)
{
	struct capture_arrival_facts f = {.local_is_own = 1,
	                                  .remote_is_own = 1,
	                                  .local_port = 80,
	                                  .flags = CAPTURE_POD_INBOUND};

	(void)state;
	assert_int_equal(capture_decide_arrival(&f), CAPTURE_ARRIVAL_PASS);
	f.remote_is_own = 0;
	f.ends_equal = 1; /* an address we have not heard of yet */
	assert_int_equal(capture_decide_arrival(&f), CAPTURE_ARRIVAL_PASS);
	f = (struct capture_arrival_facts){.local_is_loopback = 1,
	                                   .from_lo = 1,
	                                   .local_port = 80,
	                                   .flags = CAPTURE_POD_INBOUND};
	assert_int_equal(capture_decide_arrival(&f), CAPTURE_ARRIVAL_PASS);
}

static void dns_is_taken_only_when_asked_for(void **state)
{
	struct capture_arrival_facts f = {.remote_is_own = 1, .from_lo = 1, .local_port = 53};

	(void)state;
	assert_int_equal(capture_decide_arrival(&f), CAPTURE_ARRIVAL_OUT);
	f.udp = 1;
	assert_int_equal(capture_decide_arrival(&f), CAPTURE_ARRIVAL_PASS);
	f.flags = CAPTURE_POD_DNS;
	assert_int_equal(capture_decide_arrival(&f), CAPTURE_ARRIVAL_DNS);
	f.udp = 0;
	assert_int_equal(capture_decide_arrival(&f), CAPTURE_ARRIVAL_DNS);
	f.udp = 1;
	f.local_port = 54;
	assert_int_equal(capture_decide_arrival(&f), CAPTURE_ARRIVAL_PASS);
	/* a resolver inside the pod, asked from outside */
	f = (struct capture_arrival_facts){.udp = 1,
	                                   .local_is_own = 1,
	                                   .local_port = 53,
	                                   .flags = CAPTURE_POD_DNS | CAPTURE_POD_INBOUND};
	assert_int_equal(capture_decide_arrival(&f), CAPTURE_ARRIVAL_PASS);
}

static void the_slot_follows_the_clients_port(void **state)
{
	(void)state;
	for (uint32_t workers = 1; workers <= CAPTURE_WORKERS_MAX; workers++) {
		for (uint32_t port = 1; port < 65536; port += 7) {
			uint32_t slot = capture_slot(CAPTURE_HBONE, (uint16_t)port, workers);

			assert_int_equal(slot - CAPTURE_HBONE * CAPTURE_WORKERS_MAX,
			                 (port >> 1) % workers);
		}
	}
	assert_true(capture_slot(CAPTURE_OUT, 7, 0) < CAPTURE_WORKERS_MAX);
	assert_true(capture_slot(CAPTURE_DNS_UDP6, 65535, UINT32_MAX) < CAPTURE_SLOTS);
}

static void only_openings_and_hidden_flags_are_suspicious(void **state)
{
	(void)state;
	assert_int_equal(capture_decide_leaving(0, 1, 0x02), CAPTURE_LEAVING_OPENS);
	assert_int_equal(capture_decide_leaving(0, 1, 0xc2), CAPTURE_LEAVING_OPENS); /* with ECN */
	assert_int_equal(capture_decide_leaving(0, 1, 0x0a), CAPTURE_LEAVING_OPENS); /* SYN, PSH */
	assert_int_equal(capture_decide_leaving(0, 1, 0x12), CAPTURE_LEAVING_FINE);
	assert_int_equal(capture_decide_leaving(0, 1, 0x10), CAPTURE_LEAVING_FINE);
	assert_int_equal(capture_decide_leaving(0, 1, 0x04), CAPTURE_LEAVING_FINE);
	assert_int_equal(capture_decide_leaving(0, 0, 0), CAPTURE_LEAVING_HIDES);
	assert_int_equal(capture_decide_leaving(8, 0, 0), CAPTURE_LEAVING_HIDES);
	assert_int_equal(capture_decide_leaving(1480, 0, 0), CAPTURE_LEAVING_FINE);
}

static void only_a_question_to_port_53_is_turned_round(void **state)
{
	(void)state;
	assert_int_equal(capture_decide_datagram(0, 1, 53), CAPTURE_LEAVING_ASKS);
	assert_int_equal(capture_decide_datagram(0, 1, 52), CAPTURE_LEAVING_FINE);
	assert_int_equal(capture_decide_datagram(0, 1, 54), CAPTURE_LEAVING_FINE);
	assert_int_equal(capture_decide_datagram(0, 0, 53), CAPTURE_LEAVING_FINE); /* no ports */
	assert_int_equal(capture_decide_datagram(8, 1, 53), CAPTURE_LEAVING_FINE); /* no head */
}

static void each_way_of_asking_has_a_slot_of_its_own(void **state)
{
	enum capture_kind kinds[] = {capture_dns_kind(0, 0), capture_dns_kind(0, 1),
	                             capture_dns_kind(1, 0), capture_dns_kind(1, 1)};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		assert_in_range(kinds[i], CAPTURE_DNS_TCP, CAPTURE_KINDS - 1);
		for (size_t j = 0; j < i; j++)
			assert_int_not_equal(kinds[i], kinds[j]);
		/* of one worker, whoever asks */
		assert_int_equal(capture_slot(kinds[i], 40000, 1),
		                 capture_slot(kinds[i], 40003, 1));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(v4_is_written_mapped),
		cmocka_unit_test(loopback_is_127_8_and_one),
		cmocka_unit_test(mark_keeps_the_applications_upper_bits),
		cmocka_unit_test(an_enrolled_pods_connect_is_steered),
		cmocka_unit_test(loopback_and_pods_not_captured_are_left_alone),
		cmocka_unit_test(the_proxy_is_never_steered),
		cmocka_unit_test(a_node_process_is_recorded_only_towards_pods),
		cmocka_unit_test(what_leaves_the_pod_over_loopback_is_outbound),
		cmocka_unit_test(what_comes_from_elsewhere_is_inbound),
		cmocka_unit_test(a_pod_talking_to_itself_is_left_alone),
		cmocka_unit_test(dns_is_taken_only_when_asked_for),
		cmocka_unit_test(the_slot_follows_the_clients_port),
		cmocka_unit_test(only_openings_and_hidden_flags_are_suspicious),
		cmocka_unit_test(only_a_question_to_port_53_is_turned_round),
		cmocka_unit_test(each_way_of_asking_has_a_slot_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
