/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/check.h"
#include "common/h2/h2_private.h"

/*
 * The stream ends by our word; RESET follows when the frame leaves, and is charged then like one of the peer's. A head
 * past its limit was read to its end all the same, and costs more.
 */
static void stream_error(struct h2_session *s, struct h2_stream *st, uint32_t code)
{
	for (unsigned int i = 1; i < H2_BOMB_COST && code == NGHTTP2_ENHANCE_YOUR_CALM; i++) {
		if (!h2_budget_take(&s->resets, s->now_ms))
			h2_session_fail(s, ERR_H2_FLOOD); /* what runs goes on to its end */
	}
	h2_stream_rst(s, st, code);
}

static int dead(struct h2_session *s, enum err cause)
{
	h2_session_fail(s, cause);
	return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static struct h2_stream *stream_of(nghttp2_session *ng, int32_t id)
{
	return nghttp2_session_get_stream_user_data(ng, id);
}

static bool control_frame_allowed(struct h2_session *s, const nghttp2_frame_hd *hd)
{
	const struct h2_stream *st = stream_of(s->ng, hd->stream_id);

	switch (hd->type) {
	case NGHTTP2_PING:
	case NGHTTP2_SETTINGS:
	case NGHTTP2_PRIORITY:
	case NGHTTP2_WINDOW_UPDATE:
	case NGHTTP2_GOAWAY: return h2_session_nuisance(s);
	case NGHTTP2_RST_STREAM:
		/* broken off before it was answered: work for nothing, the rapid reset */
		if (st && s->role == H2_SERVER && !st->answered && !st->dropped)
			return h2_budget_take(&s->resets, s->now_ms);
		return st || h2_session_nuisance(s);
	case NGHTTP2_HEADERS:
		/* of a stream that is there: once, or an error by itself; else a new one, or a late one */
		if (st || s->role == H2_CLIENT ||
		    hd->stream_id > nghttp2_session_get_last_proc_stream_id(s->ng))
			return true;
		return h2_session_nuisance(s);
	default: return hd->type < H2_EXTENSION_FIRST || h2_session_nuisance(s);
	}
}

/* Extension frames are read over (RFC 9113 5.5). */
static int on_extension(nghttp2_session *ng, void **payload, const nghttp2_frame_hd *hd, void *user)
{
	(void)ng;
	(void)payload;
	(void)hd;
	(void)user;
	return NGHTTP2_ERR_CANCEL;
}

static int on_extension_chunk(nghttp2_session *ng, const nghttp2_frame_hd *hd, const uint8_t *p,
                              size_t n, void *user)
{
	(void)ng;
	(void)hd;
	(void)p;
	(void)n;
	(void)user;
	return NGHTTP2_ERR_CANCEL; /* the rest of it is skipped */
}

static int on_begin_frame(nghttp2_session *ng, const nghttp2_frame_hd *hd, void *user)
{
	struct h2_session *s = user;

	(void)ng;
	return control_frame_allowed(s, hd) ? 0 : dead(s, ERR_H2_FLOOD);
}

static struct h2_stream *stream_arrives(struct h2_session *s, int32_t id)
{
	struct h2_stream *st = h2_stream_new(s, &s->streams, id);

	if (st && nghttp2_session_set_stream_user_data(s->ng, id, st) != 0) {
		h2_stream_free(s, st);
		return NULL;
	}
	if (st)
		h2_session_credit(s);
	return st;
}

static bool trailers_may_come(const struct h2_session *s, const struct h2_stream *st)
{
	return s->trailers && !st->trailed && !st->ended_in;
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
	struct h2_session *s = user;
	struct h2_stream *st = stream_of(ng, frame->hd.stream_id);

	if (frame->hd.type != NGHTTP2_HEADERS)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	if (!st && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		st = stream_arrives(s, frame->hd.stream_id);
	if (!st) {
		(void)nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
		                                NGHTTP2_REFUSED_STREAM);
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	}
	if (st->dropped || (st->headed && !trailers_may_come(s, st))) {
		/* above all on a connected stream, RFC 9113 8.5 */
		stream_error(s, st, NGHTTP2_PROTOCOL_ERROR);
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	}
	h2_head_builder_free(s->head);
	s->head = st->headed ? h2_head_builder_new_trailers(s->header_list_max)
	                     : h2_head_builder_new(s->role, s->header_list_max);
	if (!s->head) {
		stream_error(s, st, NGHTTP2_REFUSED_STREAM);
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	}
	return 0;
}

static uint32_t code_of_head_error(enum err e)
{
	if (e == ERR_LIMIT)
		return NGHTTP2_ENHANCE_YOUR_CALM;
	return e == ERR_MEMORY ? NGHTTP2_REFUSED_STREAM : NGHTTP2_PROTOCOL_ERROR;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user)
{
	struct h2_session *s = user;
	struct h2_stream *st = stream_of(ng, frame->hd.stream_id);
	enum err e;

	(void)flags;
	if (!st || !s->head)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	e = h2_head_builder_add(s->head, span_of(name, name_len), span_of(value, value_len));
	if (e == ERR_OK)
		return 0;
	stream_error(s, st, code_of_head_error(e));
	return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static bool interim(const struct h2_head *head)
{
	const struct h2_field *status = h2_head_find(head, ":status");

	return status && status->value.p[0] == '1';
}

/* A whole request or final answer. */
static int deliver_head(struct h2_session *s, struct h2_stream *st, struct h2_head *head)
{
	struct h2_event ev = {
		.kind = s->role == H2_SERVER ? H2_EV_REQUEST : H2_EV_RESPONSE,
		.stream_id = st->id,
		.user = st->user,
		.head = head,
	};

	if (!h2_events_add(s->ev, ev)) {
		h2_head_free(head);
		return dead(s, ERR_MEMORY);
	}
	st->headed = true;
	if (!st->announced) {
		st->announced = true;
		s->live_count++;
	}
	return 0;
}

static int deliver_end(struct h2_session *s, struct h2_stream *st)
{
	st->ended_in = true;
	return h2_session_event(s, H2_EV_END, st, 0) ? 0 : dead(s, ERR_MEMORY);
}

static int deliver_trailers(struct h2_session *s, struct h2_stream *st, struct h2_head *head,
                            bool end)
{
	struct h2_event ev = {
		.kind = H2_EV_TRAILERS, .stream_id = st->id, .user = st->user, .head = head};

	st->trailed = true;
	if (!end || !h2_events_add(s->ev, ev)) {
		h2_head_free(head);
		if (end)
			return dead(s, ERR_MEMORY);
		stream_error(s, st, NGHTTP2_PROTOCOL_ERROR); /* trailers end the message, 8.1 */
		return 0;
	}
	return deliver_end(s, st);
}

static int on_head(struct h2_session *s, struct h2_stream *st, uint8_t flags)
{
	struct h2_head *head = NULL;
	enum err e = s->head ? h2_head_builder_finish(s->head, &head) : ERR_H2;
	bool end = flags & NGHTTP2_FLAG_END_STREAM;
	int rv;

	h2_head_builder_free(s->head);
	s->head = NULL;
	if (e != ERR_OK) {
		stream_error(s, st, code_of_head_error(e));
		return 0;
	}
	if (st->headed)
		return deliver_trailers(s, st, head, end);
	if (s->role == H2_CLIENT && interim(head)) {
		h2_head_free(head);
		if (end || ++st->interim > H2_INTERIM_MAX)
			stream_error(s, st, NGHTTP2_PROTOCOL_ERROR);
		return 0;
	}
	rv = deliver_head(s, st, head);
	return rv == 0 && end ? deliver_end(s, st) : rv;
}

static int on_data_frame(struct h2_session *s, struct h2_stream *st, const nghttp2_frame *frame)
{
	if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
		if (st->headed)
			return deliver_end(s, st);
		stream_error(s, st, NGHTTP2_PROTOCOL_ERROR); /* after a 1xx only */
		return 0;
	}
	if (frame->hd.length == frame->data.padlen && !h2_session_nuisance(s))
		return dead(s, ERR_H2_FLOOD);
	return 0;
}

static void on_ping_ack(struct h2_session *s, const uint8_t opaque[8])
{
	uint64_t n = 0;

	for (size_t i = 0; i < 8; i++)
		n = n << 8 | opaque[i];
	if (n == s->ping_count)
		s->ping_out = false;
}

static int on_frame_recv(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
	struct h2_session *s = user;
	struct h2_stream *st = stream_of(ng, frame->hd.stream_id);

	switch (frame->hd.type) {
	case NGHTTP2_HEADERS: return st && !st->dropped ? on_head(s, st, frame->hd.flags) : 0;
	case NGHTTP2_DATA: return st && !st->dropped ? on_data_frame(s, st, frame) : 0;
	case NGHTTP2_PING:
		if (frame->hd.flags & NGHTTP2_FLAG_ACK)
			on_ping_ack(s, frame->ping.opaque_data);
		else
			s->acks_queued++;
		return 0;
	case NGHTTP2_SETTINGS:
		if (frame->hd.flags & NGHTTP2_FLAG_ACK)
			return 0;
		s->acks_queued++;
		return h2_session_event(s, H2_EV_SETTINGS, NULL, 0) ? 0 : dead(s, ERR_MEMORY);
	case NGHTTP2_GOAWAY:
		return h2_session_event(s, H2_EV_GOAWAY, NULL,
		                        (uint32_t)frame->goaway.last_stream_id)
		               ? 0
		               : dead(s, ERR_MEMORY);
	default: return 0;
	}
}

static int on_data_chunk(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p, size_t n,
                         void *user)
{
	struct h2_session *s = user;
	struct h2_stream *st = stream_of(ng, id);
	struct h2_event ev = {.kind = H2_EV_DATA, .stream_id = id, .data = span_of(p, n)};

	(void)flags;
	if (!st || st->dropped || !st->headed) {
		/* nobody will take it, so the connection's window comes back here */
		(void)nghttp2_session_consume_connection(ng, n);
		if (st && !st->dropped)
			stream_error(s, st, NGHTTP2_PROTOCOL_ERROR); /* payload before the answer */
		return 0;
	}
	ev.user = st->user;
	return h2_events_add(s->ev, ev) ? 0 : dead(s, ERR_MEMORY);
}

/* The stream leaves nghttp2, for whatever reason and in either direction's call. */
static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t code, void *user)
{
	struct h2_session *s = user;
	struct h2_stream *st = stream_of(ng, id);
	bool orderly, told = true;

	if (!st)
		return 0;
	orderly = st->finishing || (st->ended_in && st->ended_out);
	if (st->announced && !st->dropped) {
		if (st->sent > 0)
			told = h2_session_event(s, H2_EV_SENT, st, st->sent);
		if (code == NGHTTP2_NO_ERROR)
			code = st->rst_code; /* an error of ours that END_STREAM overtook */
		told = told && h2_session_event(s, orderly ? H2_EV_CLOSED : H2_EV_RESET, st, code);
	}
	(void)nghttp2_session_set_stream_user_data(ng, id, NULL);
	h2_stream_free(s, st);
	return told ? 0 : dead(s, ERR_MEMORY);
}

void h2_inbound_callbacks(nghttp2_session_callbacks *cb)
{
	nghttp2_session_callbacks_set_on_begin_frame_callback(cb, on_begin_frame);
	nghttp2_session_callbacks_set_unpack_extension_callback(cb, on_extension);
	nghttp2_session_callbacks_set_on_extension_chunk_recv_callback(cb, on_extension_chunk);
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data_chunk);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
}
