/* SPDX-License-Identifier: Apache-2.0 */
/* Against nameservers on the loopback, turned by the test between two turns of the loop. */
#include "common/dns/dns_upstream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/dns/dns_msg.h"

enum {
	TURNS_MAX = 20000,
	SERVERS_MAX = 2,
	BIG = 200, /* addresses of an answer that does not fit a datagram */
};

enum behaviour {
	ANSWERS,  /* with one address */
	NOBODY,   /* NXDOMAIN with a SOA */
	REFUSES,  /* REFUSED */
	SILENT,   /* nothing */
	TOO_LONG, /* TC over UDP, all of it over TCP */
	LIES, /* first an answer with another id, then one to another question, then the right one */
};

struct nameserver {
	int udp, tcp;
	int conn; /* accepted, until its question has come; 0: none */
	struct ip ip;
	uint16_t port;
	enum behaviour behaviour;
	unsigned int udp_asked, tcp_asked;
	uint8_t last[600]; /* the last query */
	size_t last_len;
};

struct lab {
	struct loop *loop;
	struct snapshot_cell *cell;
	struct dns_upstream *upstream;
	struct dns_sockets sockets;
	unsigned int opened;
	bool no_sockets;
	struct nameserver servers[SERVERS_MAX];
	size_t server_count;
};

/* ---- nameservers ---- */

static int bound(int type, const struct ip *ip, uint16_t port)
{
	int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct endpoint ep = {.ip = *ip, .port = port};
	struct sockaddr_storage ss;
	socklen_t len = endpoint_to_sockaddr(&ep, false, &ss);

	assert_true(fd >= 0);
	if (bind(fd, (struct sockaddr *)&ss, len) != 0) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

static void nameserver_open(struct nameserver *n, uint8_t last_octet, uint16_t port)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	n->ip = (struct ip){.family = IP_V4, .bytes = {127, 0, 0, last_octet}};
	for (unsigned int tries = 0; tries < 50; tries++) {
		n->tcp = bound(SOCK_STREAM, &n->ip, port);
		if (n->tcp < 0)
			continue;
		assert_int_equal(listen(n->tcp, 8), 0);
		assert_int_equal(getsockname(n->tcp, (struct sockaddr *)&ss, &len), 0);
		n->port = endpoint_of_sockaddr(&ss).port;
		n->udp = bound(SOCK_DGRAM, &n->ip, n->port);
		if (n->udp >= 0)
			return;
		(void)close(n->tcp);
	}
	fail_msg("no port that is free for UDP and TCP");
}

static void put_answer(struct span query, const struct dns_reply *r, size_t len_max,
                       struct buf *out)
{
	struct dns_query q;

	assert_int_equal(dns_query_read(query, &q), DNS_ASK);
	assert_int_equal(dns_reply_write(&q, r, len_max, out), ERR_OK);
}

/* A SOA record whose minimum and TTL are 60. */
static void put_soa(struct buf *out)
{
	static const uint8_t soa[] = {0xc0, 12, 0, 6, 0, 1, 0, 0, 0, 60, 0, 22, 0, 0, 0, 0, 0,
	                              1,    0,  0, 0, 1, 0, 0, 0, 1, 0,  0, 0,  1, 0, 0, 0, 60};

	buf_put(out, span_of(soa, sizeof(soa)));
	out->p[9] = 1;
}

static void compose(const struct nameserver *n, struct span query, bool tcp, struct buf *out)
{
	struct ip addrs[BIG];
	struct dns_reply r = {.authoritative = true, .addrs = addrs, .addr_count = 1};

	for (unsigned int i = 0; i < BIG; i++)
		addrs[i] = (struct ip){.family = IP_V4, .bytes = {192, 0, 2, (uint8_t)i}};
	switch (n->behaviour) {
	case ANSWERS:
	case LIES: break;
	case NOBODY: r = (struct dns_reply){.rcode = DNS_NXDOMAIN}; break;
	case REFUSES: r = (struct dns_reply){.rcode = DNS_REFUSED}; break;
	case SILENT: return;
	case TOO_LONG: r.addr_count = BIG; break;
	}
	put_answer(query, &r, tcp ? DNS_MSG_MAX : DNS_UDP_LEN, out);
	if (n->behaviour == NOBODY)
		put_soa(out);
}

