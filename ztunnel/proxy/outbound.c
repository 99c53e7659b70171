/* SPDX-License-Identifier: Apache-2.0 */
#include "ztunnel/proxy/outbound.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/hbone/hbone_msg.h"
#include "common/mesh/next_hop.h"
#include "common/relay/hbone_end.h"
#include "common/relay/relay.h"
#include "common/relay/socket_end.h"
#include "ztunnel/proxy/labels.h"
#include "ztunnel/proxy/pod_dial.h"

enum outbound_state {
	OUTBOUND_ROUTE, /* who are we, where does this go; waits for our own workload and certificate */
	OUTBOUND_REACH, /* a CONNECT being answered, or a TCP connect */
	OUTBOUND_RELAY, /* bytes both ways */
	OUTBOUND_DRAIN, /* ops are landing */
	OUTBOUND_DONE,
};

struct outbound;

/* What only the way to the relay needs; gone once that runs. */
struct outbound_setup {
	struct outbound *owner;
	struct timer look; /* for a workload or certificate that is not there yet */
	uint64_t give_up_ms;
	struct pod_dial dial;     /* of a plain connection */
	struct hbone_fields head; /* of a CONNECT */
	struct hbone_call call;
	bool dialing, calling; /* in flight */
	bool hbone;            /* which of the two it is */
	struct loop_retired retired;
};

struct outbound {
	struct pod_conn conn;
	struct live live;
	struct pod_proxy *pod;
	enum outbound_state state;
	enum err cause;
	uint16_t status; /* of a CONNECT that was refused */
	bool accounted, reached, related, relay_done;
	bool streaming; /* counted as an open stream */
	int fd;         /* the application's, until the relay has it */
	struct outbound_setup *setup;
	struct account account;
	struct relay relay;
	struct socket_end app;
	union { /* the far end, by setup->hbone */
		struct hbone_end tunnel;
		struct socket_end plain;
	};
	struct loop_retired retired;
};

static void outbound_run(struct outbound *o);

static struct proxy_worker *worker_of(const struct outbound *o)
{
	return o->pod->worker;
}

/* The first cause counts. */
static void outbound_fail(struct outbound *o, enum err cause)
{
	if (o->cause == ERR_OK && o->state < OUTBOUND_DRAIN)
		o->cause = cause;
}

/* --- the relay's facts ---------------------------------------------------------------------- */

static void on_moved(struct relay *r, bool a_to_b, size_t n)
{
	account_moved(&container_of(r, struct outbound, relay)->account, a_to_b, n);
}

static void on_paused(struct relay *r)
{
	metrics_add(worker_of(container_of(r, struct outbound, relay))->shard, METRIC_RELAY_PAUSED,
	            1);
}

static void on_relay_done(struct relay *r, enum err cause)
{
	struct outbound *o = container_of(r, struct outbound, relay);

	o->relay_done = true;
	outbound_fail(o, cause);
	outbound_run(o);
}

static const struct relay_owner relay_owner = {
	.moved = on_moved,
	.paused = on_paused,
	.done = on_relay_done,
};

/* --- route ---------------------------------------------------------------------------------- */

static void on_look(struct timer *t)
{
	outbound_run(container_of(t, struct outbound_setup, look)->owner);
}

/* Our own workload or certificate is not there yet: look again soon, up to a limit. */
static enum outbound_state wait_for_own(struct outbound *o, enum err otherwise)
{
	uint64_t now = loop_now_ms(worker_of(o)->loop);

	if (now >= o->setup->give_up_ms) {
		outbound_fail(o, otherwise);
		return OUTBOUND_DRAIN;
	}
	timer_arm(worker_of(o)->loop, &o->setup->look, PROXY_LOCAL_LOOK_MS);
	return OUTBOUND_ROUTE;
}

