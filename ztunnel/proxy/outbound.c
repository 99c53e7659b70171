/* SPDX-License-Identifier: Apache-2.0 */
#include "ztunnel/proxy/outbound.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/hbone/hbone_msg.h"
#include "common/hbone/inner_conn.h"
#include "common/relay/hbone_end.h"
#include "common/relay/relay.h"
#include "common/relay/socket_end.h"
#include "ztunnel/proxy/pod_dial.h"
#include "ztunnel/proxy/route.h"

enum outbound_state {
	OUTBOUND_ROUTE, /* who are we, where does this go; waits for our own workload and certificate */
	OUTBOUND_RESOLVE, /* the next hop has only a host name: its addresses are asked for */
	OUTBOUND_REACH,   /* a CONNECT being answered, or a TCP connect */
	OUTBOUND_RELAY,   /* bytes both ways */
	OUTBOUND_DRAIN,   /* ops are landing */
	OUTBOUND_DONE,
};

struct outbound;

/* What only a name to resolve, or a second tunnel within the first, needs. */
struct outbound_detour {
	struct outbound *owner;
	struct dns_lookup lookup; /* of the next hop's host name */
	struct hbone_fields head; /* of the inner CONNECT */
	struct inner_call call;
	const char *identities[HBONE_KEY_IDENTITIES_MAX]; /* who may answer that */
};

/* What only the way to the relay needs; gone once that runs. */
struct outbound_setup {
	struct outbound *owner;
	struct timer look; /* for a workload or certificate that is not there yet */
	uint64_t give_up_ms, routed_ms;
	struct route route;
	struct pod_dial dial;     /* of a plain connection */
	struct hbone_fields head; /* of a CONNECT */
	struct hbone_call call;
	struct outbound_detour *detour; /* NULL: none is needed */
	struct iobuf *welcome;          /* for what a front tells; NULL: nothing, or not any more */
	bool resolving, dialing, calling, nesting; /* in flight */
	struct loop_retired retired;
};

struct outbound {
	struct pod_conn conn;
	struct live live;
	struct pod_proxy *pod;
	enum outbound_state state;
	enum err cause;
	uint16_t status; /* of a CONNECT that was refused */
	bool routed, accounted, reached, related, relay_done;
	bool streaming;                     /* counted as an open stream */
	int fd;                             /* the application's, until the relay has it */
	const struct outbound_front *front; /* NULL: it was captured */
	struct outbound_setup *setup;
	struct account account;
	struct relay relay;
	struct socket_end app;
	union { /* the far end, by route_tunnels() */
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

static void on_plain_dialed(struct pod_dial *d);
static void on_answered(struct hbone_call *c, enum err cause);
static const struct hbone_call_owner call_owner = {.answered = on_answered};

/* --- route ---------------------------------------------------------------------------------- */

static void on_look(struct timer *t)
{
	outbound_run(container_of(t, struct outbound_setup, look)->owner);
}

/* Our own workload or certificate is not there yet: worth another look soon, up to a limit. */
static bool may_come(struct outbound *o, enum err e)
{
	if (e == ERR_IDENTITY && proxy_worker_cert_failed(worker_of(o), o->pod->pod->identity))
		return false;
	return (e == ERR_NO_WORKLOAD || e == ERR_IDENTITY) &&
	       loop_now_ms(worker_of(o)->loop) < o->setup->give_up_ms;
}

/*
 * Who is reached is known: count and show the connection. answer: who said it is the one, in place of what we believe
 * of the next hop; NULL: nobody did.
 */
static void open_account(struct outbound *o, const struct inner_call *answer)
{
	struct proxy_worker *w = worker_of(o);
	struct account_facts f = route_facts(&o->setup->route, &o->live.src);
	struct baggage baggage = {.cluster = {0}};

	if (answer != NULL) {
		baggage_parse(answer->head, &baggage);
		f.dst_workload = NULL;
		f.dst_baggage = &baggage;
		f.dst_identity = answer->peer;
	}
	account_open(&o->account, w->shard, &w->account_cache, &f, o->setup->routed_ms);
	o->accounted = true;
}

static enum err call_hbone(struct outbound *o)
{
	const struct route *r = &o->setup->route;
	const char *identities[HBONE_KEY_IDENTITIES_MAX];
	struct hbone_key key = {.config = r->config,
	                        .source_ip = o->live.src.ip,
	                        .to = r->hop.connect,
	                        .identities = identities};
	enum err e = route_identities(r, false, identities, &key.identity_count);

	if (e == ERR_OK)
		e = route_head(r, &o->live.src, false, "", &o->setup->head);
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

/* The address is known, too: on the way. cause: what is in it; the connection counts all the same. */
static enum outbound_state set_out(struct outbound *o, enum err cause)
{
	struct route *r = &o->setup->route;

