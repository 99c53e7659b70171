/* SPDX-License-Identifier: Apache-2.0 */
#include "ztunnel/proxy/inbound.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/mesh/authz.h"
#include "common/mesh/inbound_target.h"
#include "common/mesh/mesh_table.h"
#include "common/relay/hbone_end.h"
#include "common/relay/relay.h"
#include "common/relay/socket_end.h"
#include "ztunnel/proxy/account.h"
#include "ztunnel/proxy/inbound_tunnel.h"
#include "ztunnel/proxy/labels.h"
#include "ztunnel/proxy/pod_dial.h"

enum inbound_state {
	INBOUND_JUDGE, /* target and policy; over within the call */
	INBOUND_DIAL,  /* connecting to the application */
	INBOUND_RELAY,
	INBOUND_DRAIN, /* ops are landing */
	INBOUND_DONE,
};

struct inbound {
	struct pod_conn conn;
	struct live live;
	struct pod_proxy *pod;
	enum inbound_state state;
	enum err cause;
	bool hbone; /* a stream, not a plain connection */
	bool accounted, dialed, related, relay_done;
	bool client_noted;     /* the client's port is in the pod's table */
	uint16_t spoof_port;   /* and ours towards the application; 0: none */
	char *identity;        /* the peer's, verified; NULL: nobody proved */
	char *words;           /* why policy refused, for the log */
	struct pod_dial *dial; /* while dialing */
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
static void inbound_enter(struct inbound *in, enum inbound_state next);

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

/* The dial outlives its callback by the rest of the turn. */
struct inbound_dial {
	struct pod_dial dial;
	struct inbound *in;
	struct loop_retired retired;
};

static void free_dial(struct loop_retired *r)
{
	free(container_of(r, struct inbound_dial, retired));
}

static void on_dialed(struct pod_dial *d)
{
	struct inbound_dial *id = container_of(d, struct inbound_dial, dial);
	struct inbound *in = id->in;
	struct loop *loop = worker_of(in)->loop;

	in->dial = NULL;
	in->spoof_port = d->ret_port;
	if (d->ret_err == ERR_OK && in->cause != ERR_OK) {
		loop_reset_close(loop,
		                 d->ret_fd); /* too late: what never was must not end in order */
	} else if (d->ret_err == ERR_OK) {
		in->dialed = true;
		socket_end_init(&in->app, loop, d->ret_fd);
	}
	inbound_fail(in, d->ret_err);
	loop_retire(loop, &id->retired, free_dial);
	inbound_run(in);
}

/* --- judge ----------------------------------------------------------------------------------- */

static void log_verdict(const struct inbound *in, const struct authz_answer *a)
{
	enum log_level level = worker_of(in)->options->authz_info ? LOG_INFO : LOG_DEBUG;
	char words[AUTHZ_WORDS_MAX], where[AUTHZ_WORDS_MAX], src[ENDPOINT_TEXT_MAX];

	if (!log_enabled(LOG_SCOPE_STATE, level))
		return;
	log_at(LOG_SCOPE_STATE, level, a->verdict == AUTHZ_ALLOW ? "allowed" : "denied",
	       LOG_S("policy", a->policy == NULL ? NULL : a->policy->key),
	       LOG_S("rule", authz_where(worker_of(in)->mesh, a, where)),
	       LOG_S("reason", authz_words(a, words)),
	       LOG_A("src.addr", endpoint_format(&in->live.src, src)),
	       LOG_S("src.identity", in->identity), LOG_S("dst.workload", in->pod->pod->name));
	for (size_t i = 0; i < a->note_count && i < AUTHZ_NOTES_MAX; i++)
		log_at(LOG_SCOPE_STATE, level, "dry-run: a policy would have decided",
		       LOG_S("policy",
		             a->notes[i].policy == NULL ? NULL : a->notes[i].policy->key));
}

/* Ask the policies of the worker's present mesh. */
static enum err authorize(struct inbound *in, const struct workload *self)
{
	struct authz_facts facts = {.source_ip = in->live.src.ip,
	                            .destination = in->live.actual_dst,
	                            .identity = in->identity};
	struct authz_answer a;
	char words[AUTHZ_WORDS_MAX];

