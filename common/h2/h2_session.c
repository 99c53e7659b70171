/* SPDX-License-Identifier: Apache-2.0 */
#include "common/h2/h2_session.h"

#include <stdlib.h>

#include "common/base/check.h"
#include "common/h2/h2_private.h"

/* What the peer may send. HPACK works without its dynamic table: a CONNECT head is short and rarely the same. */
static int submit_settings(struct h2_session *s, const struct h2_options *opt)
{
	nghttp2_settings_entry iv[6];
	size_t n = 0;

	iv[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 0};
	if (s->role == H2_CLIENT)
		iv[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_PUSH, 0};
	else
		iv[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
		                                   opt->streams_max};
	iv[n++] =
		(nghttp2_settings_entry){NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, opt->stream_window};
	iv[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_FRAME_SIZE, opt->frame_len_max};
	iv[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
	                                   opt->header_list_max};
	return nghttp2_submit_settings(s->ng, NGHTTP2_FLAG_NONE, iv, n);
}

static nghttp2_option *make_option(void)
{
	nghttp2_option *o;

	if (nghttp2_option_new(&o) != 0)
		return NULL;
	nghttp2_option_set_no_auto_window_update(o, 1);
	nghttp2_option_set_no_closed_streams(o, 1);
	/* h2_head checks messages: it lets a CONNECT without authority through to be answered with 400 */
	nghttp2_option_set_no_http_messaging(o, 1);
	nghttp2_option_set_max_deflate_dynamic_table_size(o, 0);
	nghttp2_option_set_peer_max_concurrent_streams(o, H2_PEER_STREAMS_FIRST);
	nghttp2_option_set_max_reserved_remote_streams(o, 0);
	nghttp2_option_set_max_outbound_ack(o, H2_OUTBOUND_ACK_MAX);
	nghttp2_option_set_max_settings(o, H2_SETTINGS_MAX);
	nghttp2_option_set_max_continuations(o, H2_CONTINUATIONS_MAX);
	for (unsigned int type = H2_EXTENSION_FIRST; type <= UINT8_MAX; type++)
		nghttp2_option_set_user_recv_extension_type(o, (uint8_t)type); /* to be counted */
	/* ours is h2_session.resets: stricter, and on the clock we are handed; this one is a second fence */
	nghttp2_option_set_stream_reset_rate_limit(o, H2_FENCE_RESET_BURST, H2_FENCE_RESET_PER_S);
	return o;
}

static bool open_nghttp2(struct h2_session *s, nghttp2_mem *mem)
{
	nghttp2_session_callbacks *cb = NULL;
	nghttp2_option *o = make_option();
	int rv = NGHTTP2_ERR_NOMEM;

	if (o && nghttp2_session_callbacks_new(&cb) == 0) {
		h2_inbound_callbacks(cb);
		h2_outbound_callbacks(cb);
		rv = s->role == H2_SERVER ? nghttp2_session_server_new3(&s->ng, cb, s, o, mem)
		                          : nghttp2_session_client_new3(&s->ng, cb, s, o, mem);
	}
	nghttp2_session_callbacks_del(cb);
	nghttp2_option_del(o);
	return rv == 0;
}

struct h2_session *h2_session_new_mem(enum h2_role role, const struct h2_options *opt,
                                      struct iobuf_pool *pool, uint64_t now_ms, nghttp2_mem *mem)
{
	struct h2_session *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->role = role;
	s->header_list_max = opt->header_list_max;
	s->trailers = opt->trailers;
	s->now_ms = now_ms;
	s->ping_interval_ms = opt->ping_interval_ms;
	s->ping_timeout_ms = opt->ping_timeout_ms;
	s->ping_next_ms = now_ms + opt->ping_interval_ms;
	list_init(&s->streams);
	list_init(&s->unsent);
	list_init(&s->reports);
	h2_record_init(&s->records, pool);
	h2_budget_init(&s->resets, H2_RESET_BURST, H2_RESET_PER_S, now_ms);
	h2_budget_init(&s->control, H2_CONTROL_BURST, H2_CONTROL_PER_S, now_ms);
	if (!open_nghttp2(s, mem) || submit_settings(s, opt) != 0 ||
	    nghttp2_session_set_local_window_size(s->ng, NGHTTP2_FLAG_NONE, 0,
	                                          (int32_t)opt->conn_window) != 0) {
		h2_session_free(s);
		return NULL;
	}
	return s;
}

struct h2_session *h2_session_new(enum h2_role role, const struct h2_options *opt,
                                  struct iobuf_pool *pool, uint64_t now_ms)
{
	return h2_session_new_mem(role, opt, pool, now_ms, NULL);
}

