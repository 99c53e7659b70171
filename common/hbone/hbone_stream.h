/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hbone_stream - one CONNECT stream, in either role, and the carrier (HTTP/2 connection) that many share. What is
 * below the carrier, a socket or a stream of another one, is its driver's.
 *
 * The carrier returns the connection's receive window as soon as bytes are queued, up to CARRIER_HELD_MAX, so that
 * one reader who stops holds up its own stream only; beyond that the whole tunnel waits and memory stays bounded.
 */
#ifndef COMMON_HBONE_HBONE_STREAM_H
#define COMMON_HBONE_HBONE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/list.h"
#include "common/h2/h2_conn.h"

enum {
	/* Octets received, not yet taken by applications, for which connection window is lent in advance:
	 * as much again as the window itself, so eight stalled streams of 4 MiB do not stop a ninth. */
	CARRIER_HELD_MAX = 16 * 1024 * 1024,
	/* Octets all streams of a carrier put that have not left. Four times what is sealed ahead keeps the wire busy;
	 * beyond it a stream gets more only when its last octet is gone, so that a peer that opens 200 streams and no
	 * window holds this and a read for each, not 200 queues. */
	CARRIER_QUEUED_MAX = 4 * 1024 * 1024,
};

struct hbone_carrier;

struct hbone_carrier_driver {
	struct h2_session *(*session)(struct hbone_carrier *c);
	/* May anything still be said on it. */
	bool (*ready)(struct hbone_carrier *c);
	/* Something was put into the session: let it leave at the end of this turn. */
	void (*kick)(struct hbone_carrier *c);
};

struct hbone_carrier {
	const struct hbone_carrier_driver *driver;
	struct list streams; /* private: by id */
	unsigned int count;  /* streams on it */
	size_t held, owed;   /* private: octets not taken yet; of those, window not returned yet */
	size_t queued;       /* private: octets put and not sent */
};

/* A carrier on a TLS connection of its own. */
struct hbone_conn {
	struct hbone_carrier carrier;
	struct h2_conn h2;
};

struct hbone_stream;

/* What a stream's owner hears; from loop_turn() only. */
struct hbone_stream_owner {
	/* Client: the final answer. head: borrowed for the call. */
	void (*head)(struct hbone_stream *s, const struct h2_head *head);
	/* Bytes inside buf; give them back with hbone_stream_taken. */
	void (*data)(struct hbone_stream *s, struct iobuf *buf, struct span bytes);
	/* The peer ended its side. */
	void (*end)(struct hbone_stream *s);
	/* n octets of what was put left for the wire. */
	void (*sent)(struct hbone_stream *s, size_t n);
	/* Gone before both sides ended: reset, or the connection failed. Nothing follows. */
	void (*broken)(struct hbone_stream *s, enum err cause);
};

/* Embedded; fields are private. carrier is NULL once the stream is detached or broken. */
struct hbone_stream {
	struct hbone_carrier *carrier;
	const struct hbone_stream_owner *owner;
	struct list link;
	int32_t id;
	bool peer_ended;
	size_t untaken, unsent;
};

void hbone_carrier_init(struct hbone_carrier *c, const struct hbone_carrier_driver *driver);
/* Its carrier; h2 is still to be started. */
void hbone_conn_init(struct hbone_conn *c);
/* Pass a stream event on to its owner. REQUEST, GOAWAY and SETTINGS are not for here. */
void hbone_carrier_event(struct hbone_carrier *c, const struct h2_event *ev, struct iobuf *buf);
/* The connection is over: every stream breaks with cause. */
void hbone_carrier_ended(struct hbone_carrier *c, enum err cause);

/* Tie s to stream id of c. */
void hbone_stream_attach(struct hbone_stream *s, struct hbone_carrier *c, int32_t id,
                         const struct hbone_stream_owner *owner);
/* from's stream becomes to's, with another owner; from is forgotten. Harmless when it is gone: to is then gone, too. */
void hbone_stream_move(struct hbone_stream *from, struct hbone_stream *to,
                       const struct hbone_stream_owner *owner);
/* Forget the stream without a reset (both sides ended, or are ending by what is queued). Harmless when gone. */
void hbone_stream_detach(struct hbone_stream *s);
/* RST_STREAM(code) and forget. Harmless when gone. */
void hbone_stream_reset(struct hbone_stream *s, uint32_t code);
/* Takes v. false: the stream is gone or memory ran out. */
bool hbone_stream_put(struct hbone_stream *s, struct iobuf_view v);
void hbone_stream_end(struct hbone_stream *s);
size_t hbone_stream_queued(const struct hbone_stream *s);
/* The carrier holds so much already that a stream with anything queued should put no more. */
bool hbone_stream_crowded(const struct hbone_stream *s);
/* The application took n octets of what data() brought. */
void hbone_stream_taken(struct hbone_stream *s, size_t n);

/* For an owner that still awaits the head of the answer: what else comes is nothing to it. */
void hbone_stream_early_data(struct hbone_stream *s, struct iobuf *buf, struct span bytes);
void hbone_stream_early_end(struct hbone_stream *s);
void hbone_stream_early_sent(struct hbone_stream *s, size_t n);

#endif
