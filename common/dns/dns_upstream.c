/* SPDX-License-Identifier: Apache-2.0 */
#include "common/dns/dns_upstream.h"

#include <stdlib.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/dns/dns_cache.h"
#include "common/dns/dns_channel.h"
#include "common/dns/dns_msg.h"
#include "common/dns/dns_stock.h"
#include "common/io/timer.h"

enum {
	QUIET_MS = 30000, /* without questions: sockets and channel go */
	TRIES_MAX = 3,    /* of a question for which there was no socket */
};

/* A question between dns_ask() and its done(). */
struct flight {
	struct list link; /* in waiting or finished; its own list while c-ares has it */
	struct dns_upstream *upstream;
	struct dns_ask *ask;         /* NULL: cancelled while c-ares has it */
	struct dns_channel *channel; /* NULL unless c-ares has it */
	struct buf answer;
	unsigned int tries;
};

struct dns_upstream {
	struct dns_forwarder forwarder;
	struct loop *loop;
	struct dns_upstream_options opt;
	struct snapshot *config; /* a struct resolv_conf; shared, NULL before the first look */
	uint64_t generation;
	struct dns_stock *stock;
	struct dns_cache *cache;
	struct dns_channel *channel; /* of the newest config; NULL until needed */
	struct dns_channel *old;     /* of the config before, while it has questions */
	struct list waiting;         /* of flight: for sockets */
	struct list finished;        /* of flight: done() to be called */
	struct op post;
	struct timer quiet;
	struct loop_hook tidy;
	size_t asks;
	bool ended;
	struct loop_retired retired;
};

static void upstream_destroy(struct loop_retired *r)
{
	struct dns_upstream *u = container_of(r, struct dns_upstream, retired);

	dns_cache_free(u->cache);
	snapshot_unref(u->config);
	free(u);
}

/* ---- the end of a question ---- */

static void on_post(struct op *op)
{
	struct dns_upstream *u = container_of(op, struct dns_upstream, post);
	struct list batch, *n;

	list_init(&batch);
	while ((n = list_shift(&u->finished)) != NULL)
		list_push(&batch, n);
	while ((n = list_shift(&batch)) != NULL) {
		struct flight *f = list_entry(n, struct flight, link);
		struct dns_ask *a = f->ask;

		u->asks--;
		a->impl = NULL;
		a->ret_answer = buf_span(&f->answer);
		a->done(a);
		buf_fini(&f->answer);
		free(f);
	}
	if (u->ended && u->asks == 0)
		loop_retire(u->loop, &u->retired, upstream_destroy);
}

static void finish(struct flight *f, enum err e)
{
	struct dns_upstream *u = f->upstream;

	f->ask->ret_err = e;
	if (e != ERR_OK)
		buf_clear(&f->answer);
	list_remove(&f->link);
	list_push(&u->finished, &f->link);
	if (!u->post.pending)
		loop_post(u->loop, &u->post, 0, on_post);
}

/* ---- asking ---- */

static void on_channel_answer(void *arg, const struct dns_channel_answer *answer)
{
	struct flight *f = arg;
	struct dns_upstream *u = f->upstream;
	enum err e = answer->err;
	struct dns_query q;

	f->channel = NULL;
	loop_at_turn_end(u->loop, &u->tidy);
	if (f->ask == NULL) {
		free(f);
		return;
	}
	if (answer->msg.n == 0 && answer->starved && f->tries < TRIES_MAX && !u->ended) {
		list_push(&u->waiting, &f->link);
		return;
	}
	if (answer->msg.n > 0) {
		buf_put(&f->answer, answer->msg);
	} else if (e == ERR_OK) {
		(void)dns_query_read(f->ask->query, &q);
		e = dns_reply_write(&q, &(struct dns_reply){.rcode = answer->rcode}, DNS_UDP_LEN,
		                    &f->answer);
	}
	if (e == ERR_OK)
		e = buf_status(&f->answer);
	if (e == ERR_OK) {
		dns_msg_pass_on(f->answer.p, dns_msg_id(f->ask->query));
		dns_cache_put(u->cache, f->ask->query, buf_span(&f->answer), loop_now_ms(u->loop));
	}
	finish(f, e);
}

static const struct resolv_conf *config_of(const struct dns_upstream *u)
{
	return container_of(u->config, struct resolv_conf, snapshot);
}

/* The newest nameservers. false: none are known. */
static bool look_at_config(struct dns_upstream *u)
{
	if (snapshot_refresh(u->opt.config, &u->generation, &u->config) && u->channel != NULL) {
		dns_channel_free(
			u->old); /* changed twice while questions were on their way: those fail */
		u->old = u->channel;
		u->channel = NULL;
		dns_stock_empty(u->stock);
		loop_at_turn_end(u->loop, &u->tidy);
	}
	return u->config != NULL && config_of(u)->server_count > 0;
}

