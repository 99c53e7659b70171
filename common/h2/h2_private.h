/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h2_private - what the halves of h2_session share: the session and its streams. Not for other rooms.
 *
 *   h2_session.c   life, options, what the owner asks for
 *   h2_stream.c    one stream and its queue
 *   h2_inbound.c   frames in, events out
 *   h2_outbound.c  frames out, as records
 */
#ifndef COMMON_H2_H2_PRIVATE_H
#define COMMON_H2_H2_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>

#include <nghttp2/nghttp2.h>

#include "common/base/list.h"
#include "common/h2/h2_budget.h"
#include "common/h2/h2_head.h"
#include "common/h2/h2_record.h"
#include "common/h2/h2_session.h"

enum {
	H2_INTERIM_MAX = 8, /* 1xx answers to one request */
	H2_RESET_BURST =
		200, /* streams a peer may break off unanswered: as many as it may open at once */
	H2_RESET_PER_S = 20,
	H2_BOMB_COST = 10, /* resets that a head past its limit counts as */
	H2_FENCE_RESET_BURST =
		10000, /* nghttp2's own limit, behind ours: it also counts answered streams */
	H2_FENCE_RESET_PER_S = 1000,
	H2_CONTROL_BURST = 200, /* control frames that no traffic explains */
	H2_CONTROL_PER_S = 20,
	H2_CREDIT_PER_FRAME =
		4, /* control frames that one DATA frame of ours, or one new stream, explains */
	H2_CREDIT_MAX = 65536, /* a window's worth of frames at the largest window, and more */
	H2_OUTBOUND_ACK_MAX =
		100, /* answers to PING and SETTINGS that may wait for a peer that does not read */
	H2_SETTINGS_MAX = 32, /* entries of one SETTINGS frame */
	H2_CONTINUATIONS_MAX = 8,
	H2_EXTENSION_FIRST =
		10, /* types of frames beyond RFC 9113's: ignored, but not for nothing */
	H2_PEER_STREAMS_FIRST = 100, /* assumed until the peer's SETTINGS, contract 6.4 */
};

struct h2_stream {
	struct list link;         /* in session->streams or ->unsent */
	struct list report;       /* in session->reports while .sent or .rst_owed */
	struct iobuf_queue queue; /* payload that waits for window */
	void *user;
	struct h2_head *trailers; /* ours, until the end of the queue is reached */
	int32_t id;
	uint32_t sent; /* octets not yet reported by SENT */
	uint32_t rst_code;
	uint8_t interim;     /* 1xx answers seen */
	bool announced : 1;  /* the owner knows it */
	bool headed : 1;     /* the request or final answer came */
	bool answered : 1;   /* server: an answer was given */
	bool deferred : 1;   /* nghttp2 waits to be told of more payload */
	bool end_queued : 1; /* END_STREAM after the queue */
	bool trailed : 1;    /* the peer's trailers came */
	bool ended_in : 1;
	bool ended_out : 1;
	bool finishing : 1; /* RST_STREAM(NO_ERROR) of ours behind an answer without body */
	bool dropped : 1;   /* the owner reset it and hears no more */
	bool rst_owed : 1;  /* RST_STREAM could not be queued for want of memory */
};
_Static_assert(sizeof(struct h2_stream) <= 128, "hundreds of thousands of these exist");

struct h2_session {
	nghttp2_session *ng;
	enum h2_role role;
	uint32_t header_list_max;
	bool trailers; /* allowed, both ways */
	struct h2_record_writer records;
	struct list streams;   /* known to nghttp2 */
	struct list unsent;    /* client: their HEADERS wait for h2_session_send */
	struct list reports;   /* streams with something to tell or to do at the next send */
	uint32_t stream_count; /* in streams and unsent */
	uint32_t live_count;   /* of those, what the owner calls open */
	struct h2_events *ev;  /* lent for one call */
	struct h2_head_builder
		*head; /* the block being received; there is one at a time (RFC 9113 6.10) */
	uint64_t now_ms;
	struct h2_budget resets, control;
	uint32_t credit;      /* control frames that our own traffic explains */
	uint32_t acks_queued; /* answers to PING and SETTINGS, queued by the running recv */
	enum err cause;       /* why the session is dead */
	bool broken;          /* nghttp2 lost its state: no call into it but del */
	bool closing;         /* our own last GOAWAY is queued */
	bool shutdown_noticed;
	bool control_only; /* emit no DATA now */
	bool starved;      /* the last emission ended for want of memory */
	bool ping_out;
	uint64_t ping_sent_ms, ping_next_ms, ping_count;
	uint32_t ping_interval_ms, ping_timeout_ms;
};

/* events */
bool h2_events_reserve(struct h2_events *e, uint32_t more);
/* false when out of memory; ev is then still the caller's. */
bool h2_events_add(struct h2_events *e, struct h2_event ev);

/* streams */
struct h2_stream *h2_stream_new(struct h2_session *s, struct list *in, int32_t id);
void h2_stream_free(struct h2_session *s, struct h2_stream *st);
/* NULL when there is none, or the owner dropped it. */
struct h2_stream *h2_stream_find(const struct h2_session *s, int32_t id);
/* Room for nghttp2 to read them from; it copies, its types are not const. */
void h2_make_fields(nghttp2_nv nv[H2_FIELDS_MAX], const struct h2_field *fields,
                    unsigned int count);
/* Takes v when true. */
bool h2_stream_put(struct h2_stream *st, struct iobuf_view v);
/* Queue RST_STREAM; when there is no memory it is owed until the next send. */
void h2_stream_rst(struct h2_session *s, struct h2_stream *st, uint32_t code);
/* Something to report, or to do, at the next send. */
void h2_stream_mark(struct h2_session *s, struct h2_stream *st);
bool h2_session_event(struct h2_session *s, enum h2_event_kind kind, struct h2_stream *st,
                      uint32_t code);

/* What nghttp2 calls. */
void h2_inbound_callbacks(nghttp2_session_callbacks *cb);
void h2_outbound_callbacks(nghttp2_session_callbacks *cb);
/* What nghttp2 asks for the payload of st. */
nghttp2_data_provider h2_outbound_body(struct h2_stream *st);
/* Emit; control_only leaves DATA where it is. Errs: as h2_session_send */
MUST_CHECK enum err h2_outbound_run(struct h2_session *s);
/* The peer's nuisance of one frame. false: its budget is spent and the session has to end. */
bool h2_session_nuisance(struct h2_session *s);
void h2_session_credit(struct h2_session *s);
/* The first cause stays. */
void h2_session_fail(struct h2_session *s, enum err cause);

/* For tests of running out of memory: as h2_session_new, nghttp2's memory from mem (NULL: malloc). */
struct h2_session *h2_session_new_mem(enum h2_role role, const struct h2_options *opt,
                                      struct iobuf_pool *pool, uint64_t now_ms, nghttp2_mem *mem);

#endif
