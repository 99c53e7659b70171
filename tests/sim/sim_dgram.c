/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim_dgram.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/list.h"
#include "common/base/mem.h"

enum { PORT_FIRST = 40000 };

struct dgram {
	struct list link;
	struct endpoint from, to;
	size_t len;
	uint8_t bytes[];
};

struct sim_dgram_socket {
	struct endpoint local;
	bool catch_all;
	struct list queue; /* of dgram, oldest first */
	size_t queued;
};

static struct sim_dgram_socket *get(const struct sim_dgrams *net, int fd)
{
	size_t i = (size_t)(fd - SIM_DGRAM_FD_FIRST);

	CHECK(fd >= SIM_DGRAM_FD_FIRST && i < net->count && net->sockets[i] != NULL);
	return net->sockets[i];
}

static void socket_free(struct sim_dgram_socket *s)
{
	struct list *n;

	while ((n = list_shift(&s->queue)) != NULL)
		free(list_entry(n, struct dgram, link));
	free(s);
}

void sim_dgrams_fini(struct sim_dgrams *net)
{
	for (size_t i = 0; i < net->count; i++)
		if (net->sockets[i] != NULL)
			socket_free(net->sockets[i]);
	free(net->sockets);
}

int sim_dgram_socket(struct sim_dgrams *net, const struct endpoint *ep, bool catch_all)
{
	struct sim_dgram_socket *s = mem_new(sizeof(*s));

	if (net->count == net->cap) {
		size_t cap = net->cap == 0 ? 16 : net->cap * 2;
		struct sim_dgram_socket **wider = mem_new(cap * sizeof(struct sim_dgram_socket *));

		if (net->count > 0)
			memcpy(wider, net->sockets, net->count * sizeof(struct sim_dgram_socket *));
		free(net->sockets);
		net->sockets = wider;
		net->cap = cap;
	}
	list_init(&s->queue);
	s->catch_all = catch_all;
	if (ep != NULL && ep->ip.family != IP_NONE) {
		s->local = *ep;
	} else {
		s->local.ip = (struct ip){.family = IP_V4, .bytes = {192, 0, 2, 2}};
		s->local.port = (uint16_t)(PORT_FIRST + net->next_port++);
	}
	net->sockets[net->count] = s;
	net->open_count++;
	return SIM_DGRAM_FD_FIRST + (int)net->count++;
}

static struct sim_dgram_socket *receiver_at(const struct sim_dgrams *net, const struct endpoint *to)
{
	struct sim_dgram_socket *any = NULL;

	for (size_t i = 0; i < net->count; i++) {
		struct sim_dgram_socket *s = net->sockets[i];

		if (s != NULL && endpoint_eq(&s->local, to))
			return s;
		if (s != NULL && s->catch_all)
			any = s;
	}
	return any;
}

ssize_t sim_dgram_recv(struct sim_dgrams *net, int fd, void *mem, size_t n,
                       struct sim_dgram_way *ret_way)
{
	struct sim_dgram_socket *s = get(net, fd);
	struct list *first = list_shift(&s->queue);
	struct dgram *d;

	if (first == NULL)
		return -EAGAIN;
	d = list_entry(first, struct dgram, link);
	s->queued--;
	*ret_way = (struct sim_dgram_way){.from = d->from, .to = d->to, .cut = d->len > n};
	n = d->len < n ? d->len : n;
	if (n > 0)
		memcpy(mem, d->bytes, n);
	free(d);
	return (ssize_t)n;
}

ssize_t sim_dgram_send(struct sim_dgrams *net, int fd, const struct endpoint *from,
                       const struct endpoint *to, struct span mem)
{
	const struct sim_dgram_socket *s = get(net, fd);
	struct sim_dgram_socket *far = receiver_at(net, to);
	struct dgram *d;

	if (far == NULL || far->queued == SIM_DGRAM_QUEUE_MAX)
		return (ssize_t)mem.n;
	d = mem_new(sizeof(*d) + mem.n);
	d->from = from != NULL ? *from : s->local;
	d->to = *to;
	d->len = mem.n;
	if (mem.n > 0)
		memcpy(d->bytes, mem.p, mem.n);
	list_push(&far->queue, &d->link);
	far->queued++;
	return (ssize_t)mem.n;
}

bool sim_dgram_readable(const struct sim_dgrams *net, int fd)
{
	return !list_empty(&get(net, fd)->queue);
}

void sim_dgram_close(struct sim_dgrams *net, int fd)
{
	socket_free(get(net, fd));
	net->sockets[fd - SIM_DGRAM_FD_FIRST] = NULL;
	net->open_count--;
}
