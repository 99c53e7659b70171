/* SPDX-License-Identifier: Apache-2.0 */
#include "common/dns/dns_server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/dns/dns_msg.h"
#include "common/mesh/mesh_table.h"
#include "tests/sim/sim.h"
#include "tests/unit/common/mesh/mesh_text.h"

enum {
	TURNS_MAX = 20000,
	SEEDS = 24,
	CROWD = 256, /* endpoints of a headless service: contract 13.1, large_response */
};

static const struct endpoint resolver_ep = {.ip = {.family = IP_V4, .bytes = {10, 0, 0, 10}},
                                            .port = 53};
static const struct endpoint tcp_ep = {.ip = {.family = IP_V4, .bytes = {10, 0, 0, 10}},
                                       .port = 5353};

/* A nameserver that answers when the test lets it. */
struct fake_forwarder {
	struct dns_forwarder face;
	struct list asks;
	size_t count;
	unsigned int asked, cancelled;
	bool broken;
	struct buf answer;
};

struct lab {
	struct loop *loop;
	struct dns_server *server;
	struct mesh *mesh;
	const struct workload *self; /* NULL: not known yet */
	struct dns_zone zone;
	struct fake_forwarder forwarder;
	int udp; /* the client's */
	bool stopped;
	uint8_t mem[DNS_MSG_MAX];
};

static void fake_ask(struct dns_forwarder *f, struct dns_ask *a)
{
	struct fake_forwarder *fake = container_of(f, struct fake_forwarder, face);

	fake->asked++;
	fake->count++;
	list_push(&fake->asks, &a->link);
}

/* As a real one: done() later. */
static void fake_cancel(struct dns_forwarder *f, struct dns_ask *a)
{
	container_of(f, struct fake_forwarder, face)->cancelled++;
	a->ret_err = ERR_CANCELLED;
}

/* The oldest question gets its answer. */
static bool fake_answer(struct fake_forwarder *f)
{
	struct list *n = list_shift(&f->asks);
	struct dns_ask *a;
	struct dns_query q;

	if (n == NULL)
		return false;
	a = list_entry(n, struct dns_ask, link);
	f->count--;
	buf_clear(&f->answer);
	if (a->ret_err != ERR_CANCELLED) {
		a->ret_err = f->broken ? ERR_DNS : ERR_OK;
		(void)dns_query_read(a->query, &q);
		assert_int_equal(dns_reply_write(&q, &(struct dns_reply){.rcode = DNS_NXDOMAIN},
		                                 DNS_UDP_LEN, &f->answer),
		                 ERR_OK);
	}
	a->ret_answer = buf_span(&f->answer);
	a->done(a);
	return true;
}

static bool who(void *arg, struct dns_asker *ret_asker, const struct workload **ret_workload)
{
	struct lab *l = arg;

	*ret_asker = (struct dns_asker){.mesh = l->mesh, .namespace = "ns1", .network = ""};
	*ret_workload = l->self;
	return l->self != NULL;
}

static void on_stopped(void *arg)
{
	struct lab *l = arg;

	assert_false(l->stopped);
	l->stopped = true;
}

static struct mesh *crowd_mesh(void)
{
	struct buf text;
	struct mesh *m;

	buf_init(&text, 1 << 20);
	buf_put_str(&text,
	            "workloads:\n- {uid: me, name: me, namespace: ns1, workloadIps: [10.0.0.1], "
	            "services: {}}\n");
	for (unsigned int i = 0; i < CROWD; i++)
		buf_printf(&text,
		           "- {uid: p%u, namespace: ns1, workloadIps: [10.1.0.%u], services: "
		           "{ns1/crowd.ns1.svc.cluster.local: {}}}\n",
		           i, i);
	buf_put_str(&text,
	            "services:\n- {name: crowd, namespace: ns1, hostname: "
	            "crowd.ns1.svc.cluster.local, vips: [], ports: {80: 80}}\n"
	            "- {name: web, namespace: ns1, hostname: web.ns1.svc.cluster.local, vips: "
	            "[/10.9.0.1], ports: {80: 80}}\n");
	buf_put_u8(&text, 0);
	m = mesh_of((const char *)text.p);
	buf_fini(&text);
	return m;
}

