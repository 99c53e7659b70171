/* SPDX-License-Identifier: Apache-2.0 */
#include "common/dns/dns_stock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/mem.h"

enum { SHELVES = 4 }; /* two families, two types */

/* Sockets of one kind. */
struct shelf {
	struct dns_stock *stock;
	struct dns_socket_ask ask; /* one at a time */
	int family, type;
	size_t want, count;
	int fds[RESOLV_SERVERS_MAX];
	bool asking; /* one is being made */
};

struct dns_stock {
	struct loop *loop;
	struct dns_sockets *sockets;
	dns_stock_fn *changed;
	void *arg;
	struct shelf shelves[SHELVES];
	bool ended;
	struct loop_retired retired;
};

static void stock_destroy(struct loop_retired *r)
{
	free(container_of(r, struct dns_stock, retired));
}

bool dns_stock_settled(const struct dns_stock *s)
{
	for (size_t i = 0; i < SHELVES; i++)
		if (s->shelves[i].asking)
			return false;
	return true;
}

static void shelf_fill(struct shelf *f);

static void on_socket(struct op *op)
{
	struct dns_socket_ask *ask = container_of(op, struct dns_socket_ask, op);
	struct shelf *f = container_of(ask, struct shelf, ask);
	struct dns_stock *s = f->stock;

	f->asking = false;
	if (op->res >= 0 && f->count < f->want)
		f->fds[f->count++] = op->res;
	else if (op->res >= 0)
		loop_close(s->loop, op->res);
	else
		log_at(LOG_SCOPE_DNS, LOG_DEBUG, "no socket to ask nameservers with",
		       LOG_N("errno", -op->res));
	if (s->ended) {
		if (dns_stock_settled(s))
			loop_retire(s->loop, &s->retired, stock_destroy);
		return;
	}
	if (op->res >= 0)
		shelf_fill(f);
	if (dns_stock_settled(s))
		s->changed(s->arg);
}

static void shelf_fill(struct shelf *f)
{
	if (f->asking || f->count >= f->want)
		return;
	f->asking = true;
	f->ask.family = f->family;
	f->ask.type = f->type;
	f->stock->sockets->open(f->stock->sockets, f->stock->loop, &f->ask, on_socket);
}

struct dns_stock *dns_stock_new(struct loop *loop, struct dns_sockets *sockets,
                                dns_stock_fn *changed, void *arg)
{
	static const int families[] = {AF_INET, AF_INET6}, types[] = {SOCK_DGRAM, SOCK_STREAM};
	struct dns_stock *s = mem_new(sizeof(*s));

	s->loop = loop;
	s->sockets = sockets;
	s->changed = changed;
	s->arg = arg;
	for (size_t i = 0; i < SHELVES; i++) {
		s->shelves[i].stock = s;
		s->shelves[i].family = families[i / 2];
		s->shelves[i].type = types[i % 2];
	}
	return s;
}

void dns_stock_fill(struct dns_stock *s, const struct resolv_conf *conf)
{
	size_t v4 = 0;

	for (size_t i = 0; i < conf->server_count; i++)
		v4 += conf->servers[i].family == IP_V4;
	for (size_t i = 0; i < SHELVES; i++) {
		struct shelf *f = &s->shelves[i];

		f->want = f->family == AF_INET ? v4 : conf->server_count - v4;
		shelf_fill(f);
	}
}

void dns_stock_empty(struct dns_stock *s)
{
	for (size_t i = 0; i < SHELVES; i++) {
		struct shelf *f = &s->shelves[i];

		f->want = 0;
		while (f->count > 0)
			loop_close(s->loop, f->fds[--f->count]);
	}
}

int dns_stock_take(struct dns_stock *s, int family, int type)
{
	for (size_t i = 0; i < SHELVES; i++) {
		struct shelf *f = &s->shelves[i];
		int fd;

		if (f->family != family || f->type != type || f->count == 0)
			continue;
		fd = f->fds[--f->count];
		shelf_fill(f);
		return fd;
	}
	return -1;
}

void dns_stock_free(struct dns_stock *s)
{
	if (s == NULL)
		return;
	dns_stock_empty(s);
	s->ended = true;
	if (dns_stock_settled(s))
		loop_retire(s->loop, &s->retired, stock_destroy);
}

static void open_here(struct dns_sockets *s, struct loop *loop, struct dns_socket_ask *ask,
                      op_done_fn *done)
{
	int fd = socket(ask->family, ask->type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	(void)s;
	loop_post(loop, &ask->op, fd >= 0 ? fd : -errno, done);
}

struct dns_sockets dns_sockets_here = {.open = open_here};