void h2_session_free(struct h2_session *s)
{
	if (!s)
		return;
	nghttp2_session_del(s->ng); /* tells nobody */
	list_for_each_safe (it, tmp, &s->streams)
		h2_stream_free(s, list_entry(it, struct h2_stream, link));
	list_for_each_safe (it, tmp, &s->unsent)
		h2_stream_free(s, list_entry(it, struct h2_stream, link));
	h2_head_builder_free(s->head);
	h2_record_fini(&s->records);
	free(s);
}

void h2_session_fail(struct h2_session *s, enum err cause)
{
	if (s->cause == ERR_OK)
		s->cause = cause;
}

bool h2_session_nuisance(struct h2_session *s)
{
	if (s->credit > 0) {
		s->credit--;
		return true;
	}
	return h2_budget_take(&s->control, s->now_ms);
}

void h2_session_credit(struct h2_session *s)
{
	if (s->credit <= H2_CREDIT_MAX - H2_CREDIT_PER_FRAME)
		s->credit += H2_CREDIT_PER_FRAME;
}

bool h2_session_event(struct h2_session *s, enum h2_event_kind kind, struct h2_stream *st,
                      uint32_t code)
{
	struct h2_event ev = {.kind = kind};

	if (st) {
		ev.stream_id = st->id;
		ev.user = st->user;
	}
	if (kind == H2_EV_SENT)
		ev.sent = code;
	else if (kind == H2_EV_GOAWAY)
		ev.last_id = (int32_t)code;
	else
		ev.code = code;
	return h2_events_add(s->ev, ev);
}

static void tell_goaway(struct h2_session *s, uint32_t code)
{
	s->closing = true;
	if (!s->broken && nghttp2_session_terminate_session(s->ng, code) != 0)
		s->broken = true;
}

static enum err cause_of_fatal(ssize_t rv)
{
	switch (rv) {
	case NGHTTP2_ERR_NOMEM: return ERR_MEMORY;
	case NGHTTP2_ERR_FLOODED:
	case NGHTTP2_ERR_TOO_MANY_CONTINUATIONS: return ERR_H2_FLOOD;
	default: return ERR_H2;
	}
}

/*
 * nghttp2 answers a connection error by queueing GOAWAY and says so to nobody until that frame leaves. When the
 * queue grew by more than the answers we know of, let control frames leave now, to learn it in time.
 */
static void learn_goaway(struct h2_session *s, size_t queued_before)
{
	if (nghttp2_session_get_outbound_queue_size(s->ng) <= queued_before + s->acks_queued)
		return;
	s->control_only = true;
	if (h2_outbound_run(s) != ERR_OK)
		s->starved = true; /* what is not learnt now, the next send will learn */
	s->control_only = false;
}

enum err h2_session_recv(struct h2_session *s, struct span in, uint64_t now_ms,
                         struct h2_events *ev)
{
	size_t queued;
	ssize_t rv;

	if (s->cause != ERR_OK || s->closing || in.n == 0)
		return s->cause;
	s->now_ms = now_ms;
	s->ev = ev;
	s->acks_queued = 0;
	queued = nghttp2_session_get_outbound_queue_size(s->ng);
	rv = nghttp2_session_mem_recv(s->ng, in.p, in.n);
	if (rv < 0) {
		h2_session_fail(s, cause_of_fatal(rv));
		tell_goaway(s, err_info(s->cause)->h2_code);
	} else {
		learn_goaway(s, queued);
		if (s->cause == ERR_H2_FLOOD)
			tell_goaway(s, NGHTTP2_ENHANCE_YOUR_CALM);
	}
	s->ev = NULL;
	return s->cause;
}

/* Payload that left, resets that found no memory. */
static void settle_reports(struct h2_session *s)
{
	list_for_each_safe (it, tmp, &s->reports) {
		struct h2_stream *st = list_entry(it, struct h2_stream, report);

		if (st->sent > 0 && !st->dropped && !h2_session_event(s, H2_EV_SENT, st, st->sent))
			return;
		st->sent = 0;
		if (st->rst_owed && !s->broken)
			st->rst_owed = nghttp2_submit_rst_stream(s->ng, NGHTTP2_FLAG_NONE, st->id,
			                                         st->rst_code) != 0;
		if (!st->rst_owed)
			list_remove(&st->report);
	}
}

enum err h2_session_send(struct h2_session *s, struct iobuf_queue *out, size_t bytes_max,
                         struct h2_events *ev)
{
	enum err before = s->cause;
	enum err e;

