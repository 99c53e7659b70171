/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim_socket.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/buf.h"
#include "common/base/check.h"
#include "common/base/list.h"
#include "common/base/mem.h"
#include "tests/sim/sim.h"

enum {
	SOCKET_BYTES_DEFAULT = 65536,
	BACKLOG_DEFAULT = 128,
	PORT_FIRST = 32768,
};

enum socket_state {
	SOCKET_FRESH,
	SOCKET_LISTENS,
	SOCKET_CONNECTED, /* also after the peer has gone */
};

struct sim_socket {
	enum socket_state state;
	struct sim_socket *peer; /* NULL when it has been closed */
	struct buf rx;           /* what the peer sent and we have not read */
	bool rx_end;             /* the peer sends no more */
	bool rx_shut;            /* we read no more */
	bool tx_shut;            /* we send no more */
	bool reset;              /* a reset arrived */
	bool reset_told;         /* and an operation reported it */
	struct endpoint local;
	struct endpoint remote;
	struct list queue; /* SOCKET_LISTENS: of sim_socket, oldest first */
	struct list queued;
	unsigned int queue_count;
	unsigned int backlog;
};

static struct sim_socket *get(const struct sim_net *net, int fd)
{
	size_t i = (size_t)(fd - SIM_FD_FIRST);

	CHECK(fd >= SIM_FD_FIRST && i < net->count && net->sockets[i] != NULL);
	return net->sockets[i];
}

static struct sim_socket *socket_new(struct sim_net *net)
{
	struct sim_socket *s = mem_new(sizeof(*s));

	buf_init(&s->rx, net->bytes_max);
	list_init(&s->queue);
	list_init(&s->queued);
	s->local.ip = (struct ip){.family = IP_V4, .bytes = {192, 0, 2, 1}};
	s->local.port = net->next_port++;
	if (net->next_port == 0)
		net->next_port = PORT_FIRST;
	return s;
}

static int install(struct sim_net *net, struct sim_socket *s)
{
	if (net->count == net->cap) {
		struct sim_socket **wider;

		net->cap = net->cap == 0 ? 64 : net->cap * 2;
		wider = mem_new(net->cap * sizeof(struct sim_socket *));
		if (net->count > 0)
			memcpy(wider, net->sockets, net->count * sizeof(struct sim_socket *));
		free(net->sockets);
		net->sockets = wider;
	}
	net->sockets[net->count] = s;
	net->open_count++;
	return SIM_FD_FIRST + (int)net->count++;
}

static void join(struct sim_socket *a, struct sim_socket *b)
{
	a->state = SOCKET_CONNECTED;
	b->state = SOCKET_CONNECTED;
	a->peer = b;
	b->peer = a;
	a->remote = b->local;
	b->remote = a->local;
}

/* The peer learns that s is gone. */
static void part(struct sim_socket *s, bool reset)
{
	if (s->peer == NULL)
		return;
	if (reset || (s->rx.n > 0 && !s->rx_shut))
		s->peer->reset = true;
	s->peer->rx_end = true;
	s->peer->peer = NULL;
	s->peer = NULL;
}

static void release(struct sim_socket *s, bool reset)
{
	part(s, reset);
	buf_fini(&s->rx);
	free(s);
}

/* With what nobody accepted. */
static void socket_free(struct sim_socket *s, bool reset)
{
	struct list *n;

	while ((n = list_shift(&s->queue)) != NULL)
		release(list_entry(n, struct sim_socket, queued), true);
	release(s, reset);
}

void sim_net_init(struct sim_net *net, size_t bytes_max)
{
	*net = (struct sim_net){.bytes_max = bytes_max != 0 ? bytes_max : SOCKET_BYTES_DEFAULT};
	net->next_port = PORT_FIRST;
}

void sim_net_fini(struct sim_net *net)
{
	for (size_t i = 0; i < net->count; i++)
		if (net->sockets[i] != NULL)
			socket_free(net->sockets[i], true);
	free(net->sockets);
}

int sim_net_socket(struct sim_net *net)
{
	return install(net, socket_new(net));
}

void sim_net_pair(struct sim_net *net, int ret_fds[2])
{
	struct sim_socket *a = socket_new(net), *b = socket_new(net);

	join(a, b);
	ret_fds[0] = install(net, a);
	ret_fds[1] = install(net, b);
}

int sim_net_listen(struct sim_net *net, const struct endpoint *ep, unsigned int backlog)
{
	struct sim_socket *s = socket_new(net);

	s->state = SOCKET_LISTENS;
	s->local = *ep;
	s->backlog = backlog != 0 ? backlog : BACKLOG_DEFAULT;
	return install(net, s);
}

void sim_net_black_hole(struct sim_net *net, const struct endpoint *ep)
{
	CHECK(net->black_hole_count < SIM_BLACK_HOLES_MAX);
	net->black_holes[net->black_hole_count++] = *ep;
}

bool sim_net_is_black_hole(const struct sim_net *net, const struct endpoint *ep)
{
	for (size_t i = 0; i < net->black_hole_count; i++)
		if (endpoint_eq(&net->black_holes[i], ep))
			return true;
	return false;
}

