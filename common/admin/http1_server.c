/* SPDX-License-Identifier: Apache-2.0 */
#include "common/admin/http1_server.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/io/timer.h"

enum {
	HEAD_LEN_MAX = 1024, /* of an answer: all its values are ours and short */
	DATE_TEXT_MAX = 32,
};

enum conn_state {
	CONN_READ,   /* waiting for a whole request */
	CONN_LATER,  /* its answer takes time; nothing is read meanwhile */
	CONN_WRITE,  /* the answer is on its way */
	CONN_LINGER, /* answered and said so: reading on, so that no reset eats the answer */
	CONN_CLOSE,  /* landing every op */
	CONN_DONE,   /* freed at the end of this turn */
};

struct http1_conn {
	struct list link; /* of server->conns: longest quiet first */
	struct http1_server *server;
	struct loop_retired retired;
	enum conn_state state;
	int fd;
	struct op recv;
	struct op_msg send;
	struct timer timer;
	/* facts, recorded by completions */
	bool timed_out;
	bool ended; /* the peer will send no more, or the connection broke */
	bool sent;  /* the send landed */
	bool broken;
	bool last;      /* no request is taken after this one */
	bool head_only; /* of the request being answered: HEAD */
	bool begun;     /* the clock of the request that is being read runs */
	struct iovec iov[2];
	size_t send_len;
	struct buf head;
	struct http1_response response;
	size_t request_len; /* of the request being answered */
	size_t in_len;
	uint8_t in[H1_REQUEST_LEN_MAX]; /* unanswered octets */
};

struct http1_listener {
	struct http1_server *server;
	struct op accept;
	struct timer pause;
	int fd;
};

struct http1_server {
	struct loop *loop;
	struct http1_server_options opt;
	struct http1_listener listeners[HTTP1_LISTENERS_MAX];
	size_t listener_count;
	struct list conns;
	size_t conn_count;
	bool stopping;
	bool stopped;
	void (*stop_done)(void *arg);
	void *stop_arg;
	struct loop_retired retired;
};

static void conn_run(struct http1_conn *c);
static void conn_enter(struct http1_conn *c, enum conn_state next);

/* ---- end of a server ---- */

static void server_free(struct loop_retired *r)
{
	free(container_of(r, struct http1_server, retired));
}

/* When the last op has landed. */
static void server_land(struct http1_server *s)
{
	if (!s->stopping || s->stopped || s->conn_count > 0)
		return;
	for (size_t i = 0; i < s->listener_count; i++)
		if (s->listeners[i].accept.pending)
			return;
	s->stopped = true;
	for (size_t i = 0; i < s->listener_count; i++)
		loop_close(s->loop, s->listeners[i].fd);
	loop_retire(s->loop, &s->retired, server_free);
	if (s->stop_done != NULL)
		s->stop_done(s->stop_arg);
}

/* ---- completions: they only record ---- */

static void on_received(struct op *op)
{
	struct http1_conn *c = container_of(op, struct http1_conn, recv);

	if (op->res > 0 && c->state == CONN_READ)
		c->in_len += (size_t)op->res;
	if (op->res <= 0)
		c->ended = true;
	conn_run(c);
}

static void on_sent(struct op *op)
{
	struct op_msg *msg = container_of(op, struct op_msg, op);
	struct http1_conn *c = container_of(msg, struct http1_conn, send);

	c->sent = true;
	c->broken = op->res < 0 || (size_t)op->res < c->send_len;
	conn_run(c);
}

static void on_timeout(struct timer *t)
{
	struct http1_conn *c = container_of(t, struct http1_conn, timer);

	c->timed_out = true;
	conn_run(c);
}

/* ---- answering ---- */

static void put_date(struct buf *out)
{
	char text[DATE_TEXT_MAX];
	time_t now = (time_t)clock_wall_s();
	struct tm tm;

	if (gmtime_r(&now, &tm) != NULL &&
	    strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm) > 0)
		buf_printf(out, "Date: %s\r\n", text);
}

static void put_head(struct http1_conn *c)
{
	const struct http1_response *r = &c->response;

	buf_clear(&c->head);
	buf_printf(&c->head, "HTTP/1.1 %u %s\r\n", r->status, h1_reason(r->status));
	put_date(&c->head);
	buf_printf(&c->head,
	           "Content-Type: %s\r\nX-Content-Type-Options: nosniff\r\nContent-Length: %zu\r\n",
	           r->content_type, r->body.n);
	if (r->allow != NULL)
		buf_printf(&c->head, "Allow: %s\r\n", r->allow);
	if (r->encoding != NULL)
		buf_printf(&c->head, "Content-Encoding: %s\r\n", r->encoding);
	if (c->last)
		buf_put_str(&c->head, "Connection: close\r\n");
	buf_put_str(&c->head, "\r\n");
}

static void response_reset(struct http1_response *r, unsigned int status)
{
	buf_fini(&r->body);
	*r = (struct http1_response){
		.status = status,
		.content_type = "text/plain; charset=utf-8",
	};
	buf_init(&r->body, HTTP1_BODY_LEN_MAX);
}