static void open_account(struct outbound *o, const struct workload *self,
                         const struct next_hop *hop, const char *authority)
{
	bool hbone = hop->kind == NEXT_HOP_HBONE;
	struct account_facts f = {
		.direction = ACCESS_OUTBOUND,
		.src = o->live.src,
		.dst = hop->connect,
		.src_workload = self,
		.dst_workload = hop->dst,
		.service = hop->service,
		.src_identity = hbone ? o->pod->pod->identity : NULL,
		.dst_identity = hbone && hop->dst != NULL ? hop->dst->identity : NULL,
		.hbone_addr = hbone ? authority : NULL,
	};

	account_open(&o->account, worker_of(o)->shard, &worker_of(o)->account_cache, &f,
	             loop_now_ms(worker_of(o)->loop));
	o->accounted = true;
	o->live.pod_uid = o->pod->pod->uid;
	o->live.protocol = hbone ? LIVE_HBONE : LIVE_TCP;
	o->live.actual_dst = hop->connect;
	live_add(&worker_of(o)->live, &o->live);
}

static void on_plain_dialed(struct pod_dial *d);
static void on_answered(struct hbone_call *c, enum err cause);
static const struct hbone_call_owner call_owner = {.answered = on_answered};

static enum err call_hbone(struct outbound *o, const struct workload *self,
                           const struct next_hop *hop, const struct http_authority *authority,
                           struct tls_config *config)
{
	const char *identities[HBONE_KEY_IDENTITIES_MAX];
	size_t n = next_hop_identity_count(hop);
	struct hbone_key key = {.config = config,
	                        .source_ip = o->live.src.ip,
	                        .to = hop->connect,
	                        .identities = identities};
	struct hbone_ask ask = {
		.authority = authority, .client = o->live.src, .baggage = labels_baggage(self)};
	uint64_t dice[3] = {rand_u64(&worker_of(o)->dice), rand_u64(&worker_of(o)->dice),
	                    rand_u64(&worker_of(o)->dice)};
	enum err e;

	if (n > HBONE_KEY_IDENTITIES_MAX)
		return ERR_LIMIT;
	for (size_t i = 0; i < n; i++)
		identities[i] = next_hop_identity(hop, i);
	key.identity_count = (unsigned int)n;
	if (hop->service != NULL)
		ask.service = span_str(hop->service->hostname);
	memcpy(ask.trace_id, dice, sizeof(ask.trace_id));
	memcpy(ask.span_id, &dice[2], sizeof(ask.span_id));
	e = hbone_request_build(&ask, &o->setup->head);
	if (e != ERR_OK)
		return e;
	o->setup->calling = true;
	hbone_call_start(&o->setup->call, &o->pod->pool, &key, o->setup->head.field,
	                 o->setup->head.count, &call_owner);
	return ERR_OK;
}

static void dial_plain(struct outbound *o, const struct endpoint *to)
{
	struct pod_dial_query q = {
		.steward = worker_of(o)->options->steward,
		.pod = &o->pod->pod->enrolled,
		.kind = SOCKET_UPSTREAM,
		.to = *to,
		.timeout_ms = worker_of(o)->options->connect_ms,
	};

	o->setup->dialing = true;
	pod_dial_start(&o->setup->dial, worker_of(o)->loop, &q, on_plain_dialed);
}

static enum outbound_state outbound_route(struct outbound *o)
{
	struct proxy_worker *w = worker_of(o);
	const struct workload *self = pod_proxy_workload(o->pod);
	struct tls_config *config = proxy_worker_config(w, o->pod->pod->identity);
	struct next_hop_query q = {
		.mesh = w->mesh,
		.source = self,
		.client = o->live.src,
		.target = o->live.original_dst,
		.network = w->options->network,
		.hbone_port = PORT_HBONE,
		.own_ports = proxy_own_ports,
		.own_port_count = PROXY_OWN_PORTS,
		.dice = rand_u64(&w->dice),
	};
	struct http_authority authority = {.is_name = false};
	char text[HTTP_AUTHORITY_TEXT_MAX];
	struct next_hop hop;

