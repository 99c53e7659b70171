/* SPDX-License-Identifier: Apache-2.0 */
#include "ztunnel/proxy/pod_proxy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/hbone/inner_conn.h"
#include "common/mesh/mesh_table.h"
#include "ztunnel/capture/original_dst.h"
#include "ztunnel/proxy/inbound.h"
#include "ztunnel/proxy/inbound_tunnel.h"
#include "ztunnel/proxy/outbound.h"
#include "ztunnel/proxy/pod_dial.h"

/* --- freeing itself ------------------------------------------------------------------------ */

static void free_pod_proxy(struct loop_retired *r)
{
	struct pod_proxy *p = container_of(r, struct pod_proxy, retired);

	CHECK(list_empty(&p->inner_conns)); /* their streams ended with the tunnels */
	hbone_pool_fini(&p->pool);
	spoof_ports_fini(&p->ports);
	pod_unref(p->pod);
	free(p);
}

static bool listeners_landed(const struct pod_proxy *p)
{
	for (unsigned int i = 0; i < LISTENER_KINDS; i++) {
		if (p->listeners[i].op.pending)
			return false;
	}
	return true;
}

/* Going and empty: the pool ends, then all of it. */
static void on_hook(struct loop_hook *h)
{
	struct pod_proxy *p = container_of(h, struct pod_proxy, hook);

	if (!p->going || p->open > 0 || !listeners_landed(p) || !pod_dns_is_over(&p->dns) ||
	    !pod_socks_is_over(&p->socks))
		return;
	if (!p->pool.stopping) {
		hbone_pool_stop(&p->pool);
	} else if (p->pool_stopped) {
		list_remove(&p->link);
		proxy_worker_closed(p->worker);
		loop_retire(p->worker->loop, &p->retired, free_pod_proxy);
	}
}

void pod_proxy_look_again(struct pod_proxy *p)
{
	loop_at_turn_end(p->worker->loop, &p->hook);
}

/* --- the pool's needs ---------------------------------------------------------------------- */

/* A dial on behalf of the pool. */
struct pool_dial {
	struct pod_dial dial;
	struct pod_proxy *pod;
	struct hbone_dial *asked;
	struct loop_retired retired;
};

static struct pod_proxy *of_pool(struct hbone_pool *pool)
{
	return container_of(pool, struct pod_proxy, pool);
}

static void free_pool_dial(struct loop_retired *r)
{
	free(container_of(r, struct pool_dial, retired));
}

static void on_pool_dialed(struct pod_dial *d)
{
	struct pool_dial *pd = container_of(d, struct pool_dial, dial);

	pd->asked->impl = NULL;
	hbone_dial_done(&pd->pod->pool, pd->asked, d->ret_fd, d->ret_err);
	loop_retire(pd->pod->worker->loop, &pd->retired, free_pool_dial);
}

static bool pool_dial(struct hbone_pool *pool, struct hbone_dial *asked)
{
	struct pod_proxy *p = of_pool(pool);
	struct pool_dial *pd = malloc(sizeof(*pd));
	struct pod_dial_query q = {
		.steward = p->worker->options->steward,
		.pod = &p->pod->enrolled,
		.kind = SOCKET_UPSTREAM,
		.to = asked->to,
		.timeout_ms = p->worker->options->connect_ms,
	};

	if (pd == NULL)
		return false;
	pd->pod = p;
	pd->asked = asked;
	asked->impl = pd;
	metrics_add(p->worker->shard, METRIC_POOL_TUNNELS_DIALED, 1);
	pod_dial_start(&pd->dial, p->worker->loop, &q, on_pool_dialed);
	return true;
}

static void pool_dial_cancel(struct hbone_pool *pool, struct hbone_dial *asked)
{
	struct pool_dial *pd = asked->impl;

	(void)pool;
	if (pd != NULL)
		pod_dial_cancel(&pd->dial);
}

