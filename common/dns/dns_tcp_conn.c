/* SPDX-License-Identifier: Apache-2.0 */
#include "common/dns/dns_tcp_conn.h"

#include <errno.h>
#include <stdlib.h>

#include "common/base/buf.h"
#include "common/base/iobuf.h"
#include "common/io/timer.h"

enum {
	LEN_OCTETS = 2,     /* in front of every message, RFC 1035 4.2.2 */
	UNSENT_MAX = 65536, /* with more the client does not listen: nothing new is begun for it */
	RETRY_MS = 20,      /* after a receive found no buffer */
	IN_MAX = LEN_OCTETS + DNS_QUERY_LEN_MAX + IOBUF_SMALL_MEM,
	/* Every question on its way may have the longest answer. */
	OUT_MAX = UNSENT_MAX + DNS_PIPELINE_MAX * (LEN_OCTETS + DNS_MSG_MAX),
};

/* A question on its way. */
struct pending {
	struct dns_query_end end;
	struct list link;
	struct dns_tcp_conn *conn;
	uint8_t msg[];
};

struct dns_tcp_conn {
	struct list link; /* the owner's */
	struct dns_tcp_owner *owner;
	struct loop *loop;
	int fd;
	struct op recv;
	struct op_msg send;
	struct iovec iov;
	struct buf in;      /* read, not yet begun */
	struct buf out;     /* answers */
	struct buf sending; /* lent to send */
	struct list pending;
	unsigned int pending_count;
	struct timer idle;
	struct timer retry;
	bool finished; /* the client, or a drain: nothing more is read */
	bool broken;   /* nothing more is answered either */
	bool over;
	bool incomplete; /* what was read is the beginning of a question, or nothing */
	struct loop_retired retired;
};

static void conn_run(struct dns_tcp_conn *c);

struct list *dns_tcp_conn_link(struct dns_tcp_conn *c)
{
	return &c->link;
}

struct dns_tcp_conn *dns_tcp_conn_of(struct list *link)
{
	return list_entry(link, struct dns_tcp_conn, link);
}

bool dns_tcp_conn_idle(const struct dns_tcp_conn *c)
{
	return !c->over && c->pending_count == 0 && !c->send.op.pending && c->out.n == 0;
}

/* ---- questions ---- */

static void pending_end(struct pending *p)
{
	struct dns_tcp_conn *c = p->conn;
	size_t len = p->end.out.n;

	if (len > 0 && !c->broken) {
		buf_put_u8(&c->out, (uint8_t)(len >> 8));
		buf_put_u8(&c->out, (uint8_t)len);
		buf_put(&c->out, buf_span(&p->end.out));
		c->broken = buf_status(&c->out) != ERR_OK;
	}
	list_remove(&p->link);
	c->pending_count--;
	c->owner->query_ends(c->owner);
	dns_query_end_fini(&p->end);
	free(p);
}

static void on_answered(struct dns_query_end *e)
{
	struct pending *p = container_of(e, struct pending, end);
	struct dns_tcp_conn *c = p->conn;

	pending_end(p);
	conn_run(c);
}

static void begin(struct dns_tcp_conn *c, struct span msg)
{
	struct pending *p = NULL;

	if (c->owner->query_begins(c->owner)) {
		p = malloc(sizeof(*p) + msg.n);
		if (p == NULL)
			c->owner->query_ends(c->owner);
	}
	if (p == NULL) {
		c->broken = true;
		return;
	}
	p->conn = c;
	list_init(&p->link);
	list_push(&c->pending, &p->link);
	c->pending_count++;
	memcpy(p->msg, msg.p, msg.n);
	p->end = (struct dns_query_end){
		.msg = span_of(p->msg, msg.n), .tcp = true, .done = on_answered};
	dns_query_end_init(&p->end, c->owner->judge);
	switch (dns_query_end_run(&p->end)) {
	case DNS_QUERY_DONE: pending_end(p); break;
	case DNS_QUERY_FLIES: break;
	case DNS_QUERY_PARKED: c->owner->park(c->owner, &p->end); break;
	}
}

/* Begin what has been read whole, as far as the limits allow. */
static void begin_all(struct dns_tcp_conn *c)
{
	c->incomplete = false;
	while (!c->broken && c->pending_count < DNS_PIPELINE_MAX &&
	       c->out.n + c->sending.n < UNSENT_MAX) {
		size_t len;

		c->incomplete = c->in.n < LEN_OCTETS;
		if (c->incomplete)
			return;
		len = (size_t)c->in.p[0] << 8 | c->in.p[1];
		if (len < DNS_HEADER_LEN || len > DNS_QUERY_LEN_MAX) {
			c->broken = true;
			return;
		}
		c->incomplete = c->in.n < LEN_OCTETS + len;
		if (c->incomplete)
			return;
		begin(c, span_of(c->in.p + LEN_OCTETS, len));
		buf_consume(&c->in, LEN_OCTETS + len);
		timer_arm(c->loop, &c->idle, DNS_TCP_IDLE_MS);
	}
}

