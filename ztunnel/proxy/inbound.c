/* SPDX-License-Identifier: Apache-2.0 */
#include "ztunnel/proxy/inbound.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/hbone/proxy_v2.h"
#include "common/mesh/inbound_target.h"
#include "common/mesh/mesh_table.h"
#include "common/relay/hbone_end.h"
#include "common/relay/relay.h"
#include "common/relay/socket_end.h"
#include "ztunnel/proxy/account.h"
#include "ztunnel/proxy/inbound_tunnel.h"
#include "ztunnel/proxy/judge.h"
#include "ztunnel/proxy/labels.h"
#include "ztunnel/proxy/pod_dial.h"

enum inbound_state {
	INBOUND_JUDGE, /* target and policy; waits for our own workload */
	INBOUND_DIAL,  /* connecting to the application */
	INBOUND_RELAY,
	INBOUND_DRAIN, /* ops are landing */
	INBOUND_DONE,
};

/* What only the way to the relay needs; gone once that runs. */
struct inbound_setup {
	struct inbound *owner;
	const struct hbone_request
		*request; /* NULL: plaintext. Borrowed for the first try, else kept */
	struct hbone_request *kept;
	struct timer look; /* for a workload that is not there yet */
	uint64_t give_up_ms;
	struct pod_dial dial;
	bool dialing;        /* in flight */
	bool proxy_protocol; /* the application wants to be told who and where to, first of all */
	struct endpoint told;
	struct loop_retired retired;
};

struct inbound {
	struct pod_conn conn;
	struct live live;
	struct pod_proxy *pod;
	enum inbound_state state;
	enum err cause;
	bool hbone; /* a stream, not a plain connection */
	bool accounted, dialed, related, relay_done;
	bool client_noted;   /* the client's port is in the pod's table */
	uint16_t spoof_port; /* and ours towards the application; 0: none */
	char *identity;      /* the peer's, verified; NULL: nobody proved */
	char *words;         /* why policy refused, for the log */
	struct inbound_setup *setup;
	struct account account;
	struct relay relay;
	struct socket_end app;
	union { /* by hbone */
		struct hbone_end tunnel;
		struct {
			int fd; /* until the relay has it */
			struct socket_end end;
		} plain;
	};
	struct loop_retired retired;
};

static void inbound_run(struct inbound *in);

static struct proxy_worker *worker_of(const struct inbound *in)
{
	return in->pod->worker;
}

static void inbound_fail(struct inbound *in, enum err cause)
{
	if (in->cause == ERR_OK && in->state < INBOUND_DRAIN)
		in->cause = cause;
}

/* --- facts from the stream, the dial and the relay ------------------------------------------ */

/* Nobody waits for an answer any more. */
static void on_tunnel_broken(struct hbone_end *h, enum err cause)
{
	struct inbound *in = container_of(h, struct inbound, tunnel);

	inbound_fail(in, cause);
	inbound_run(in);
}

static void on_moved(struct relay *r, bool a_to_b, size_t n)
{
	account_moved(&container_of(r, struct inbound, relay)->account, a_to_b, n);
}

static void on_paused(struct relay *r)
{
	metrics_add(worker_of(container_of(r, struct inbound, relay))->shard, METRIC_RELAY_PAUSED,
	            1);
}

static void on_relay_done(struct relay *r, enum err cause)
{
	struct inbound *in = container_of(r, struct inbound, relay);

	in->relay_done = true;
	inbound_fail(in, cause);
	inbound_run(in);
}

static const struct relay_owner relay_owner = {
	.moved = on_moved,
	.paused = on_paused,
	.done = on_relay_done,
};