/* An answer of our own to what no handler sees: it ends the connection. */
static void answer_refusal(struct http1_conn *c, unsigned int status)
{
	c->last = true;
	response_reset(&c->response, status);
	buf_printf(&c->response.body, "%s\n", h1_reason(status));
	put_head(c);
	c->iov[0] = (struct iovec){c->head.p, c->head.n};
	c->iov[1] = (struct iovec){c->response.body.p, c->response.body.n};
}

/* What a handler made becomes what is sent. */
static void send_response(struct http1_conn *c)
{
	if (buf_status(&c->response.body) != ERR_OK) {
		answer_refusal(c, 500);
		return;
	}
	put_head(c);
	c->iov[0] = (struct iovec){c->head.p, c->head.n};
	c->iov[1] = (struct iovec){c->response.body.p, c->head_only ? 0 : c->response.body.n};
}

static enum conn_state answer(struct http1_conn *c, const struct h1_request *req)
{
	const struct http1_server_options *opt = &c->server->opt;

	if (opt->local_host_only && !h1_request_host_is_local(req)) {
		answer_refusal(c, 403);
		return CONN_WRITE;
	}
	c->last = !req->keep_alive || c->server->stopping;
	c->head_only = req->method == H1_HEAD;
	c->request_len = req->head_len + req->body_len;
	response_reset(&c->response, 200);
	opt->handler(opt->arg, req, &c->response);
	if (c->response.later_ms > 0)
		return CONN_LATER;
	send_response(c);
	return CONN_WRITE;
}

/* ---- the life of a connection ---- */

static enum conn_state conn_read(struct http1_conn *c)
{
	struct h1_request req;
	unsigned int status = h1_request_parse(span_of(c->in, c->in_len), &req);

	if (status == H1_OK)
		return answer(c, &req);
	if (status == H1_MORE && c->timed_out && c->in_len > 0)
		status = 408;
	if (status != H1_MORE) {
		answer_refusal(c, status);
		return CONN_WRITE;
	}
	if (c->timed_out || c->ended)
		return CONN_CLOSE;
	if (c->recv.pending)
		return CONN_READ;
	if (c->in_len > 0 && !c->begun) { /* once: a trickle of octets gains no time */
		c->begun = true;
		timer_arm(c->server->loop, &c->timer, c->server->opt.header_timeout_ms);
	}
	loop_recv(c->server->loop, &c->recv, c->fd, c->in + c->in_len, sizeof(c->in) - c->in_len,
	          on_received);
	return CONN_READ;
}

static enum conn_state conn_later(struct http1_conn *c)
{
	struct http1_response asked = c->response;

	if (!c->timed_out)
		return CONN_LATER;
	c->response.later = NULL; /* its one call is this */
	response_reset(&c->response, 200);
	asked.later(asked.later_arg, &c->response);
	send_response(c);
	return CONN_WRITE;
}

static enum conn_state conn_write(struct http1_conn *c)
{
	if (!c->sent)
		return c->timed_out ? CONN_CLOSE : CONN_WRITE;
	if (c->broken)
		return CONN_CLOSE;
	if (c->last)
		return CONN_LINGER;
	c->in_len -= c->request_len;
	memmove(c->in, c->in + c->request_len, c->in_len);
	return CONN_READ;
}

static enum conn_state conn_linger(struct http1_conn *c)
{
	if (c->ended || c->timed_out)
		return CONN_CLOSE;
	if (!c->recv.pending)
		loop_recv(c->server->loop, &c->recv, c->fd, c->in, sizeof(c->in), on_received);
	return CONN_LINGER;
}

static void conn_free(struct loop_retired *r)
{
	struct http1_conn *c = container_of(r, struct http1_conn, retired);

	buf_fini(&c->head);
	buf_fini(&c->response.body);
	free(c);
}

static enum conn_state conn_close(struct http1_conn *c)
{
	if (c->recv.pending || c->send.op.pending)
		return CONN_CLOSE;
	loop_close(c->server->loop, c->fd);
	list_remove(&c->link);
	c->server->conn_count--;
	loop_retire(c->server->loop, &c->retired, conn_free);
	return CONN_DONE;
}

static void conn_run(struct http1_conn *c)
{
	for (;;) {
		enum conn_state next = CONN_DONE;

		switch (c->state) {
		case CONN_READ: next = conn_read(c); break;
		case CONN_LATER: next = conn_later(c); break;
		case CONN_WRITE: next = conn_write(c); break;
		case CONN_LINGER: next = conn_linger(c); break;
		case CONN_CLOSE: next = conn_close(c); break;
		case CONN_DONE: return;
		}
		if (next == c->state)
			return;
		conn_enter(c, next);
	}
}