static void send_lies(const struct nameserver *n, struct buf *out,
                      const struct sockaddr_storage *to, socklen_t len)
{
	out->p[0] ^= 0x55;
	(void)sendto(n->udp, out->p, out->n, 0, (const struct sockaddr *)to, len);
	out->p[0] ^= 0x55;
	out->p[DNS_HEADER_LEN + 1] ^= 0x01;
	(void)sendto(n->udp, out->p, out->n, 0, (const struct sockaddr *)to, len);
	out->p[DNS_HEADER_LEN + 1] ^= 0x01;
}

static void remember(struct nameserver *n, const uint8_t *msg, size_t len)
{
	assert_true(len <= sizeof(n->last));
	memcpy(n->last, msg, len);
	n->last_len = len;
}

static void serve_udp(struct nameserver *n)
{
	struct sockaddr_storage from;
	socklen_t from_len = sizeof(from);
	uint8_t msg[600];
	ssize_t len = recvfrom(n->udp, msg, sizeof(msg), 0, (struct sockaddr *)&from, &from_len);
	struct buf out;

	if (len < 0)
		return;
	n->udp_asked++;
	remember(n, msg, (size_t)len);
	buf_init(&out, DNS_MSG_MAX);
	compose(n, span_of(msg, (size_t)len), false, &out);
	if (n->behaviour == LIES)
		send_lies(n, &out, &from, from_len);
	if (out.n > 0)
		(void)sendto(n->udp, out.p, out.n, 0, (struct sockaddr *)&from, from_len);
	buf_fini(&out);
}

/* One question a connection, which comes in one piece. */
static void serve_tcp(struct nameserver *n)
{
	uint8_t msg[602], len[2];
	struct buf out;
	ssize_t got;
	int fd;

	if (n->conn == 0) {
		fd = accept4(n->tcp, NULL, NULL, SOCK_CLOEXEC);
		n->conn = fd >= 0 ? fd : 0;
	}
	fd = n->conn;
	got = fd > 0 ? recv(fd, msg, sizeof(msg), MSG_DONTWAIT) : -1;
	if (got < 0)
		return;
	n->conn = 0;
	if (got <= 2) {
		(void)close(fd);
		return;
	}
	n->tcp_asked++;
	remember(n, msg + 2, (size_t)got - 2);
	buf_init(&out, DNS_MSG_MAX);
	compose(n, span_of(msg + 2, (size_t)got - 2), true, &out);
	len[0] = (uint8_t)(out.n >> 8);
	len[1] = (uint8_t)out.n;
	if (out.n > 0) {
		assert_int_equal(send(fd, len, 2, MSG_NOSIGNAL), 2);
		assert_int_equal(send(fd, out.p, out.n, MSG_NOSIGNAL), out.n);
	}
	buf_fini(&out);
	(void)close(fd);
}

/* ---- the lab ---- */

static void open_socket(struct dns_sockets *s, struct loop *loop, struct dns_socket_ask *ask,
                        op_done_fn *done)
{
	struct lab *l = container_of(s, struct lab, sockets);

	l->opened++;
	if (l->no_sockets)
		loop_post(loop, &ask->op, -EMFILE, done);
	else
		dns_sockets_here.open(&dns_sockets_here, loop, ask, done);
}

static void conf_free(struct snapshot *s)
{
	free(container_of(s, struct resolv_conf, snapshot));
}

static void publish(struct lab *l, size_t first, size_t count)
{
	struct resolv_conf *c = mem_new(sizeof(*c));

	resolv_conf_parse(span_str("options timeout:1 attempts:2\n"), c, NULL, NULL);
	c->timeout_ms = 200; /* a test that waits for nobody should not wait long */
	for (size_t i = 0; i < count; i++)
		c->servers[c->server_count++] = l->servers[first + i].ip;
	snapshot_init(&c->snapshot, conf_free);
	snapshot_publish(l->cell, &c->snapshot);
}

static struct lab *lab_new(size_t servers, enum behaviour behaviour)
{
	struct lab *l = mem_new(sizeof(*l));
	struct dns_upstream_options opt = {.sockets = &l->sockets, .asks_max = 32};

	l->sockets.open = open_socket;
	assert_int_equal(loop_uring_new(NULL, &l->loop), ERR_OK);
	l->cell = snapshot_cell_new();
	l->server_count = servers;
	for (size_t i = 0; i < servers; i++) {
		nameserver_open(&l->servers[i], (uint8_t)(1 + i), i > 0 ? l->servers[0].port : 0);
		l->servers[i].behaviour = behaviour;
	}
	publish(l, 0, servers);
	opt.config = l->cell;
	opt.port = servers > 0 ? l->servers[0].port : 1;
	l->upstream = dns_upstream_new(l->loop, &opt);
	return l;
}