static void on_dialed(struct pod_dial *d)
{
	struct inbound_setup *s = container_of(d, struct inbound_setup, dial);
	struct inbound *in = s->owner;
	struct loop *loop = worker_of(in)->loop;

	s->dialing = false;
	in->spoof_port = d->ret_port;
	if (d->ret_err == ERR_OK && in->cause != ERR_OK) {
		loop_reset_close(loop,
		                 d->ret_fd); /* too late: what never was must not end in order */
	} else if (d->ret_err == ERR_OK) {
		in->dialed = true;
		socket_end_init(&in->app, loop, d->ret_fd);
	}
	inbound_fail(in, d->ret_err);
	inbound_run(in);
}

/* --- judge ----------------------------------------------------------------------------------- */

/* Policies, or which of them are ours, changed: is this connection still allowed? */
static void on_judged_again(struct live *l)
{
	struct inbound *in = container_of(l, struct inbound, live);
	char *words = NULL;
	enum err e;

	if (in->state >= INBOUND_DRAIN)
		return;
	e = judge_again(&(struct judge_query){.pod = in->pod,
	                                      .src = &l->src,
	                                      .dst = &l->actual_dst,
	                                      .identity = in->identity},
	                &words);
	if (e == ERR_OK)
		return;
	in->words = words; /* allowed until now, it had none */
	inbound_fail(in, e);
	inbound_run(in);
}

static enum err find_target(struct inbound *in, const struct workload *self,
                            const struct hbone_request *req, struct inbound_query *q,
                            struct inbound_target *ret_target)
{
	*q = (struct inbound_query){
		.mesh = worker_of(in)->mesh,
		.local = self,
		.network = worker_of(in)->options->network,
		.local_ip = in->live.original_dst.ip,
		.ep = in->live.original_dst,
		.own_ports = proxy_own_ports,
		.own_port_count = proxy_own_port_count(worker_of(in)->options),
		.localhost_app_tunnel = worker_of(in)->options->localhost_app_tunnel,
	};
	if (req == NULL)
		return inbound_target_plain(q, ret_target);
	q->is_host = req->authority.is_name;
	q->ep = (struct endpoint){.ip = req->authority.ip, .port = req->authority.port};
	q->host = req->authority.host;
	q->port = req->authority.port;
	return inbound_target_hbone(q, ret_target);
}

/* Letters count for nothing in the name of a network (contract 7.5). */
static bool is_of_another_network(const struct hbone_request *req, const char *own)
{
	const struct span said = req->network;

	return req->has_network &&
	       (said.n != strlen(own) ||
	        (said.n > 0 && strncasecmp((const char *)said.p, own, said.n) != 0));
}

static void open_account(struct inbound *in, const struct workload *self,
                         const struct hbone_request *req, const struct inbound_query *q,
                         const struct inbound_target *target)
{
	struct proxy_worker *w = worker_of(in);
	char host[HTTP_HOST_MAX + 1] = "", authority[HTTP_AUTHORITY_TEXT_MAX];
	struct account_facts f = {
		.direction = ACCESS_INBOUND,
		.src = in->live.src,
		.dst = in->live.original_dst,
		.src_workload = mesh_workload_by_ip(w->mesh, w->options->network, &in->live.src.ip),
		.dst_workload = self,
		.src_identity = in->identity,
		.dst_identity = in->hbone ? self->identity : NULL,
	};

	if (req != NULL) {
		f.hbone_addr = http_authority_format(&req->authority, authority);
		f.src_baggage = w->options->response_baggage ? &req->baggage : NULL;
		if (req->forwarded_host.n > 0 && req->forwarded_host.n < sizeof(host))
			memcpy(host, req->forwarded_host.p, req->forwarded_host.n);
		if (is_of_another_network(req, w->options->network))
			f.src_workload = NULL; /* the address means nothing on this one */
	}
	f.service = inbound_target_service(q, target, host);
	account_open(&in->account, w->shard, &w->account_cache, &f, loop_now_ms(w->loop));
	in->accounted = true;
	in->live.pod_uid = in->pod->pod->uid;
	in->live.inbound = true;
	in->live.identity = in->identity;
	in->live.protocol = in->identity != NULL ? LIVE_HBONE : LIVE_TCP;
	in->live.actual_dst = target->upstream;
	if (req != NULL && (req->forwarded_host.n > 0 || req->authority.is_name))
		in->live.service = account_service(&in->account);
	in->live.judge = on_judged_again;
	live_add(&w->live, &in->live);
}

