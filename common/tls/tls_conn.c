/* SPDX-License-Identifier: Apache-2.0 */
#include "common/tls/tls_conn.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/check.h"

static void tls_conn_run(struct tls_conn *c);
static void on_received(struct op *op);
static void on_sent(struct op *op);

static void tls_conn_fail(struct tls_conn *c, enum err cause)
{
	if (c->state >= TLS_CONN_ENDING)
		return;
	if (c->cause == ERR_OK)
		c->cause = cause;
	c->state = TLS_CONN_ENDING;
	loop_at_turn_end(c->loop, &c->hook);
}

/* What is queued leaves, then it is over. */
static void start_closing(struct tls_conn *c, enum err cause)
{
	if (c->state >= TLS_CONN_CLOSING)
		return;
	c->cause = cause;
	c->state = TLS_CONN_CLOSING;
	timer_arm(c->loop, &c->timer, TLS_CONN_CLOSE_MS);
	loop_at_turn_end(c->loop, &c->hook);
}

/* --- sending ------------------------------------------------------------------------------ */

void tls_conn_flush(struct tls_conn *c)
{
	unsigned int n = 0;

	if (c->send.op.pending || c->tx.count == 0 || c->state >= TLS_CONN_ENDING || c->unsendable)
		return;
	while (n < TLS_CONN_IOV && n < c->tx.count) {
		struct iobuf_view v = *iobuf_queue_at(&c->tx, n);

		c->iov[n++] = (struct iovec){.iov_base = v.p, .iov_len = v.len};
	}
	loop_sendv(c->loop, &c->send, c->fd, c->iov, n, on_sent);
}

static void on_sent(struct op *op)
{
	struct tls_conn *c = container_of(op, struct tls_conn, send.op);

	if ((op->res == -EPIPE || op->res == -ECONNRESET) && c->state <= TLS_CONN_OPEN) {
		/* What it said before it went, an alert or its last bytes, is still to be read. */
		c->unsendable = true;
		iobuf_queue_fini(&c->tx);
		timer_arm(c->loop, &c->timer, TLS_CONN_CLOSE_MS);
	} else if (op->res < 0) {
		tls_conn_fail(c, ERR_RESET);
	} else {
		iobuf_queue_consume(&c->tx, (size_t)op->res);
		tls_conn_flush(c); /* after a short send this meets the error */
	}
	tls_conn_run(c);
}

static void queue_view(struct tls_conn *c, struct iobuf_view v)
{
	if (c->unsendable) {
		iobuf_unref(v.buf);
		return;
	}
	if (!iobuf_queue_push(&c->tx, v)) {
		iobuf_unref(v.buf);
		tls_conn_fail(c, ERR_MEMORY);
		return;
	}
	if (c->tx.bytes >= TLS_CONN_QUEUE_LOW)
		c->was_full = true;
	if (!c->send.op.pending)
		loop_at_turn_end(c->loop, &c->hook);
}

/* Queue bytes that are records already: handshake flights, alerts. */
static void queue_cipher(struct tls_conn *c, struct span s)
{
	while (s.n > 0) {
		struct iobuf *b = iobuf_take(loop_iobufs(c->loop), IOBUF_SMALL);
		size_t n;

		if (b == NULL) {
			tls_conn_fail(c, ERR_OVERLOAD);
			return;
		}
		n = s.n < b->cap ? s.n : b->cap;
		memcpy(b->mem, s.p, n);
		queue_view(c, (struct iobuf_view){.buf = b, .p = b->mem, .len = (uint32_t)n});
		s = span_of(s.p + n, s.n - n);
	}
}

void tls_conn_put(struct tls_conn *c, struct iobuf_view v)
{
	size_t len = 0;
	enum err e;

	if (c->state != TLS_CONN_OPEN) {
		iobuf_unref(v.buf);
		return;
	}
	CHECK(v.p >= v.buf->mem + TLS_RECORD_HEAD);
	CHECK(v.p + v.len + TLS_RECORD_TAIL <= v.buf->mem + v.buf->cap);
	v.p -= TLS_RECORD_HEAD;
	e = tls_session_seal(c->session, v.p, v.len, &len);
	if (e != ERR_OK) {
		iobuf_unref(v.buf);
		tls_conn_fail(c, e);
		return;
	}
	v.len = (uint32_t)len;
	queue_view(c, v);
}

