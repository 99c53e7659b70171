/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "common/base/check.h"
#include "common/h2/h2_private.h"

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Payload at the front of the queue that is best copied: up to the first piece that may pass as it is. */
static size_t copyable(struct iobuf_queue *q, size_t len_max)
{
	size_t n = 0;

	for (uint32_t i = 0; i < q->count && n < len_max; i++) {
		const struct iobuf_view *v = iobuf_queue_at(q, i);

		/* the first may be passable and yet be here: the window does not take it whole */
		if (i > 0 && h2_record_passable(v))
			break;
		n += v->len;
	}
	return smaller(n, len_max);
}

/* How much payload the next DATA frame of st takes; 0 only when the queue is empty. */
static size_t next_len(const struct h2_session *s, struct h2_stream *st, size_t len_max)
{
	const struct iobuf_view *first;
	size_t room = h2_record_room(&s->records);
	size_t n;

	if (st->queue.count == 0)
		return 0;
	first = iobuf_queue_at(&st->queue, 0);
	len_max = smaller(len_max, IOBUF_SLOT_LEN);
	if (first->len <= len_max && h2_record_passable(first))
		return first->len;
	n = copyable(&st->queue, len_max);
	/* fill the record that is open, unless what fits is a crumb */
	if (n + H2_FRAME_HEAD > room && room >= H2_SPLIT_ROOM_MIN)
		n = room - H2_FRAME_HEAD;
	return n;
}

/* They leave behind the last DATA frame. */
static bool submit_trailers(struct h2_session *s, struct h2_stream *st)
{
	nghttp2_nv nv[H2_FIELDS_MAX];
	int rv;

	h2_make_fields(nv, st->trailers->fields, st->trailers->count);
	rv = nghttp2_submit_trailer(s->ng, st->id, nv, st->trailers->count);
	h2_head_free(st->trailers);
	st->trailers = NULL;
	return rv == 0;
}

/* nghttp2 sets the shape of its callbacks. NOLINTNEXTLINE(readability-non-const-parameter) */
static ssize_t on_read(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t len, uint32_t *flags,
                       nghttp2_data_source *source, void *user)
{
	struct h2_session *s = user;
	struct h2_stream *st = source->ptr;
	size_t n;

	(void)ng;
	(void)id;
	(void)buf;
	if (st->queue.bytes == 0 && !st->end_queued) {
		st->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	if (s->control_only || h2_record_full(&s->records))
		return NGHTTP2_ERR_PAUSE;
	n = next_len(s, st, len);
	*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	if (!st->end_queued || n < st->queue.bytes)
		return (ssize_t)n;
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	if (st->trailers) {
		*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
		if (!submit_trailers(s, st))
			return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	}
	return (ssize_t)n;
}

nghttp2_data_provider h2_outbound_body(struct h2_stream *st)
{
	return (nghttp2_data_provider){.source = {.ptr = st}, .read_callback = on_read};
}

static bool pass_frame(struct h2_session *s, struct h2_stream *st, const uint8_t *frame_head)
{
	struct iobuf_view v = *iobuf_queue_at(&st->queue, 0);

	/* the octets in front are spare room, or payload that has left */
	memcpy(v.p - H2_FRAME_HEAD, frame_head, H2_FRAME_HEAD);
	v.p -= H2_FRAME_HEAD;
	v.len += H2_FRAME_HEAD;
	if (!h2_record_pass(&s->records, v))
		return false;
	(void)iobuf_queue_pop(&st->queue); /* its reference went with v */
	return true;
}

static bool gather_frame(struct h2_session *s, struct h2_stream *st, const uint8_t *frame_head,
                         size_t n)
{
	uint8_t *p = h2_record_reserve(&s->records, H2_FRAME_HEAD + n);

	if (!p)
		return false;
	memcpy(p, frame_head, H2_FRAME_HEAD);
	p += H2_FRAME_HEAD;
	for (size_t left = n; left > 0;) {
		const struct iobuf_view *v = iobuf_queue_at(&st->queue, 0);
		size_t part = smaller(left, v->len);

		memcpy(p, v->p, part);
		p += part;
		left -= part;
		iobuf_queue_consume(&st->queue, part);
	}
	h2_record_added(&s->records, H2_FRAME_HEAD + n);
	return true;
}

/* nghttp2 has decided on a DATA frame of n octets for the stream. */
static int on_send_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *frame_head,
                        size_t n, nghttp2_data_source *source, void *user)
{
	struct h2_session *s = user;
	struct h2_stream *st = source->ptr;
	bool pass, done;

	(void)ng;
	if (st->dropped || n > st->queue.bytes)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* reset while the frame waited for a buffer */
	if (h2_record_full(&s->records))
		return NGHTTP2_ERR_WOULDBLOCK;
	pass = n > 0 && iobuf_queue_at(&st->queue, 0)->len == n &&
	       h2_record_passable(iobuf_queue_at(&st->queue, 0));
	done = pass ? pass_frame(s, st, frame_head) : gather_frame(s, st, frame_head, n);
	if (!done) {
		s->starved = true;
		return NGHTTP2_ERR_WOULDBLOCK;
	}
	st->sent += (uint32_t)n;
	if (n > 0)
		h2_stream_mark(s, st);
	if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
		st->ended_out = true;
	h2_session_credit(s);
	return 0;
}