static void dial_app(struct inbound *in, const struct inbound_target *target)
{
	struct proxy_worker *w = worker_of(in);
	struct inbound_setup *s = in->setup;
	struct pod_dial_query q = {
		.steward = w->options->steward,
		.pod = &in->pod->pod->enrolled,
		.kind = SOCKET_APP,
		.to = target->connect,
		.ports = &in->pod->ports,
		.timeout_ms = w->options->connect_ms,
	};

	if (w->options->spoof_source && !target->loopback)
		q.client = in->live.src.ip;
	s->proxy_protocol = target->proxy_protocol;
	s->told = target->told;
	s->dialing = true;
	pod_dial_start(&s->dial, w->loop, &q, on_dialed);
}

static void on_look(struct timer *t)
{
	inbound_run(container_of(t, struct inbound_setup, look)->owner);
}

/* Our own workload is not there yet: look again soon, up to a limit. */
static enum inbound_state wait_for_own(struct inbound *in)
{
	struct inbound_setup *s = in->setup;
	struct loop *loop = worker_of(in)->loop;

	if (s->request != NULL && s->kept == NULL) {
		s->kept = hbone_request_copy(s->request);
		s->request = s->kept;
		if (s->kept == NULL) {
			inbound_fail(in, ERR_MEMORY);
			return INBOUND_DRAIN;
		}
	}
	if (loop_now_ms(loop) >= s->give_up_ms) {
		inbound_fail(in, ERR_NO_WORKLOAD);
		return INBOUND_DRAIN;
	}
	timer_arm(loop, &s->look, PROXY_LOCAL_LOOK_MS);
	return INBOUND_JUDGE;
}

/* Everything that is decided before a socket is opened. In the live table first: no change of policy is missed. */
static enum inbound_state inbound_judge(struct inbound *in)
{
	const struct workload *self = pod_proxy_workload(in->pod);
	const struct hbone_request *req = in->setup->request;
	struct judge_query who = {.pod = in->pod,
	                          .src = &in->live.src,
	                          .dst = &in->live.actual_dst,
	                          .identity = in->identity};
	struct inbound_target target;
	struct inbound_query q;
	enum err e = find_target(in, self, req, &q, &target);

	if (e == ERR_NO_WORKLOAD)
		return wait_for_own(in);
	if (e == ERR_OK) {
		in->live.actual_dst = target.upstream;
		open_account(in, self, req, &q, &target);
		e = judge_new(&who, self, &in->words);
	}
	inbound_fail(in, e);
	if (e != ERR_OK)
		return INBOUND_DRAIN;
	dial_app(in, &target);
	return INBOUND_DIAL;
}

/* --- dial to relay ---------------------------------------------------------------------------- */

static enum err grant(struct inbound *in)
{
	const struct workload *self = pod_proxy_workload(in->pod);
	struct baggage b;

	if (self == NULL || !worker_of(in)->options->response_baggage)
		return hbone_server_grant(&in->tunnel.stream, NULL);
	b = labels_baggage(self);
	return hbone_server_grant(&in->tunnel.stream, &b);
}

/* The PROXY header in front of the application's bytes. */
static enum err tell_app(struct inbound *in)
{
	struct proxy_v2 h = {.source = in->live.src, .destination = in->setup->told};
	struct iobuf *b = iobuf_take(loop_iobufs(worker_of(in)->loop), IOBUF_SMALL);
	size_t len = 0;
	enum err e;

