/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_conn - a tls_session and its socket: moves records between the two and decides nothing else.
 *
 * Life: handshake, open, closing (what is queued goes out, then close_notify or an alert, then the peer's end is
 * awaited, so that nothing it has not read yet is lost to a reset), closed (every op has landed and the descriptor is
 * gone). All callbacks run from loop_turn(), never inside a call made here.
 */
#ifndef COMMON_TLS_TLS_CONN_H
#define COMMON_TLS_TLS_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/iobuf.h"
#include "common/io/loop.h"
#include "common/io/timer.h"
#include "common/tls/tls_gate.h"
#include "common/tls/tls_session.h"

enum {
	TLS_CONN_IOV = 64,                /* records in one send; 16 would do, 64 costs nothing */
	TLS_CONN_QUEUE_MAX = 1024 * 1024, /* octets sealed and unsent; more only adds latency */
	TLS_CONN_QUEUE_LOW = 256 * 1024,  /* below this the owner is asked for more */
	TLS_CONN_COOL_MS =
		1000, /* with less than a small buffer's worth in this, a hot one cools */
	TLS_CONN_CLOSE_MS = 2000, /* how long a close waits for what is queued, and for the peer */
	TLS_CONN_RETRY_MS = 10,   /* until a receive without a buffer is tried again */
	TLS_CONN_RETRY_MAX = 200, /* in a row; then there is too much load, not a peak */
};

struct tls_conn;

/* What the owner hears. */
struct tls_conn_owner {
	/* The handshake is over and the peer verified. */
	void (*established)(struct tls_conn *c);
	/* n plain octets at p, inside buf; take a reference of buf to keep them. */
	void (*plain)(struct tls_conn *c, struct iobuf *buf, uint8_t *p, size_t n);
	/* All records of one arrival were delivered. */
	void (*arrived)(struct tls_conn *c);
	/* The send queue fell below TLS_CONN_QUEUE_LOW. */
	void (*drained)(struct tls_conn *c);
	/* Nothing comes or goes any more: ERR_OK after close_notify or our close, else the first cause. Once. */
	void (*ended)(struct tls_conn *c, enum err cause);
	/* Every op has landed, the descriptor is closed, tls_conn_fini may run. Once, after ended. */
	void (*landed)(struct tls_conn *c);
};

enum tls_conn_state {
	TLS_CONN_HANDSHAKE,
	TLS_CONN_OPEN,
	TLS_CONN_CLOSING, /* our close: the last bytes are on their way, what comes is ignored */
	TLS_CONN_ENDING,  /* ops are being cancelled */
	TLS_CONN_CLOSED,
};

/* Embedded by its owner; fields are private. */
struct tls_conn {
	struct loop *loop;
	const struct tls_conn_owner *owner;
	struct tls_session *session;
	int fd;
	enum tls_conn_state state;
	enum err cause;
	bool peer_closed; /* close_notify came; while closing: the end of the stream */
	bool unsendable;  /* the peer takes no more, but may have said why: read on */
	bool shut;        /* our side of the socket is ended */
	bool hot;         /* receives into a large buffer */
	bool reported;    /* ended() ran */
	bool was_full;    /* the queue passed LOW since the last drained() */
	bool landing;     /* ops were asked to end */
	uint8_t retries;  /* of a receive without a buffer, in a row */
	struct op recv;
	struct op_msg send;
	struct iobuf *rx; /* arrived and not yet opened: [rx_start, rx_end) of it */
	uint32_t rx_start, rx_end;
	uint32_t
		lately; /* octets since the cooling timer looked, or a small buffer's worth and more */
	struct iobuf_queue tx;      /* sealed records */
	struct buf hs_in;           /* handshake input not yet consumed */
	struct timer timer;         /* handshake deadline, then cooling, then close deadline */
	struct timer again;         /* for a buffer */
	struct tls_gate *gate;      /* of the handshake's steps; NULL: none */
	struct tls_gate_entry turn; /* waits in it; what came meanwhile is in hs_in */
	struct loop_hook hook;
	struct iovec iov[TLS_CONN_IOV];
};

/*
 * Start on a connected socket. fd and session are taken, also on failure. handshake_ms is the deadline of the
 * whole handshake.
 */
void tls_conn_start(struct tls_conn *c, struct loop *loop, int fd, struct tls_session *session,
                    const struct tls_conn_owner *owner, uint64_t handshake_ms);
/* Right after the start: what the peer says in the handshake is looked at when the gate lets it. Outlives c. */
void tls_conn_set_gate(struct tls_conn *c, struct tls_gate *gate);
void tls_conn_fini(struct tls_conn *c); /* after landed */

/* Octets waiting to leave. */
size_t tls_conn_queued(const struct tls_conn *c);
bool tls_conn_open(const struct tls_conn *c);
/*
 * Seal v in place and queue it. v: one record's plain text as h2_session_send makes it; taken.
 * A failure ends the connection, heard through ended().
 */
void tls_conn_put(struct tls_conn *c, struct iobuf_view v);
/* Send what is queued now; otherwise it goes at the end of the turn. */
void tls_conn_flush(struct tls_conn *c);
/* Orderly: queue, close_notify, close. Harmless when ending already. */
void tls_conn_close(struct tls_conn *c);
/* At once. cause is reported by ended(). */
void tls_conn_abort(struct tls_conn *c, enum err cause);

#endif
