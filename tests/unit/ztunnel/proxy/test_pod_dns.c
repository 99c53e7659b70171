/* SPDX-License-Identifier: Apache-2.0 */
/* A pod's DNS proxy on one worker, from its sockets to its end; the test is the steward, and the loop simulated. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/check.h"
#include "common/dns/dns_answer.h"
#include "common/dns/dns_msg.h"
#include "common/dns/resolv_conf.h"
#include "common/mesh/mesh_yaml.h"
#include "tests/sim/sim.h"
#include "ztunnel/proxy/pod_proxy.h"

enum { TURNS = 200, CUTS = 12 };

static const struct endpoint resolver = {.ip = {.family = IP_V4, .bytes = {10, 96, 0, 10}},
                                         .port = 53};
static const struct endpoint tcp_at = {.ip = {.family = IP_V4, .bytes = {127, 0, 0, 1}},
                                       .port = PORT_DNS};

static const char *const mesh_text =
	"workloads:\n"
	"- {uid: me, name: me, namespace: ns1, serviceAccount: sa, workloadIps: [10.0.0.1], services: {}}\n"
	"services:\n"
	"- {name: web, namespace: ns1, hostname: web.ns1.svc.cluster.local, vips: [/10.9.0.1], "
	"ports: {80: 80}}\n";

static struct fixture {
	struct loop *loop;
	struct proxy_options options;
	struct proxy_worker worker;
	struct pod pod;
	struct pod_proxy proxy;
	struct dns_zone zone;
	struct metrics *metrics;
	int sockets[STEWARD_DNS_SOCKETS];
	int client;
	unsigned int told, resolver_sockets;
} f;

/* --- the steward ------------------------------------------------------------------------------- */

bool steward_pod_has_dns(const struct steward_pod *pod)
{
	(void)pod;
	return f.sockets[STEWARD_DNS_UDP4] >= 0;
}

int steward_pod_take_socks(struct steward_pod *pod, enum steward_socks which)
{
	(void)pod;
	(void)which;
	return -1;
}

int steward_pod_take_dns(struct steward_pod *pod, enum steward_dns which)
{
	int fd = f.sockets[which];

	(void)pod;
	f.sockets[which] = -1;
	return fd;
}

/* There are none left: what would be forwarded cannot be. */
int steward_resolver_socket(const struct steward *s, const struct steward_pod *pod, int family,
                            int type)
{
	(void)s;
	(void)pod;
	(void)family;
	(void)type;
	f.resolver_sockets++;
	return -EMFILE;
}

int steward_pod_take_listener(struct steward_pod *pod, enum steward_listener kind,
                              unsigned int worker)
{
	(void)pod;
	(void)kind;
	(void)worker;
	return -1;
}

void steward_pod_fini(struct steward_pod *pod)
{
	(void)pod;
}

void steward_socket(const struct steward *s, struct loop *loop, struct steward_socket_req *req,
                    op_done_fn *done)
{
	(void)s;
	req->ret_err = ERR_OVERLOAD;
	loop_post(loop, &req->op, 0, done);
}

/* --- the fixture --------------------------------------------------------------------------------- */

static void on_look_again(struct loop_hook *h)
{
	(void)h;
	f.told++;
}

static void free_conf(struct snapshot *s)
{
	free(container_of(s, struct resolv_conf, snapshot));
}

static struct snapshot_cell *conf_cell(void)
{
	struct snapshot_cell *cell = snapshot_cell_new();
	struct resolv_conf *conf = calloc(1, sizeof(*conf));

	assert_non_null(conf);
	resolv_conf_parse(span_str("nameserver 192.0.2.53\noptions timeout:1 attempts:1\n"), conf,
	                  NULL, NULL);
	snapshot_init(&conf->snapshot, free_conf);
	snapshot_publish(cell, &conf->snapshot);
	return cell;
}

static void start(uint64_t seed, uint32_t pod_id, uint32_t workers)
{
	struct buf messages;

	memset(&f, 0, sizeof(f));
	memset(f.sockets, 0xff, sizeof(f.sockets)); /* all -1 */
	f.loop = sim_new(&(struct sim_options){.seed = seed});
	f.metrics = metrics_new(0);
	assert_int_equal(dns_zone_init(&f.zone, "cluster.local"), ERR_OK);
	f.options = (struct proxy_options){.resolv = conf_cell(),
	                                   .dns_zone = &f.zone,
	                                   .network = "",
	                                   .node = "",
	                                   .workers = workers};
	f.worker = (struct proxy_worker){
		.options = &f.options, .loop = f.loop, .shard = metrics_shard_new(f.metrics)};
	rand_init(&f.worker.dice, seed + 1);
	buf_init(&messages, 4096);
	assert_int_equal(mesh_yaml_parse(span_str(mesh_text), "mesh", &messages, &f.worker.mesh),
	                 ERR_OK);
	buf_fini(&messages);
	f.pod = (struct pod){
		.id = pod_id, .name = "me", .namespace = "ns1", .service_account = "sa"};
	f.proxy.worker = &f.worker;
	f.proxy.pod = &f.pod;
	loop_hook_init(&f.proxy.hook, on_look_again);
	f.sockets[STEWARD_DNS_UDP4] = sim_udp(f.loop, &resolver, true);
	f.sockets[STEWARD_DNS_TCP4] = sim_listen(f.loop, &tcp_at, 0);
	f.client = sim_udp(f.loop, NULL, false);
	pod_dns_start(&f.proxy.dns, &f.proxy);
}

static void turns(unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		(void)sim_turn(f.loop);
}

