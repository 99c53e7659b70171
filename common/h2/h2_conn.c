/* SPDX-License-Identifier: Apache-2.0 */
#include "common/h2/h2_conn.h"

#include "common/base/check.h"

enum { STARVED_RETRY_MS = 10 };

static struct h2_conn *of_tls(struct tls_conn *t)
{
	return container_of(t, struct h2_conn, tls);
}

/* Hand every event to the owner, in order. */
static void dispatch(struct h2_conn *c, struct iobuf *buf)
{
	for (uint32_t i = 0; i < c->scratch->count && !c->ended; i++) {
		struct h2_event ev = c->scratch->ev[i];

		if (ev.kind == H2_EV_REQUEST || ev.kind == H2_EV_RESPONSE ||
		    ev.kind == H2_EV_TRAILERS)
			c->scratch->ev[i].head = NULL; /* the owner frees it now */
		c->owner->event(c, &ev, buf);
	}
	h2_events_clear(c->scratch);
}

/* The session failed: its GOAWAY goes out, then the connection closes with this cause. */
static void h2_conn_fail(struct h2_conn *c, enum err cause)
{
	if (c->cause == ERR_OK)
		c->cause = cause;
	h2_conn_kick(c);
}

/* Records of everything the session may send now, while the socket's queue has room. */
static void emit(struct h2_conn *c)
{
	struct iobuf_queue out;
	enum err e = ERR_OK;

	if (!tls_conn_open(&c->tls))
		return;
	iobuf_queue_init(&out);
	while (e == ERR_OK && h2_session_wants_send(c->session)) {
		size_t queued = tls_conn_queued(&c->tls);

		if (queued >= TLS_CONN_QUEUE_MAX)
			break;
		e = h2_session_send(c->session, &out, TLS_CONN_QUEUE_MAX - queued, c->scratch);
		if (out.count == 0)
			break;
		while (out.count > 0)
			tls_conn_put(&c->tls, iobuf_queue_pop(&out));
	}
	iobuf_queue_fini(&out);
	c->starved = e == ERR_MEMORY;
	if (c->starved)
		timer_arm(c->tls.loop, &c->tick, STARVED_RETRY_MS);
	else if (e != ERR_OK && c->cause == ERR_OK)
		c->cause = e; /* the caller closes, behind the GOAWAY */
	tls_conn_flush(&c->tls);
	dispatch(c, NULL);
}

static void on_kick(struct loop_hook *h)
{
	struct h2_conn *c = container_of(h, struct h2_conn, kick);

	bool room = tls_conn_queued(&c->tls) < TLS_CONN_QUEUE_MAX;

	if (c->ended)
		return;
	emit(c);
	if (c->closing && !c->parted && c->cause == ERR_OK && room && !c->starved) {
		/* Only now: the session says nothing behind it, and resets were to be said. */
		c->parted = true;
		h2_session_goaway(c->session, c->close_code);
		emit(c);
	}
	if (c->cause != ERR_OK || (c->parted && !h2_session_wants_send(c->session)))
		tls_conn_close(&c->tls);
}

static void on_tick(struct timer *t)
{
	struct h2_conn *c = container_of(t, struct h2_conn, tick);
	uint64_t next_ms = 0;
	enum err e;

	if (c->ended)
		return;
	if (c->closing && loop_now_ms(c->tls.loop) >= c->close_at_ms) {
		tls_conn_close(&c->tls);
		return;
	}
	e = h2_session_tick(c->session, loop_now_ms(c->tls.loop), &next_ms);
	if (e != ERR_OK) {
		tls_conn_abort(&c->tls, e);
		return;
	}
	if (c->closing)
		next_ms = c->close_at_ms - loop_now_ms(c->tls.loop);
	if (next_ms != UINT64_MAX)
		timer_arm(c->tls.loop, t, next_ms);
	h2_conn_kick(c);
}

static void on_established(struct tls_conn *t)
{
	struct h2_conn *c = of_tls(t);

	c->session =
		h2_session_new(c->role, &c->options, loop_iobufs(t->loop), loop_now_ms(t->loop));
	if (c->session == NULL) {
		tls_conn_abort(t, ERR_MEMORY);
		return;
	}
	if (c->options.ping_interval_ms > 0)
		timer_arm(t->loop, &c->tick, c->options.ping_interval_ms);
	c->owner->ready(c);
	h2_conn_kick(c);
}