struct lab_options {
	uint64_t seed;
	size_t queries_max, tcp_clients_max;
	bool raw;
};

static struct lab *lab_new(const struct lab_options *o)
{
	struct lab *l = mem_new(sizeof(*l));
	struct dns_server_options opt = {
		.raw_fd = {-1, -1},
		.zone = &l->zone,
		.forwarder = &l->forwarder.face,
		.who = who,
		.stopped = on_stopped,
		.arg = l,
		.seed = o->seed + 1,
		.queries_max = o->queries_max,
		.tcp_clients_max = o->tcp_clients_max,
	};

	l->loop = sim_new(&(struct sim_options){.seed = o->seed});
	l->mesh = crowd_mesh();
	l->self = mesh_workload_by_uid(l->mesh, "me");
	assert_non_null(l->self);
	assert_int_equal(dns_zone_init(&l->zone, "cluster.local"), ERR_OK);
	l->zone.ipv6 = true;
	l->forwarder.face = (struct dns_forwarder){.ask = fake_ask, .cancel = fake_cancel};
	list_init(&l->forwarder.asks);
	buf_init(&l->forwarder.answer, DNS_MSG_MAX);
	opt.udp_fd = sim_udp(l->loop, &resolver_ep, true);
	opt.tcp_fd = sim_listen(l->loop, &tcp_ep, 0);
	if (o->raw)
		opt.raw_fd[0] = sim_udp(l->loop, NULL, false);
	l->udp = sim_udp(l->loop, NULL, false);
	l->server = dns_server_new(l->loop, &opt);
	return l;
}

static void turn(struct lab *l, unsigned int turns)
{
	for (unsigned int i = 0; i < turns; i++)
		loop_turn(l->loop, 0);
}

/* With nothing left behind. */
static void lab_free(struct lab *l)
{
	dns_server_stop(l->server, 0);
	for (unsigned int i = 0; i < TURNS_MAX && !l->stopped; i++) {
		loop_turn(l->loop, 1);
		(void)fake_answer(&l->forwarder);
	}
	assert_true(l->stopped);
	loop_close(l->loop, l->udp);
	turn(l, 2);
	assert_int_equal(sim_open_sockets(l->loop), 0);
	assert_int_equal(loop_pending(l->loop), 0);
	loop_free(l->loop);
	mesh_unref(l->mesh);
	buf_fini(&l->forwarder.answer);
	free(l);
}

static size_t question(const char *name, uint16_t type, uint16_t id, bool edns, uint8_t *out)
{
	struct dns_name n;
	struct buf b;
	size_t len;

	assert_int_equal(dns_name_parse(span_str(name), &n), ERR_OK);
	buf_init(&b, 600);
	dns_question_write(&n, type, id, edns, &b);
	assert_int_equal(buf_status(&b), ERR_OK);
	len = b.n;
	memcpy(out, b.p, len);
	buf_fini(&b);
	return len;
}

static void udp_ask(struct lab *l, const char *name, uint16_t type, uint16_t id, bool edns)
{
	uint8_t q[600];
	size_t n = question(name, type, id, edns, q);

	assert_int_equal(sim_udp_send(l->loop, l->udp, NULL, &resolver_ep, q, n), n);
}

/* The next datagram for the client; n 0: none comes within some turns. */
static struct span udp_answer(struct lab *l)
{
	struct endpoint from;
	ssize_t n = -EAGAIN;

	for (unsigned int i = 0; i < 200 && n < 0; i++) {
		loop_turn(l->loop, 0);
		n = sim_udp_recv(l->loop, l->udp, l->mem, sizeof(l->mem), &from);
	}
	if (n < 0)
		return span_of(l->mem, 0);
	assert_true(endpoint_eq(&from, &resolver_ep));
	return span_of(l->mem, (size_t)n);
}