	authz_check(worker_of(in)->mesh, self, &facts, &a);
	log_verdict(in, &a);
	if (a.verdict == AUTHZ_ALLOW)
		return ERR_OK;
	metrics_add_for(
		worker_of(in)->shard, METRIC_AUTHZ_DENIALS,
		METRIC_LABELS(err_info(a.cause)->name, a.policy == NULL ? NULL : a.policy->key), 1);
	free(in->words);
	in->words = strdup(authz_words(&a, words));
	return a.cause;
}

/* Policies changed: is this connection still allowed? */
static bool judge_again(struct live *l)
{
	struct inbound *in = container_of(l, struct inbound, live);
	const struct workload *self = pod_proxy_workload(in->pod);

	if (in->state >= INBOUND_DRAIN || self == NULL || authorize(in, self) == ERR_OK)
		return true;
	inbound_fail(in, ERR_POLICY_CHANGED);
	inbound_run(in);
	return false;
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
		.own_port_count = PROXY_OWN_PORTS,
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
		if (req->has_network && !span_eq_str(req->network, w->options->network))
			f.src_workload = NULL; /* the address means nothing on this network */
	}
	f.service = inbound_target_service(q, target, host);
	account_open(&in->account, w->shard, &w->account_cache, &f, loop_now_ms(w->loop));
	in->accounted = true;
	in->live.pod_uid = in->pod->pod->uid;
	in->live.inbound = true;
	in->live.protocol = in->identity != NULL ? LIVE_HBONE : LIVE_TCP;
	in->live.actual_dst = target->upstream;
	in->live.judge = judge_again;
	live_add(&w->live, &in->live);
}

static enum err dial_app(struct inbound *in, const struct inbound_target *target)
{
	struct proxy_worker *w = worker_of(in);
	struct inbound_dial *id = calloc(1, sizeof(*id));
	struct pod_dial_query q = {
		.steward = w->options->steward,
		.pod = &in->pod->pod->enrolled,
		.kind = SOCKET_APP,
		.to = target->connect,
		.ports = &in->pod->ports,
		.timeout_ms = w->options->connect_ms,
	};

	if (id == NULL)
		return ERR_MEMORY;
	if (w->options->spoof_source && !target->bind_loopback)
		q.client = in->live.src.ip;
	id->in = in;
	in->dial = &id->dial;
	pod_dial_start(&id->dial, w->loop, &q, on_dialed);
	return ERR_OK;
}

/* Everything that is decided before a socket is opened. */
static void inbound_judge(struct inbound *in, const struct hbone_request *req)
{
	const struct workload *self = pod_proxy_workload(in->pod);
	struct inbound_target target;
	struct inbound_query q;
	enum err e = find_target(in, self, req, &q, &target);

	if (e == ERR_OK && target.proxy_protocol)
		e = ERR_UNSUPPORTED; /* PROXY-protocol application tunnels: not without their header */
	if (e == ERR_OK) {
		in->live.actual_dst = target.upstream;
		open_account(in, self, req, &q, &target);
		e = authorize(in, self);
	}
	if (e == ERR_OK)
		e = dial_app(in, &target);
	inbound_fail(in, e);
	if (in->cause == ERR_OK)
		inbound_enter(in, INBOUND_DIAL);
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

static enum inbound_state inbound_dial(struct inbound *in)
{
	struct relay_end *near = &in->tunnel.end;

	if (!in->dialed)
		return INBOUND_DIAL;
	in->related = true;
	if (!in->hbone) {
		int fd = in->plain.fd;

		in->plain.fd = -1;
		socket_end_init(&in->plain.end, worker_of(in)->loop, fd);
		near = &in->plain.end.end;
	}
	relay_start(&in->relay, near, &in->app.end, &relay_owner);
	if (in->hbone)
		inbound_fail(in, grant(in));
	return in->cause == ERR_OK ? INBOUND_RELAY : INBOUND_DRAIN;
}

/* --- the end ----------------------------------------------------------------------------------- */

static enum inbound_state inbound_drain(struct inbound *in)
{
	if (in->related) {
		relay_abort(&in->relay, in->cause);
		if (!in->relay_done)
			return INBOUND_DRAIN;
	} else if (in->dial != NULL) {
		pod_dial_cancel(in->dial);
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
		case INBOUND_JUDGE: return; /* inbound_judge moves on */
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

	if (in == NULL)
		return NULL;
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
		free(in);
		hbone_server_refuse_id(&tunnel->server, stream_id, ERR_OVERLOAD);
		return;
	}
	in->hbone = true;
	metrics_gauge_add_for(tunnel->pod->worker->shard, METRIC_HBONE_STREAMS_OPEN,
	                      METRIC_LABELS("server"), 1);
	hbone_end_attach(&in->tunnel, tunnel->pod->worker->loop, &tunnel->server.conn.carrier,
	                 stream_id, on_tunnel_broken);
	pod_proxy_add(tunnel->pod, &tunnel->pod->conns, &in->conn);
	inbound_judge(in, req);
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
	inbound_judge(in, NULL);
	inbound_run(in);
	return ERR_OK;
}