static void pool_opened(struct hbone_pool *pool, enum err cause, uint64_t took_ms)
{
	struct proxy_worker *w = of_pool(pool)->worker;

	if (cause == ERR_OK) {
		metrics_add_for(w->shard, METRIC_TLS_HANDSHAKES, METRIC_LABELS("client"), 1);
		metrics_observe(w->shard, METRIC_TLS_HANDSHAKE_DURATION, METRIC_LABELS("client"),
		                took_ms * 1000000);
		metrics_gauge_add(w->shard, METRIC_POOL_TUNNELS_OPEN, 1);
	} else {
		metrics_add_for(w->shard, METRIC_TLS_HANDSHAKE_FAILURES,
		                METRIC_LABELS("client", err_info(cause)->name), 1);
		if (cause == ERR_TLS_REVOKED)
			metrics_add_for(w->shard, METRIC_CRL_POLICY_REJECTIONS,
			                METRIC_LABELS("source"), 1);
	}
}

static void pool_closed(struct hbone_pool *pool, enum err cause)
{
	struct proxy_worker *w = of_pool(pool)->worker;

	metrics_gauge_add(w->shard, METRIC_POOL_TUNNELS_OPEN, -1);
	if (cause != ERR_OK)
		metrics_add_for(w->shard, METRIC_H2_CONNECTION_ERRORS,
		                METRIC_LABELS(err_info(cause)->name), 1);
}

static void pool_untracked(struct hbone_pool *pool)
{
	metrics_add_for(of_pool(pool)->worker->shard, METRIC_CRL_UNTRACKED_CONNECTIONS,
	                METRIC_LABELS("source"), 1);
}

static void pool_stopped(struct hbone_pool *pool)
{
	struct pod_proxy *p = of_pool(pool);

	p->pool_stopped = true;
	pod_proxy_look_again(p);
}

static const struct hbone_pool_owner pool_owner = {
	.dial = pool_dial,
	.dial_cancel = pool_dial_cancel,
	.opened = pool_opened,
	.closed = pool_closed,
	.untracked = pool_untracked,
	.stopped = pool_stopped,
};

/* --- accepting ----------------------------------------------------------------------------- */

static void on_accepted(struct op *op);

static void listen_again(struct pod_listener *l)
{
	if (!l->pod->going && l->fd >= 0 && !l->op.pending)
		loop_accept(l->pod->worker->loop, &l->op, l->fd, on_accepted);
}

static void on_backoff(struct timer *t)
{
	listen_again(container_of(t, struct pod_listener, backoff));
}

static enum access_direction direction_of(enum steward_listener kind)
{
	return kind == LISTENER_OUT ? ACCESS_OUTBOUND : ACCESS_INBOUND;
}

/* A connection for this pod: who called whom, then the one who serves that kind. */
static void serve(struct pod_listener *l, int fd)
{
	struct pod_proxy *p = l->pod;
	struct endpoint src, dst;
	bool own = (p->pod->flags & STEWARD_POD_OWN) != 0;
	enum err e = own ? listener_redirected_dst(fd, &src, &dst)
	                 : listener_original_dst(fd, &src, &dst);

	if (e == ERR_OK) {
		switch (l->kind) {
		case LISTENER_OUT: e = outbound_start(p, fd, &src, &dst, NULL); break;
		case LISTENER_INPLAIN: e = inbound_start_plain(p, fd, &src, &dst); break;
		case LISTENER_HBONE: e = inbound_tunnel_start(p, fd, &src, &dst); break;
		case LISTENER_KINDS: break;
		}
		if (e != ERR_OK)
			account_refused(p->worker->shard, direction_of(l->kind), &src, &dst, e,
			                NULL);
	}
	if (e != ERR_OK)
		loop_reset_close(p->worker->loop, fd);
}

static void on_accepted(struct op *op)
{
	struct pod_listener *l = container_of(op, struct pod_listener, op);
	struct pod_proxy *p = l->pod;

	if (op->res >= 0) {
		if (p->going)
			loop_reset_close(p->worker->loop, op->res);
		else
			serve(l, op->res);
	} else if (op->res != -ECANCELED) {
		metrics_add_for(p->worker->shard, METRIC_ACCEPT_ERRORS,
		                METRIC_LABELS(strerrorname_np(-op->res)), 1);
	}
	if (op->pending)
		return;
	if (p->going) {
		loop_close(p->worker->loop, l->fd);
		l->fd = -1;
		pod_proxy_look_again(p);
	} else if (op->res >= 0)
		listen_again(l);
	else
		timer_arm(p->worker->loop, &l->backoff, ACCEPT_BACKOFF_MS);
}

/* --- life ---------------------------------------------------------------------------------- */