static unsigned int count_answers(struct span msg)
{
	struct dns_walk w;
	struct dns_record r;
	unsigned int count = 0;

	assert_int_equal(dns_walk_start(&w, msg), ERR_OK);
	while (dns_walk_next(&w, &r))
		count += r.section == 1;
	assert_false(w.failed);
	return count;
}

/* ---- UDP ---- */

static void a_mesh_name_is_answered_with_authority_and_a_ttl_of_30(void **state)
{
	struct lab *l = lab_new(&(struct lab_options){.seed = 1});
	struct dns_walk w;
	struct dns_record r;
	struct span a;

	(void)state;
	udp_ask(l, "web", DNS_TYPE_A, 0x1234, false);
	a = udp_answer(l);
	assert_true(a.n > DNS_HEADER_LEN);
	assert_int_equal(dns_msg_id(a), 0x1234);
	assert_int_equal(a.p[2], 0x85); /* QR, AA, RD */
	assert_int_equal(a.p[3], 0x80); /* RA, NOERROR */
	assert_int_equal(dns_walk_start(&w, a), ERR_OK);
	assert_true(dns_walk_next(&w, &r));
	assert_int_equal(r.ttl, 30);
	assert_memory_equal(r.data.p, ((uint8_t[]){10, 9, 0, 1}), 4);
	assert_false(dns_walk_next(&w, &r));
	assert_int_equal(l->forwarder.asked, 0);
	lab_free(l);
}

static void another_name_is_forwarded_octet_by_octet(void **state)
{
	struct lab *l = lab_new(&(struct lab_options){.seed = 2});
	uint8_t q[600];
	size_t n = question("WWW.Example.org", 33, 7, true, q);
	struct dns_ask *a;

	(void)state;
	(void)sim_udp_send(l->loop, l->udp, NULL, &resolver_ep, q, n);
	turn(l, 200);
	assert_int_equal(l->forwarder.asked, 1);
	a = list_entry(l->forwarder.asks.next, struct dns_ask, link);
	assert_int_equal(a->query.n, n);
	assert_memory_equal(a->query.p, q, n);
	assert_true(fake_answer(&l->forwarder));
	assert_int_equal(dns_msg_rcode(udp_answer(l)), DNS_NXDOMAIN);
	lab_free(l);
}

static void another_opcode_is_forwarded_as_well(void **state)
{
	struct lab *l = lab_new(&(struct lab_options){.seed = 2});
	uint8_t q[600];
	size_t n = question("web", DNS_TYPE_A, 7, false, q);

	(void)state;
	q[2] = 4 << 3; /* NOTIFY */
	(void)sim_udp_send(l->loop, l->udp, NULL, &resolver_ep, q, n);
	turn(l, 200);
	assert_int_equal(l->forwarder.asked, 1);
	lab_free(l);
}

static void a_nameserver_that_fails_is_servfail(void **state)
{
	struct lab *l = lab_new(&(struct lab_options){.seed = 3});

	(void)state;
	l->forwarder.broken = true;
	udp_ask(l, "www.example.org", DNS_TYPE_A, 9, true);
	turn(l, 200);
	assert_true(fake_answer(&l->forwarder));
	assert_int_equal(dns_msg_rcode(udp_answer(l)), DNS_SERVFAIL);
	lab_free(l);
}

/* Contract 13.1, large_response: 74 of 256 addresses fit 1232 octets; 512 hold fewer. TC tells to come by TCP. */
static void an_answer_too_long_for_udp_is_cut_with_tc_at_the_clients_length(void **state)
{
	struct lab *l = lab_new(&(struct lab_options){.seed = 4});
	struct span a;

	(void)state;
	udp_ask(l, "crowd.ns1.svc.cluster.local", DNS_TYPE_A, 1, true);
	a = udp_answer(l);
	assert_true(dns_msg_truncated(a));
	assert_in_range(a.n, 1200, 1232);
	assert_int_equal(count_answers(a), 73);
	udp_ask(l, "crowd.ns1.svc.cluster.local", DNS_TYPE_A, 2, false);
	a = udp_answer(l);
	assert_true(dns_msg_truncated(a));
	assert_in_range(a.n, 480, 512);
	lab_free(l);
}

