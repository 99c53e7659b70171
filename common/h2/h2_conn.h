/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h2_conn - an h2_session on a tls_conn: HTTP/2 over mutual TLS, one connection.
 *
 * What a turn puts into streams leaves at its end: one pass of the session, records sealed, one send.
 * Callbacks run from loop_turn(), never inside a call made here.
 */
#ifndef COMMON_H2_H2_CONN_H
#define COMMON_H2_H2_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/h2/h2_session.h"
#include "common/tls/tls_conn.h"

struct h2_conn;

struct h2_conn_owner {
	/* TLS is up, streams may be opened (client) or will arrive (server). */
	void (*ready)(struct h2_conn *c);
	/* Something happened on a stream, or GOAWAY or SETTINGS on the connection. REQUEST and RESPONSE heads
	 * are the owner's to free. buf: the buffer that holds DATA; take a reference to keep the bytes. */
	void (*event)(struct h2_conn *c, const struct h2_event *ev, struct iobuf *buf);
	/* The connection is over, with all its streams; no event follows. ERR_OK: an orderly end. Once. */
	void (*ended)(struct h2_conn *c, enum err cause);
	/* All ops landed; h2_conn_fini may run. Once, after ended. */
	void (*landed)(struct h2_conn *c);
};

struct h2_conn {
	struct tls_conn tls; /* private, as are all below but session */
	struct h2_session
		*session; /* for put, end, reset, consumed, ...: follow with h2_conn_kick */
	const struct h2_conn_owner *owner;
	struct h2_events *scratch; /* the worker's, shared by all its connections */
	struct h2_options options;
	enum h2_role role;
	enum err cause;       /* of an HTTP/2 failure, told to the peer before the close */
	bool closing;         /* our orderly end: what is queued, GOAWAY, close */
	bool parted;          /* that GOAWAY is queued */
	uint32_t close_code;  /* its code */
	uint64_t close_at_ms; /* the close waits no longer than this */
	bool ended;
	bool starved; /* no buffer was to be had: retry at the timer */
	struct timer tick;
	struct loop_hook kick;
};

/* How a connection is to be; borrowed for the start but for scratch and owner. */
struct h2_conn_setup {
	const struct h2_conn_owner *owner;
	const struct h2_options *options;
	struct h2_events *scratch; /* the worker's; must outlive the connection */
	uint64_t handshake_ms;     /* by when TLS must be up */
	struct tls_gate
		*gate; /* of the handshake's steps; NULL: none; must outlive the connection */
	enum h2_role role;
};

/* fd and tls are taken. */
void h2_conn_start(struct h2_conn *c, struct loop *loop, int fd, struct tls_session *tls,
                   const struct h2_conn_setup *setup);
void h2_conn_fini(struct h2_conn *c); /* after landed */

bool h2_conn_ready(const struct h2_conn *c);
const char *h2_conn_peer(const struct h2_conn *c); /* verified SPIFFE id; NULL before ready */
/* Errs: ERR_TLS_REVOKED when the peer has been revoked since (tls_session_recheck); it is then to be ended. */
MUST_CHECK enum err h2_conn_recheck(const struct h2_conn *c);
/* Ready, but nothing could be kept to find its peer revoked later. */
bool h2_conn_untracked(const struct h2_conn *c);
/* Something was put into the session: emit at the end of this turn. */
void h2_conn_kick(struct h2_conn *c);
/* Orderly end now: GOAWAY(code) and what is queued leave, then close. */
void h2_conn_close(struct h2_conn *c, uint32_t code);
/* The peer asks for too much nonsense: GOAWAY(ENHANCE_YOUR_CALM), then close; ended() says ERR_H2_FLOOD. */
void h2_conn_flooded(struct h2_conn *c);
/* At once, without telling the peer. */
void h2_conn_abort(struct h2_conn *c, enum err cause);

#endif