static void queue_from_session(struct tls_conn *c,
                               enum err (*fill)(struct tls_session *, struct buf *))
{
	struct buf out;

	buf_init(&out, TLS_HANDSHAKE_IN_MAX);
	if (fill(c->session, &out) == ERR_OK)
		queue_cipher(c, buf_span(&out));
	buf_fini(&out);
}

/* --- receiving ---------------------------------------------------------------------------- */

static void drop_rx(struct tls_conn *c)
{
	if (c->rx != NULL)
		iobuf_unref(c->rx);
	c->rx = NULL;
	c->rx_start = 0;
	c->rx_end = 0;
}

static void arm_recv(struct tls_conn *c)
{
	if (c->recv.pending || c->state >= TLS_CONN_ENDING || c->peer_closed ||
	    timer_armed(&c->again) || tls_gate_waits(&c->turn))
		return;
	if (c->state == TLS_CONN_CLOSING)
		drop_rx(c); /* nobody reads it any more, and it may be full */
	if (c->rx == NULL) {
		loop_recv_small(c->loop, &c->recv, c->fd, on_received);
		return;
	}
	loop_recv(c->loop, &c->recv, c->fd, c->rx->mem + c->rx_end, c->rx->cap - c->rx_end,
	          on_received);
}

/* The smallest class that holds n octets. */
static enum iobuf_class class_for(size_t n)
{
	if (n <= IOBUF_SMALL_MEM)
		return IOBUF_SMALL;
	return n <= IOBUF_SLOT_MEM ? IOBUF_SLOT : IOBUF_LARGE;
}

/* Go on in a buffer of that class. Views into the old one keep it alive; only an incomplete record is moved. */
static bool move_rx(struct tls_conn *c, enum iobuf_class cls)
{
	uint32_t left = c->rx_end - c->rx_start;
	struct iobuf *b = iobuf_take(loop_iobufs(c->loop), cls);

	if (b == NULL)
		return false;
	memcpy(b->mem, c->rx->mem + c->rx_start, left);
	iobuf_unref(c->rx);
	c->rx = b;
	c->rx_start = 0;
	c->rx_end = left;
	return true;
}

/* Octets of the record that has begun to arrive, whose head was found good; of a head while that is not all there. */
static size_t record_due(const struct tls_conn *c)
{
	const uint8_t *head = c->rx->mem + c->rx_start;

	if (c->rx_end - c->rx_start < TLS_RECORD_HEAD)
		return TLS_RECORD_HEAD;
	return TLS_RECORD_HEAD + (size_t)(head[3] << 8 | head[4]);
}

/*
 * Make room behind what is unread. Hot: a fresh large buffer when the present one is nearly full or small. Else what
 * the record needs and no more, so that half a record does not hold a large one.
 */
static bool make_room(struct tls_conn *c)
{
	size_t due = record_due(c);

	if (c->hot && c->rx->cls == IOBUF_LARGE && c->rx->cap - c->rx_end >= IOBUF_LARGE_MEM / 2)
		return true;
	if (!c->hot && c->rx->cap - c->rx_start >= due && c->rx->cls <= class_for(due))
		return true;
	return move_rx(c, c->hot ? IOBUF_LARGE : class_for(due));
}

/* No buffer to receive into: again soon. */
static void wait_for_buffer(struct tls_conn *c)
{
	if (c->retries >= TLS_CONN_RETRY_MAX) {
		tls_conn_fail(c, ERR_OVERLOAD);
		return;
	}
	c->retries++;
	timer_arm(c->loop, &c->again, TLS_CONN_RETRY_MS);
}

