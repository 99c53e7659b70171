/* SPDX-License-Identifier: Apache-2.0 */
#include "common/dns/dns_server.h"

#include <errno.h>
#include <stdlib.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/dns/dns_query_end.h"
#include "common/dns/dns_tcp_conn.h"
#include "common/dns/udp_packet.h"
#include "common/io/timer.h"

enum {
	PARK_MS = 100,       /* how often the mesh is asked again whose pod it is */
	RETRY_MS = 100,      /* after a socket failed: whatever it is, it is no reason to spin */
	SAFE_UDP_LEN = 1232, /* octets that pass every way unfragmented, DNS flag day 2020 */
};

/* A question that came over UDP, until its answer has left. */
struct dgram_query {
	struct dns_query_end end;
	struct list link;
	struct dns_server *server;
	struct endpoint from, to;
	socklen_t name_len; /* of send.name: who asked, as the socket says it */
	struct op_dgram send;
	struct buf packet; /* of a raw socket */
	bool shortened;
	uint8_t msg[];
};

struct dns_server {
	struct dns_tcp_owner tcp; /* of the conns */
	struct loop *loop;
	struct dns_server_options opt;
	struct dns_judge judge;
	struct op_dgram recv;
	struct op accept;
	struct timer recv_retry, accept_retry, park_timer, grace;
	struct list queries; /* of dgram_query */
	struct list conns;
	size_t conn_count;
	struct list parked; /* of dns_query_end, of either kind */
	size_t pending;     /* questions of either kind */
	bool stopping;
	bool over;
	struct loop_retired retired;
	uint8_t mem[DNS_QUERY_LEN_MAX];
};

static void end_if_landed(struct dns_server *s);

/* ---- questions, however they came ---- */

static void drop(const struct dns_server *s, const char *reason)
{
	if (s->opt.metrics != NULL)
		metrics_add_for(s->opt.metrics, METRIC_DNS_DROPPED, METRIC_LABELS(reason), 1);
}

static bool query_begins(struct dns_tcp_owner *o)
{
	struct dns_server *s = container_of(o, struct dns_server, tcp);

	if (s->pending >= s->opt.queries_max) {
		drop(s, "overload");
		return false;
	}
	s->pending++;
	return true;
}

static void query_ends(struct dns_tcp_owner *o)
{
	container_of(o, struct dns_server, tcp)->pending--;
}

static void park(struct dns_tcp_owner *o, struct dns_query_end *e)
{
	struct dns_server *s = container_of(o, struct dns_server, tcp);

	list_push(&s->parked, &e->parked);
	if (!timer_armed(&s->park_timer))
		timer_arm(s->loop, &s->park_timer, PARK_MS);
}

/* Those still parked are at the end of the list again; one round looks at each once. */
static void on_park_timer(struct timer *t)
{
	struct dns_server *s = container_of(t, struct dns_server, park_timer);
	struct list batch, *n;

	list_init(&batch);
	while ((n = list_shift(&s->parked)) != NULL)
		list_push(&batch, n);
	while ((n = list_shift(&batch)) != NULL) {
		struct dns_query_end *e = list_entry(n, struct dns_query_end, parked);

		switch (dns_query_end_run(e)) {
		case DNS_QUERY_DONE: e->done(e); break;
		case DNS_QUERY_FLIES: break;
		case DNS_QUERY_PARKED: park(&s->tcp, e); break;
		}
	}
}

/* ---- UDP ---- */

static void dgram_end(struct dgram_query *q)
{
	struct dns_server *s = q->server;

	list_remove(&q->link);
	dns_query_end_fini(&q->end);
	buf_fini(&q->packet);
	free(q);
	s->pending--;
	end_if_landed(s);
}

static void dgram_send(struct dgram_query *q);

static void on_dgram_sent(struct op *op)
{
	struct dgram_query *q = container_of(op_dgram_of(op), struct dgram_query, send);

	if (op->res == -EMSGSIZE && !q->shortened && q->end.out.n > SAFE_UDP_LEN) {
		q->shortened = true;
		q->end.out.n = dns_msg_shorten(q->end.out.p, q->end.out.n, SAFE_UDP_LEN);
		dgram_send(q);
		return;
	}
	dgram_end(q); /* an answer that could not leave is a lost datagram: the client asks again */
}

/* The raw socket of the family, unless it was asked at our own address: then the answer leaves from there by itself. */
static int raw_fd_for(const struct dgram_query *q)
{
	if (q->to.ip.family == IP_NONE || ip_is_loopback(&q->to.ip))
		return -1;
	return q->server->opt.raw_fd[q->to.ip.family == IP_V6];
}