	/* a stream has at most two things to say */
	if (!h2_events_reserve(ev, 2 * s->stream_count))
		return ERR_MEMORY;
	s->ev = ev;
	s->records.out = out;
	s->records.bytes_max = bytes_max;
	settle_reports(s);
	e = h2_outbound_run(s);
	settle_reports(s);
	if (!h2_record_flush(&s->records) && e == ERR_OK)
		e = ERR_MEMORY;
	s->records.out = NULL;
	s->ev = NULL;
	if (e == ERR_OK && before == ERR_OK)
		e = s->cause;
	return e;
}

bool h2_session_wants_send(const struct h2_session *s)
{
	return s->records.open.buf || !list_empty(&s->reports) ||
	       (!s->broken && nghttp2_session_want_write(s->ng));
}

void h2_make_fields(nghttp2_nv nv[H2_FIELDS_MAX], const struct h2_field *fields, unsigned int count)
{
	CHECK(count <= H2_FIELDS_MAX);
	for (unsigned int i = 0; i < count; i++) {
		/* nghttp2 copies; its types are not const */
		nv[i] = (nghttp2_nv){
			.name = (uint8_t *)(uintptr_t)fields[i].name.p,
			.value = (uint8_t *)(uintptr_t)fields[i].value.p,
			.namelen = fields[i].name.n,
			.valuelen = fields[i].value.n,
			.flags = NGHTTP2_NV_FLAG_NO_INDEX,
		};
	}
}