static void what_must_not_be_answered_is_not(void **state)
{
	struct lab *l = lab_new(&(struct lab_options){.seed = 5});
	struct endpoint odd = {.ip = {.family = IP_V4, .bytes = {192, 0, 2, 2}}, .port = 0};
	uint8_t q[600];
	size_t n = question("web", DNS_TYPE_A, 7, false, q);

	(void)state;
	(void)sim_udp_send(l->loop, l->udp, &odd, &resolver_ep, q, n);         /* from port 0 */
	(void)sim_udp_send(l->loop, l->udp, &resolver_ep, &resolver_ep, q, n); /* from ourselves */
	(void)sim_udp_send(l->loop, l->udp, NULL, &resolver_ep, q, DNS_HEADER_LEN - 1);
	(void)sim_udp_send(l->loop, l->udp, NULL, &resolver_ep, q, 0);
	q[2] |= 0x80; /* a FORMERR that came back */
	q[3] |= DNS_FORMERR;
	(void)sim_udp_send(l->loop, l->udp, NULL, &resolver_ep, q, n);
	assert_int_equal(udp_answer(l).n, 0);
	assert_int_equal(dns_server_pending(l->server), 0);
	lab_free(l);
}

static void a_response_sent_as_a_query_is_formerr(void **state)
{
	struct lab *l = lab_new(&(struct lab_options){.seed = 6});
	uint8_t q[600];
	size_t n = question("web", DNS_TYPE_A, 7, false, q);

	(void)state;
	q[2] |= 0x80;
	(void)sim_udp_send(l->loop, l->udp, NULL, &resolver_ep, q, n);
	assert_int_equal(dns_msg_rcode(udp_answer(l)), DNS_FORMERR);
	lab_free(l);
}

static void a_flood_is_dropped_at_the_limit_and_the_first_are_still_answered(void **state)
{
	struct lab *l = lab_new(&(struct lab_options){.seed = 7, .queries_max = 8});
	unsigned int got = 0;

	(void)state;
	for (unsigned int i = 0; i < 100; i++)
		udp_ask(l, "www.example.org", DNS_TYPE_A, (uint16_t)i, false);
	turn(l, 2000);
	assert_int_equal(l->forwarder.asked, 8);
	assert_int_equal(dns_server_pending(l->server), 8);
	while (fake_answer(&l->forwarder))
		;
	while (udp_answer(l).n > 0)
		got++;
	assert_int_equal(got, 8);
	assert_int_equal(dns_server_pending(l->server), 0);
	lab_free(l);
}

static void a_pod_nobody_knows_waits_five_seconds_then_gets_servfail(void **state)
{
	struct lab *l = lab_new(&(struct lab_options){.seed = 8});
	const struct workload *self = l->self;
	uint64_t start;
	struct span a = {0};

	(void)state;
	l->self = NULL;
	udp_ask(l, "web", DNS_TYPE_A, 1, false);
	assert_int_equal(udp_answer(l).n, 0);
	l->self = self; /* a mesh that knows it arrives */
	for (unsigned int i = 0; i < 1000 && a.n == 0; i++) {
		sim_advance(l->loop, 10);
		a = udp_answer(l);
	}
	assert_int_equal(dns_msg_rcode(a), DNS_NOERROR);
	l->self = NULL;
	start = loop_now_ms(l->loop);
	udp_ask(l, "web", DNS_TYPE_A, 2, false);
	for (a.n = 0; a.n == 0;) {
		sim_advance(l->loop, 10);
		a = udp_answer(l);
	}
	assert_int_equal(dns_msg_rcode(a), DNS_SERVFAIL);
	assert_in_range(loop_now_ms(l->loop) - start, DNS_WHO_WAIT_MS, DNS_WHO_WAIT_MS + 500);
	l->self = self;
	lab_free(l);
}