static void turn(struct lab *l)
{
	loop_turn(l->loop, 1);
	for (size_t i = 0; i < l->server_count; i++) {
		serve_udp(&l->servers[i]);
		serve_tcp(&l->servers[i]);
	}
}

static void lab_free(struct lab *l)
{
	dns_upstream_free(l->upstream);
	for (unsigned int i = 0; i < TURNS_MAX && loop_pending(l->loop) > 0; i++)
		turn(l);
	loop_turn(l->loop, 0);
	assert_int_equal(loop_pending(l->loop), 0);
	loop_free(l->loop);
	snapshot_cell_free(l->cell);
	for (size_t i = 0; i < l->server_count; i++) {
		(void)close(l->servers[i].udp);
		if (l->servers[i].conn > 0)
			(void)close(l->servers[i].conn);
		(void)close(l->servers[i].tcp);
	}
	free(l);
}

struct asking {
	struct dns_ask ask;
	struct buf query, answer;
	unsigned int calls;
};

static void on_answer(struct dns_ask *a)
{
	struct asking *q = container_of(a, struct asking, ask);

	q->calls++;
	buf_put(&q->answer, a->ret_answer);
}

static void prepare(struct asking *q, const char *name, uint16_t type, bool edns)
{
	struct dns_name n;

	*q = (struct asking){.calls = 0};
	buf_init(&q->query, 600);
	buf_init(&q->answer, DNS_MSG_MAX);
	assert_int_equal(dns_name_parse(span_str(name), &n), ERR_OK);
	dns_question_write(&n, type, 0xabcd, edns, &q->query);
	q->ask.query = buf_span(&q->query);
	q->ask.done = on_answer;
}

static void start(struct lab *l, struct asking *q, const char *name, uint16_t type, bool edns)
{
	prepare(q, name, type, edns);
	dns_ask(dns_upstream_forwarder(l->upstream), &q->ask);
	assert_int_equal(q->calls, 0); /* never inside */
}

static void await(struct lab *l, const struct asking *q)
{
	for (unsigned int i = 0; i < TURNS_MAX && q->calls == 0; i++)
		turn(l);
	assert_int_equal(q->calls, 1);
}

static void end(struct asking *q)
{
	buf_fini(&q->query);
	buf_fini(&q->answer);
}

static unsigned int count_answers(const struct asking *q, uint32_t *ret_ttl)
{
	struct dns_walk w;
	struct dns_record r;
	unsigned int count = 0;

	assert_int_equal(dns_walk_start(&w, buf_span(&q->answer)), ERR_OK);
	while (dns_walk_next(&w, &r)) {
		count += r.section == 1;
		*ret_ttl = r.ttl;
	}
	return count;
}

/* ---- claims ---- */

static void a_query_goes_out_as_it_came_but_for_its_id(void **state)
{
	struct lab *l = lab_new(1, ANSWERS);
	struct asking q;
	uint32_t ttl = 0;

	(void)state;
	start(l, &q, "WwW.ExAmPle.org", 4711, true);
	await(l, &q);
	assert_int_equal(q.ask.ret_err, ERR_OK);
	assert_int_equal(l->servers[0].last_len, q.query.n);
	assert_memory_equal(l->servers[0].last + 2, q.query.p + 2, q.query.n - 2);
	assert_int_equal(dns_msg_id(buf_span(&q.answer)), 0xabcd);
	assert_int_equal(q.answer.p[2] & 0x04, 0); /* the nameserver's AA is not ours */
	assert_int_equal(count_answers(&q, &ttl), 1);
	assert_int_equal(l->servers[0].tcp_asked, 0);
	end(&q);
	lab_free(l);
}

static void another_opcode_is_asked_like_any_query(void **state)
{
	struct lab *l = lab_new(1, SILENT);
	struct asking q;

	(void)state;
	prepare(&q, "example.org", DNS_TYPE_SOA, false);
	q.query.p[2] = 4 << 3; /* NOTIFY */
	dns_ask(dns_upstream_forwarder(l->upstream), &q.ask);
	await(l, &q);
	assert_int_equal(l->servers[0].last[2], 4 << 3);
	end(&q);
	lab_free(l);
}