	if (self == NULL)
		return wait_for_own(o, ERR_NO_WORKLOAD);
	next_hop_choose(&q, &hop);
	if (hop.kind == NEXT_HOP_REFUSE) {
		outbound_fail(o, hop.cause);
		return OUTBOUND_DRAIN;
	}
	if (hop.kind == NEXT_HOP_DOUBLE_HBONE || hop.hostname != NULL) {
		outbound_fail(o, ERR_UNSUPPORTED);
		return OUTBOUND_DRAIN;
	}
	if (hop.kind == NEXT_HOP_HBONE && config == NULL)
		return wait_for_own(o, ERR_IDENTITY);
	authority.ip = hop.authority.ip;
	authority.port = hop.authority.port;
	o->setup->hbone = hop.kind == NEXT_HOP_HBONE;
	open_account(o, self, &hop,
	             o->setup->hbone ? http_authority_format(&authority, text) : NULL);
	if (o->setup->hbone)
		outbound_fail(o, call_hbone(o, self, &hop, &authority, config));
	else
		dial_plain(o, &hop.connect);
	return o->cause == ERR_OK ? OUTBOUND_REACH : OUTBOUND_DRAIN;
}

/* --- reach ---------------------------------------------------------------------------------- */

static void on_plain_dialed(struct pod_dial *d)
{
	struct outbound_setup *s = container_of(d, struct outbound_setup, dial);
	struct outbound *o = s->owner;

	s->dialing = false;
	o->reached = d->ret_err == ERR_OK;
	outbound_fail(o, d->ret_err);
	outbound_run(o);
}

static void on_answered(struct hbone_call *c, enum err cause)
{
	struct outbound *o = container_of(c, struct outbound_setup, call)->owner;

	o->setup->calling = false;
	o->status = c->status;
	if (cause == ERR_OK) {
		hbone_end_adopt(&o->tunnel, worker_of(o)->loop, &c->stream, NULL);
		metrics_gauge_add_for(worker_of(o)->shard, METRIC_HBONE_STREAMS_OPEN,
		                      METRIC_LABELS("client"), 1);
		o->streaming = true;
	}
	o->reached = cause == ERR_OK;
	outbound_fail(o, cause);
	outbound_run(o);
}

static void free_setup(struct loop_retired *r)
{
	struct outbound_setup *s = container_of(r, struct outbound_setup, retired);

	timer_disarm(&s->look);
	hbone_fields_fini(&s->head);
	free(s);
}

static enum outbound_state outbound_reach(struct outbound *o)
{
	struct loop *loop = worker_of(o)->loop;
	struct relay_end *far = &o->tunnel.end;

	if (!o->reached)
		return OUTBOUND_REACH;
	socket_end_init(&o->app, loop, o->fd);
	o->fd = -1;
	if (!o->setup->hbone) {
		socket_end_init(&o->plain, loop, o->setup->dial.ret_fd);
		far = &o->plain.end;
	}
	o->related = true;
	relay_start(&o->relay, &o->app.end, far, &relay_owner);
	loop_retire(loop, &o->setup->retired, free_setup); /* its callback is still on the stack */
	o->setup = NULL;
	return OUTBOUND_RELAY;
}

/* --- the end -------------------------------------------------------------------------------- */

/* Whatever is in flight is asked to land; the state stays until it has. */
static enum outbound_state outbound_drain(struct outbound *o)
{
	struct loop *loop = worker_of(o)->loop;

	if (o->related) {
		relay_abort(&o->relay, o->cause);
		if (!o->relay_done)
			return OUTBOUND_DRAIN;
	} else if (o->setup != NULL && o->setup->dialing) {
		pod_dial_cancel(&o->setup->dial);
		return OUTBOUND_DRAIN;
	} else if (o->setup != NULL && o->setup->calling) {
		hbone_call_cancel(&o->setup->call);
		o->setup->calling = false;
	}
	if (o->fd >= 0) {
		/* It was accepted but reached nothing: the application sees a reset, not an empty success. */
		loop_reset_close(loop, o->fd);
		o->fd = -1;
	}
	return OUTBOUND_DONE;
}