/* The sole writer of state; what a state begins with. */
static void conn_enter(struct http1_conn *c, enum conn_state next)
{
	struct http1_server *s = c->server;

	c->state = next;
	c->timed_out = false;
	switch (next) {
	case CONN_READ:
		list_remove(&c->link);
		list_push(&s->conns, &c->link);
		buf_fini(&c->response.body);
		c->begun = false;
		timer_arm(s->loop, &c->timer, s->opt.idle_timeout_ms);
		return;
	case CONN_LATER: timer_arm(s->loop, &c->timer, c->response.later_ms); return;
	case CONN_WRITE:
		c->sent = false;
		c->send_len = c->iov[0].iov_len + c->iov[1].iov_len;
		timer_arm(s->loop, &c->timer, s->opt.write_timeout_ms);
		loop_sendv(s->loop, &c->send, c->fd, c->iov, c->iov[1].iov_len > 0 ? 2 : 1,
		           on_sent);
		return;
	case CONN_LINGER:
		loop_shutdown(s->loop, c->fd, SHUT_WR);
		timer_arm(s->loop, &c->timer, HTTP1_LINGER_MS);
		return;
	case CONN_CLOSE:
		if (c->response.later != NULL)
			c->response.later(c->response.later_arg, NULL);
		c->response.later = NULL;
		timer_disarm(&c->timer);
		loop_cancel(s->loop, &c->recv);
		loop_cancel(s->loop, &c->send.op);
		return;
	case CONN_DONE: server_land(s); return;
	}
}

/* ---- accepting ---- */

static void refused(struct http1_server *s)
{
	if (s->opt.on_refused != NULL)
		s->opt.on_refused(s->opt.arg);
}

/* Close the connection that has waited longest for its next request. False when none does. */
static bool make_room(struct http1_server *s)
{
	list_for_each (it, &s->conns) {
		struct http1_conn *c = list_entry(it, struct http1_conn, link);

		if (c->state != CONN_READ || c->in_len > 0)
			continue;
		conn_enter(c, CONN_CLOSE);
		conn_run(c);
		return true;
	}
	return false;
}

static void conn_start(struct http1_server *s, int fd)
{
	struct http1_conn *c;

	if (s->conn_count >= s->opt.conns_max) {
		refused(s);
		if (!make_room(s)) {
			loop_close(s->loop, fd);
			return;
		}
	}
	c = mem_new(sizeof(*c));
	c->server = s;
	c->fd = fd;
	list_init(&c->link);
	list_push(&s->conns, &c->link);
	s->conn_count++;
	buf_init(&c->head, HEAD_LEN_MAX);
	timer_init(&c->timer, on_timeout);
	c->state = CONN_READ;
	c->begun = true; /* a first request is expected at once */
	timer_arm(s->loop, &c->timer, s->opt.header_timeout_ms);
	conn_run(c);
}

static void on_accepted(struct op *op)
{
	struct http1_listener *l = container_of(op, struct http1_listener, accept);
	struct http1_server *s = l->server;

	if (op->res >= 0 && s->stopping)
		loop_close(s->loop, op->res);
	else if (op->res >= 0)
		conn_start(s, op->res);
	else if (!s->stopping)
		log_at(LOG_SCOPE_ADMIN, LOG_WARN, "accept failed", LOG_S("server", s->opt.name),
		       LOG_S("error", strerror(-op->res)));
	if (!op->pending && !s->stopping)
		timer_arm(s->loop, &l->pause, HTTP1_ACCEPT_PAUSE_MS);
	server_land(s);
}

static void accept_again(struct timer *t)
{
	struct http1_listener *l = container_of(t, struct http1_listener, pause);

	loop_accept(l->server->loop, &l->accept, l->fd, on_accepted);
}

struct http1_server *http1_server_new(struct loop *loop, const struct http1_server_options *opt)
{
	struct http1_server *s = mem_new(sizeof(*s));

	s->loop = loop;
	s->opt = *opt;
	if (opt->conns_max == 0)
		s->opt.conns_max = HTTP1_CONNS_MAX;
	if (opt->header_timeout_ms == 0)
		s->opt.header_timeout_ms = HTTP1_HEADER_TIMEOUT_MS;
	if (opt->idle_timeout_ms == 0)
		s->opt.idle_timeout_ms = HTTP1_IDLE_TIMEOUT_MS;
	if (opt->write_timeout_ms == 0)
		s->opt.write_timeout_ms = HTTP1_WRITE_TIMEOUT_MS;
	list_init(&s->conns);
	return s;
}

void http1_server_start(struct http1_server *s, int fd)
{
	struct http1_listener *l = &s->listeners[s->listener_count];

	CHECK(s->listener_count < HTTP1_LISTENERS_MAX && !s->stopping);
	s->listener_count++;
	l->server = s;
	l->fd = fd;
	timer_init(&l->pause, accept_again);
	loop_accept(s->loop, &l->accept, fd, on_accepted);
}

void http1_server_stop(struct http1_server *s, void (*done)(void *arg), void *arg)
{
	CHECK(!s->stopping);
	s->stopping = true;
	s->stop_done = done;
	s->stop_arg = arg;
	for (size_t i = 0; i < s->listener_count; i++) {
		timer_disarm(&s->listeners[i].pause);
		loop_cancel(s->loop, &s->listeners[i].accept);
	}
	list_for_each_safe (it, tmp, &s->conns) {
		struct http1_conn *c = list_entry(it, struct http1_conn, link);

		if (c->state == CONN_CLOSE)
			continue;
		conn_enter(c, CONN_CLOSE);
		conn_run(c);
	}
	server_land(s);
}
