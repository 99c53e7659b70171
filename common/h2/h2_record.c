/* SPDX-License-Identifier: Apache-2.0 */
#include "common/h2/h2_record.h"

#include "common/base/check.h"

enum { RECORD_HEAD_ROOM = IOBUF_HEAD - H2_FRAME_HEAD }; /* in front of a record's plain text */

_Static_assert(RECORD_HEAD_ROOM >= 5, "a TLS record header fits in front");
_Static_assert(RECORD_HEAD_ROOM + TLS_PLAIN_MAX + IOBUF_TAIL <= IOBUF_SLOT_MEM,
               "a full record fits a slot");

void h2_record_init(struct h2_record_writer *w, struct iobuf_pool *pool)
{
	*w = (struct h2_record_writer){.pool = pool};
}

void h2_record_fini(struct h2_record_writer *w)
{
	if (w->open.buf)
		iobuf_unref(w->open.buf);
	w->open = (struct iobuf_view){0};
}

bool h2_record_full(const struct h2_record_writer *w)
{
	return w->out && w->out->bytes + w->open.len >= w->bytes_max;
}

size_t h2_record_room(const struct h2_record_writer *w)
{
	return TLS_PLAIN_MAX - (w->open.buf ? w->open.len : 0);
}

bool h2_record_flush(struct h2_record_writer *w)
{
	if (!w->open.buf)
		return true;
	if (!w->out || !iobuf_queue_push(w->out, w->open))
		return false;
	w->open = (struct iobuf_view){0};
	return true;
}

uint8_t *h2_record_reserve(struct h2_record_writer *w, size_t n)
{
	CHECK(n <= TLS_PLAIN_MAX);
	if (h2_record_room(w) < n && !h2_record_flush(w))
		return NULL;
	if (!w->open.buf) {
		struct iobuf *b = iobuf_take(w->pool, IOBUF_SLOT);

		if (!b)
			return NULL;
		w->open = (struct iobuf_view){.buf = b, .p = b->mem + RECORD_HEAD_ROOM};
	}
	return w->open.p + w->open.len;
}

void h2_record_added(struct h2_record_writer *w, size_t n)
{
	w->open.len += (uint32_t)n;
}

bool h2_record_passable(const struct iobuf_view *v)
{
	const struct iobuf *b = v->buf;

	return v->len >= H2_PASS_LEN_MIN && v->len <= IOBUF_SLOT_LEN && iobuf_exclusive(b) &&
	       v->p - b->mem >= IOBUF_HEAD && b->mem + b->cap - (v->p + v->len) >= IOBUF_TAIL;
}

bool h2_record_pass(struct h2_record_writer *w, struct iobuf_view v)
{
	return h2_record_flush(w) && w->out && iobuf_queue_push(w->out, v);
}