static void a_captured_question_is_answered_as_the_resolver_it_was_meant_for(void **state)
{
	struct lab *l = lab_new(&(struct lab_options){.seed = 9, .raw = true});
	struct endpoint far = {.ip = {.family = IP_V4, .bytes = {8, 8, 8, 8}}, .port = 53};
	struct endpoint client = {.ip = {.family = IP_V4, .bytes = {192, 0, 2, 2}}, .port = 4444};
	struct endpoint raw_way = {.ip = client.ip, .port = 0};
	int at_client = sim_udp(l->loop, &raw_way, false); /* where raw packets arrive */
	struct endpoint from;
	uint8_t q[600], packet[600];
	size_t n = question("web", DNS_TYPE_A, 7, false, q);
	ssize_t got = -EAGAIN;

	(void)state;
	(void)sim_udp_send(l->loop, l->udp, &client, &far, q, n);
	for (unsigned int i = 0; i < 200 && got < 0; i++) {
		loop_turn(l->loop, 0);
		got = sim_udp_recv(l->loop, at_client, packet, sizeof(packet), &from);
	}
	assert_true(got > 28);
	assert_int_equal(packet[0], 0x45);
	assert_memory_equal(packet + 12, far.ip.bytes, 4);
	assert_memory_equal(packet + 16, client.ip.bytes, 4);
	assert_memory_equal(packet + 20, ((uint8_t[]){0, 53, 4444 >> 8, 4444 & 0xff}), 4);
	assert_int_equal(dns_msg_id(span_of(packet + 28, (size_t)got - 28)), 7);
	loop_close(l->loop, at_client);
	lab_free(l);
}

/* ---- TCP ---- */

static void forget(struct op *op)
{
	(void)op;
}

static int tcp_connect(struct lab *l)
{
	struct op *op = mem_new(sizeof(*op));
	struct sockaddr_storage ss;
	socklen_t len = endpoint_to_sockaddr(&tcp_ep, false, &ss);
	int fd = sim_socket(l->loop);

	loop_connect(l->loop, op, fd, (struct sockaddr *)&ss, len, forget);
	for (unsigned int i = 0; i < 1000 && op->pending; i++)
		loop_turn(l->loop, 0);
	assert_false(op->pending);
	assert_int_equal(op->res, 0);
	free(op);
	return fd;
}

static void tcp_ask(struct lab *l, int fd, const char *name, uint16_t type, uint16_t id)
{
	uint8_t q[602];
	size_t n = question(name, type, id, false, q + 2);

	q[0] = (uint8_t)(n >> 8);
	q[1] = (uint8_t)n;
	assert_int_equal(sim_write(l->loop, fd, q, n + 2), n + 2);
}

/* Exactly n octets; false at the end of the stream. */
static bool tcp_read(struct lab *l, int fd, uint8_t *mem, size_t n)
{
	size_t got = 0;

	for (unsigned int i = 0; i < 5000 && got < n; i++) {
		ssize_t rc = sim_read(l->loop, fd, mem + got, n - got);

		if (rc == 0 || rc == -ECONNRESET)
			return false;
		if (rc > 0)
			got += (size_t)rc;
		else
			loop_turn(l->loop, 0);
	}
	assert_int_equal(got, n);
	return true;
}

static struct span tcp_answer(struct lab *l, int fd)
{
	uint8_t len[2];
	size_t n;

	if (!tcp_read(l, fd, len, 2))
		return span_of(l->mem, 0);
	n = (size_t)len[0] << 8 | len[1];
	assert_true(tcp_read(l, fd, l->mem, n));
	return span_of(l->mem, n);
}

static void over_tcp_256_addresses_come_whole(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct lab *l = lab_new(&(struct lab_options){.seed = seed});
		int fd = tcp_connect(l);
		struct span a;

		tcp_ask(l, fd, "crowd", DNS_TYPE_A, 5);
		a = tcp_answer(l, fd);
		assert_false(dns_msg_truncated(a));
		assert_int_equal(count_answers(a), CROWD);
		loop_close(l->loop, fd);
		lab_free(l);
	}
}