/* Hand what waits to c-ares, once the sockets it may want are there. */
static void launch(struct dns_upstream *u)
{
	struct list batch, *n;

	if (list_empty(&u->waiting) || !dns_stock_settled(u->stock))
		return;
	if (u->channel == NULL)
		u->channel = dns_channel_new(u->loop, config_of(u), u->opt.port, u->stock);
	list_init(&batch);
	while ((n = list_shift(&u->waiting)) != NULL)
		list_push(&batch, n);
	while ((n = list_shift(&batch)) != NULL) {
		struct flight *f = list_entry(n, struct flight, link);

		f->tries++;
		if (u->channel == NULL) {
			finish(f, ERR_MEMORY);
			continue;
		}
		f->channel = u->channel;
		dns_channel_send(u->channel, f->ask->query, on_channel_answer, f);
	}
}

static void on_stock(void *arg)
{
	launch(arg);
}

static void depart(struct dns_upstream *u, struct flight *f)
{
	timer_arm(u->loop, &u->quiet, QUIET_MS);
	if (!look_at_config(u)) {
		finish(f, ERR_DNS);
		return;
	}
	list_push(&u->waiting, &f->link);
	dns_stock_fill(u->stock, config_of(u));
	launch(u);
}

static void upstream_ask(struct dns_forwarder *forwarder, struct dns_ask *a)
{
	struct dns_upstream *u = container_of(forwarder, struct dns_upstream, forwarder);
	struct flight *f = mem_new(sizeof(*f));

	CHECK(!u->ended);
	f->upstream = u;
	f->ask = a;
	list_init(&f->link);
	buf_init(&f->answer, DNS_MSG_MAX);
	a->impl = f;
	a->ret_cached = false;
	u->asks++;
	if (a->query.n < DNS_HEADER_LEN || a->query.n > DNS_MSG_MAX) {
		finish(f, ERR_PARSE);
	} else if (dns_cache_get(u->cache, a->query, loop_now_ms(u->loop), &f->answer)) {
		a->ret_cached = true;
		finish(f, ERR_OK);
	} else if (u->asks > u->opt.asks_max) {
		finish(f, ERR_OVERLOAD);
	} else {
		depart(u, f);
	}
}

static void upstream_cancel(struct dns_forwarder *forwarder, struct dns_ask *a)
{
	struct flight *f = a->impl;
	struct flight *orphan;

	(void)forwarder;
	if (f == NULL)
		return;
	if (f->channel == NULL) {
		finish(f, ERR_CANCELLED);
		return;
	}
	orphan = f; /* c-ares cannot forget one question: its answer comes to nobody */
	f = mem_new(sizeof(*f));
	f->upstream = orphan->upstream;
	f->ask = a;
	list_init(&f->link);
	buf_init(&f->answer, DNS_MSG_MAX);
	a->impl = f;
	orphan->ask = NULL;
	finish(f, ERR_CANCELLED);
}

/* ---- life ---- */

static void on_tidy(struct loop_hook *h)
{
	struct dns_upstream *u = container_of(h, struct dns_upstream, tidy);

	if (u->old != NULL && dns_channel_busy(u->old) == 0) {
		dns_channel_free(u->old);
		u->old = NULL;
	}
	if (!list_empty(&u->waiting)) { /* starved of sockets */
		dns_stock_fill(u->stock, config_of(u));
		launch(u);
	}
}

static void on_quiet(struct timer *t)
{
	struct dns_upstream *u = container_of(t, struct dns_upstream, quiet);

	if (u->asks > 0 || (u->channel != NULL && dns_channel_busy(u->channel) > 0)) {
		timer_arm(u->loop, &u->quiet, QUIET_MS);
		return;
	}
	dns_channel_free(u->channel);
	u->channel = NULL;
	dns_stock_empty(u->stock);
}

struct dns_upstream *dns_upstream_new(struct loop *loop, const struct dns_upstream_options *opt)
{
	struct dns_upstream *u = mem_new(sizeof(*u));

	u->loop = loop;
	u->opt = *opt;
	if (u->opt.asks_max == 0)
		u->opt.asks_max = DNS_ASKS_MAX;
	if (u->opt.cache_bytes_max == 0)
		u->opt.cache_bytes_max = DNS_CACHE_BYTES_MAX;
	u->forwarder = (struct dns_forwarder){.ask = upstream_ask, .cancel = upstream_cancel};
	u->cache = dns_cache_new(u->opt.cache_bytes_max);
	u->stock = dns_stock_new(loop, opt->sockets, on_stock, u);
	list_init(&u->waiting);
	list_init(&u->finished);
	timer_init(&u->quiet, on_quiet);
	loop_hook_init(&u->tidy, on_tidy);
	return u;
}

struct dns_forwarder *dns_upstream_forwarder(struct dns_upstream *u)
{
	return &u->forwarder;
}

void dns_upstream_free(struct dns_upstream *u)
{
	struct list *n;

	if (u == NULL)
		return;
	u->ended = true;
	timer_disarm(&u->quiet);
	dns_channel_free(u->channel);
	dns_channel_free(u->old);
	u->channel = NULL;
	u->old = NULL;
	loop_hook_cancel(&u->tidy);
	while ((n = list_shift(&u->waiting)) != NULL)
		finish(list_entry(n, struct flight, link), ERR_CANCELLED);
	dns_stock_free(u->stock);
	if (u->asks == 0 && !u->post.pending)
		loop_retire(u->loop, &u->retired, upstream_destroy);
}
