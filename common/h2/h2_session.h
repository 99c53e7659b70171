/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h2_session - one HTTP/2 connection as a pure state machine over nghttp2: plain bytes in, events out; requests
 * and data in, plain TLS-record-sized blocks out. RFC 9113. Bodies are opaque bytes; made for CONNECT tunnels, and
 * with the option trailers for messages that end in fields (gRPC).
 *
 * Flow control is the caller's: received data costs window until h2_session_consumed_*() gives it back, and data
 * to send waits in the stream's queue until the peer's window takes it.
 */
#ifndef COMMON_H2_H2_SESSION_H
#define COMMON_H2_H2_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/iobuf.h"
#include "common/base/span.h"

enum h2_role { H2_CLIENT, H2_SERVER };

struct h2_options {
	uint32_t stream_window;    /* receive window of each stream, octets */
	uint32_t conn_window;      /* receive window of the connection, octets */
	uint32_t frame_len_max;    /* SETTINGS_MAX_FRAME_SIZE we announce, 16384..16777215 */
	uint32_t header_list_max;  /* SETTINGS_MAX_HEADER_LIST_SIZE we announce and enforce */
	uint32_t streams_max;      /* server: SETTINGS_MAX_CONCURRENT_STREAMS */
	uint32_t ping_interval_ms; /* keepalive; 0: none */
	uint32_t ping_timeout_ms;
	bool trailers; /* fields may follow a body; without, they are an error, as on any CONNECT stream (8.5) */
};

/* One header field; borrowed. Pseudo-headers included (":method"). */
struct h2_field {
	struct span name, value;
};

/* A received header block; owns its memory. */
struct h2_head {
	uint32_t count;
	struct h2_field *fields; /* in wire order */
};
/* The first field of that lower-case name, or NULL. */
const struct h2_field *h2_head_find(const struct h2_head *h, const char *name);
void h2_head_free(struct h2_head *h); /* NULL is allowed */

enum h2_event_kind {
	H2_EV_REQUEST,  /* server: a request head; the consumer owns .head */
	H2_EV_RESPONSE, /* client: a final response head; the consumer owns .head */
	H2_EV_DATA,     /* .data lies inside the input span */
	H2_EV_TRAILERS, /* fields behind the body; END follows; the consumer owns .head */
	H2_EV_END,      /* the peer ended its side of the stream (END_STREAM) */
	H2_EV_RESET, /* the stream is gone: RST_STREAM received, or a stream error of ours; .code */
	/* Both sides ended in order, or an answer without body ended the stream (h2_session_respond with end);
	 * the id is now invalid. RESET comes without CLOSED. */
	H2_EV_CLOSED,
	H2_EV_SENT, /* .sent octets left the stream's queue into records */
	H2_EV_GOAWAY, /* the peer takes no new streams above .last_id; later ones get RESET(REFUSED_STREAM) */
	H2_EV_SETTINGS, /* the peer's SETTINGS (first or changed) are in force */
};

struct h2_event {
	enum h2_event_kind kind;
	int32_t stream_id; /* 0 for connection events */
	void *user;        /* the stream's, set by connect or h2_session_set_user */
	union {
		struct h2_head *head;
		struct span data;
		uint32_t code;
		uint32_t sent;
		int32_t last_id;
	};
};

/* Lent by the caller to h2_session_recv/_send, so that sessions need no queue of their own. Grows as needed. */
struct h2_events {
	struct h2_event *ev;
	uint32_t count, cap;
};
void h2_events_init(struct h2_events *e);
void h2_events_fini(struct h2_events *e); /* frees heads nobody took */
void h2_events_clear(struct h2_events *e);

struct h2_session;

/* NULL when out of memory. pool: for output blocks; shared, outlives the session. */
struct h2_session *h2_session_new(enum h2_role role, const struct h2_options *opt,
                                  struct iobuf_pool *pool, uint64_t now_ms);
void h2_session_free(struct h2_session *s); /* drops queues; NULL is allowed */

/*
 * Feed plain bytes (one TLS record at a time is best). Events are appended to ev; DATA spans point into in.
 * Errs: ERR_H2, ERR_H2_FLOW, ERR_H2_FLOOD, ERR_MEMORY: a GOAWAY waits in the output; the session is dead after it.
 */
