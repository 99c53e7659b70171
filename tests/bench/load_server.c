/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load_server - the far end of the load: one thread, epoll, counts what arrives.
 */
#include "tests/bench/load_wire.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { EVENTS_MAX = 256, LISTEN_BACKLOG = 4096 };

struct server_conn {
	int fd;
	uint32_t events; /* asked of epoll */
	size_t hello_len;
	struct load_hello hello;
	size_t request_len;  /* octets of the message that is arriving */
	size_t response_len; /* octets still to send */
	struct load_receipt receipt;
};

struct server {
	int epoll_fd;
	int listen_fd;
	unsigned char chunk[LOAD_CHUNK_SIZE];
};

static void conn_watch(struct server *s, struct server_conn *c, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = c};

	if (c->events == events)
		return;
	if (epoll_ctl(s->epoll_fd, c->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &event) != 0)
		load_die("epoll_ctl: %s", strerror(errno));
	c->events = events;
}

static void conn_end(struct server_conn *c)
{
	(void)close(c->fd);
	free(c);
}

static void accept_all(struct server *s)
{
	for (;;) {
		int fd = accept4(s->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		int on = 1;

		if (fd < 0)
			return;
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));

		struct server_conn *c = calloc(1, sizeof(*c));
		if (!c)
			load_die("out of memory");
		c->fd = fd;
		conn_watch(s, c, EPOLLIN);
	}
}

/* Sends what is due; false when the connection is over. */
static bool conn_send(struct server *s, struct server_conn *c)
{
	while (c->response_len > 0) {
		size_t want = c->response_len < LOAD_CHUNK_SIZE ? c->response_len : LOAD_CHUNK_SIZE;
		ssize_t sent = send(c->fd, s->chunk, want, MSG_NOSIGNAL);

		if (sent < 0 && errno == EAGAIN) {
			conn_watch(s, c, EPOLLIN | EPOLLOUT);
			return true;
		}
		if (sent < 0)
			return false;
		if (c->hello.mode == LOAD_DOWNLOAD) { /* without end: the others get their turn */
			conn_watch(s, c, EPOLLIN | EPOLLOUT);
			return true;
		}
		c->response_len -= (size_t)sent;
	}
	conn_watch(s, c, EPOLLIN);
	return true;
}

/* Takes the opening; false when the connection is over. */
static bool conn_greet(struct server *s, struct server_conn *c)
{
	unsigned char ready = LOAD_READY;
	ssize_t got = recv(c->fd, (unsigned char *)&c->hello + c->hello_len,
	                   sizeof(c->hello) - c->hello_len, 0);

	if (got < 0 && errno == EAGAIN)
		return true;
	if (got <= 0)
		return false;
	c->hello_len += (size_t)got;
	if (c->hello_len < sizeof(c->hello))
		return true;
	if (c->hello.message_size > LOAD_MESSAGE_MAX)
		return false;
	if (send(c->fd, &ready, sizeof(ready), MSG_NOSIGNAL) != sizeof(ready))
		return false;
	if (c->hello.mode == LOAD_CHURN)
		return false;
	if (c->hello.mode == LOAD_DOWNLOAD) {
		c->response_len = SIZE_MAX; /* never counted down */
		return conn_send(s, c);
	}
	return true;
}

static void conn_count(struct server_conn *c, size_t got)
{
	c->receipt.last_ns = load_now_ns();
	if (c->receipt.bytes == 0)
		c->receipt.first_ns = c->receipt.last_ns;
	c->receipt.bytes += got;
	if (c->hello.mode != LOAD_PINGPONG)
		return;
	c->request_len += got;
	while (c->request_len >= c->hello.message_size) {
		c->request_len -= c->hello.message_size;
		c->response_len += c->hello.message_size;
	}
}

/* Receives what is there; false when the connection is over. */
static bool conn_receive(struct server *s, struct server_conn *c)
{
	ssize_t got = recv(c->fd, s->chunk, LOAD_CHUNK_SIZE, 0);

	if (got < 0)
		return errno == EAGAIN;
	if (got == 0)
		return false;
	conn_count(c, (size_t)got);
	if (c->hello.mode == LOAD_UPLOAD && s->chunk[got - 1] == LOAD_END)
		return send(c->fd, &c->receipt, sizeof(c->receipt), MSG_NOSIGNAL) ==
		       sizeof(c->receipt);
	return c->response_len == 0 || conn_send(s, c);
}

static bool conn_run(struct server *s, struct server_conn *c, uint32_t events)
{
	if (events & EPOLLOUT && !conn_send(s, c))
		return false;
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return true;
	if (c->hello_len < sizeof(c->hello))
		return conn_greet(s, c);
	return conn_receive(s, c);
}

static void server_listen(struct server *s, const struct sockaddr_storage *address, socklen_t len)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
	int on = 1;

	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	s->listen_fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->epoll_fd < 0 || s->listen_fd < 0)
		load_die("cannot make sockets: %s", strerror(errno));
	(void)setsockopt(s->listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(s->listen_fd, (const struct sockaddr *)address, len) != 0 ||
	    listen(s->listen_fd, LISTEN_BACKLOG) != 0)
		load_die("cannot listen: %s", strerror(errno));
	if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->listen_fd, &event) != 0)
		load_die("epoll_ctl: %s", strerror(errno));
}

void load_serve(const struct sockaddr_storage *address, socklen_t address_len)
{
	struct epoll_event events[EVENTS_MAX];
	struct server *s = calloc(1, sizeof(*s));

	if (!s)
		load_die("out of memory");
	server_listen(s, address, address_len);
	for (;;) {
		int ready = epoll_wait(s->epoll_fd, events, EVENTS_MAX, -1);

		for (int i = 0; i < ready; i++) {
			struct server_conn *c = events[i].data.ptr;

			if (!c)
				accept_all(s);
			else if (!conn_run(s, c, events[i].events))
				conn_end(c);
		}
	}
}