	_Static_assert((size_t)PROXY_V2_LEN_MAX <= (size_t)IOBUF_SMALL_MEM, "a header fits");
	if (b == NULL)
		return ERR_OVERLOAD;
	if (in->identity != NULL)
		h.identity = span_str(in->identity);
	e = proxy_v2_build(&h, b->mem, &len);
	if (e == ERR_OK)
		socket_end_preface(
			&in->app, (struct iobuf_view){.buf = b, .p = b->mem, .len = (uint32_t)len});
	else
		iobuf_unref(b);
	return e;
}

static void free_setup(struct loop_retired *r)
{
	struct inbound_setup *s = container_of(r, struct inbound_setup, retired);

	timer_disarm(&s->look);
	free(s->kept);
	free(s);
}

static enum inbound_state inbound_dial(struct inbound *in)
{
	struct relay_end *near = &in->tunnel.end;
	enum err e = ERR_OK;

	if (!in->dialed)
		return INBOUND_DIAL;
	in->related = true;
	if (in->setup->proxy_protocol)
		e = tell_app(in);
	if (!in->hbone) {
		int fd = in->plain.fd;

		in->plain.fd = -1;
		socket_end_init(&in->plain.end, worker_of(in)->loop, fd);
		near = &in->plain.end.end;
	}
	relay_start(&in->relay, near, &in->app.end, &relay_owner);
	loop_retire(worker_of(in)->loop, &in->setup->retired,
	            free_setup); /* its callback is on the stack */
	in->setup = NULL;
	if (in->hbone && e == ERR_OK)
		e = grant(in);
	inbound_fail(in, e);
	return e == ERR_OK ? INBOUND_RELAY : INBOUND_DRAIN;
}

/* --- the end ----------------------------------------------------------------------------------- */

static enum inbound_state inbound_drain(struct inbound *in)
{
	CHECK(in->related || in->setup != NULL); /* what was set up goes when the relay starts */
	if (in->related) {
		relay_abort(&in->relay, in->cause);
		if (!in->relay_done)
			return INBOUND_DRAIN;
	} else if (in->setup->dialing) {
		pod_dial_cancel(&in->setup->dial);
		return INBOUND_DRAIN;
	} else if (in->hbone) {
		hbone_server_refuse(&in->tunnel.stream, in->cause);
		hbone_end_fini(&in->tunnel);
	} else if (in->plain.fd >= 0) {
		loop_reset_close(worker_of(in)->loop, in->plain.fd);
		in->plain.fd = -1;
	}
	return INBOUND_DONE;
}

static void free_inbound(struct loop_retired *r)
{
	struct inbound *in = container_of(r, struct inbound, retired);

	if (in->setup != NULL)
		free_setup(&in->setup->retired);
	free(in->identity);
	free(in->words);
	free(in);
}

static void release_ports(struct inbound *in)
{
	struct endpoint spoofed = {.ip = in->live.src.ip, .port = in->spoof_port};

	if (in->spoof_port != 0)
		spoof_ports_release(&in->pod->ports, &spoofed, in->live.actual_dst.port);
	if (in->client_noted)
		spoof_ports_release(&in->pod->ports, &in->live.src, in->live.original_dst.port);
}

static void inbound_done(struct inbound *in)
{
	struct proxy_worker *w = worker_of(in);

	if (in->accounted) {
		live_remove(&w->live, &in->live);
		account_close(&in->account, &(struct account_end){.src = in->live.src,
		                                                  .dst = in->live.original_dst,
		                                                  .cause = in->cause,
		                                                  .words = in->words,
		                                                  .now_ms = loop_now_ms(w->loop)});
	} else {
		account_refused(w->shard, ACCESS_INBOUND, &in->live.src, &in->live.original_dst,
		                in->cause, in->words);
	}
	release_ports(in);
	if (in->hbone && in->cause != ERR_OK)
		account_reset(w->shard, in->cause);
	if (in->hbone)
		metrics_gauge_add_for(w->shard, METRIC_HBONE_STREAMS_OPEN, METRIC_LABELS("server"),
		                      -1);
	else
		metrics_gauge_add_for(w->shard, METRIC_TCP_SOCKETS_OPEN,
		                      METRIC_LABELS("destination"), -1);
	pod_proxy_remove(in->pod, &in->conn);
	loop_retire(w->loop, &in->retired, free_inbound);
}

