/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the h2 fuzzers share: a session fed in pieces, answering as an owner would.
 * Input: one octet of mode, then wire bytes. Mode bit 0: start with a well-formed preface and SETTINGS, so that the
 * fuzzer need not find them; bit 1: feed in small pieces; bit 2: give no window back; bit 3: never emit;
 * bit 4: messages may end in trailers, and ours do.
 */
#ifndef TESTS_FUZZ_FUZZ_H2_SESSION_H
#define TESTS_FUZZ_FUZZ_H2_SESSION_H

#include "common/base/check.h"
#include "common/h2/h2_session.h"

static const struct h2_options fuzz_options = {
	.stream_window = 100000,
	.conn_window = 200000,
	.frame_len_max = 16384,
	.header_list_max = 16384,
	.streams_max = 8,
	.ping_interval_ms = 10,
	.ping_timeout_ms = 20,
};

struct fuzz_h2 {
	struct h2_session *s;
	struct iobuf_pool *pool;
	struct h2_events ev;
	bool hold, mute, trailers;
	uint64_t now_ms;
};

static inline void fuzz_put(struct fuzz_h2 *f, int32_t id, struct span data)
{
	size_t n = data.n < IOBUF_SLOT_LEN ? data.n : IOBUF_SLOT_LEN;
	struct iobuf *b = iobuf_take(f->pool, IOBUF_SLOT);

	if (!b)
		return;
	memcpy(b->mem + IOBUF_HEAD, data.p, n);
	(void)!h2_session_put(
		f->s, id,
		(struct iobuf_view){.buf = b, .p = b->mem + IOBUF_HEAD, .len = (uint32_t)n});
}

static inline void fuzz_take_events(struct fuzz_h2 *f)
{
	static const char *const status[] = {"200", "401"};
	const struct h2_field last = {span_str("grpc-status"), span_str("0")};

	for (uint32_t i = 0; i < f->ev.count; i++) {
		struct h2_event *ev = &f->ev.ev[i];
		struct h2_field answer = {span_str(":status"),
		                          span_str(status[ev->stream_id / 2 % 2])};

		switch (ev->kind) {
		case H2_EV_REQUEST:
			CHECK(h2_head_find(ev->head, ":method"));
			(void)!h2_session_respond(f->s, ev->stream_id, &answer, 1,
			                          ev->stream_id / 2 % 2);
			break;
		case H2_EV_DATA:
			CHECK(ev->data.n > 0);
			fuzz_put(f, ev->stream_id, ev->data);
			if (!f->hold) {
				h2_session_consumed_stream(f->s, ev->stream_id, ev->data.n);
				h2_session_consumed_conn(f->s, ev->data.n);
			}
			if (ev->data.p[0] == 'r')
				h2_session_reset(f->s, ev->stream_id, 8);
			break;
		case H2_EV_TRAILERS:
			CHECK(f->trailers);
			for (uint32_t k = 0; k < ev->head->count; k++)
				CHECK(ev->head->fields[k].name.p[0] != ':');
			break;
		case H2_EV_END:
			if (f->trailers)
				(void)!h2_session_end_fields(f->s, ev->stream_id, &last, 1);
			else
				h2_session_end(f->s, ev->stream_id);
			break;
		case H2_EV_RESPONSE:
		case H2_EV_RESET:
		case H2_EV_CLOSED:
		case H2_EV_SENT:
		case H2_EV_GOAWAY:
		case H2_EV_SETTINGS: break;
		}
	}
	h2_events_clear(&f->ev);
}

static inline void fuzz_emit(struct fuzz_h2 *f)
{
	struct iobuf_queue out;

	iobuf_queue_init(&out);
	(void)!h2_session_send(f->s, &out, 60000, &f->ev);
	for (uint32_t i = 0; i < out.count; i++) {
		const struct iobuf_view *v = iobuf_queue_at(&out, i);

		CHECK(v->len > 0 && v->len <= TLS_PLAIN_MAX && iobuf_exclusive(v->buf));
		CHECK(v->p - v->buf->mem >= 5);
		CHECK(v->buf->mem + v->buf->cap - (v->p + v->len) >= IOBUF_TAIL);
	}
	iobuf_queue_fini(&out);
	fuzz_take_events(f);
}

static inline bool fuzz_feed(struct fuzz_h2 *f, struct span in, size_t piece)
{
	enum err e = ERR_OK;

	while (in.n > 0 && e == ERR_OK) {
		size_t n = in.n < piece ? in.n : piece;

		e = h2_session_recv(f->s, span_of(in.p, n), f->now_ms, &f->ev);
		fuzz_take_events(f);
		if (!f->mute)
			fuzz_emit(f);
		in = span_of(in.p + n, in.n - n);
	}
	return e == ERR_OK;
}

static inline void fuzz_session(enum h2_role role, const uint8_t *p, size_t n)
{
	static const uint8_t settings[] = {0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0};
	struct fuzz_h2 f = {.pool = iobuf_pool_new(4 << 20)};
	uint8_t mode = n > 0 ? p[0] : 0;
	struct span in = n > 0 ? span_of(p + 1, n - 1) : span_of(NULL, 0);
	const struct h2_field request[] = {{span_str(":method"), span_str("CONNECT")},
	                                   {span_str(":authority"), span_str("10.0.0.1:80")}};
	int32_t id;
	uint64_t next;

	struct h2_options options = fuzz_options;

	f.trailers = mode & 16;
	options.trailers = f.trailers;
	f.s = h2_session_new(role, &options, f.pool, 0);
	CHECK(f.s);
	h2_events_init(&f.ev);
	f.hold = mode & 4;
	f.mute = mode & 8;
	fuzz_emit(&f);
	for (unsigned int i = 0; role == H2_CLIENT && i < 3; i++)
		(void)!h2_session_request(f.s, request, 2, NULL, &id);
	fuzz_emit(&f);
	if (mode & 1) {
		if (role == H2_SERVER)
			CHECK(fuzz_feed(&f, span_str("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 24));
		CHECK(fuzz_feed(&f, span_of(settings, sizeof(settings)), sizeof(settings)));
	}
	(void)!fuzz_feed(&f, in, mode & 2 ? 7 : 16384);
	for (f.now_ms = 0; f.now_ms < 100; f.now_ms += 10)
		(void)!h2_session_tick(f.s, f.now_ms, &next);
	h2_session_shutdown(f.s);
	h2_session_shutdown(f.s);
	fuzz_emit(&f);
	h2_session_goaway(f.s, 0);
	fuzz_emit(&f);
	h2_session_free(f.s);
	h2_events_fini(&f.ev);
	iobuf_pool_free(f.pool);
}

#endif
