/* SPDX-License-Identifier: Apache-2.0 */
#include "common/relay/hbone_end.h"

#include "common/base/check.h"
#include "common/relay/relay.h"

static struct hbone_end *of(struct relay_end *e)
{
	return container_of(e, struct hbone_end, end);
}

static void land(struct hbone_end *h)
{
	if (!h->closing || h->landed)
		return;
	h->landed = true;
	loop_hook_cancel(&h->hook);
	iobuf_queue_fini(&h->early);
	relay_on_landed(&h->end);
}

/* END_STREAM is behind the last byte in the session's hands: ours is done. */
static void finish_if_due(struct hbone_end *h)
{
	if (!h->finishing || h->finished || h->closing || h->broken ||
	    hbone_stream_queued(&h->stream) > 0)
		return;
	h->finished = true;
	relay_on_finished(&h->end);
}

static void deliver(struct hbone_end *h, struct iobuf_view v)
{
	(void)relay_on_data(&h->end, v); /* the window, not the answer, holds the peer back */
}

static void deliver_early(struct hbone_end *h)
{
	while (h->early.count > 0)
		deliver(h, iobuf_queue_pop(&h->early));
	if (h->early_end) {
		h->early_end = false;
		relay_on_eof(&h->end);
	}
}

/* What operations asked for, and facts that came before the relay, reported outside of any operation. */
static void on_turn_end(struct loop_hook *hook)
{
	struct hbone_end *h = container_of(hook, struct hbone_end, hook);

	if (!h->closing)
		deliver_early(h);
	if (h->cause != ERR_OK && !h->broken && !h->closing) {
		h->broken = true;
		relay_on_broken(&h->end, h->cause);
	}
	finish_if_due(h);
	land(h);
}

static void end_start(struct relay_end *e)
{
	struct hbone_end *h = of(e);

	h->started = true;
	loop_at_turn_end(h->loop, &h->hook);
}

static void end_put(struct relay_end *e, struct iobuf_view v)
{
	struct hbone_end *h = of(e);

	if (h->cause != ERR_OK) {
		iobuf_unref(v.buf); /* nothing may follow what is missing */
	} else if (!hbone_stream_put(&h->stream, v)) {
		h->cause = ERR_MEMORY;
		loop_at_turn_end(h->loop, &h->hook);
	}
}

static void end_finish(struct relay_end *e)
{
	struct hbone_end *h = of(e);

	if (h->cause != ERR_OK)
		return; /* a reset follows, not an end */
	h->finishing = true;
	hbone_stream_end(&h->stream);
	loop_at_turn_end(h->loop, &h->hook);
}

/* On a crowded carrier anything queued is enough; it is asked for more when its last octet has left. */
static size_t end_queued(struct relay_end *e)
{
	const struct hbone_stream *s = &of(e)->stream;
	size_t n = hbone_stream_queued(s);

	return n > 0 && n < RELAY_QUEUE_HIGH && hbone_stream_crowded(s) ? RELAY_QUEUE_HIGH : n;
}

static void end_resume(struct relay_end *e)
{
	(void)e; /* never paused: see deliver() */
}

static void end_taken(struct relay_end *e, size_t n)
{
	hbone_stream_taken(&of(e)->stream, n);
}

static void end_close(struct relay_end *e, enum err cause)
{
	struct hbone_end *h = of(e);

	h->closing = true;
	if (cause == ERR_OK)
		hbone_stream_detach(&h->stream);
	else
		hbone_stream_reset(&h->stream, err_info(cause)->h2_code);
	loop_at_turn_end(h->loop, &h->hook);
}

static const struct relay_end_ops hbone_end_ops = {
	.start = end_start,
	.put = end_put,
	.finish = end_finish,
	.queued = end_queued,
	.resume = end_resume,
	.taken = end_taken,
	.close = end_close,
};

/* --- the stream's facts ------------------------------------------------------------------------ */

static struct hbone_end *of_stream(struct hbone_stream *s)
{
	return container_of(s, struct hbone_end, stream);
}

static void on_head(struct hbone_stream *s, const struct h2_head *head)
{
	(void)s; /* the answer was the call's; a second one is nghttp2's to refuse */
	(void)head;
}

static void on_data(struct hbone_stream *s, struct iobuf *buf, struct span bytes)
{
	struct hbone_end *h = of_stream(s);
	struct iobuf_view v = {.buf = iobuf_ref(buf), .len = (uint32_t)bytes.n};

	v.p = buf->mem + (bytes.p - buf->mem);
	if (h->started && h->early.count == 0) {
		deliver(h, v);
	} else if (!iobuf_queue_push(&h->early, v)) {
		iobuf_unref(v.buf);
		h->cause = ERR_MEMORY;
		loop_at_turn_end(h->loop, &h->hook);
	}
}

static void on_peer_ended(struct hbone_stream *s)
{
	struct hbone_end *h = of_stream(s);

	if (h->started && h->early.count == 0)
		relay_on_eof(&h->end);
	else
		h->early_end = true;
}

static void on_sent(struct hbone_stream *s, size_t n)
{
	struct hbone_end *h = of_stream(s);

	if (!h->started || h->closing)
		return;
	relay_on_sent(&h->end, n);
	finish_if_due(h);
}

static void on_broken(struct hbone_stream *s, enum err cause)
{
	struct hbone_end *h = of_stream(s);

	if (h->cause == ERR_OK)
		h->cause = cause;
	if (!h->started) {
		if (h->on_broken != NULL)
			h->on_broken(h, cause);
	} else if (!h->broken && !h->closing) {
		h->broken = true;
		relay_on_broken(&h->end, cause);
	}
}

static const struct hbone_stream_owner stream_owner = {
	.head = on_head,
	.data = on_data,
	.end = on_peer_ended,
	.sent = on_sent,
	.broken = on_broken,
};

static void end_init(struct hbone_end *h, struct loop *loop, hbone_end_broken_fn *broken)
{
	*h = (struct hbone_end){.end = {.ops = &hbone_end_ops}, .loop = loop, .on_broken = broken};
	iobuf_queue_init(&h->early);
	loop_hook_init(&h->hook, on_turn_end);
}

void hbone_end_attach(struct hbone_end *h, struct loop *loop, struct hbone_carrier *c, int32_t id,
                      hbone_end_broken_fn *broken)
{
	end_init(h, loop, broken);
	hbone_stream_attach(&h->stream, c, id, &stream_owner);
}

void hbone_end_adopt(struct hbone_end *h, struct loop *loop, struct hbone_stream *from,
                     hbone_end_broken_fn *broken)
{
	end_init(h, loop, broken);
	hbone_stream_move(from, &h->stream, &stream_owner);
}

void hbone_end_fini(struct hbone_end *h)
{
	loop_hook_cancel(&h->hook);
	iobuf_queue_fini(&h->early);
}
