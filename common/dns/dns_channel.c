/* SPDX-License-Identifier: Apache-2.0 */
#include "common/dns/dns_channel.h"

#include <ares.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "common/base/list.h"
#include "common/base/mem.h"
#include "common/io/timer.h"

enum { DNS_PORT = 53 };

/* A socket c-ares uses. Outlives the channel until its poll has landed. */
struct wire {
	struct list link;
	struct dns_channel *channel; /* NULL: c-ares has closed it */
	struct loop *loop;
	struct op poll;
	int fd;
	short events; /* wanted now */
	short armed;  /* that poll waits for */
};

struct dns_channel {
	struct loop *loop;
	struct dns_stock *stock;
	ares_channel ares;
	struct list wires;
	struct timer timer;
	size_t busy;
	bool starved;
};

/* One query that c-ares has. */
struct errand {
	struct dns_channel *channel;
	dns_channel_fn *fn;
	void *arg;
};

/* ---- sockets ---- */

static struct wire *wire_of(const struct dns_channel *c, int fd)
{
	list_for_each (it, &c->wires) {
		struct wire *w = list_entry(it, struct wire, link);

		if (w->fd == fd)
			return w;
	}
	return NULL;
}

static void wire_arm(struct wire *w);

static void channel_retime(struct dns_channel *c)
{
	struct timeval tv, *next = ares_timeout(c->ares, NULL, &tv);

	if (next == NULL)
		timer_disarm(&c->timer);
	else
		timer_arm(c->loop, &c->timer,
		          (uint64_t)next->tv_sec * 1000 + (uint64_t)next->tv_usec / 1000 + 1);
}

static void wire_end(struct wire *w)
{
	loop_close(w->loop, w->fd);
	free(w);
}

static void on_poll(struct op *op)
{
	struct wire *w = container_of(op, struct wire, poll);
	struct dns_channel *c = w->channel;
	int got = op->res > 0 ? op->res : 0;
	int fd = w->fd;

	if (c == NULL) {
		wire_end(w);
		return;
	}
	if ((got & (POLLERR | POLLHUP)) != 0)
		got |= w->events;
	if ((got & w->events) != 0) {
		ares_process_fd(c->ares, (got & POLLIN) != 0 ? fd : ARES_SOCKET_BAD,
		                (got & POLLOUT) != 0 ? fd : ARES_SOCKET_BAD);
		channel_retime(c);
	}
	w = wire_of(c, fd); /* c-ares may have closed it */
	if (w != NULL)
		wire_arm(w);
}

static void wire_arm(struct wire *w)
{
	if (w->poll.pending) {
		if (w->armed != w->events)
			loop_cancel(w->loop, &w->poll);
		return;
	}
	if (w->events == 0)
		return;
	w->armed = w->events;
	loop_poll(w->loop, &w->poll, w->fd, w->events, on_poll);
}

static void on_wanted(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct dns_channel *c = arg;
	struct wire *w = wire_of(c, fd);

	if (w == NULL)
		return;
	w->events = (short)((readable ? POLLIN : 0) | (writable ? POLLOUT : 0));
	wire_arm(w);
}

static ares_socket_t wire_open(int family, int type, int protocol, void *arg)
{
	struct dns_channel *c = arg;
	struct wire *w = calloc(1, sizeof(*w));
	int fd = w != NULL ? dns_stock_take(c->stock, family, type) : -1;

	(void)protocol;
	if (fd < 0) {
		c->starved = c->starved || w != NULL;
		free(w);
		errno = EMFILE;
		return ARES_SOCKET_BAD;
	}
	w->channel = c;
	w->loop = c->loop;
	w->fd = fd;
	list_push(&c->wires, &w->link);
	return fd;
}

static int wire_close(ares_socket_t fd, void *arg)
{
	struct wire *w = wire_of(arg, fd);

	if (w == NULL)
		return -1;
	list_remove(&w->link);
	w->channel = NULL;
	if (w->poll.pending)
		loop_cancel(w->loop, &w->poll);
	else
		wire_end(w);
	return 0;
}

static int wire_connect(ares_socket_t fd, const struct sockaddr *addr, ares_socklen_t len,
                        void *arg)
{
	(void)arg;
	return connect(fd, addr, len);
}

static ares_ssize_t wire_recv(ares_socket_t fd, void *mem, size_t len, int flags,
                              struct sockaddr *from, ares_socklen_t *from_len, void *arg)
{
	(void)arg;
	return recvfrom(fd, mem, len, flags, from, from_len);
}

static ares_ssize_t wire_send(ares_socket_t fd, const struct iovec *iov, int count, void *arg)
{
	const struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)iov,
	                           .msg_iovlen = (size_t)count};

	(void)arg;
	return sendmsg(fd, &msg, MSG_NOSIGNAL);
}