	outbound_fail(o, route_settle(r));
	if (o->cause != ERR_OK)
		return OUTBOUND_DRAIN;
	o->routed = true;
	o->setup->routed_ms = loop_now_ms(worker_of(o)->loop);
	o->live.pod_uid = o->pod->pod->uid;
	o->live.protocol = route_nests(r)     ? LIVE_DOUBLE_HBONE
	                   : route_tunnels(r) ? LIVE_HBONE
	                                      : LIVE_TCP;
	o->live.actual_dst = r->hop.connect;
	live_add(&worker_of(o)->live, &o->live);
	if (!route_nests(r)) /* else who is behind the gateway is still to be heard */
		open_account(o, NULL);
	outbound_fail(o, cause);
	if (cause == ERR_OK && route_tunnels(r))
		outbound_fail(o, call_hbone(o));
	else if (cause == ERR_OK)
		dial_plain(o, &r->hop.connect);
	return o->cause == ERR_OK ? OUTBOUND_REACH : OUTBOUND_DRAIN;
}

static enum err add_detour(struct outbound *o)
{
	struct outbound_detour *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return ERR_MEMORY;
	d->owner = o;
	hbone_fields_init(&d->head);
	o->setup->detour = d;
	return ERR_OK;
}

static enum outbound_state outbound_route(struct outbound *o)
{
	struct route *r = &o->setup->route;
	enum err e;

	route_fini(r);
	e = route_choose(r, o->pod, &o->live.src, &o->live.original_dst);
	if (may_come(o, e)) {
		timer_arm(worker_of(o)->loop, &o->setup->look, PROXY_LOCAL_LOOK_MS);
		return OUTBOUND_ROUTE;
	}
	if (e == ERR_OK && (r->hop.hostname != NULL || route_nests(r)))
		e = add_detour(o);
	if (e == ERR_OK)
		return OUTBOUND_RESOLVE;
	if (e == ERR_IDENTITY)
		return set_out(o, e);
	outbound_fail(o, e);
	return OUTBOUND_DRAIN;
}

/* --- resolve -------------------------------------------------------------------------------- */

static void count_lookup(struct outbound *o, const struct workload *self, const char *hostname)
{
	metrics_add_for(worker_of(o)->shard, METRIC_ON_DEMAND_DNS,
	                METRIC_LABELS(self->workload_name, self->canonical_name,
	                              self->canonical_revision, self->namespace, self->identity,
	                              self->canonical_name, self->canonical_revision,
	                              self->cluster_id, hostname),
	                1);
}

static void on_looked_up(struct dns_lookup *l)
{
	struct outbound *o = container_of(l, struct outbound_detour, lookup)->owner;
	enum err e = l->ret_err;

	o->setup->resolving = false;
	if (e == ERR_OK)
		e = next_hop_resolved(&o->setup->route.hop, l->ret_addrs, l->ret_count,
		                      &o->live.original_dst.ip, rand_u64(&worker_of(o)->dice));
	outbound_fail(o, e);
	outbound_run(o);
}

static enum outbound_state outbound_resolve(struct outbound *o)
{
	struct outbound_setup *s = o->setup;
	const char *hostname = s->route.hop.hostname;

	if (s->resolving)
		return OUTBOUND_RESOLVE;
	if (hostname == NULL)
		return set_out(o, ERR_OK);
	if (worker_of(o)->resolver == NULL) {
		outbound_fail(o, ERR_RESOLVE);
		return OUTBOUND_DRAIN;
	}
	count_lookup(o, s->route.self, hostname);
	s->resolving = true;
	dns_lookup_start(&s->detour->lookup, worker_of(o)->resolver, hostname, on_looked_up);
	return OUTBOUND_RESOLVE;
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

/* The stream the relay is to use is open. */
static void take_stream(struct outbound *o, struct hbone_stream *s)
{
	hbone_end_adopt(&o->tunnel, worker_of(o)->loop, s, NULL);
	metrics_gauge_add_for(worker_of(o)->shard, METRIC_HBONE_STREAMS_OPEN,
	                      METRIC_LABELS("client"), 1);
	o->streaming = true;
	o->reached = true;
}

static void on_inner_answered(struct inner_call *a, enum err cause)
{
	struct outbound *o = container_of(a, struct outbound_detour, call)->owner;

	o->setup->nesting = false;
	o->status = a->status;
	if (a->head != NULL) {
		metrics_add_for(worker_of(o)->shard, METRIC_TLS_HANDSHAKES, METRIC_LABELS("client"),
		                1);
		open_account(o, a);
	}
	if (cause == ERR_TLS_REVOKED && a->peer == NULL)
		metrics_add_for(worker_of(o)->shard, METRIC_CRL_POLICY_REJECTIONS,
		                METRIC_LABELS("source"), 1);
	if (cause == ERR_OK)
		take_stream(o, &a->stream);
	outbound_fail(o, cause);
	outbound_run(o);
}

static const struct inner_call_owner inner_owner = {.answered = on_inner_answered};

/* The gateway granted a stream: through it, to whoever is behind. */
static enum err call_inner(struct outbound *o)
{
	struct proxy_worker *w = worker_of(o);
	struct outbound_setup *s = o->setup;
	struct inner_setup setup = {
		.config = s->route.config,
		.identities = s->detour->identities,
		.options = &w->options->pool.h2,
		.scratch = &w->inner_scratch,
		.handshake_ms = w->options->pool.handshake_ms,
		.answer_ms = w->options->pool.answer_ms,
		.siblings = &o->pod->inner_conns,
	};
	enum err e =
		route_identities(&s->route, true, s->detour->identities, &setup.identity_count);

