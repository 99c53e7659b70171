/* SPDX-License-Identifier: Apache-2.0 */
#include "common/hbone/inner_conn.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/check.h"
#include "common/hbone/hbone_msg.h"

enum inner_state {
	INNER_HANDSHAKE,
	INNER_OPEN,
	INNER_CLOSING, /* our last bytes are on their way; what comes is ignored */
	INNER_GONE,
};

struct inner_conn {
	struct hbone_carrier carrier; /* of one stream */
	struct hbone_stream outer;
	struct loop *loop;
	struct tls_session *tls;
	struct h2_session *session; /* NULL before TLS is up */
	struct h2_events *scratch;
	struct h2_options options;
	enum inner_state state;
	enum err cause;          /* of an HTTP/2 failure, told to the peer before the close */
	struct inner_call *call; /* not answered yet */
	const struct h2_field *fields;
	unsigned int field_count;
	uint64_t answer_ms;
	bool peer_closed; /* close_notify came */
	struct buf hs_in; /* handshake input not yet consumed */
	struct iobuf *rx; /* arrived and not yet opened: [rx_start, rx_end) of it */
	uint32_t rx_start, rx_end;
	struct timer deadline; /* of the handshake, the answer, the close */
	struct timer cool;     /* until a quiet connection gives its large buffer back */
	struct timer tick;     /* PING, or a buffer to ask for again */
	struct loop_hook kick;
	struct list sibling;
	struct loop_retired retired;
};

static void inner_fail(struct inner_conn *c, enum err cause);

/* --- the end ------------------------------------------------------------------------------- */

static void drop_rx(struct inner_conn *c)
{
	if (c->rx != NULL)
		iobuf_unref(c->rx);
	c->rx = NULL;
	c->rx_start = 0;
	c->rx_end = 0;
}

static void free_inner(struct loop_retired *r)
{
	struct inner_conn *c = container_of(r, struct inner_conn, retired);

	drop_rx(c);
	buf_fini(&c->hs_in);
	h2_session_free(c->session);
	tls_session_free(c->tls);
	free(c);
}

/* The outer stream is no longer ours. */
static void inner_gone(struct inner_conn *c)
{
	if (c->state == INNER_GONE)
		return;
	c->state = INNER_GONE;
	timer_disarm(&c->deadline);
	timer_disarm(&c->tick);
	timer_disarm(&c->cool);
	loop_hook_cancel(&c->kick);
	list_remove(&c->sibling);
	loop_retire(c->loop, &c->retired, free_inner);
}

/* Whoever has the stream, or waits for it, hears why there is none any more. */
static void tell(struct inner_conn *c, enum err cause)
{
	struct inner_call *a;

	hbone_carrier_ended(&c->carrier, cause);
	a = c->call; /* it had no stream yet */
	if (a == NULL)
		return;
	c->call = NULL;
	a->conn = NULL;
	a->owner->answered(a, cause);
}

/* Takes v: a record. A full one is longer than what a stream takes at once. */
static void put_record(struct inner_conn *c, struct iobuf_view v)
{
	struct iobuf_view rest = v;
	bool ok = true;

	if (v.len > IOBUF_SLOT_LEN) {
		v.buf = iobuf_ref(v.buf);
		v.len = IOBUF_SLOT_LEN;
		rest.p += v.len;
		rest.len -= v.len;
		ok = hbone_stream_put(&c->outer, v);
	}
	if (!ok)
		iobuf_unref(rest.buf);
	else
		ok = hbone_stream_put(&c->outer, rest);
	if (!ok)
		inner_fail(c, ERR_MEMORY);
}

static void queue_cipher(struct inner_conn *c, struct span s)
{
	while (s.n > 0) {
		struct iobuf *b = iobuf_take(loop_iobufs(c->loop), IOBUF_SMALL);
		size_t n;

		if (b == NULL) {
			inner_fail(c, ERR_OVERLOAD);
			return;
		}
		n = s.n < b->cap ? s.n : b->cap;
		memcpy(b->mem, s.p, n);
		put_record(c, (struct iobuf_view){b, b->mem, (uint32_t)n});
		s = span_of(s.p + n, s.n - n);
	}
}

static void queue_from_tls(struct inner_conn *c,
                           enum err (*fill)(struct tls_session *, struct buf *))
{
	struct buf out;