/* ---- the wire ---- */

static void on_recv(struct op *op)
{
	struct dns_tcp_conn *c = container_of(op, struct dns_tcp_conn, recv);

	if (op->res > 0) {
		buf_put(&c->in, span_of(op->buf->mem, (size_t)op->res));
		iobuf_unref(op->buf);
		op->buf = NULL;
		c->broken = c->broken || buf_status(&c->in) != ERR_OK;
	} else if (op->res == 0) {
		c->finished = true;
	} else if (op->res == -ENOBUFS && !c->over) {
		timer_arm(c->loop, &c->retry, RETRY_MS);
	} else if (op->res != -ECANCELED) {
		c->broken = true;
	}
	conn_run(c);
}

static void on_sent(struct op *op)
{
	struct dns_tcp_conn *c = container_of(op, struct dns_tcp_conn, send.op);

	if (op->res < 0 || (size_t)op->res < c->sending.n)
		c->broken = true;
	buf_clear(&c->sending);
	if (!c->broken)
		timer_arm(c->loop, &c->idle, DNS_TCP_IDLE_MS);
	conn_run(c);
}

static void send_answers(struct dns_tcp_conn *c)
{
	struct buf full = c->out;

	if (c->send.op.pending || c->broken || c->out.n == 0)
		return;
	c->out = c->sending; /* empty: the two change places */
	c->sending = full;
	c->iov = (struct iovec){.iov_base = c->sending.p, .iov_len = c->sending.n};
	loop_sendv(c->loop, &c->send, c->fd, &c->iov, 1, on_sent);
}

static void on_retry(struct timer *t)
{
	conn_run(container_of(t, struct dns_tcp_conn, retry));
}

static void on_idle(struct timer *t)
{
	struct dns_tcp_conn *c = container_of(t, struct dns_tcp_conn, idle);

	if (c->pending_count > 0 &&
	    !c->send.op.pending) { /* a nameserver is slow, not the client */
		timer_arm(c->loop, &c->idle, DNS_TCP_IDLE_MS);
		return;
	}
	c->broken = true;
	conn_run(c);
}

/* ---- life ---- */

static void conn_destroy(struct loop_retired *r)
{
	struct dns_tcp_conn *c = container_of(r, struct dns_tcp_conn, retired);

	buf_fini(&c->in);
	buf_fini(&c->out);
	buf_fini(&c->sending);
	free(c);
}

/* Cancel what is on its way; done() of each comes back here, so they are not walked twice. */
static void cancel_all(struct dns_tcp_conn *c)
{
	loop_cancel(c->loop, &c->recv);
	loop_cancel(c->loop, &c->send.op);
	list_for_each (it, &c->pending)
		dns_query_end_cancel(&list_entry(it, struct pending, link)->end);
}

/* Everything asked for has landed. */
static void end_if_landed(struct dns_tcp_conn *c)
{
	if (c->recv.pending || c->send.op.pending || c->pending_count > 0 || c->fd < 0)
		return;
	timer_disarm(&c->idle);
	timer_disarm(&c->retry);
	loop_close(c->loop, c->fd);
	c->fd = -1;
	c->owner->conn_ended(c->owner, c);
	loop_retire(c->loop, &c->retired, conn_destroy);
}

static void conn_run(struct dns_tcp_conn *c)
{
	if (!c->over) {
		begin_all(c);
		send_answers(c);
		c->over = c->broken || (c->finished && dns_tcp_conn_idle(c) && c->incomplete);
		if (c->over)
			cancel_all(c);
	}
	if (c->over) {
		end_if_landed(c);
		return;
	}
	if (!c->finished && c->incomplete && !c->recv.pending && !timer_armed(&c->retry))
		loop_recv_small(c->loop, &c->recv, c->fd, on_recv);
}

struct dns_tcp_conn *dns_tcp_conn_new(struct dns_tcp_owner *owner, int fd)
{
	struct loop *loop = owner->judge->loop;
	struct dns_tcp_conn *c = calloc(1, sizeof(*c));

	if (c == NULL) {
		loop_close(loop, fd);
		return NULL;
	}
	c->owner = owner;
	c->loop = loop;
	c->fd = fd;
	c->incomplete = true;
	list_init(&c->link);
	list_init(&c->pending);
	buf_init(&c->in, IN_MAX);
	buf_init(&c->out, OUT_MAX);
	buf_init(&c->sending, OUT_MAX);
	timer_init(&c->idle, on_idle);
	timer_init(&c->retry, on_retry);
	timer_arm(loop, &c->idle, DNS_TCP_IDLE_MS);
	loop_recv_small(loop, &c->recv, fd, on_recv);
	return c;
}

void dns_tcp_conn_drain(struct dns_tcp_conn *c)
{
	c->finished = true;
	loop_cancel(c->loop, &c->recv);
	conn_run(c);
}

void dns_tcp_conn_abort(struct dns_tcp_conn *c)
{
	c->broken = true;
	conn_run(c);
}