static struct sim_socket *listener_at(const struct sim_net *net, const struct endpoint *ep)
{
	for (size_t i = 0; i < net->count; i++) {
		struct sim_socket *s = net->sockets[i];

		if (s != NULL && s->state == SOCKET_LISTENS && endpoint_eq(&s->local, ep))
			return s;
	}
	return NULL;
}

int sim_net_connect(struct sim_net *net, int fd, const struct endpoint *to)
{
	struct sim_socket *s = get(net, fd), *l = listener_at(net, to), *far;

	if (s->state != SOCKET_FRESH)
		return -EISCONN;
	if (l == NULL)
		return -ECONNREFUSED;
	if (l->queue_count == l->backlog)
		return -EAGAIN;
	far = socket_new(net);
	far->local = *to;
	join(s, far);
	list_push(&l->queue, &far->queued);
	l->queue_count++;
	return 0;
}

int sim_net_accept(struct sim_net *net, int fd)
{
	struct sim_socket *l = get(net, fd);
	struct list *n;

	if (l->state != SOCKET_LISTENS)
		return -EINVAL;
	n = list_shift(&l->queue);
	if (n == NULL)
		return -EAGAIN;
	l->queue_count--;
	return install(net, list_entry(n, struct sim_socket, queued));
}

size_t sim_net_readable(const struct sim_net *net, int fd)
{
	const struct sim_socket *s = get(net, fd);

	return s->rx_shut ? 0 : s->rx.n;
}

ssize_t sim_net_read(struct sim_net *net, int fd, void *mem, size_t n)
{
	struct sim_socket *s = get(net, fd);

	if (s->state != SOCKET_CONNECTED)
		return -ENOTCONN;
	if (s->rx.n > 0 && !s->rx_shut) {
		n = n < s->rx.n ? n : s->rx.n;
		if (n > 0)
			memcpy(mem, s->rx.p, n);
		buf_consume(&s->rx, n);
		return (ssize_t)n;
	}
	if (s->reset && !s->reset_told) {
		s->reset_told = true;
		return -ECONNRESET;
	}
	return s->rx_shut || s->rx_end || s->reset ? 0 : -EAGAIN;
}

ssize_t sim_net_writable(struct sim_net *net, int fd)
{
	struct sim_socket *s = get(net, fd);

	if (s->reset && !s->reset_told) {
		s->reset_told = true;
		return -ECONNRESET;
	}
	if (s->state != SOCKET_CONNECTED || s->tx_shut || s->reset)
		return -EPIPE;
	/* nobody there: the kernel takes the octets, and the answer to them is a reset */
	if (s->peer == NULL || s->peer->rx_shut)
		return (ssize_t)net->bytes_max;
	return (ssize_t)(net->bytes_max - s->peer->rx.n);
}

ssize_t sim_net_write(struct sim_net *net, int fd, const void *mem, size_t n)
{
	struct sim_socket *s = get(net, fd);

	if (s->peer == NULL) {
		s->reset = true;
	} else if (!s->peer->rx_shut) {
		buf_put(&s->peer->rx, span_of(mem, n));
		CHECK(!s->peer->rx.failed);
	}
	return (ssize_t)n;
}

short sim_net_poll(const struct sim_net *net, int fd)
{
	const struct sim_socket *s = get(net, fd);
	short events = 0;

	if (s->state == SOCKET_LISTENS)
		return s->queue_count > 0 ? POLLIN : 0;
	if (s->state != SOCKET_CONNECTED)
		return POLLOUT | POLLHUP;
	if (s->rx.n > 0 || s->rx_end || s->rx_shut || s->reset)
		events |= POLLIN;
	if (s->tx_shut || s->reset || s->peer == NULL || s->peer->rx.n < net->bytes_max)
		events |= POLLOUT;
	if (s->reset && !s->reset_told)
		events |= POLLERR;
	if (s->reset || (s->tx_shut && s->rx_end))
		events |= POLLHUP;
	return events;
}

void sim_net_shutdown(struct sim_net *net, int fd, int how)
{
	struct sim_socket *s = get(net, fd);

	if (how == SHUT_RD || how == SHUT_RDWR)
		s->rx_shut = true;
	if (how == SHUT_WR || how == SHUT_RDWR) {
		s->tx_shut = true;
		if (s->peer != NULL)
			s->peer->rx_end = true;
	}
}

void sim_net_close(struct sim_net *net, int fd, bool reset)
{
	struct sim_socket *s = get(net, fd);

	net->sockets[fd - SIM_FD_FIRST] = NULL;
	net->open_count--;
	socket_free(s, reset);
}

bool sim_net_peer(const struct sim_net *net, int fd, struct endpoint *ret_ep)
{
	const struct sim_socket *s = get(net, fd);

	if (s->state != SOCKET_CONNECTED)
		return false;
	*ret_ep = s->remote;
	return true;
}

struct endpoint sim_net_local(const struct sim_net *net, int fd)
{
	return get(net, fd)->local;
}