static void on_plain(struct tls_conn *t, struct iobuf *buf, uint8_t *p, size_t n)
{
	struct h2_conn *c = of_tls(t);
	enum err e;

	if (c->session == NULL || c->cause != ERR_OK)
		return;
	e = h2_session_recv(c->session, span_of(p, n), loop_now_ms(t->loop), c->scratch);
	dispatch(c, buf);
	if (e != ERR_OK)
		h2_conn_fail(c, e);
}

static void on_arrived(struct tls_conn *t)
{
	h2_conn_kick(of_tls(t));
}

static void on_drained(struct tls_conn *t)
{
	h2_conn_kick(of_tls(t));
}

static void on_ended(struct tls_conn *t, enum err cause)
{
	struct h2_conn *c = of_tls(t);

	c->ended = true;
	timer_disarm(&c->tick);
	loop_hook_cancel(&c->kick);
	c->owner->ended(c, c->cause != ERR_OK ? c->cause : cause);
}

static void on_landed(struct tls_conn *t)
{
	struct h2_conn *c = of_tls(t);

	c->owner->landed(c);
}

static const struct tls_conn_owner tls_owner = {
	.established = on_established,
	.plain = on_plain,
	.arrived = on_arrived,
	.drained = on_drained,
	.ended = on_ended,
	.landed = on_landed,
};

void h2_conn_start(struct h2_conn *c, struct loop *loop, int fd, struct tls_session *tls,
                   const struct h2_conn_setup *setup)
{
	c->session = NULL;
	c->owner = setup->owner;
	c->scratch = setup->scratch;
	c->options = *setup->options;
	c->role = setup->role;
	c->cause = ERR_OK;
	c->closing = false;
	c->parted = false;
	c->ended = false;
	c->starved = false;
	timer_init(&c->tick, on_tick);
	loop_hook_init(&c->kick, on_kick);
	tls_conn_start(&c->tls, loop, fd, tls, &tls_owner, setup->handshake_ms);
	tls_conn_set_gate(&c->tls, setup->gate);
}

void h2_conn_fini(struct h2_conn *c)
{
	h2_session_free(c->session);
	c->session = NULL;
	tls_conn_fini(&c->tls);
}

bool h2_conn_ready(const struct h2_conn *c)
{
	return c->session != NULL && !c->ended && c->cause == ERR_OK && !c->closing &&
	       tls_conn_open(&c->tls);
}

const char *h2_conn_peer(const struct h2_conn *c)
{
	return tls_session_peer(c->tls.session);
}

enum err h2_conn_recheck(const struct h2_conn *c)
{
	return h2_conn_ready(c) ? tls_session_recheck(c->tls.session) : ERR_OK;
}

bool h2_conn_untracked(const struct h2_conn *c)
{
	return h2_conn_ready(c) && tls_session_untracked(c->tls.session);
}

void h2_conn_kick(struct h2_conn *c)
{
	if (!c->ended)
		loop_at_turn_end(c->tls.loop, &c->kick);
}

void h2_conn_close(struct h2_conn *c, uint32_t code)
{
	if (c->closing)
		return;
	if (c->session == NULL) {
		tls_conn_close(&c->tls);
		return;
	}
	c->closing = true;
	c->close_code = code;
	c->close_at_ms = loop_now_ms(c->tls.loop) + TLS_CONN_CLOSE_MS;
	timer_arm(c->tls.loop, &c->tick, TLS_CONN_CLOSE_MS);
	h2_conn_kick(c);
}

void h2_conn_flooded(struct h2_conn *c)
{
	if (c->session == NULL || c->ended || c->cause != ERR_OK)
		return;
	h2_session_goaway(c->session, err_info(ERR_H2_FLOOD)->h2_code);
	h2_conn_fail(c, ERR_H2_FLOOD);
}

void h2_conn_abort(struct h2_conn *c, enum err cause)
{
	tls_conn_abort(&c->tls, cause);
}
