/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "common/base/check.h"
#include "common/h2/h2_private.h"

struct h2_stream *h2_stream_new(struct h2_session *s, struct list *in, int32_t id)
{
	struct h2_stream *st = calloc(1, sizeof(*st));

	if (!st)
		return NULL;
	list_init(&st->report);
	list_push(in, &st->link);
	iobuf_queue_init(&st->queue);
	st->id = id;
	s->stream_count++;
	return st;
}

void h2_stream_free(struct h2_session *s, struct h2_stream *st)
{
	CHECK(s->stream_count > 0);
	s->stream_count--;
	if (st->announced && !st->dropped)
		s->live_count--;
	list_remove(&st->link);
	list_remove(&st->report);
	iobuf_queue_fini(&st->queue);
	h2_head_free(st->trailers);
	free(st);
}

struct h2_stream *h2_stream_find(const struct h2_session *s, int32_t id)
{
	struct h2_stream *st = NULL;

	if (id <= 0 || s->broken)
		return NULL;
	st = nghttp2_session_get_stream_user_data(s->ng, id);
	if (!st) {
		/* nghttp2 knows a request of ours only once its HEADERS leave */
		list_for_each (it, &s->unsent) {
			struct h2_stream *unsent = list_entry(it, struct h2_stream, link);

			if (unsent->id == id)
				st = unsent;
		}
	}
	return st && !st->dropped ? st : NULL;
}

/*
 * A small piece goes into the block of the one before it, so that a writer of single octets does not hold a block
 * for each; what has grown big enough that way still passes without another copy.
 */
static bool pack(struct iobuf_queue *q, const struct iobuf_view *v)
{
	const struct iobuf_view *last;

	if (q->count == 0 || v->len >= H2_PASS_LEN_MIN)
		return false;
	last = iobuf_queue_at(q, q->count - 1);
	if (last->len + v->len > IOBUF_SLOT_LEN ||
	    last->buf->mem + last->buf->cap - (last->p + last->len) <
	            (ptrdiff_t)v->len + IOBUF_TAIL)
		return false;
	return iobuf_queue_pack(q, 0, v->p, v->len);
}

bool h2_stream_put(struct h2_stream *st, struct iobuf_view v)
{
	if (v.len == 0 || pack(&st->queue, &v)) {
		iobuf_unref(v.buf);
		return true;
	}
	return iobuf_queue_push(&st->queue, v);
}

void h2_stream_mark(struct h2_session *s, struct h2_stream *st)
{
	if (list_empty(&st->report))
		list_push(&s->reports, &st->report);
}

void h2_stream_rst(struct h2_session *s, struct h2_stream *st, uint32_t code)
{
	st->rst_owed = nghttp2_submit_rst_stream(s->ng, NGHTTP2_FLAG_NONE, st->id, code) != 0;
	st->rst_code = code;
	if (st->rst_owed)
		h2_stream_mark(s, st);
}
