/* SPDX-License-Identifier: Apache-2.0 */
#include "ztunnel/proxy/pod_socks.h"

#include <errno.h>
#include <string.h>

#include "common/base/check.h"
#include "ztunnel/proxy/pod_proxy.h"
#include "ztunnel/proxy/socks_client.h"

static void on_accepted(struct op *op);

static struct loop *loop_of(const struct pod_socks *s)
{
	return s->pod->worker->loop;
}

/* A socket inside the pod, past the capture of its questions. */
static void open_socket(struct dns_sockets *sockets, struct loop *loop, struct dns_socket_ask *ask,
                        op_done_fn *done)
{
	const struct pod_socks *s = container_of(sockets, struct pod_socks, sockets);

	loop_post(loop, &ask->op,
	          steward_resolver_socket(s->pod->worker->options->steward, &s->pod->pod->enrolled,
	                                  ask->family, ask->type),
	          done);
}

/* --- accepting ----------------------------------------------------------------------------- */

static void listen_again(struct pod_socks_listener *l)
{
	if (!l->owner->going && l->fd >= 0 && !l->op.pending)
		loop_accept(loop_of(l->owner), &l->op, l->fd, on_accepted);
}

static void on_backoff(struct timer *t)
{
	listen_again(container_of(t, struct pod_socks_listener, backoff));
}

/* Who waits longest makes room for who comes. */
static void make_room(struct pod_socks *s)
{
	if (s->count < POD_SOCKS_CLIENTS_MAX)
		return;
	list_for_each (it, &s->clients) {
		struct socks_client *c = list_entry(it, struct socks_client, link);

		if (!c->ending) {
			socks_client_cut(c);
			return;
		}
	}
}

static void on_accepted(struct op *op)
{
	struct pod_socks_listener *l = container_of(op, struct pod_socks_listener, op);
	struct pod_socks *s = l->owner;
	struct loop *loop = loop_of(s);

	if (op->res >= 0) {
		make_room(s);
		if (s->going || socks_client_start(s, op->res) != ERR_OK)
			loop_reset_close(loop, op->res);
	} else if (op->res != -ECANCELED) {
		metrics_add_for(s->pod->worker->shard, METRIC_ACCEPT_ERRORS,
		                METRIC_LABELS(strerrorname_np(-op->res)), 1);
	}
	if (op->pending)
		return;
	if (s->going) {
		loop_close(loop, l->fd);
		l->fd = -1;
		pod_socks_left(s);
	} else if (op->res >= 0) {
		listen_again(l);
	} else {
		timer_arm(loop, &l->backoff, ACCEPT_BACKOFF_MS);
	}
}

/* --- life ---------------------------------------------------------------------------------- */

static void start_resolver(struct pod_socks *s)
{
	const struct proxy_options *options = s->pod->worker->options;
	struct dns_upstream_options upstream = {.sockets = &s->sockets, .config = options->resolv};
	struct dns_resolver_options resolver = {.ipv6 = options->ipv6};

	s->upstream = dns_upstream_new(loop_of(s), &upstream);
	resolver.forwarder = dns_upstream_forwarder(s->upstream);
	s->resolver = dns_resolver_new(loop_of(s), &resolver);
}

void pod_socks_start(struct pod_socks *s, struct pod_proxy *pod)
{
	const struct proxy_worker *w = pod->worker;
	bool any = false;

	*s = (struct pod_socks){.going = true, .sockets = {.open = open_socket}};
	list_init(&s->clients);
	if (!w->options->socks || pod->pod->id % w->options->workers != w->index)
		return;
	s->pod = pod;
	for (unsigned int i = 0; i < STEWARD_SOCKS_LISTENERS; i++) {
		struct pod_socks_listener *l = &s->listeners[i];

		l->owner = s;
		l->fd = steward_pod_take_socks(&pod->pod->enrolled, (enum steward_socks)i);
		timer_init(&l->backoff, on_backoff);
		any = any || l->fd >= 0;
	}
	if (!any) {
		s->pod = NULL;
		return;
	}
	s->going = false;
	start_resolver(s);
	for (unsigned int i = 0; i < STEWARD_SOCKS_LISTENERS; i++)
		listen_again(&s->listeners[i]);
}

bool pod_socks_is_over(const struct pod_socks *s)
{
	return s->upstream == NULL && s->count == 0;
}

void pod_socks_left(struct pod_socks *s)
{
	if (!s->going || s->count > 0)
		return;
	for (unsigned int i = 0; i < STEWARD_SOCKS_LISTENERS; i++) {
		if (s->listeners[i].op.pending)
			return;
	}
	if (s->upstream != NULL) { /* else somebody who was refused later has heard it */
		dns_resolver_free(s->resolver);
		dns_upstream_free(s->upstream);
		s->resolver = NULL;
		s->upstream = NULL;
	}
	pod_proxy_look_again(s->pod);
}

static void close_listener(struct pod_socks_listener *l)
{
	struct loop *loop = loop_of(l->owner);

	timer_disarm(&l->backoff);
	if (l->op.pending) {
		loop_cancel(loop, &l->op); /* its last done() closes */
	} else if (l->fd >= 0) {
		loop_close(loop, l->fd);
		l->fd = -1;
	}
}

void pod_socks_stop(struct pod_socks *s)
{
	if (s->going)
		return;
	s->going = true;
	for (unsigned int i = 0; i < STEWARD_SOCKS_LISTENERS; i++)
		close_listener(&s->listeners[i]);
	list_for_each_safe (it, tmp, &s->clients)
		socks_client_cut(list_entry(it, struct socks_client, link));
	pod_socks_left(s);
}