	buf_init(&out, TLS_HANDSHAKE_IN_MAX);
	if (fill(c->tls, &out) == ERR_OK)
		queue_cipher(c, buf_span(&out));
	buf_fini(&out);
}

/* What is queued leaves, then our side of the outer stream ends; the far end has a while to end its own. */
static void start_closing(struct inner_conn *c)
{
	c->state = INNER_CLOSING;
	timer_disarm(&c->tick);
	list_remove(&c->sibling);
	drop_rx(c);
	hbone_stream_end(&c->outer);
	if (c->outer.carrier == NULL || c->outer.peer_ended) {
		hbone_stream_detach(&c->outer);
		inner_gone(c);
		return;
	}
	timer_arm(c->loop, &c->deadline, INNER_CLOSE_MS);
}

/* The connection is over with cause; an alert that is due goes first. */
static void inner_fail(struct inner_conn *c, enum err cause)
{
	enum inner_state was = c->state;

	if (was >= INNER_CLOSING)
		return;
	c->state = INNER_CLOSING;
	if (was == INNER_OPEN)
		queue_from_tls(c, tls_session_pending);
	tell(c, cause);
	if (c->state == INNER_CLOSING)
		start_closing(c);
}

/* --- sending ------------------------------------------------------------------------------- */

static void inner_kick(struct inner_conn *c)
{
	if (c->state == INNER_OPEN)
		loop_at_turn_end(c->loop, &c->kick);
}

static void dispatch(struct inner_conn *c, struct iobuf *buf)
{
	for (uint32_t i = 0; i < c->scratch->count && c->state == INNER_OPEN; i++) {
		struct h2_event ev = c->scratch->ev[i];

		if (ev.kind == H2_EV_REQUEST || ev.kind == H2_EV_RESPONSE)
			c->scratch->ev[i].head = NULL; /* freed by who is told */
		if (ev.kind == H2_EV_REQUEST)
			h2_head_free(
				ev.head); /* nghttp2 refuses requests to a client; never comes */
		else
			hbone_carrier_event(&c->carrier, &ev, buf);
	}
	h2_events_clear(c->scratch);
}

/* Takes v: one record's plain text, with room around it. */
static void seal(struct inner_conn *c, struct iobuf_view v)
{
	size_t len = 0;
	enum err e = ERR_CANCELLED;

	if (c->state == INNER_OPEN) {
		v.p -= TLS_RECORD_HEAD;
		e = tls_session_seal(c->tls, v.p, v.len, &len);
	}
	if (e != ERR_OK) {
		iobuf_unref(v.buf);
		inner_fail(c, e);
		return;
	}
	v.len = (uint32_t)len;
	put_record(c, v);
}

/* Records of everything the session may send now, while the outer stream takes them. */
static void emit(struct inner_conn *c)
{
	struct iobuf_queue out;
	enum err e = ERR_OK;

	iobuf_queue_init(&out);
	while (e == ERR_OK && c->state == INNER_OPEN && h2_session_wants_send(c->session)) {
		size_t queued = hbone_stream_queued(&c->outer);

		if (queued >= INNER_QUEUE_MAX)
			break;
		e = h2_session_send(c->session, &out, INNER_QUEUE_MAX - queued, c->scratch);
		if (out.count == 0)
			break;
		while (out.count > 0)
			seal(c, iobuf_queue_pop(&out));
	}
	iobuf_queue_fini(&out);
	if (c->state == INNER_OPEN && tls_session_wants_send(c->tls))
		queue_from_tls(c, tls_session_pending);
	if (e == ERR_MEMORY)
		timer_arm(c->loop, &c->tick, INNER_RETRY_MS);
	else if (e != ERR_OK && c->cause == ERR_OK)
		c->cause = e;
	dispatch(c, NULL);
}

static void on_kick(struct loop_hook *h)
{
	struct inner_conn *c = container_of(h, struct inner_conn, kick);

	if (c->state != INNER_OPEN)
		return;
	emit(c);
	if (c->state != INNER_OPEN)
		return;
	if (c->cause != ERR_OK) {
		inner_fail(c, c->cause); /* behind its GOAWAY */
	} else if (c->carrier.count == 0 && !h2_session_wants_send(c->session)) {
		queue_from_tls(c, tls_session_close_notify);
		if (c->state == INNER_OPEN)
			start_closing(c);
	} else if (c->peer_closed) {
		inner_fail(c, ERR_EOF);
	}
}