static void pipelined_questions_are_all_answered_however_they_are_cut(void **state)
{
	enum { MANY = 40 };

	(void)state;
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct lab *l = lab_new(&(struct lab_options){.seed = seed});
		int fd = tcp_connect(l);
		bool seen[MANY] = {false};

		for (unsigned int i = 0; i < MANY; i++)
			tcp_ask(l, fd, i % 3 == 0 ? "www.example.org" : "web", DNS_TYPE_A,
			        (uint16_t)i);
		loop_shutdown(l->loop, fd, SHUT_WR); /* and still gets all answers */
		for (unsigned int i = 0; i < 3000; i++) {
			loop_turn(l->loop, 0);
			assert_in_range(l->forwarder.count, 0, DNS_PIPELINE_MAX);
			if (i % 7 == 0)
				(void)fake_answer(&l->forwarder);
		}
		for (unsigned int i = 0; i < MANY; i++) {
			struct span a = tcp_answer(l, fd);

			assert_true(a.n >= DNS_HEADER_LEN);
			assert_false(seen[dns_msg_id(a)]);
			seen[dns_msg_id(a)] = true;
		}
		assert_int_equal(tcp_answer(l, fd).n, 0);
		loop_close(l->loop, fd);
		lab_free(l);
	}
}

static void a_silent_tcp_client_is_closed_after_five_seconds(void **state)
{
	struct lab *l = lab_new(&(struct lab_options){.seed = 11});
	int fd = tcp_connect(l);
	uint64_t start = loop_now_ms(l->loop);
	uint8_t one;
	ssize_t rc;

	(void)state;
	tcp_ask(l, fd, "web", DNS_TYPE_A, 1);
	assert_true(tcp_answer(l, fd).n > 0);
	assert_int_equal(sim_write(l->loop, fd, "\0", 1), 1); /* half a length */
	do {
		sim_advance(l->loop, 100);
		loop_turn(l->loop, 0);
		rc = sim_read(l->loop, fd, &one, 1);
	} while (rc == -EAGAIN);
	assert_in_range(loop_now_ms(l->loop) - start, DNS_TCP_IDLE_MS, DNS_TCP_IDLE_MS + 1000);
	loop_close(l->loop, fd);
	lab_free(l);
}

static void nonsense_over_tcp_ends_the_connection(void **state)
{
	struct lab *l = lab_new(&(struct lab_options){.seed = 12});
	static const uint8_t tiny[] = {0, 3, 1, 2, 3};
	static const uint8_t vast[] = {0xff, 0xff, 1, 2, 3};
	int a = tcp_connect(l), b = tcp_connect(l);

	(void)state;
	(void)sim_write(l->loop, a, tiny, sizeof(tiny));
	(void)sim_write(l->loop, b, vast, sizeof(vast));
	assert_int_equal(tcp_answer(l, a).n, 0);
	assert_int_equal(tcp_answer(l, b).n, 0);
	loop_close(l->loop, a);
	loop_close(l->loop, b);
	lab_free(l);
}

static void of_too_many_tcp_clients_the_longest_idle_makes_room(void **state)
{
	struct lab *l = lab_new(&(struct lab_options){.seed = 13, .tcp_clients_max = 2});
	int a = tcp_connect(l), b, c;

	(void)state;
	tcp_ask(l, a, "web", DNS_TYPE_A, 1);
	assert_true(tcp_answer(l, a).n > 0);
	b = tcp_connect(l);
	tcp_ask(l, b, "web", DNS_TYPE_A, 1);
	assert_true(tcp_answer(l, b).n > 0);
	c = tcp_connect(l);
	tcp_ask(l, c, "web", DNS_TYPE_A, 2);
	assert_true(tcp_answer(l, c).n > 0);
	assert_int_equal(tcp_answer(l, a).n, 0); /* closed */
	tcp_ask(l, b, "web", DNS_TYPE_A, 3);
	assert_true(tcp_answer(l, b).n > 0);
	loop_close(l->loop, a);
	loop_close(l->loop, b);
	loop_close(l->loop, c);
	lab_free(l);
}