bool h2_session_can_open(const struct h2_session *s)
{
	return s->role == H2_CLIENT && s->cause == ERR_OK && !s->broken && !s->closing &&
	       nghttp2_session_check_request_allowed(s->ng) &&
	       s->stream_count < nghttp2_session_get_remote_settings(
					 s->ng, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

enum err h2_session_request(struct h2_session *s, const struct h2_field *fields, unsigned int count,
                            void *user, int32_t *ret_stream_id)
{
	nghttp2_nv nv[H2_FIELDS_MAX];
	nghttp2_data_provider body;
	struct h2_stream *st;
	int32_t id;

	if (!h2_session_can_open(s))
		return ERR_H2_STREAM_REFUSED;
	st = h2_stream_new(s, &s->unsent, 0);
	if (!st)
		return ERR_MEMORY;
	h2_make_fields(nv, fields, count);
	body = h2_outbound_body(st);
	id = nghttp2_submit_request(s->ng, NULL, nv, count, &body, st);
	if (id < 0) {
		h2_stream_free(s, st);
		return id == NGHTTP2_ERR_NOMEM ? ERR_MEMORY : ERR_H2_STREAM_REFUSED;
	}
	st->id = id;
	st->user = user;
	st->announced = true;
	s->live_count++;
	*ret_stream_id = id;
	return ERR_OK;
}

enum err h2_session_respond(struct h2_session *s, int32_t stream_id, const struct h2_field *fields,
                            unsigned int count, bool end)
{
	nghttp2_nv nv[H2_FIELDS_MAX];
	nghttp2_data_provider body;
	struct h2_stream *st = h2_stream_find(s, stream_id);
	int rv;

	if (!st || s->role != H2_SERVER || st->answered)
		return ERR_INTERNAL;
	h2_make_fields(nv, fields, count);
	body = h2_outbound_body(st);
	rv = nghttp2_submit_response(s->ng, stream_id, nv, count, end ? NULL : &body);
	if (rv != 0)
		return rv == NGHTTP2_ERR_NOMEM ? ERR_MEMORY : ERR_INTERNAL;
	st->answered = true;
	if (end) {
		st->end_queued = true;
		iobuf_queue_fini(&st->queue);
	}
	return ERR_OK;
}

void h2_session_set_user(struct h2_session *s, int32_t stream_id, void *user)
{
	struct h2_stream *st = h2_stream_find(s, stream_id);

	if (st)
		st->user = user;
}

static enum err wake(struct h2_session *s, struct h2_stream *st)
{
	if (!st->deferred)
		return ERR_OK;
	st->deferred = false;
	if (nghttp2_session_resume_data(s->ng, st->id) != NGHTTP2_ERR_NOMEM)
		return ERR_OK;
	s->broken = true; /* the scheduler lost the stream */
	h2_session_fail(s, ERR_MEMORY);
	return ERR_MEMORY;
}

enum err h2_session_put(struct h2_session *s, int32_t stream_id, struct iobuf_view v)
{
	struct h2_stream *st = h2_stream_find(s, stream_id);

	CHECK(v.len <= IOBUF_SLOT_LEN);
	if (!st || st->end_queued) {
		iobuf_unref(v.buf);
		return ERR_H2_STREAM_RESET;
	}
	if (!h2_stream_put(st, v)) {
		iobuf_unref(v.buf);
		return ERR_MEMORY;
	}
	return wake(s, st);
}

void h2_session_end(struct h2_session *s, int32_t stream_id)
{
	struct h2_stream *st = h2_stream_find(s, stream_id);

	if (!st || st->end_queued)
		return;
	st->end_queued = true;
	(void)wake(s, st); /* without memory the session is broken, and says so */
}

enum err h2_session_end_fields(struct h2_session *s, int32_t stream_id,
                               const struct h2_field *fields, unsigned int count)
{
	struct h2_stream *st = h2_stream_find(s, stream_id);

	CHECK(s->trailers && count <= H2_FIELDS_MAX);
	if (!st || st->end_queued)
		return ERR_H2_STREAM_RESET;
	st->trailers = h2_head_copy(fields, count);
	if (!st->trailers)
		return ERR_MEMORY;
	st->end_queued = true;
	return wake(s, st);
}

void h2_session_reset(struct h2_session *s, int32_t stream_id, uint32_t code)
{
	struct h2_stream *st = h2_stream_find(s, stream_id);

	if (!st)
		return;
	if (st->announced)
		s->live_count--;
	st->dropped = true;
	st->user = NULL;
	iobuf_queue_fini(&st->queue);
	h2_stream_rst(s, st, code);
}

size_t h2_session_queued(const struct h2_session *s, int32_t stream_id)
{
	const struct h2_stream *st = h2_stream_find(s, stream_id);

	return st ? st->queue.bytes : 0;
}

/* Without memory for a WINDOW_UPDATE nghttp2 keeps the sum and sends it with the next. */
void h2_session_consumed_stream(struct h2_session *s, int32_t stream_id, size_t n)
{
	if (!s->broken)
		(void)nghttp2_session_consume_stream(s->ng, stream_id, n);
}

void h2_session_consumed_conn(struct h2_session *s, size_t n)
{
	if (!s->broken)
		(void)nghttp2_session_consume_connection(s->ng, n);
}

void h2_session_shutdown(struct h2_session *s)
{
	int rv;

	if (s->broken || s->closing || s->cause != ERR_OK)
		return;
	if (s->role == H2_SERVER && !s->shutdown_noticed) {
		s->shutdown_noticed = nghttp2_submit_shutdown_notice(s->ng) == 0;
		return;
	}
	rv = nghttp2_submit_goaway(s->ng, NGHTTP2_FLAG_NONE,
	                           nghttp2_session_get_last_proc_stream_id(s->ng), NGHTTP2_NO_ERROR,
	                           NULL, 0);
	(void)rv; /* without memory the peer learns it from the close */
}

void h2_session_goaway(struct h2_session *s, uint32_t code)
{
	tell_goaway(s, code);
}

unsigned int h2_session_streams(const struct h2_session *s)
{
	return s->live_count;
}

static bool submit_ping(struct h2_session *s)
{
	uint8_t opaque[8];

	s->ping_count++;
	for (unsigned int i = 0; i < 8; i++)
		opaque[i] = (uint8_t)(s->ping_count >> (56 - 8 * i));
	return nghttp2_submit_ping(s->ng, NGHTTP2_FLAG_NONE, opaque) == 0;
}

enum err h2_session_tick(struct h2_session *s, uint64_t now_ms, uint64_t *ret_next_ms)
{
	uint64_t at = UINT64_MAX;

	s->now_ms = now_ms;
	if (s->ping_interval_ms == 0 || s->broken || s->closing || s->cause != ERR_OK) {
		*ret_next_ms = UINT64_MAX;
		return s->cause;
	}
	if (s->ping_out && now_ms - s->ping_sent_ms >= s->ping_timeout_ms) {
		h2_session_fail(s, ERR_H2_PING_TIMEOUT);
		tell_goaway(s, NGHTTP2_NO_ERROR); /* contract 6.4 */
		*ret_next_ms = UINT64_MAX;
		return s->cause;
	}
	if (!s->ping_out && now_ms >= s->ping_next_ms) {
		s->ping_out = submit_ping(s);
		s->ping_sent_ms = now_ms;
		s->ping_next_ms = now_ms + s->ping_interval_ms;
	}
	if (!s->ping_out || s->ping_next_ms > now_ms)
		at = s->ping_next_ms;
	if (s->ping_out && s->ping_sent_ms + s->ping_timeout_ms < at)
		at = s->ping_sent_ms + s->ping_timeout_ms;
	*ret_next_ms = at > now_ms ? at - now_ms : 1; /* 1: without memory for a PING, soon again */
	return ERR_OK;
}
