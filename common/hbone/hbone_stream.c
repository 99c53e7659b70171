/* SPDX-License-Identifier: Apache-2.0 */
#include "common/hbone/hbone_stream.h"

#include "common/base/check.h"

static struct h2_session *session_of(struct hbone_carrier *c)
{
	return c->driver->session(c);
}

static void kick(struct hbone_carrier *c)
{
	c->driver->kick(c);
}

void hbone_carrier_init(struct hbone_carrier *c, const struct hbone_carrier_driver *driver)
{
	c->driver = driver;
	list_init(&c->streams);
	c->count = 0;
	c->held = 0;
	c->owed = 0;
	c->queued = 0;
}

/* --- the driver of a carrier on a connection ------------------------------------------------ */

static struct h2_session *conn_session(struct hbone_carrier *c)
{
	return container_of(c, struct hbone_conn, carrier)->h2.session;
}

static bool conn_ready(struct hbone_carrier *c)
{
	return h2_conn_ready(&container_of(c, struct hbone_conn, carrier)->h2);
}

static void conn_kick(struct hbone_carrier *c)
{
	h2_conn_kick(&container_of(c, struct hbone_conn, carrier)->h2);
}

static const struct hbone_carrier_driver conn_driver = {
	.session = conn_session,
	.ready = conn_ready,
	.kick = conn_kick,
};

void hbone_conn_init(struct hbone_conn *c)
{
	hbone_carrier_init(&c->carrier, &conn_driver);
}

/* --- the carrier's streams ------------------------------------------------------------------- */

/* n octets of s left, or never will. */
static void unqueue(struct hbone_stream *s, size_t n)
{
	CHECK(n <= s->unsent);
	s->unsent -= n;
	s->carrier->queued -= n;
}

static void unlink_stream(struct hbone_stream *s)
{
	struct hbone_carrier *c = s->carrier;

	unqueue(s, s->unsent);
	list_remove(&s->link);
	c->count--;
	s->carrier = NULL;
}

/* n octets arrived: lend the connection's window back unless too much is held already. */
static void hold(struct hbone_carrier *c, size_t n)
{
	c->held += n;
	if (c->held <= CARRIER_HELD_MAX)
		h2_session_consumed_conn(session_of(c), n);
	else
		c->owed += n;
}

static void release(struct hbone_carrier *c, size_t n)
{
	size_t due = n < c->owed ? n : c->owed;

	CHECK(n <= c->held);
	c->held -= n;
	c->owed -= due;
	if (due > 0 && c->driver->ready(c)) {
		h2_session_consumed_conn(session_of(c), due);
		kick(c);
	}
}

static void break_stream(struct hbone_stream *s, enum err cause)
{
	release(s->carrier, s->untaken);
	s->untaken = 0;
	unlink_stream(s);
	s->owner->broken(s, cause);
}

/* What a RST_STREAM means here: refused before any processing, or broken later. */
static enum err cause_of_reset(uint32_t code)
{
	return code == err_info(ERR_H2_STREAM_REFUSED)->h2_code ? ERR_H2_STREAM_REFUSED
	                                                        : ERR_H2_STREAM_RESET;
}

/* From the youngest, which is nearly always meant; ids ascend. */
static struct hbone_stream *find_stream(const struct hbone_carrier *c, int32_t id)
{
	for (struct list *it = c->streams.prev; it != &c->streams; it = it->prev) {
		struct hbone_stream *s = list_entry(it, struct hbone_stream, link);

		if (s->id <= id)
			return s->id == id ? s : NULL;
	}
	return NULL;
}

void hbone_carrier_event(struct hbone_carrier *c, const struct h2_event *ev, struct iobuf *buf)
{
	struct hbone_stream *s = ev->user;

	/*
	 * The event tells who had the stream when its bytes were read. An earlier event of the batch may have made
	 * somebody take it, hand it on or forget it; memory is freed only when the turn ends.
	 */
	if (s == NULL || s->carrier != c)
		s = find_stream(c, ev->stream_id);
	if (s == NULL) {
		if (ev->kind == H2_EV_DATA)
			h2_session_consumed_conn(session_of(c), ev->data.n);
		if (ev->kind == H2_EV_RESPONSE)
			h2_head_free(ev->head);
		return;
	}
	switch (ev->kind) {
	case H2_EV_RESPONSE:
		s->owner->head(s, ev->head);
		h2_head_free(ev->head);
		break;
	case H2_EV_DATA:
		s->untaken += ev->data.n;
		hold(c, ev->data.n);
		s->owner->data(s, buf, ev->data);
		break;
	case H2_EV_END:
		s->peer_ended = true;
		s->owner->end(s);
		break;
	case H2_EV_SENT:
		unqueue(s, ev->sent);
		s->owner->sent(s, ev->sent);
		break;
	case H2_EV_RESET: break_stream(s, cause_of_reset(ev->code)); break;
	case H2_EV_CLOSED: /* END went both ways; bytes not taken yet no longer depend on the carrier */
		release(c, s->untaken);
		s->untaken = 0;
		unlink_stream(s);
		break;
	case H2_EV_REQUEST:
	case H2_EV_TRAILERS: /* not asked for in the options */
	case H2_EV_GOAWAY:
	case H2_EV_SETTINGS: break;
	}
}