static void dgram_send(struct dgram_query *q)
{
	struct dns_server *s = q->server;
	int raw = raw_fd_for(q);
	struct endpoint to = q->from;

	if (raw < 0) {
		loop_send_dgram(s->loop, &q->send, s->opt.udp_fd, q->name_len,
		                buf_span(&q->end.out), on_dgram_sent);
		return;
	}
	buf_clear(&q->packet);
	if (udp_packet_write(&q->to, &q->from, buf_span(&q->end.out), &q->packet) != ERR_OK) {
		dgram_end(q);
		return;
	}
	to.port = 0; /* a raw socket takes it for a protocol */
	loop_send_dgram(s->loop, &q->send, raw, endpoint_to_sockaddr(&to, false, &q->send.name),
	                buf_span(&q->packet), on_dgram_sent);
}

static void on_dgram_answered(struct dns_query_end *e)
{
	struct dgram_query *q = container_of(e, struct dgram_query, end);

	if (e->out.n == 0)
		dgram_end(q);
	else
		dgram_send(q);
}

/* An answer to these would go to nobody, to everybody, or round in circles. */
static bool may_be_answered(const struct dns_server *s, const struct endpoint *from,
                            const struct endpoint *to)
{
	bool raw = s->opt.raw_fd[0] >= 0 || s->opt.raw_fd[1] >= 0;

	return from->port != 0 && from->ip.family != IP_NONE && !ip_is_unspecified(&from->ip) &&
	       !ip_is_multicast(&from->ip) && !endpoint_eq(from, to) &&
	       (to->ip.family != IP_NONE || !raw);
}

static void begin_dgram(struct dns_server *s, size_t len)
{
	struct endpoint from = op_dgram_from(&s->recv), to = op_dgram_to(&s->recv);
	struct dgram_query *q;

	if (op_dgram_cut(&s->recv) || len < DNS_HEADER_LEN || !may_be_answered(s, &from, &to)) {
		drop(s, "malformed");
		return;
	}
	if (!query_begins(&s->tcp))
		return;
	q = malloc(sizeof(*q) + len);
	if (q == NULL) {
		s->pending--;
		drop(s, "overload");
		return;
	}
	*q = (struct dgram_query){.server = s, .from = from, .to = to};
	q->name_len = s->recv.msg.msg.msg_namelen;
	q->send.name = s->recv.name;
	list_push(&s->queries, &q->link);
	buf_init(&q->packet, UDP_PACKET_HEAD_MAX + DNS_MSG_MAX);
	memcpy(q->msg, s->mem, len);
	q->end.msg = span_of(q->msg, len);
	q->end.done = on_dgram_answered;
	dns_query_end_init(&q->end, &s->judge);
	switch (dns_query_end_run(&q->end)) {
	case DNS_QUERY_DONE: on_dgram_answered(&q->end); break;
	case DNS_QUERY_FLIES: break;
	case DNS_QUERY_PARKED: park(&s->tcp, &q->end); break;
	}
}

static void on_dgram(struct op *op);

static void recv_start(struct dns_server *s)
{
	if (!s->stopping && s->opt.udp_fd >= 0)
		loop_recv_dgram(s->loop, &s->recv, s->opt.udp_fd, s->mem, sizeof(s->mem), on_dgram);
}

static void on_dgram(struct op *op)
{
	struct dns_server *s = container_of(op_dgram_of(op), struct dns_server, recv);

	if (op->res >= 0 && !s->stopping)
		begin_dgram(s, (size_t)op->res);
	if (op->res >= 0)
		recv_start(s);
	else if (!s->stopping)
		timer_arm(s->loop, &s->recv_retry, RETRY_MS);
	end_if_landed(s);
}

static void on_recv_retry(struct timer *t)
{
	recv_start(container_of(t, struct dns_server, recv_retry));
}

/* ---- TCP ---- */

static void conn_ended(struct dns_tcp_owner *o, struct dns_tcp_conn *c)
{
	struct dns_server *s = container_of(o, struct dns_server, tcp);

	list_remove(dns_tcp_conn_link(c));
	s->conn_count--;
	end_if_landed(s);
}

/* The one that has been there longest without a question of its on the way makes room. */
static bool evict(struct dns_server *s)
{
	list_for_each (it, &s->conns) {
		struct dns_tcp_conn *c = dns_tcp_conn_of(it);

		if (dns_tcp_conn_idle(c)) {
			dns_tcp_conn_abort(c);
			return true;
		}
	}
	return false;
}

static void conn_start(struct dns_server *s, int fd)
{
	struct dns_tcp_conn *c;

	/* an aborted one counts until it has landed, so that at most twice as many exist */
	if (s->stopping || s->conn_count >= 2 * s->opt.tcp_clients_max ||
	    (s->conn_count >= s->opt.tcp_clients_max && !evict(s))) {
		loop_reset_close(s->loop, fd);
		return;
	}
	c = dns_tcp_conn_new(&s->tcp, fd);
	if (c == NULL)
		return;
	list_push(&s->conns, dns_tcp_conn_link(c));
	s->conn_count++;
}

static void on_accept(struct op *op);

static void accept_start(struct dns_server *s)
{
	if (!s->stopping && s->opt.tcp_fd >= 0 && !s->accept.pending)
		loop_accept(s->loop, &s->accept, s->opt.tcp_fd, on_accept);
}