/* ---- the end ---- */

static void a_drain_answers_what_is_on_its_way_and_takes_nothing_new(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct lab *l = lab_new(&(struct lab_options){.seed = seed});
		int fd = tcp_connect(l);

		udp_ask(l, "www.example.org", DNS_TYPE_A, 1, false);
		tcp_ask(l, fd, "www.example.org", DNS_TYPE_A, 2);
		for (unsigned int i = 0; i < 5000 && l->forwarder.asked < 2; i++)
			loop_turn(l->loop, 0);
		assert_int_equal(l->forwarder.asked, 2);
		dns_server_stop(l->server, 60000);
		turn(l, 50);
		assert_false(l->stopped);
		while (fake_answer(&l->forwarder))
			;
		assert_int_equal(dns_msg_rcode(udp_answer(l)), DNS_NXDOMAIN);
		assert_int_equal(dns_msg_rcode(tcp_answer(l, fd)), DNS_NXDOMAIN);
		for (unsigned int i = 0; i < TURNS_MAX && !l->stopped; i++)
			loop_turn(l->loop, 0);
		assert_true(l->stopped);
		assert_int_equal(l->forwarder.cancelled, 0);
		loop_close(l->loop, fd);
		loop_close(l->loop, l->udp);
		turn(l, 2);
		assert_int_equal(sim_open_sockets(l->loop), 0);
		loop_free(l->loop);
		mesh_unref(l->mesh);
		buf_fini(&l->forwarder.answer);
		free(l);
	}
}

static void stopping_at_any_turn_lands_every_op(void **state)
{
	(void)state;
	for (unsigned int cut = 0; cut < 60; cut++) {
		struct lab *l = lab_new(&(struct lab_options){.seed = cut});
		const struct workload *self = l->self;
		int fd = tcp_connect(l);

		if (cut % 3 == 0)
			l->self = NULL; /* parked ones land as well */
		for (unsigned int i = 0; i < 6; i++) {
			udp_ask(l, i % 2 == 0 ? "www.example.org" : "crowd", DNS_TYPE_A,
			        (uint16_t)i, true);
			tcp_ask(l, fd, i % 2 == 0 ? "www.example.org" : "crowd", DNS_TYPE_A,
			        (uint16_t)i);
		}
		turn(l, cut);
		l->self = self;
		loop_close(l->loop, fd);
		lab_free(l);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_mesh_name_is_answered_with_authority_and_a_ttl_of_30),
		cmocka_unit_test(another_name_is_forwarded_octet_by_octet),
		cmocka_unit_test(another_opcode_is_forwarded_as_well),
		cmocka_unit_test(a_nameserver_that_fails_is_servfail),
		cmocka_unit_test(an_answer_too_long_for_udp_is_cut_with_tc_at_the_clients_length),
		cmocka_unit_test(what_must_not_be_answered_is_not),
		cmocka_unit_test(a_response_sent_as_a_query_is_formerr),
		cmocka_unit_test(a_flood_is_dropped_at_the_limit_and_the_first_are_still_answered),
		cmocka_unit_test(a_pod_nobody_knows_waits_five_seconds_then_gets_servfail),
		cmocka_unit_test(a_captured_question_is_answered_as_the_resolver_it_was_meant_for),
		cmocka_unit_test(over_tcp_256_addresses_come_whole),
		cmocka_unit_test(pipelined_questions_are_all_answered_however_they_are_cut),
		cmocka_unit_test(a_silent_tcp_client_is_closed_after_five_seconds),
		cmocka_unit_test(nonsense_over_tcp_ends_the_connection),
		cmocka_unit_test(of_too_many_tcp_clients_the_longest_idle_makes_room),
		cmocka_unit_test(a_drain_answers_what_is_on_its_way_and_takes_nothing_new),
		cmocka_unit_test(stopping_at_any_turn_lands_every_op),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