static void on_tick(struct timer *t)
{
	struct inner_conn *c = container_of(t, struct inner_conn, tick);
	uint64_t next_ms = 0;
	enum err e = h2_session_tick(c->session, loop_now_ms(c->loop), &next_ms);

	if (e != ERR_OK) {
		inner_fail(c, e);
		return;
	}
	if (next_ms != UINT64_MAX)
		timer_arm(c->loop, t, next_ms);
	inner_kick(c);
}

/* --- the call before its answer --------------------------------------------------------------- */

static struct inner_call *of_stream(struct hbone_stream *s)
{
	return container_of(s, struct inner_call, stream);
}

static void answer(struct inner_call *a, enum err cause)
{
	struct inner_conn *c = a->conn;

	if (c == NULL)
		return;
	timer_disarm(&c->deadline);
	c->call = NULL;
	a->conn = NULL;
	a->peer = tls_session_peer(c->tls);
	a->owner->answered(a, cause);
}

static void on_head(struct hbone_stream *s, const struct h2_head *head)
{
	struct inner_call *a = of_stream(s);
	enum err e = hbone_response_parse(head, &a->status);

	a->head = head;
	if (e != ERR_OK)
		hbone_stream_reset(s, err_info(ERR_CANCELLED)->h2_code);
	answer(a, e);
}

static void on_early_break(struct hbone_stream *s, enum err cause)
{
	answer(of_stream(s), cause);
}

static const struct hbone_stream_owner call_stream_owner = {
	.head = on_head,
	.data = hbone_stream_early_data,
	.end = hbone_stream_early_end,
	.sent = hbone_stream_early_sent,
	.broken = on_early_break,
};

static void on_deadline(struct timer *t)
{
	struct inner_conn *c = container_of(t, struct inner_conn, deadline);

	switch (c->state) {
	case INNER_HANDSHAKE: inner_fail(c, ERR_TLS_TIMEOUT); break;
	case INNER_OPEN: inner_fail(c, ERR_HBONE_TIMEOUT); break;
	case INNER_CLOSING:
		hbone_stream_reset(&c->outer, err_info(ERR_CANCELLED)->h2_code);
		inner_gone(c);
		break;
	case INNER_GONE: break;
	}
}

/* --- receiving -------------------------------------------------------------------------------- */

/* Room for n octets behind what is unread. Views into the old buffer keep it alive. */
static bool make_room(struct inner_conn *c, size_t n)
{
	uint32_t left = c->rx_end - c->rx_start;
	struct iobuf *b;

	if (c->rx != NULL && c->rx->cap - c->rx_end >= n)
		return true;
	b = iobuf_take(loop_iobufs(c->loop),
	               left + n <= IOBUF_SMALL_MEM ? IOBUF_SMALL : IOBUF_LARGE);
	if (b == NULL)
		return false;
	CHECK(left + n <= b->cap);
	if (c->rx != NULL)
		memcpy(b->mem, c->rx->mem + c->rx_start, left);
	drop_rx(c);
	c->rx = b;
	c->rx_end = left;
	return true;
}

static void open_record(struct inner_conn *c, uint8_t *p, size_t len)
{
	struct tls_opened opened;
	enum err e = tls_session_open(c->tls, p, len, &opened);

	if (e == ERR_OK && opened.want_send)
		inner_kick(c);
	if (e == ERR_OK && opened.kind == TLS_OPENED_CLOSE) {
		c->peer_closed = true;
		inner_kick(c);
	}
	if (e != ERR_OK) {
		inner_fail(c, e);
	} else if (opened.kind == TLS_OPENED_DATA && opened.n > 0 && c->cause == ERR_OK) {
		c->cause = h2_session_recv(c->session, span_of(opened.p, opened.n),
		                           loop_now_ms(c->loop), c->scratch);
		dispatch(c, c->rx);
	}
}

/* Open every whole record that has arrived. */
static void open_records(struct inner_conn *c)
{
	timer_disarm(&c->cool);
	while (c->rx_end > c->rx_start && c->state == INNER_OPEN && !c->peer_closed) {
		uint8_t *p = c->rx->mem + c->rx_start;
		size_t len = 0;
		enum err e = tls_record_len(span_of(p, c->rx_end - c->rx_start), &len);

		if (e != ERR_OK) {
			inner_fail(c, e);
			return;
		}
		if (len == 0 || len > c->rx_end - c->rx_start)
			break;
		c->rx_start += (uint32_t)len;
		open_record(c, p, len);
	}
	if (c->rx == NULL || c->rx_start != c->rx_end)
		return;
	if (c->rx->cls ==
	    IOBUF_LARGE) /* views pin it all: it is to be filled before another is taken */
		timer_arm(c->loop, &c->cool, TLS_CONN_COOL_MS);
	else
		drop_rx(c);
}