static void on_accept(struct op *op)
{
	struct dns_server *s = container_of(op, struct dns_server, accept);

	if (op->res >= 0)
		conn_start(s, op->res);
	if (op->pending)
		return;
	if (op->res >= 0)
		accept_start(s);
	else if (!s->stopping)
		timer_arm(s->loop, &s->accept_retry, RETRY_MS);
	end_if_landed(s);
}

static void on_accept_retry(struct timer *t)
{
	accept_start(container_of(t, struct dns_server, accept_retry));
}

/* ---- life ---- */

static void server_destroy(struct loop_retired *r)
{
	struct dns_server *s = container_of(r, struct dns_server, retired);

	free(s->judge.addrs);
	free(s);
}

static void close_fd(struct dns_server *s, int *fd)
{
	if (*fd >= 0)
		loop_close(s->loop, *fd);
	*fd = -1;
}

static void end_if_landed(struct dns_server *s)
{
	if (!s->stopping || s->over || s->recv.msg.op.pending || s->accept.pending ||
	    s->pending > 0 || s->conn_count > 0)
		return;
	s->over = true;
	timer_disarm(&s->recv_retry);
	timer_disarm(&s->accept_retry);
	timer_disarm(&s->park_timer);
	timer_disarm(&s->grace);
	close_fd(s, &s->opt.udp_fd);
	close_fd(s, &s->opt.tcp_fd);
	close_fd(s, &s->opt.raw_fd[0]);
	close_fd(s, &s->opt.raw_fd[1]);
	/* stopped() may come from a done() of the caller's own: it says so from a timer of the loop */
	timer_arm(s->loop, &s->park_timer, 0);
}

static void on_park_or_over(struct timer *t)
{
	struct dns_server *s = container_of(t, struct dns_server, park_timer);

	if (s->over) {
		loop_retire(s->loop, &s->retired, server_destroy);
		s->opt.stopped(s->opt.arg);
	} else {
		on_park_timer(t);
	}
}

/* Nothing on its way is waited for any more. */
static void abort_all(struct dns_server *s)
{
	struct list *n;

	while ((n = list_shift(&s->parked)) != NULL) {
		struct dns_query_end *e = list_entry(n, struct dns_query_end, parked);

		buf_clear(&e->out);
		e->done(e);
	}
	list_for_each_safe (it, tmp, &s->queries) {
		struct dgram_query *q = list_entry(it, struct dgram_query, link);

		dns_query_end_cancel(&q->end);
		loop_cancel(s->loop, &q->send.msg.op);
	}
	list_for_each_safe (it, tmp, &s->conns)
		dns_tcp_conn_abort(dns_tcp_conn_of(it));
	end_if_landed(s);
}

static void on_grace(struct timer *t)
{
	abort_all(container_of(t, struct dns_server, grace));
}

void dns_server_stop(struct dns_server *s, uint64_t grace_ms)
{
	if (s->over)
		return;
	if (!s->stopping) {
		s->stopping = true;
		timer_disarm(&s->recv_retry);
		timer_disarm(&s->accept_retry);
		loop_cancel(s->loop, &s->recv.msg.op);
		loop_cancel(s->loop, &s->accept);
		timer_arm(s->loop, &s->grace, grace_ms);
		list_for_each_safe (it, tmp, &s->conns)
			dns_tcp_conn_drain(dns_tcp_conn_of(it));
	} else if (grace_ms == 0) {
		timer_arm(s->loop, &s->grace, 0);
	}
	end_if_landed(s);
}

size_t dns_server_pending(const struct dns_server *s)
{
	return s->pending;
}

struct dns_server *dns_server_new(struct loop *loop, const struct dns_server_options *opt)
{
	struct dns_server *s = mem_new(sizeof(*s));

	s->loop = loop;
	s->opt = *opt;
	if (s->opt.queries_max == 0)
		s->opt.queries_max = DNS_QUERIES_MAX;
	if (s->opt.tcp_clients_max == 0)
		s->opt.tcp_clients_max = DNS_TCP_CLIENTS_MAX;
	s->judge = (struct dns_judge){.loop = loop, .opt = &s->opt};
	if (opt->seed != 0)
		rand_init(&s->judge.dice, opt->seed);
	else
		rand_init_system(&s->judge.dice);
	s->tcp = (struct dns_tcp_owner){.query_begins = query_begins,
	                                .query_ends = query_ends,
	                                .park = park,
	                                .conn_ended = conn_ended,
	                                .judge = &s->judge};
	list_init(&s->queries);
	list_init(&s->conns);
	list_init(&s->parked);
	timer_init(&s->recv_retry, on_recv_retry);
	timer_init(&s->accept_retry, on_accept_retry);
	timer_init(&s->park_timer, on_park_or_over);
	timer_init(&s->grace, on_grace);
	recv_start(s);
	accept_start(s);
	return s;
}