static void an_answer_too_long_for_udp_comes_by_tcp(void **state)
{
	struct lab *l = lab_new(1, TOO_LONG);
	struct asking q;
	uint32_t ttl = 0;

	(void)state;
	start(l, &q, "big.example.org", DNS_TYPE_A, false);
	await(l, &q);
	assert_int_equal(q.ask.ret_err, ERR_OK);
	assert_int_equal(count_answers(&q, &ttl), BIG);
	assert_int_equal(l->servers[0].udp_asked, 1);
	assert_int_equal(l->servers[0].tcp_asked, 1);
	end(&q);
	lab_free(l);
}

static void a_nameserver_that_refuses_or_is_silent_is_passed_over(void **state)
{
	static const enum behaviour first[] = {REFUSES, SILENT};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(first); i++) {
		struct lab *l = lab_new(2, ANSWERS);
		struct asking q;
		uint32_t ttl = 0;

		l->servers[0].behaviour = first[i];
		start(l, &q, "www.example.org", DNS_TYPE_A, false);
		await(l, &q);
		assert_int_equal(q.ask.ret_err, ERR_OK);
		assert_int_equal(count_answers(&q, &ttl), 1);
		assert_int_equal(l->servers[1].udp_asked, 1);
		end(&q);
		lab_free(l);
	}
}

static void codes_of_nameservers_are_passed_on(void **state)
{
	struct lab *l = lab_new(1, NOBODY);
	struct asking q;

	(void)state;
	start(l, &q, "nobody.example.org", DNS_TYPE_A, true);
	await(l, &q);
	assert_int_equal(q.ask.ret_err, ERR_OK);
	assert_int_equal(dns_msg_rcode(buf_span(&q.answer)), DNS_NXDOMAIN);
	end(&q);
	l->servers[0].behaviour = REFUSES;
	start(l, &q, "else.example.org", DNS_TYPE_A, true);
	await(l, &q);
	assert_int_equal(q.ask.ret_err, ERR_OK);
	assert_int_equal(dns_msg_rcode(buf_span(&q.answer)), DNS_REFUSED);
	assert_int_equal(dns_msg_id(buf_span(&q.answer)), 0xabcd);
	end(&q);
	lab_free(l);
}

static void nobody_answering_is_an_error_after_every_try(void **state)
{
	struct lab *l = lab_new(1, SILENT);
	struct asking q;

	(void)state;
	start(l, &q, "www.example.org", DNS_TYPE_A, false);
	await(l, &q);
	assert_int_equal(q.ask.ret_err, ERR_DNS);
	assert_int_equal(q.answer.n, 0);
	assert_int_equal(l->servers[0].udp_asked, 2);
	end(&q);
	lab_free(l);
}

static void answers_to_other_questions_are_not_believed(void **state)
{
	struct lab *l = lab_new(1, LIES);
	struct asking q;

	(void)state;
	start(l, &q, "www.example.org", DNS_TYPE_A, false);
	await(l, &q);
	assert_int_equal(q.ask.ret_err, ERR_OK);
	assert_memory_equal(q.answer.p + DNS_HEADER_LEN, q.query.p + DNS_HEADER_LEN, 17);
	end(&q);
	lab_free(l);
}

static void a_second_question_is_answered_from_memory(void **state)
{
	struct lab *l = lab_new(1, ANSWERS);
	struct asking q;
	uint32_t ttl = 0;

	(void)state;
	start(l, &q, "www.example.org", DNS_TYPE_A, false);
	await(l, &q);
	assert_false(q.ask.ret_cached);
	end(&q);
	start(l, &q, "WWW.example.ORG", DNS_TYPE_A, false);
	await(l, &q);
	assert_true(q.ask.ret_cached);
	assert_int_equal(count_answers(&q, &ttl), 1);
	assert_true(ttl <= 30);
	assert_memory_equal(q.answer.p + DNS_HEADER_LEN, q.query.p + DNS_HEADER_LEN, 17);
	assert_int_equal(l->servers[0].udp_asked, 1);
	end(&q);
	lab_free(l);
}

static void too_many_questions_at_once_are_refused(void **state)
{
	enum { MANY = 40 };
	struct lab *l = lab_new(1, SILENT);
	struct asking *q = mem_new(MANY * sizeof(*q));
	unsigned int refused = 0;

	(void)state;
	for (unsigned int i = 0; i < MANY; i++)
		start(l, &q[i], "www.example.org", (uint16_t)(1000 + i), false);
	for (unsigned int i = 0; i < MANY; i++) {
		await(l, &q[i]);
		refused += q[i].ask.ret_err == ERR_OVERLOAD;
		end(&q[i]);
	}
	assert_int_equal(refused, MANY - 32);
	free(q);
	lab_free(l);
}