void hbone_carrier_ended(struct hbone_carrier *c, enum err cause)
{
	enum err told = cause == ERR_OK ? ERR_EOF : cause;

	while (!list_empty(&c->streams))
		break_stream(list_entry(c->streams.next, struct hbone_stream, link), told);
}

void hbone_stream_attach(struct hbone_stream *s, struct hbone_carrier *c, int32_t id,
                         const struct hbone_stream_owner *owner)
{
	struct list *before = &c->streams;

	*s = (struct hbone_stream){.carrier = c, .owner = owner, .id = id};
	while (before->prev != &c->streams &&
	       list_entry(before->prev, struct hbone_stream, link)->id > id)
		before = before->prev;
	list_push(before, &s->link);
	c->count++;
	h2_session_set_user(session_of(c), id, s);
}

void hbone_stream_move(struct hbone_stream *from, struct hbone_stream *to,
                       const struct hbone_stream_owner *owner)
{
	struct hbone_carrier *c = from->carrier;

	*to = *from;
	to->owner = owner;
	list_init(&to->link);
	if (c == NULL)
		return;
	list_push(&from->link, &to->link); /* in its place */
	list_remove(&from->link);
	from->carrier = NULL;
	h2_session_set_user(session_of(c), to->id, to);
}

void hbone_stream_detach(struct hbone_stream *s)
{
	struct hbone_carrier *c = s->carrier;

	if (c == NULL)
		return;
	release(c, s->untaken);
	s->untaken = 0;
	h2_session_set_user(session_of(c), s->id, NULL);
	unlink_stream(s);
	kick(c);
}

void hbone_stream_reset(struct hbone_stream *s, uint32_t code)
{
	struct hbone_carrier *c = s->carrier;

	if (c == NULL)
		return;
	h2_session_reset(session_of(c), s->id, code);
	hbone_stream_detach(s);
}

bool hbone_stream_put(struct hbone_stream *s, struct iobuf_view v)
{
	size_t n = v.len;

	if (s->carrier == NULL) {
		iobuf_unref(v.buf);
		return false;
	}
	kick(s->carrier);
	if (h2_session_put(session_of(s->carrier), s->id, v) != ERR_OK)
		return false;
	s->unsent += n;
	s->carrier->queued += n;
	return true;
}

void hbone_stream_end(struct hbone_stream *s)
{
	if (s->carrier == NULL)
		return;
	h2_session_end(session_of(s->carrier), s->id);
	kick(s->carrier);
}

size_t hbone_stream_queued(const struct hbone_stream *s)
{
	return s->carrier == NULL ? 0 : h2_session_queued(session_of(s->carrier), s->id);
}

bool hbone_stream_crowded(const struct hbone_stream *s)
{
	return s->carrier != NULL && s->carrier->queued >= CARRIER_QUEUED_MAX;
}

void hbone_stream_taken(struct hbone_stream *s, size_t n)
{
	struct hbone_carrier *c = s->carrier;

	if (c == NULL)
		return;
	CHECK(n <= s->untaken);
	s->untaken -= n;
	h2_session_consumed_stream(session_of(c), s->id, n);
	release(c, n);
	kick(c);
}

void hbone_stream_early_data(struct hbone_stream *s, struct iobuf *buf, struct span bytes)
{
	(void)buf; /* nghttp2 lets no DATA come before the head */
	hbone_stream_taken(s, bytes.n);
}

void hbone_stream_early_end(struct hbone_stream *s)
{
	(void)s; /* a refusal's END_STREAM: the head was the answer */
}

void hbone_stream_early_sent(struct hbone_stream *s, size_t n)
{
	(void)s;
	(void)n;
}