static void on_cool(struct timer *t)
{
	struct inner_conn *c = container_of(t, struct inner_conn, cool);

	if (c->rx_start == c->rx_end)
		drop_rx(c);
}

static void receive(struct inner_conn *c, struct span bytes)
{
	if (bytes.n == 0)
		return;
	if (!make_room(c, bytes.n)) {
		inner_fail(c, ERR_OVERLOAD);
		return;
	}
	memcpy(c->rx->mem + c->rx_end, bytes.p, bytes.n);
	c->rx_end += (uint32_t)bytes.n;
	open_records(c);
	inner_kick(c);
}

/* TLS is up: ask. */
static void enter_open(struct inner_conn *c)
{
	struct buf rest = c->hs_in;
	int32_t id = 0;
	enum err e = ERR_MEMORY;

	buf_init(&c->hs_in, TLS_HANDSHAKE_IN_MAX);
	c->session =
		h2_session_new(H2_CLIENT, &c->options, loop_iobufs(c->loop), loop_now_ms(c->loop));
	if (c->session != NULL)
		e = h2_session_request(c->session, c->fields, c->field_count, NULL, &id);
	if (e == ERR_OK) {
		c->state = INNER_OPEN;
		hbone_stream_attach(&c->call->stream, &c->carrier, id, &call_stream_owner);
		timer_arm(c->loop, &c->deadline, c->answer_ms);
		if (c->options.ping_interval_ms > 0)
			timer_arm(c->loop, &c->tick, c->options.ping_interval_ms);
		inner_kick(c);
		receive(c, buf_span(&rest));
	} else {
		inner_fail(c, e);
	}
	buf_fini(&rest);
}

static void step_handshake(struct inner_conn *c)
{
	struct buf out;
	size_t used = 0;
	enum err e;

	buf_init(&out, TLS_HANDSHAKE_IN_MAX);
	e = tls_session_handshake(c->tls, buf_span(&c->hs_in), &used, &out);
	buf_consume(&c->hs_in, used);
	queue_cipher(c, buf_span(&out)); /* the alert, too */
	buf_fini(&out);
	if (e != ERR_OK)
		inner_fail(c, e);
	else if (tls_session_established(c->tls) && c->state == INNER_HANDSHAKE)
		enter_open(c);
}

/* --- the outer stream's facts ----------------------------------------------------------------- */

static struct inner_conn *of_outer(struct hbone_stream *s)
{
	return container_of(s, struct inner_conn, outer);
}

static void on_outer_head(struct hbone_stream *s, const struct h2_head *head)
{
	(void)s; /* the answer was the call's */
	(void)head;
}

/* Its window is returned at once: what an application does not take, the inner stream's window holds back. */
static void on_outer_data(struct hbone_stream *s, struct iobuf *buf, struct span bytes)
{
	struct inner_conn *c = of_outer(s);

	(void)buf;
	if (c->state == INNER_HANDSHAKE) {
		buf_put(&c->hs_in, bytes);
		if (buf_status(&c->hs_in) != ERR_OK)
			inner_fail(c, ERR_LIMIT);
		else
			step_handshake(c);
	} else if (c->state == INNER_OPEN && !c->peer_closed) {
		receive(c, bytes);
	}
	hbone_stream_taken(s, bytes.n);
}

static void on_outer_end(struct hbone_stream *s)
{
	struct inner_conn *c = of_outer(s);

	if (c->state == INNER_CLOSING) {
		hbone_stream_detach(s); /* our own end is queued */
		inner_gone(c);
	} else if (c->state == INNER_HANDSHAKE) {
		inner_fail(c, ERR_EOF);
	} else if (c->state == INNER_OPEN && c->carrier.count > 0) {
		inner_fail(c, c->peer_closed ? ERR_EOF : ERR_TLS_TRUNCATED);
	}
}

static void on_outer_sent(struct hbone_stream *s, size_t n)
{
	struct inner_conn *c = of_outer(s);

	(void)n;
	if (c->state == INNER_OPEN && h2_session_wants_send(c->session))
		inner_kick(c);
}