static void on_again(struct timer *t)
{
	struct tls_conn *c = container_of(t, struct tls_conn, again);

	if (c->state == TLS_CONN_OPEN && c->rx != NULL && !make_room(c))
		wait_for_buffer(c);
	tls_conn_run(c);
}

/* Open every whole record that has arrived. */
static void open_records(struct tls_conn *c)
{
	while (c->rx_end > c->rx_start && c->state == TLS_CONN_OPEN && !c->peer_closed) {
		uint8_t *p = c->rx->mem + c->rx_start;
		struct span in = span_of(p, c->rx_end - c->rx_start);
		struct tls_opened opened;
		size_t len = 0;
		enum err e = tls_record_len(in, &len);

		if (e == ERR_OK && (len == 0 || len > in.n))
			return;
		if (e == ERR_OK)
			e = tls_session_open(c->session, p, len, &opened);
		if (e != ERR_OK) {
			queue_from_session(c, tls_session_pending); /* the alert */
			start_closing(c, e);
			return;
		}
		c->rx_start += (uint32_t)len;
		if (opened.want_send)
			loop_at_turn_end(c->loop, &c->hook);
		if (opened.kind == TLS_OPENED_CLOSE)
			c->peer_closed = true;
		else if (opened.kind == TLS_OPENED_DATA && opened.n > 0)
			c->owner->plain(c, c->rx, opened.p, opened.n);
	}
}

/* After the records: keep the buffer while hot, one that is just enough while mid-record, else give it back. */
static void settle_rx(struct tls_conn *c, size_t arrived)
{
	bool whole = c->rx_start == c->rx_end;

	if (!c->hot && arrived >= IOBUF_SMALL_MEM) {
		c->hot = true;
		c->lately = 0;
		timer_arm(c->loop, &c->timer, TLS_CONN_COOL_MS);
	}
	if (!c->hot && whole) {
		drop_rx(c);
	} else if (c->rx != NULL && !make_room(c)) {
		if (whole)
			drop_rx(c);
		else
			wait_for_buffer(c);
	}
}

/* The handshake is over: bytes behind it are records. */
static void enter_open(struct tls_conn *c)
{
	struct span rest = buf_span(&c->hs_in);

	c->state = TLS_CONN_OPEN;
	timer_disarm(&c->timer);
	if (rest.n > 0) {
		c->rx = iobuf_take(loop_iobufs(c->loop), class_for(rest.n));
		if (c->rx == NULL) {
			tls_conn_fail(c, ERR_OVERLOAD);
			return;
		}
		memcpy(c->rx->mem, rest.p, rest.n);
		c->rx_start = 0;
		c->rx_end = (uint32_t)rest.n;
	}
	buf_fini(&c->hs_in);
	c->owner->established(c);
	if (c->state != TLS_CONN_OPEN)
		return;
	open_records(c);
	settle_rx(c, 0);
	if (c->state == TLS_CONN_OPEN)
		c->owner->arrived(c);
}

static void step_handshake(struct tls_conn *c)
{
	struct buf out;
	size_t used = 0;
	enum err e;

	buf_init(&out, TLS_HANDSHAKE_IN_MAX);
	e = tls_session_handshake(c->session, buf_span(&c->hs_in), &used, &out);
	buf_consume(&c->hs_in, used);
	queue_cipher(c, buf_span(&out));
	buf_fini(&out);
	if (e != ERR_OK)
		start_closing(c, e); /* behind the alert */
	else if (tls_session_established(c->session) && c->state == TLS_CONN_HANDSHAKE)
		enter_open(c);
}

static void receive_handshake(struct tls_conn *c, struct iobuf *b, size_t n)
{
	buf_put(&c->hs_in, span_of(b->mem, n));
	iobuf_unref(b);
	if (buf_status(&c->hs_in) != ERR_OK)
		tls_conn_fail(c, ERR_LIMIT);
	else if (c->gate == NULL || tls_gate_pass(c->gate, &c->turn))
		step_handshake(c);
}