static void inbound_enter(struct inbound *in, enum inbound_state next)
{
	CHECK(next > in->state);
	in->state = next;
	if (next == INBOUND_DONE)
		inbound_done(in);
}

static void inbound_run(struct inbound *in)
{
	if (in->cause != ERR_OK && in->state < INBOUND_DRAIN)
		inbound_enter(in, INBOUND_DRAIN);
	for (;;) {
		enum inbound_state next = INBOUND_DONE;

		switch (in->state) {
		case INBOUND_JUDGE: next = inbound_judge(in); break;
		case INBOUND_DIAL: next = inbound_dial(in); break;
		case INBOUND_RELAY: next = in->relay_done ? INBOUND_DRAIN : INBOUND_RELAY; break;
		case INBOUND_DRAIN: next = inbound_drain(in); break;
		case INBOUND_DONE: return;
		}
		if (next == in->state)
			return;
		inbound_enter(in, next);
	}
}

static void inbound_cut(struct pod_conn *c, enum err cause)
{
	struct inbound *in = container_of(c, struct inbound, conn);

	inbound_fail(in, cause);
	inbound_run(in);
}

static struct inbound *new_inbound(struct pod_proxy *pod, const struct endpoint *src,
                                   const struct endpoint *dst)
{
	struct inbound *in = calloc(1, sizeof(*in));

	if (in != NULL)
		in->setup = calloc(1, sizeof(*in->setup));
	if (in == NULL || in->setup == NULL) {
		free(in);
		return NULL;
	}
	in->setup->owner = in;
	in->setup->give_up_ms = loop_now_ms(pod->worker->loop) + PROXY_LOCAL_WAIT_MS;
	timer_init(&in->setup->look, on_look);
	in->conn.cut = inbound_cut;
	in->pod = pod;
	in->live.src = *src;
	in->live.original_dst = *dst;
	list_init(&in->live.link);
	return in;
}

void inbound_start_hbone(struct inbound_tunnel *tunnel, int32_t stream_id,
                         const struct hbone_request *req)
{
	struct inbound *in = new_inbound(tunnel->pod, &tunnel->src, &tunnel->dst);

	if (in != NULL)
		in->identity = strdup(hbone_server_peer(&tunnel->server));
	if (in == NULL || in->identity == NULL) {
		if (in != NULL)
			free_inbound(&in->retired);
		hbone_server_refuse_id(&tunnel->server, stream_id, ERR_OVERLOAD);
		return;
	}
	in->hbone = true;
	in->setup->request = req;
	metrics_gauge_add_for(tunnel->pod->worker->shard, METRIC_HBONE_STREAMS_OPEN,
	                      METRIC_LABELS("server"), 1);
	hbone_end_attach(&in->tunnel, tunnel->pod->worker->loop, &tunnel->server.conn.carrier,
	                 stream_id, on_tunnel_broken);
	pod_proxy_add(tunnel->pod, &tunnel->pod->conns, &in->conn);
	inbound_run(in);
}

enum err inbound_start_plain(struct pod_proxy *pod, int fd, const struct endpoint *src,
                             const struct endpoint *dst)
{
	struct inbound *in = new_inbound(pod, src, dst);

	if (in == NULL)
		return ERR_MEMORY;
	in->plain.fd = fd;
	in->client_noted = spoof_ports_note(&pod->ports, src, dst->port) == ERR_OK;
	metrics_gauge_add_for(pod->worker->shard, METRIC_TCP_SOCKETS_OPEN,
	                      METRIC_LABELS("destination"), 1);
	pod_proxy_add(pod, &pod->conns, &in->conn);
	inbound_run(in);
	return ERR_OK;
}