struct pod_proxy *pod_proxy_start(struct proxy_worker *w, struct pod *pod)
{
	struct pod_proxy *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->worker = w;
	p->pod = pod_ref(pod);
	list_init(&p->conns);
	list_init(&p->tunnels);
	list_init(&p->inner_conns);
	loop_hook_init(&p->hook, on_hook);
	spoof_ports_init(&p->ports, w->index, w->options->workers, rand_u64(&w->dice));
	hbone_pool_init(&p->pool, w->loop, &w->scratch, &w->options->pool, &pool_owner);
	list_push(&w->pods, &p->link);
	proxy_worker_opened(w);
	for (unsigned int i = 0; i < LISTENER_KINDS; i++) {
		struct pod_listener *l = &p->listeners[i];

		l->pod = p;
		l->kind = (enum steward_listener)i;
		l->fd = steward_pod_take_listener(&pod->enrolled, l->kind, w->index);
		timer_init(&l->backoff, on_backoff);
		listen_again(l);
	}
	pod_dns_start(&p->dns, p);
	pod_socks_start(&p->socks, p);
	return p;
}

static void close_listener(struct pod_listener *l)
{
	struct loop *loop = l->pod->worker->loop;

	timer_disarm(&l->backoff);
	if (l->op.pending) {
		loop_cancel(loop, &l->op); /* its last done() closes */
	} else if (l->fd >= 0) {
		loop_close(loop, l->fd);
		l->fd = -1;
	}
}

void pod_proxy_drain(struct pod_proxy *p)
{
	if (p->going)
		return;
	p->going = true;
	for (unsigned int i = 0; i < LISTENER_KINDS; i++)
		close_listener(&p->listeners[i]);
	list_for_each_safe (it, tmp, &p->tunnels)
		inbound_tunnel_drain(list_entry(it, struct pod_conn, link));
	pod_dns_drain(&p->dns);
	pod_socks_stop(&p->socks);
	pod_proxy_look_again(p);
}

void pod_proxy_cut(struct pod_proxy *p, enum err cause)
{
	pod_dns_cut(&p->dns);
	pod_socks_stop(&p->socks);
	/* What has no op in flight leaves its list at once. Cutting a tunnel may end connections, not tunnels. */
	list_for_each_safe (it, tmp, &p->conns) {
		struct pod_conn *c = list_entry(it, struct pod_conn, link);

		c->cut(c, cause);
	}
	list_for_each_safe (it, tmp, &p->tunnels) {
		struct pod_conn *c = list_entry(it, struct pod_conn, link);

		c->cut(c, cause);
	}
}

/* reporter: as the metrics call our side. */
static void recheck_list(struct pod_proxy *p, struct list *list, const char *reporter)
{
	list_for_each_safe (it, tmp, list) {
		struct pod_conn *c = list_entry(it, struct pod_conn, link);

		if (c->revoked == NULL || !c->revoked(c))
			continue;
		metrics_add_for(p->worker->shard, METRIC_CRL_POLICY_REJECTIONS,
		                METRIC_LABELS(reporter), 1);
		c->cut(c, ERR_TLS_REVOKED);
	}
}

void pod_proxy_recheck(struct pod_proxy *p)
{
	unsigned int dropped = hbone_pool_recheck(&p->pool) + inner_conn_recheck(&p->inner_conns);

	if (dropped > 0)
		metrics_add_for(p->worker->shard, METRIC_CRL_POLICY_REJECTIONS,
		                METRIC_LABELS("source"), dropped);
	recheck_list(p, &p->conns, "source");
	/* Cutting a tunnel may end connections, not tunnels. */
	recheck_list(p, &p->tunnels, "destination");
}

void pod_proxy_add(struct pod_proxy *p, struct list *list, struct pod_conn *c)
{
	list_push(list, &c->link);
	p->open++;
	proxy_worker_opened(p->worker);
}

void pod_proxy_remove(struct pod_proxy *p, struct pod_conn *c)
{
	list_remove(&c->link);
	p->open--;
	proxy_worker_closed(p->worker);
	if (p->going)
		pod_proxy_look_again(p);
}

const struct workload *pod_proxy_workload(const struct pod_proxy *p)
{
	struct local_workload_key key = {
		.namespace = p->pod->namespace,
		.name = p->pod->name,
		.service_account = p->pod->service_account,
		.node = p->worker->options->node,
	};

	return mesh_local_workload(p->worker->mesh, &key);
}