static void on_handshake_turn(struct tls_gate_entry *e)
{
	struct tls_conn *c = container_of(e, struct tls_conn, turn);

	if (c->state == TLS_CONN_HANDSHAKE)
		step_handshake(c);
	tls_conn_run(c);
}

void tls_conn_set_gate(struct tls_conn *c, struct tls_gate *gate)
{
	c->gate = gate;
}

static void receive_records(struct tls_conn *c, struct iobuf *provided, size_t n)
{
	if (provided != NULL) {
		c->rx = provided;
		c->rx_start = 0;
		c->rx_end = (uint32_t)n;
	} else {
		c->rx_end += (uint32_t)n;
	}
	c->lately += n < IOBUF_SMALL_MEM ? (uint32_t)n : IOBUF_SMALL_MEM;
	open_records(c);
	if (c->state == TLS_CONN_OPEN) {
		settle_rx(c, n);
		c->owner->arrived(c);
	}
}

/* The large buffer goes back; what has arrived of a record waits in one just large enough, if that is to be had. */
static void cool_rx(struct tls_conn *c)
{
	if (c->rx_start == c->rx_end)
		drop_rx(c);
	else
		(void)make_room(c);
}

/* The stream ended without close_notify. */
static enum err end_cause(const struct tls_conn *c)
{
	if (c->unsendable)
		return ERR_RESET;
	return c->state == TLS_CONN_HANDSHAKE ? ERR_EOF : ERR_TLS_TRUNCATED;
}

static void on_received(struct op *op)
{
	struct tls_conn *c = container_of(op, struct tls_conn, recv);
	struct iobuf *b = op->buf;

	op->buf = NULL;
	if (op->res >= 0)
		c->retries = 0;
	if (c->state >= TLS_CONN_CLOSING) {
		if (b != NULL)
			iobuf_unref(b);
		if (op->res == -ENOBUFS && c->state == TLS_CONN_CLOSING)
			wait_for_buffer(c); /* ending, nothing may be armed any more */
		else if (op->res == 0)
			c->peer_closed = true;
		else if (op->res < 0 && op->res != -ECANCELED && op->res != -ENOBUFS)
			tls_conn_fail(c, ERR_OK); /* it is gone; our close is as good as done */
	} else if (op->res > 0 && c->state == TLS_CONN_HANDSHAKE) {
		receive_handshake(c, b, (size_t)op->res);
	} else if (op->res > 0) {
		receive_records(c, b, (size_t)op->res);
	} else if (op->res == -ENOBUFS) {
		wait_for_buffer(c);
	} else if (op->res == 0) {
		tls_conn_fail(c, end_cause(c));
	} else if (op->res != -ECANCELED) {
		tls_conn_fail(c, ERR_RESET);
	} else if (!c->hot && c->rx != NULL) {
		cool_rx(c);
	}
	tls_conn_run(c);
}

static void on_timer(struct timer *t)
{
	struct tls_conn *c = container_of(t, struct tls_conn, timer);

	if (c->unsendable) {
		tls_conn_fail(c, ERR_RESET);
	} else if (c->state == TLS_CONN_HANDSHAKE) {
		tls_conn_fail(c, ERR_TLS_TIMEOUT);
	} else if (c->state == TLS_CONN_CLOSING) {
		tls_conn_fail(c, ERR_OK);
	} else if (c->state == TLS_CONN_OPEN && c->hot) {
		if (c->lately < IOBUF_SMALL_MEM) {
			c->hot = false;
			tls_session_cool(c->session);
			loop_cancel(c->loop, &c->recv);
		} else {
			timer_arm(c->loop, t, TLS_CONN_COOL_MS);
		}
		c->lately = 0;
	}
	tls_conn_run(c);
}

/* --- life --------------------------------------------------------------------------------- */

static void report_end(struct tls_conn *c)
{
	if (c->reported)
		return;
	c->reported = true;
	c->owner->ended(c, c->cause);
}