/* Everything it held is closed and every op has landed. */
static void finish(void)
{
	for (unsigned int i = 0; i < TURNS && !pod_dns_is_over(&f.proxy.dns); i++) {
		(void)sim_turn(f.loop);
		sim_advance(f.loop, 50);
	}
	assert_true(pod_dns_is_over(&f.proxy.dns));
	for (unsigned int i = 0; i < TURNS && loop_pending(f.loop) > 0; i++) {
		(void)sim_turn(f.loop);
		sim_advance(f.loop, 50);
	}
	for (size_t i = 0; i < STEWARD_DNS_SOCKETS; i++) {
		if (f.sockets[i] >= 0)
			loop_close(f.loop, f.sockets[i]);
	}
	loop_close(f.loop, f.client);
	turns(3);
	assert_int_equal(loop_pending(f.loop), 0);
	assert_int_equal(sim_open_sockets(f.loop), 0);
	snapshot_cell_free(f.options.resolv);
	mesh_unref(f.worker.mesh);
	metrics_free(f.metrics);
	loop_free(f.loop);
}

static void ask(const char *text)
{
	struct dns_name name;
	struct buf out;

	assert_int_equal(dns_name_parse(span_str(text), &name), ERR_OK);
	buf_init(&out, DNS_UDP_LEN);
	dns_question_write(&name, DNS_TYPE_A, 77, 0, &out);
	assert_int_equal(sim_udp_send(f.loop, f.client, NULL, &resolver, out.p, out.n), out.n);
	buf_fini(&out);
}

/* The answer's code, -1 when none came; ret_addresses: how many A records it has. */
static int answered(unsigned int *ret_addresses)
{
	uint8_t mem[DNS_UDP_LEN];
	struct endpoint from;
	struct dns_record record;
	struct dns_walk walk;
	ssize_t n = -1;

	for (unsigned int i = 0; i < TURNS && n < 0; i++) {
		(void)sim_turn(f.loop);
		sim_advance(f.loop, 20);
		n = sim_udp_recv(f.loop, f.client, mem, sizeof(mem), &from);
	}
	*ret_addresses = 0;
	if (n < (ssize_t)DNS_HEADER_LEN)
		return -1;
	assert_true(endpoint_eq(&from, &resolver));
	assert_int_equal(dns_walk_start(&walk, span_of(mem, (size_t)n)), ERR_OK);
	while (dns_walk_next(&walk, &record))
		*ret_addresses += record.type == DNS_TYPE_A;
	return (int)dns_msg_rcode(span_of(mem, (size_t)n));
}

/* --- claims ---------------------------------------------------------------------------------------- */

static void a_pods_question_is_answered_from_its_workers_mesh(void **state)
{
	unsigned int addresses;

	(void)state;
	for (uint64_t seed = 0; seed < 20; seed++) {
		start(seed, 1, 1);
		ask("web");
		assert_int_equal(answered(&addresses), DNS_NOERROR);
		assert_int_equal(addresses, 1);
		assert_int_equal(f.resolver_sockets, 0); /* nobody else was asked */
		pod_dns_drain(&f.proxy.dns);
		finish();
		assert_true(f.told > 0);
	}
}

static void without_a_socket_to_ask_by_a_question_fails_and_the_next_is_answered(void **state)
{
	unsigned int addresses;

	(void)state;
	start(3, 1, 1);
	ask("elsewhere.example.com");
	assert_int_equal(answered(&addresses), DNS_SERVFAIL);
	assert_true(f.resolver_sockets > 0);
	ask("web.ns1");
	assert_int_equal(answered(&addresses), DNS_NOERROR);
	pod_dns_drain(&f.proxy.dns);
	finish();
}

static void one_worker_of_several_serves_a_pod(void **state)
{
	(void)state;
	start(0, 5, 3); /* 5 % 3 is worker 2's */
	assert_true(pod_dns_is_over(&f.proxy.dns));
	assert_true(f.sockets[STEWARD_DNS_UDP4] >= 0); /* not taken */
	f.worker.index = 2;
	pod_dns_start(&f.proxy.dns, &f.proxy);
	assert_false(pod_dns_is_over(&f.proxy.dns));
	assert_int_equal(f.sockets[STEWARD_DNS_UDP4], -1);
	pod_dns_cut(&f.proxy.dns);
	finish();
}

static void a_pod_whose_questions_are_not_captured_costs_nothing(void **state)
{
	int udp;

	(void)state;
	start(0, 5, 3);
	udp = f.sockets[STEWARD_DNS_UDP4];
	f.sockets[STEWARD_DNS_UDP4] = -1;
	f.worker.index = 2;
	pod_dns_start(&f.proxy.dns, &f.proxy);
	assert_true(pod_dns_is_over(&f.proxy.dns));
	pod_dns_drain(&f.proxy.dns); /* harmless */
	pod_dns_cut(&f.proxy.dns);
	f.sockets[STEWARD_DNS_UDP4] = udp;
	finish();
}

static void a_cut_or_a_drain_at_any_turn_lands_every_op(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 2; seed++) {
		for (unsigned int cut = 0; cut < CUTS; cut++) {
			start(seed, 1, 1);
			ask("elsewhere.example.com");
			ask("web");
			turns(cut);
			if (cut % 3 != 0)
				pod_dns_drain(&f.proxy.dns);
			if (cut % 3 != 1)
				pod_dns_cut(&f.proxy.dns);
			finish();
			assert_true(f.told > 0);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pods_question_is_answered_from_its_workers_mesh),
		cmocka_unit_test(
			without_a_socket_to_ask_by_a_question_fails_and_the_next_is_answered),
		cmocka_unit_test(one_worker_of_several_serves_a_pod),
		cmocka_unit_test(a_pod_whose_questions_are_not_captured_costs_nothing),
		cmocka_unit_test(a_cut_or_a_drain_at_any_turn_lands_every_op),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