/* Everything but DATA: the preface, HEADERS, control frames. */
static ssize_t on_send(nghttp2_session *ng, const uint8_t *p, size_t n, int flags, void *user)
{
	struct h2_session *s = user;
	size_t room = h2_record_room(&s->records);
	uint8_t *to;

	(void)ng;
	(void)flags;
	if (h2_record_full(&s->records))
		return NGHTTP2_ERR_WOULDBLOCK;
	/* a frame may be split over records; a small one is not worth it */
	if (n > room)
		n = room >= H2_SPLIT_ROOM_MIN ? room : smaller(n, TLS_PLAIN_MAX);
	to = h2_record_reserve(&s->records, n);
	if (!to) {
		s->starved = true;
		return NGHTTP2_ERR_WOULDBLOCK;
	}
	memcpy(to, p, n);
	h2_record_added(&s->records, n);
	return (ssize_t)n;
}

static enum err err_of_goaway(uint32_t code)
{
	switch (code) {
	case NGHTTP2_FLOW_CONTROL_ERROR: return ERR_H2_FLOW;
	case NGHTTP2_ENHANCE_YOUR_CALM: return ERR_H2_FLOOD;
	default: return ERR_H2;
	}
}

static void headers_sent(struct h2_session *s, struct h2_stream *st, uint8_t flags)
{
	if (s->role == H2_CLIENT) {
		list_remove(&st->link); /* from unsent: nghttp2 finds it from now on */
		list_push(&s->streams, &st->link);
	}
	if (!(flags & NGHTTP2_FLAG_END_STREAM))
		return;
	st->ended_out = true;
	if (s->role == H2_SERVER && !st->ended_in) {
		st->finishing = true;
		h2_stream_rst(s, st, NGHTTP2_NO_ERROR); /* contract 6.3 */
	}
}

static int on_frame_send(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
	struct h2_session *s = user;
	struct h2_stream *st;

	switch (frame->hd.type) {
	case NGHTTP2_HEADERS:
		st = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
		if (st)
			headers_sent(s, st, frame->hd.flags);
		return 0;
	case NGHTTP2_RST_STREAM:
		st = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
		if (st && (st->dropped || st->finishing))
			return 0;
		/* the peer made us reset: that counts as if it had reset */
		if (!h2_budget_take(&s->resets, s->now_ms)) {
			h2_session_fail(s, ERR_H2_FLOOD);
			(void)nghttp2_session_terminate_session(ng, NGHTTP2_ENHANCE_YOUR_CALM);
		}
		return 0;
	case NGHTTP2_GOAWAY:
		if (frame->goaway.error_code != NGHTTP2_NO_ERROR && !s->closing)
			h2_session_fail(s, err_of_goaway(frame->goaway.error_code));
		return 0;
	default: return 0;
	}
}

void h2_outbound_callbacks(nghttp2_session_callbacks *cb)
{
	nghttp2_session_callbacks_set_send_callback(cb, on_send);
	nghttp2_session_callbacks_set_send_data_callback(cb, on_send_data);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
}

enum err h2_outbound_run(struct h2_session *s)
{
	int rv = 0;

	s->starved = false;
	if (s->broken)
		return ERR_OVERLOAD;
	if (nghttp2_session_want_write(s->ng))
		rv = nghttp2_session_send(s->ng);
	if (rv != 0) {
		s->broken = true;
		h2_session_fail(s, ERR_OVERLOAD);
		return ERR_OVERLOAD;
	}
	return s->starved ? ERR_MEMORY : ERR_OK;
}
