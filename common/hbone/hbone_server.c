/* SPDX-License-Identifier: Apache-2.0 */
#include "common/hbone/hbone_server.h"

#include "common/base/check.h"

static struct hbone_server *of_conn(struct h2_conn *c)
{
	return container_of(c, struct hbone_server, conn.h2);
}

static struct hbone_server *of_stream(struct hbone_stream *s)
{
	return container_of(s->carrier, struct hbone_server, conn.carrier);
}

static void on_ready(struct h2_conn *c)
{
	struct hbone_server *s = of_conn(c);

	s->owner->ready(s);
}

static void take_request(struct hbone_server *s, const struct h2_event *ev)
{
	struct hbone_request req;
	enum err e = hbone_request_parse(ev->head, &req);

	if (e == ERR_OK) {
		s->owner->request(s, ev->stream_id, &req);
	} else {
		hbone_server_refuse_id(s, ev->stream_id, e);
		s->owner->malformed(s, e);
		if (!h2_budget_take(&s->malformed, loop_now_ms(s->conn.h2.tls.loop)))
			h2_conn_flooded(&s->conn.h2);
	}
	h2_head_free(ev->head);
}

/* Drained: the last stream is over, its end has left, and the peer was told the last id. */
static void close_if_drained(struct hbone_server *s)
{
	if (s->final_sent && h2_session_streams(s->conn.h2.session) == 0)
		h2_conn_close(&s->conn.h2, err_info(ERR_OK)->h2_code);
}

static void on_event(struct h2_conn *c, const struct h2_event *ev, struct iobuf *buf)
{
	struct hbone_server *s = of_conn(c);

	if (ev->kind == H2_EV_REQUEST)
		take_request(s, ev);
	else
		hbone_carrier_event(&s->conn.carrier, ev, buf);
	close_if_drained(s);
}

static void on_ended(struct h2_conn *c, enum err cause)
{
	struct hbone_server *s = of_conn(c);

	timer_disarm(&s->step);
	hbone_carrier_ended(&s->conn.carrier, cause);
	s->owner->ended(s, cause);
}

static void on_landed(struct h2_conn *c)
{
	struct hbone_server *s = of_conn(c);

	s->owner->landed(s);
}

static const struct h2_conn_owner conn_owner = {
	.ready = on_ready,
	.event = on_event,
	.ended = on_ended,
	.landed = on_landed,
};

/* First the final GOAWAY, then, again and again, a look whether the last stream is over. */
static void on_step(struct timer *t)
{
	struct hbone_server *s = container_of(t, struct hbone_server, step);

	if (!s->final_sent) {
		s->final_sent = true;
		h2_session_shutdown(s->conn.h2.session);
		h2_conn_kick(&s->conn.h2);
	}
	close_if_drained(s);
	timer_arm(s->conn.h2.tls.loop, t, HBONE_SHUTDOWN_STEP_MS);
}

void hbone_server_start(struct hbone_server *c, struct loop *loop, int fd, struct tls_session *tls,
                        const struct hbone_server_setup *setup)
{
	struct h2_conn_setup h2 = {.owner = &conn_owner,
	                           .options = setup->options,
	                           .scratch = setup->scratch,
	                           .handshake_ms = setup->handshake_ms,
	                           .gate = setup->gate,
	                           .role = H2_SERVER};

	c->owner = setup->owner;
	c->draining = false;
	c->final_sent = false;
	h2_budget_init(&c->malformed, HBONE_MALFORMED_BURST, HBONE_MALFORMED_PER_S,
	               loop_now_ms(loop));
	timer_init(&c->step, on_step);
	hbone_conn_init(&c->conn);
	h2_conn_start(&c->conn.h2, loop, fd, tls, &h2);
}

void hbone_server_fini(struct hbone_server *c)
{
	timer_disarm(&c->step);
	h2_conn_fini(&c->conn.h2);
}

const char *hbone_server_peer(const struct hbone_server *c)
{
	return h2_conn_peer(&c->conn.h2);
}

static enum err respond(struct hbone_server *c, int32_t id, uint16_t status,
                        const struct baggage *baggage)
{
	struct hbone_fields f;
	enum err e;

	hbone_fields_init(&f);
	e = hbone_response_build(status, baggage, &f);
	if (e == ERR_OK)
		e = h2_session_respond(c->conn.h2.session, id, f.field, f.count, status != 200);
	hbone_fields_fini(&f);
	h2_conn_kick(&c->conn.h2);
	return e;
}

enum err hbone_server_grant(struct hbone_stream *s, const struct baggage *baggage)
{
	if (s->carrier == NULL)
		return ERR_INTERNAL;
	return respond(of_stream(s), s->id, err_info(ERR_OK)->http_status, baggage);
}

void hbone_server_refuse_id(struct hbone_server *c, int32_t stream_id, enum err cause)
{
	if (respond(c, stream_id, err_info(cause)->http_status, NULL) != ERR_OK)
		h2_session_reset(c->conn.h2.session, stream_id, err_info(cause)->h2_code);
}

void hbone_server_refuse(struct hbone_stream *s, enum err cause)
{
	if (s->carrier == NULL)
		return;
	hbone_server_refuse_id(of_stream(s), s->id, cause);
	hbone_stream_detach(s);
}

void hbone_server_drain(struct hbone_server *c)
{
	if (c->draining)
		return;
	c->draining = true;
	if (c->conn.h2.session == NULL) {
		h2_conn_abort(&c->conn.h2, ERR_DRAINED);
		return;
	}
	h2_session_shutdown(c->conn.h2.session);
	h2_conn_kick(&c->conn.h2);
	timer_arm(c->conn.h2.tls.loop, &c->step, HBONE_SHUTDOWN_STEP_MS);
}

bool hbone_server_revoked(const struct hbone_server *c)
{
	return h2_conn_recheck(&c->conn.h2) != ERR_OK;
}

bool hbone_server_untracked(const struct hbone_server *c)
{
	return h2_conn_untracked(&c->conn.h2);
}

void hbone_server_close(struct hbone_server *c, enum err cause)
{
	while (!list_empty(&c->conn.carrier.streams)) {
		struct hbone_stream *s =
			list_entry(c->conn.carrier.streams.next, struct hbone_stream, link);
		const struct hbone_stream_owner *owner = s->owner;

		hbone_stream_reset(s, err_info(cause)->h2_code);
		owner->broken(s, cause);
	}
	if (c->conn.h2.session == NULL)
		h2_conn_abort(&c->conn.h2, cause); /* there is no HTTP/2 yet to say it in */
	else
		h2_conn_close(&c->conn.h2, err_info(ERR_OK)->h2_code); /* the peer broke no rule */
}