MUST_CHECK enum err h2_session_recv(struct h2_session *s, struct span in, uint64_t now_ms,
                                    struct h2_events *ev);

/*
 * Emit what may be sent now, until out holds bytes_max or nothing is left. Each view appended is one TLS record's
 * plain text: at most TLS_PLAIN_MAX octets, exclusively owned, with room for the record header in front and
 * IOBUF_TAIL behind. A full slot of payload passes through without a copy; smaller pieces are gathered.
 * SENT (and RESET/CLOSED) events are appended to ev.
 * Errs: ERR_MEMORY when no buffer is to be had: call again later, nothing is lost. Any other error: the session is
 *       dead; what out holds (a GOAWAY last) should still leave.
 */
MUST_CHECK enum err h2_session_send(struct h2_session *s, struct iobuf_queue *out, size_t bytes_max,
                                    struct h2_events *ev);
bool h2_session_wants_send(const struct h2_session *s);

/* Client: open a stream with these request fields, its body open. Errs: ERR_H2_STREAM_REFUSED when the peer's limit,
 * a GOAWAY or the id space forbids it; ERR_MEMORY. */
MUST_CHECK enum err h2_session_request(struct h2_session *s, const struct h2_field *fields,
                                       unsigned int count, void *user, int32_t *ret_stream_id);
/*
 * Server: answer, at most once; end: no body follows. Our side is then ended, and a peer that has not ended its own
 * gets RST_STREAM(NO_ERROR) behind the answer (contract 6.3). Errs: ERR_MEMORY, ERR_INTERNAL (no such stream).
 */
MUST_CHECK enum err h2_session_respond(struct h2_session *s, int32_t stream_id,
                                       const struct h2_field *fields, unsigned int count, bool end);
void h2_session_set_user(struct h2_session *s, int32_t stream_id, void *user);

/*
 * Queue payload, at most IOBUF_SLOT_LEN; a small piece is packed into the block of the one before it when that has room.
 * Takes v's reference, also on error. Best: v.p == v.buf->mem + IOBUF_HEAD, in a slot nobody else refers to.
 * Errs: ERR_MEMORY; ERR_H2_STREAM_RESET when the stream is gone or ended.
 */
MUST_CHECK enum err h2_session_put(struct h2_session *s, int32_t stream_id, struct iobuf_view v);
/* END_STREAM after what is queued. */
void h2_session_end(struct h2_session *s, int32_t stream_id);
/*
 * The same, with trailers (no pseudo-headers) as the last frame; copied. Needs the option trailers.
 * Errs: ERR_MEMORY; ERR_H2_STREAM_RESET when the stream is gone or ended.
 */
MUST_CHECK enum err h2_session_end_fields(struct h2_session *s, int32_t stream_id,
                                          const struct h2_field *fields, unsigned int count);
/* RST_STREAM with code now, ahead of what is queued (which is dropped). No event follows for this stream. */
void h2_session_reset(struct h2_session *s, int32_t stream_id, uint32_t code);
size_t h2_session_queued(const struct h2_session *s, int32_t stream_id);

/* Give back receive window: of the stream, when the application took the bytes; of the connection, likewise. */
void h2_session_consumed_stream(struct h2_session *s, int32_t stream_id, size_t n);
void h2_session_consumed_conn(struct h2_session *s, size_t n);

/* Graceful end (server): GOAWAY with the largest id now; call again after a round trip for the real last id. */
void h2_session_shutdown(struct h2_session *s);
void h2_session_goaway(struct h2_session *s, uint32_t code); /* at once, final */
/* May a new stream be opened; how many are open. */
bool h2_session_can_open(const struct h2_session *s);
unsigned int h2_session_streams(const struct h2_session *s);

/* Keepalive: queues a PING when due. Errs: ERR_H2_PING_TIMEOUT. Next time it wants to be called: *ret_next_ms from now. */
MUST_CHECK enum err h2_session_tick(struct h2_session *s, uint64_t now_ms, uint64_t *ret_next_ms);

#endif