/* Past this, nothing may touch the socket: wait for the ops, then say so. */
static void tls_conn_end(struct tls_conn *c)
{
	if (!c->landing) {
		c->landing = true;
		timer_disarm(&c->timer);
		timer_disarm(&c->again);
		tls_gate_leave(&c->turn);
		loop_cancel(c->loop, &c->recv);
		loop_cancel(c->loop, &c->send.op);
		report_end(c);
	}
	if (c->recv.pending || c->send.op.pending)
		return;
	c->state = TLS_CONN_CLOSED;
	loop_hook_cancel(&c->hook);
	loop_close(c->loop, c->fd);
	c->fd = -1;
	c->owner->landed(c);
}

/* Everything is out: end our side, then wait for the peer to end its own. Of a failure the owner hears at once. */
static void step_closing(struct tls_conn *c)
{
	bool out = c->tx.count == 0 && !c->send.op.pending;

	if (out && !c->shut) {
		c->shut = true;
		loop_shutdown(c->loop, c->fd, SHUT_WR);
	}
	if (out || c->cause != ERR_OK)
		report_end(c);
	if (out && c->peer_closed)
		tls_conn_fail(c, ERR_OK);
}

/* The one place where states move on; called when a fact changed. */
static void tls_conn_run(struct tls_conn *c)
{
	if (c->state == TLS_CONN_OPEN && c->peer_closed)
		tls_conn_fail(c, ERR_OK);
	if (c->state == TLS_CONN_CLOSING)
		step_closing(c);
	if (c->state == TLS_CONN_ENDING) {
		tls_conn_end(c);
		return;
	}
	if (c->state == TLS_CONN_CLOSED)
		return;
	arm_recv(c);
	if (c->was_full && c->tx.bytes < TLS_CONN_QUEUE_LOW && c->state == TLS_CONN_OPEN) {
		c->was_full = false;
		c->owner->drained(c);
	}
}

static void on_turn_end(struct loop_hook *h)
{
	struct tls_conn *c = container_of(h, struct tls_conn, hook);

	/* An answer to the peer's key update, or one of ours that is due. */
	if (c->state == TLS_CONN_OPEN && tls_session_wants_send(c->session))
		queue_from_session(c, tls_session_pending);
	tls_conn_flush(c);
	tls_conn_run(c);
}

void tls_conn_start(struct tls_conn *c, struct loop *loop, int fd, struct tls_session *session,
                    const struct tls_conn_owner *owner, uint64_t handshake_ms)
{
	*c = (struct tls_conn){.loop = loop, .owner = owner, .session = session, .fd = fd};
	iobuf_queue_init(&c->tx);
	buf_init(&c->hs_in, TLS_HANDSHAKE_IN_MAX);
	timer_init(&c->timer, on_timer);
	timer_init(&c->again, on_again);
	loop_hook_init(&c->hook, on_turn_end);
	tls_gate_entry_init(&c->turn, on_handshake_turn);
	timer_arm(loop, &c->timer, handshake_ms);
	step_handshake(c);
	loop_at_turn_end(loop, &c->hook); /* arms the first receive */
}

void tls_conn_fini(struct tls_conn *c)
{
	CHECK(c->state == TLS_CONN_CLOSED);
	drop_rx(c);
	iobuf_queue_fini(&c->tx);
	buf_fini(&c->hs_in);
	tls_session_free(c->session);
	c->session = NULL;
}

size_t tls_conn_queued(const struct tls_conn *c)
{
	return c->tx.bytes;
}

bool tls_conn_open(const struct tls_conn *c)
{
	return c->state == TLS_CONN_OPEN;
}

void tls_conn_close(struct tls_conn *c)
{
	if (c->state >= TLS_CONN_CLOSING)
		return;
	if (c->state == TLS_CONN_OPEN)
		queue_from_session(c, tls_session_close_notify);
	start_closing(c, ERR_OK);
}

void tls_conn_abort(struct tls_conn *c, enum err cause)
{
	tls_conn_fail(c, cause);
}