static void on_outer_broken(struct hbone_stream *s, enum err cause)
{
	struct inner_conn *c = of_outer(s);
	enum inner_state was = c->state;

	c->state = INNER_CLOSING;
	if (was < INNER_CLOSING)
		tell(c, cause);
	inner_gone(c);
}

static const struct hbone_stream_owner outer_owner = {
	.head = on_outer_head,
	.data = on_outer_data,
	.end = on_outer_end,
	.sent = on_outer_sent,
	.broken = on_outer_broken,
};

/* --- the driver of the carrier ------------------------------------------------------------------ */

static struct inner_conn *of_carrier(struct hbone_carrier *carrier)
{
	return container_of(carrier, struct inner_conn, carrier);
}

static struct h2_session *carrier_session(struct hbone_carrier *carrier)
{
	return of_carrier(carrier)->session;
}

static bool carrier_ready(struct hbone_carrier *carrier)
{
	return of_carrier(carrier)->state == INNER_OPEN;
}

static void carrier_kick(struct hbone_carrier *carrier)
{
	inner_kick(of_carrier(carrier));
}

static const struct hbone_carrier_driver carrier_driver = {
	.session = carrier_session,
	.ready = carrier_ready,
	.kick = carrier_kick,
};

/* --- life ----------------------------------------------------------------------------------------- */

/* The first flight, outside of the call that asked for it. */
static void on_first(struct loop_hook *h)
{
	struct inner_conn *c = container_of(h, struct inner_conn, kick);

	loop_hook_init(&c->kick, on_kick);
	if (c->outer.carrier == NULL) { /* it broke on its way to us */
		tell(c, ERR_H2_STREAM_RESET);
		inner_gone(c);
		return;
	}
	step_handshake(c);
}

enum err inner_call_start(struct inner_call *a, struct loop *loop, struct hbone_stream *outer,
                          const struct inner_setup *setup, const struct inner_call_owner *owner)
{
	const struct tls_expect expect = {.identities = setup->identities,
	                                  .identity_count = setup->identity_count};
	struct inner_conn *c = calloc(1, sizeof(*c));

	*a = (struct inner_call){.owner = owner};
	if (c != NULL)
		c->tls = tls_session_new(setup->config, TLS_CLIENT, &expect);
	if (c == NULL || c->tls == NULL) {
		free(c);
		hbone_stream_reset(outer, err_info(ERR_MEMORY)->h2_code);
		return ERR_MEMORY;
	}
	hbone_carrier_init(&c->carrier, &carrier_driver);
	c->loop = loop;
	c->scratch = setup->scratch;
	c->options = *setup->options;
	c->call = a;
	c->fields = setup->fields;
	c->field_count = setup->field_count;
	c->answer_ms = setup->answer_ms;
	buf_init(&c->hs_in, TLS_HANDSHAKE_IN_MAX);
	timer_init(&c->deadline, on_deadline);
	timer_init(&c->tick, on_tick);
	timer_init(&c->cool, on_cool);
	loop_hook_init(&c->kick, on_first);
	list_init(&c->sibling);
	list_push(setup->siblings, &c->sibling);
	a->conn = c;
	hbone_stream_move(outer, &c->outer, &outer_owner);
	timer_arm(loop, &c->deadline, setup->handshake_ms);
	loop_at_turn_end(loop, &c->kick);
	return ERR_OK;
}

void inner_call_cancel(struct inner_call *a)
{
	struct inner_conn *c = a->conn;

	if (c == NULL)
		return;
	a->conn = NULL;
	c->call = NULL;
	if (c->state == INNER_HANDSHAKE) {
		hbone_stream_reset(&c->outer, err_info(ERR_CANCELLED)->h2_code);
		inner_gone(c);
		return;
	}
	timer_disarm(&c->deadline);
	hbone_stream_reset(&a->stream, err_info(ERR_CANCELLED)->h2_code);
}

unsigned int inner_conn_recheck(struct list *siblings)
{
	unsigned int ended = 0;

	list_for_each_safe (it, tmp, siblings) {
		struct inner_conn *c = container_of(it, struct inner_conn, sibling);

		if (c->state != INNER_OPEN || tls_session_recheck(c->tls) == ERR_OK)
			continue;
		inner_fail(c, ERR_TLS_REVOKED);
		ended++;
	}
	return ended;
}