/* ---- the channel ---- */

static void on_timer(struct timer *t)
{
	struct dns_channel *c = container_of(t, struct dns_channel, timer);

	ares_process_fd(c->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	channel_retime(c);
}

static int set_servers(struct dns_channel *c, const struct resolv_conf *conf, uint16_t port)
{
	struct ares_addr_port_node v[RESOLV_SERVERS_MAX];

	if (port == 0)
		port = DNS_PORT;
	for (size_t i = 0; i < conf->server_count; i++) {
		const struct ip *ip = &conf->servers[i];
		bool v4 = ip->family == IP_V4;

		v[i] = (struct ares_addr_port_node){
			.next = i + 1 < conf->server_count ? &v[i + 1] : NULL,
			.family = v4 ? AF_INET : AF_INET6,
			.udp_port = port,
			.tcp_port = port,
		};
		memcpy(&v[i].addr, ip->bytes, v4 ? 4 : 16);
	}
	return ares_set_servers_ports(c->ares, conf->server_count > 0 ? v : NULL);
}

struct dns_channel *dns_channel_new(struct loop *loop, const struct resolv_conf *conf,
                                    uint16_t port, struct dns_stock *stock)
{
	static const struct ares_socket_functions functions = {
		.asocket = wire_open,
		.aclose = wire_close,
		.aconnect = wire_connect,
		.arecvfrom = wire_recv,
		.asendv = wire_send,
	};
	static char nothing[] = "/dev/null"; /* resolv.conf has been read already, by us */
	struct dns_channel *c = mem_new(sizeof(*c));
	struct ares_options o = {
		.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
		.timeout = (int)conf->timeout_ms,
		.tries = (int)conf->tries,
		.sock_state_cb = on_wanted,
		.sock_state_cb_data = c,
		.resolvconf_path = nothing,
	};
	int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB |
	           ARES_OPT_RESOLVCONF | (conf->rotate ? ARES_OPT_ROTATE : ARES_OPT_NOROTATE);

	/* one nameserver's SERVFAIL or REFUSED is the answer; with more of them the next may know better */
	if (conf->server_count == 1)
		o.flags |= ARES_FLAG_NOCHECKRESP;
	if (ares_init_options(&c->ares, &o, mask) != ARES_SUCCESS) {
		free(c);
		return NULL;
	}
	c->loop = loop;
	c->stock = stock;
	list_init(&c->wires);
	timer_init(&c->timer, on_timer);
	ares_set_socket_functions(c->ares, &functions, c);
	if (set_servers(c, conf, port) != ARES_SUCCESS) {
		ares_destroy(c->ares);
		free(c);
		return NULL;
	}
	return c;
}

/* What c-ares says instead of an answer. */
static void judge_status(int status, struct dns_channel_answer *a)
{
	switch (status) {
	case ARES_ESERVFAIL: a->rcode = DNS_SERVFAIL; break;
	case ARES_ENOTIMP: a->rcode = DNS_NOTIMP; break;
	case ARES_EREFUSED: a->rcode = DNS_REFUSED; break;
	case ARES_ENOMEM: a->err = ERR_MEMORY; break;
	case ARES_EDESTRUCTION:
	case ARES_ECANCELLED: a->err = ERR_CANCELLED; break;
	default: a->err = ERR_DNS; break;
	}
}

static void on_answer(void *arg, int status, int timeouts, unsigned char *msg, int len)
{
	struct errand *e = arg;
	struct dns_channel_answer a = {.starved = e->channel->starved};
	dns_channel_fn *fn = e->fn;
	void *fn_arg = e->arg;

	(void)timeouts;
	e->channel->busy--;
	e->channel->starved = false;
	free(e);
	if (status == ARES_SUCCESS && msg != NULL && len >= DNS_HEADER_LEN)
		a.msg = span_of(msg, (size_t)len);
	else
		judge_status(status, &a);
	fn(fn_arg, &a);
}

void dns_channel_send(struct dns_channel *c, struct span query, dns_channel_fn *fn, void *arg)
{
	struct errand *e = malloc(sizeof(*e));

	if (e == NULL || query.n > DNS_MSG_MAX) {
		free(e);
		fn(arg, &(struct dns_channel_answer){.err = ERR_MEMORY});
		return;
	}
	*e = (struct errand){.channel = c, .fn = fn, .arg = arg};
	c->busy++;
	ares_send(c->ares, query.p, (int)query.n, on_answer, e);
	channel_retime(c);
}

size_t dns_channel_busy(const struct dns_channel *c)
{
	return c->busy;
}

void dns_channel_free(struct dns_channel *c)
{
	if (c == NULL)
		return;
	timer_disarm(&c->timer);
	ares_destroy(c->ares);
	free(c);
}