static void without_nameservers_or_sockets_a_question_fails_and_a_later_one_works(void **state)
{
	struct lab *l = lab_new(1, ANSWERS);
	struct asking q;

	(void)state;
	publish(l, 0, 0);
	start(l, &q, "www.example.org", DNS_TYPE_A, false);
	await(l, &q);
	assert_int_equal(q.ask.ret_err, ERR_DNS);
	end(&q);
	publish(l, 0, 1);
	l->no_sockets = true;
	start(l, &q, "www.example.org", DNS_TYPE_A, false);
	await(l, &q);
	assert_int_not_equal(q.ask.ret_err, ERR_OVERLOAD);
	assert_true(q.ask.ret_err != ERR_OK || dns_msg_rcode(buf_span(&q.answer)) == DNS_SERVFAIL);
	end(&q);
	l->no_sockets = false;
	start(l, &q, "www.example.org", DNS_TYPE_A, false);
	await(l, &q);
	assert_int_equal(q.ask.ret_err, ERR_OK);
	assert_int_equal(dns_msg_rcode(buf_span(&q.answer)), DNS_NOERROR);
	end(&q);
	lab_free(l);
}

static void a_changed_resolv_conf_is_used_by_the_next_question(void **state)
{
	struct lab *l = lab_new(2, ANSWERS);
	struct asking q, slow;

	(void)state;
	publish(l, 0, 1);
	l->servers[0].behaviour = SILENT;
	start(l, &slow, "slow.example.org", DNS_TYPE_A, false);
	for (unsigned int i = 0; i < TURNS_MAX && l->servers[0].udp_asked == 0; i++)
		turn(l);
	publish(l, 1, 1);
	start(l, &q, "www.example.org", DNS_TYPE_A, false);
	await(l, &q);
	assert_int_equal(q.ask.ret_err, ERR_OK);
	assert_int_equal(l->servers[1].udp_asked, 1);
	l->servers[0].behaviour = ANSWERS; /* what was on its way ends as it was */
	await(l, &slow);
	assert_int_equal(slow.ask.ret_err, ERR_OK);
	end(&q);
	end(&slow);
	lab_free(l);
}

static void a_cancelled_question_ends_soon_and_its_answer_comes_to_nobody(void **state)
{
	(void)state;
	for (unsigned int cut = 0; cut < 8; cut++) {
		struct lab *l = lab_new(1, ANSWERS);
		struct asking q, other;

		start(l, &q, "www.example.org", DNS_TYPE_A, false);
		start(l, &other, "other.example.org", DNS_TYPE_A, false);
		for (unsigned int i = 0; i < cut && q.calls == 0; i++)
			turn(l);
		dns_ask_cancel(dns_upstream_forwarder(l->upstream), &q.ask);
		await(l, &q);
		await(l, &other);
		assert_int_equal(other.ask.ret_err, ERR_OK);
		end(&q);
		end(&other);
		lab_free(l);
	}
}

static void freed_at_any_turn_every_question_ends_and_every_op_lands(void **state)
{
	(void)state;
	for (unsigned int cut = 0; cut < 10; cut++) {
		struct lab *l = lab_new(1, cut % 2 == 0 ? SILENT : TOO_LONG);
		struct asking q;

		start(l, &q, "www.example.org", DNS_TYPE_A, false);
		for (unsigned int i = 0; i < cut; i++)
			turn(l);
		lab_free(l);
		assert_int_equal(q.calls, 1);
		end(&q);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_query_goes_out_as_it_came_but_for_its_id),
		cmocka_unit_test(another_opcode_is_asked_like_any_query),
		cmocka_unit_test(an_answer_too_long_for_udp_comes_by_tcp),
		cmocka_unit_test(a_nameserver_that_refuses_or_is_silent_is_passed_over),
		cmocka_unit_test(codes_of_nameservers_are_passed_on),
		cmocka_unit_test(nobody_answering_is_an_error_after_every_try),
		cmocka_unit_test(answers_to_other_questions_are_not_believed),
		cmocka_unit_test(a_second_question_is_answered_from_memory),
		cmocka_unit_test(too_many_questions_at_once_are_refused),
		cmocka_unit_test(
			without_nameservers_or_sockets_a_question_fails_and_a_later_one_works),
		cmocka_unit_test(a_changed_resolv_conf_is_used_by_the_next_question),
		cmocka_unit_test(a_cancelled_question_ends_soon_and_its_answer_comes_to_nobody),
		cmocka_unit_test(freed_at_any_turn_every_question_ends_and_every_op_lands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