	if (e == ERR_OK)
		e = route_head(&s->route, &o->live.src, true, w->options->network,
		               &s->detour->head);
	if (e != ERR_OK) {
		hbone_stream_reset(&s->call.stream, err_info(e)->h2_code);
		return e;
	}
	setup.fields = s->detour->head.field;
	setup.field_count = s->detour->head.count;
	e = inner_call_start(&s->detour->call, w->loop, &s->call.stream, &setup, &inner_owner);
	s->nesting = e == ERR_OK;
	return e;
}

static void on_answered(struct hbone_call *c, enum err cause)
{
	struct outbound *o = container_of(c, struct outbound_setup, call)->owner;

	o->setup->calling = false;
	o->status = c->status;
	if (cause == ERR_OK && route_nests(&o->setup->route))
		cause = call_inner(o);
	else if (cause == ERR_OK)
		take_stream(o, &c->stream);
	outbound_fail(o, cause);
	outbound_run(o);
}

static void free_setup(struct loop_retired *r)
{
	struct outbound_setup *s = container_of(r, struct outbound_setup, retired);

	timer_disarm(&s->look);
	if (s->welcome != NULL)
		iobuf_unref(s->welcome);
	hbone_fields_fini(&s->head);
	if (s->detour != NULL)
		hbone_fields_fini(&s->detour->head);
	free(s->detour);
	route_fini(&s->route);
	free(s);
}

/* Said now, and not when the application asked, so that it hears the truth. */
static void tell_granted(struct outbound *o)
{
	struct iobuf *b = o->setup->welcome;
	struct span words;

	if (b == NULL)
		return;
	words = o->front->granted;
	memcpy(b->mem, words.p, words.n);
	o->setup->welcome = NULL;
	socket_end_preface(&o->app,
	                   (struct iobuf_view){.buf = b, .p = b->mem, .len = (uint32_t)words.n});
}

static enum outbound_state outbound_reach(struct outbound *o)
{
	struct loop *loop = worker_of(o)->loop;
	struct relay_end *far = &o->tunnel.end;

	if (!o->reached)
		return OUTBOUND_REACH;
	socket_end_init(&o->app, loop, o->fd);
	tell_granted(o);
	o->fd = -1;
	if (!route_tunnels(&o->setup->route)) {
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
	} else if (o->setup != NULL && o->setup->resolving) {
		dns_lookup_cancel(&o->setup->detour->lookup);
		return OUTBOUND_DRAIN;
	} else if (o->setup != NULL && o->setup->dialing) {
		pod_dial_cancel(&o->setup->dial);
		return OUTBOUND_DRAIN;
	} else if (o->setup != NULL && o->setup->calling) {
		hbone_call_cancel(&o->setup->call);
		o->setup->calling = false;
	} else if (o->setup != NULL && o->setup->nesting) {
		inner_call_cancel(&o->setup->detour->call);
		o->setup->nesting = false;
	}
	if (o->fd >= 0 && o->front != NULL) {
		o->front->refused(o->pod, o->fd, o->cause, o->status);
		o->fd = -1;
	} else if (o->fd >= 0) {
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
	if (o->routed) {
		if (!o->accounted)
			open_account(o, NULL);
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
		case OUTBOUND_RESOLVE: next = outbound_resolve(o); break;
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
                        const struct endpoint *dst, const struct outbound_front *front)
{
	struct outbound *o = calloc(1, sizeof(*o));

	if (o != NULL)
		o->setup = calloc(1, sizeof(*o->setup));
	if (o == NULL || o->setup == NULL) {
		free(o);
		return ERR_MEMORY;
	}
	if (front != NULL)
		o->setup->welcome = iobuf_take(loop_iobufs(pod->worker->loop), IOBUF_SMALL);
	if (front != NULL && o->setup->welcome == NULL) {
		free(o->setup);
		free(o);
		return ERR_OVERLOAD;
	}
	o->front = front;
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