static void free_outbound(struct loop_retired *r)
{
	struct outbound *o = container_of(r, struct outbound, retired);

	if (o->setup != NULL)
		free_setup(&o->setup->retired);
	free(o);
}

static void outbound_done(struct outbound *o)
{
	struct proxy_worker *w = worker_of(o);
	struct account_end end = {
		.src = o->live.src,
		.dst = o->live.actual_dst,
		.cause = o->cause,
		.now_ms = loop_now_ms(w->loop),
	};
	char words[32];

	if (o->cause == ERR_HBONE_STATUS) {
		(void)snprintf(words, sizeof(words), "http status: %u",
		               o->status); /* contract 6.3 */
		end.words = words;
	}
	if (o->accounted) {
		live_remove(&w->live, &o->live);
		account_close(&o->account, &end);
	} else {
		account_refused(w->shard, ACCESS_OUTBOUND, &o->live.src, &o->live.original_dst,
		                o->cause, NULL);
	}
	if (o->streaming && o->cause != ERR_OK)
		account_reset(w->shard, o->cause);
	if (o->streaming)
		metrics_gauge_add_for(w->shard, METRIC_HBONE_STREAMS_OPEN, METRIC_LABELS("client"),
		                      -1);
	metrics_gauge_add_for(w->shard, METRIC_TCP_SOCKETS_OPEN, METRIC_LABELS("source"), -1);
	pod_proxy_remove(o->pod, &o->conn);
	loop_retire(w->loop, &o->retired, free_outbound);
}

/* Sole writer of state: forward only. */
static void outbound_enter(struct outbound *o, enum outbound_state next)
{
	CHECK(next > o->state);
	o->state = next;
	if (next == OUTBOUND_DONE)
		outbound_done(o);
}

static void outbound_run(struct outbound *o)
{
	if (o->cause != ERR_OK && o->state < OUTBOUND_DRAIN)
		outbound_enter(o, OUTBOUND_DRAIN);
	for (;;) {
		enum outbound_state next = OUTBOUND_DONE;

		switch (o->state) {
		case OUTBOUND_ROUTE: next = outbound_route(o); break;
		case OUTBOUND_REACH: next = outbound_reach(o); break;
		case OUTBOUND_RELAY: next = o->relay_done ? OUTBOUND_DRAIN : OUTBOUND_RELAY; break;
		case OUTBOUND_DRAIN: next = outbound_drain(o); break;
		case OUTBOUND_DONE: return;
		}
		if (next == o->state)
			return;
		outbound_enter(o, next);
	}
}

static void outbound_cut(struct pod_conn *c, enum err cause)
{
	struct outbound *o = container_of(c, struct outbound, conn);

	outbound_fail(o, cause);
	outbound_run(o);
}

enum err outbound_start(struct pod_proxy *pod, int fd, const struct endpoint *src,
                        const struct endpoint *dst)
{
	struct outbound *o = calloc(1, sizeof(*o));

	if (o != NULL)
		o->setup = calloc(1, sizeof(*o->setup));
	if (o == NULL || o->setup == NULL) {
		free(o);
		return ERR_MEMORY;
	}
	o->setup->owner = o;
	o->conn.cut = outbound_cut;
	o->pod = pod;
	o->fd = fd;
	o->live.src = *src;
	o->live.original_dst = *dst;
	list_init(&o->live.link);
	timer_init(&o->setup->look, on_look);
	hbone_fields_init(&o->setup->head);
	o->setup->give_up_ms = loop_now_ms(pod->worker->loop) + PROXY_LOCAL_WAIT_MS;
	metrics_gauge_add_for(pod->worker->shard, METRIC_TCP_SOCKETS_OPEN, METRIC_LABELS("source"),
	                      1);
	pod_proxy_add(pod, &pod->conns, &o->conn);
	outbound_run(o);
	return ERR_OK;
}
