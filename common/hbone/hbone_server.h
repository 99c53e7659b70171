/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hbone_server - one inbound tunnel connection: mutual TLS, HTTP/2, CONNECT requests read and judged for their form.
 * Whether a request is granted is its owner's business. Contract 6.3, 7.5 step 1.
 */
#ifndef COMMON_HBONE_HBONE_SERVER_H
#define COMMON_HBONE_HBONE_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/h2/h2_budget.h"
#include "common/hbone/hbone_msg.h"
#include "common/hbone/hbone_stream.h"

enum {
	/* Requests nobody who means well would make: each costs a line of log. A misconfigured peer makes one for each of
	 * its connections, and goes on being answered. */
	HBONE_MALFORMED_BURST = 200,
	HBONE_MALFORMED_PER_S = 20,
	HBONE_SHUTDOWN_STEP_MS =
		1000, /* between the two GOAWAYs: a round trip, generously (RFC 9113 6.8) */
};

struct hbone_server;

struct hbone_server_owner {
	/* The peer is verified. */
	void (*ready)(struct hbone_server *c);
	/* A well-formed CONNECT: grant it (hbone_stream_attach, hbone_server_grant) or refuse it, now or later. */
	void (*request)(struct hbone_server *c, int32_t stream_id, const struct hbone_request *req);
	/* A malformed one was answered with 400. */
	void (*malformed)(struct hbone_server *c, enum err cause);
	/* Over; every stream was broken. Once. */
	void (*ended)(struct hbone_server *c, enum err cause);
	/* May be freed when the turn ends. Once, after ended. */
	void (*landed)(struct hbone_server *c);
};

/* Embedded; fields are private. */
struct hbone_server {
	struct hbone_conn conn;
	const struct hbone_server_owner *owner;
	struct timer step;
	struct h2_budget malformed;
	bool draining, final_sent;
};

/* How a tunnel is to be served; borrowed for the start but for scratch and owner. */
struct hbone_server_setup {
	const struct hbone_server_owner *owner;
	const struct h2_options *options;
	struct h2_events *scratch; /* the worker's; must outlive the tunnel */
	uint64_t handshake_ms;     /* by when TLS must be up */
	struct tls_gate *gate;     /* the worker's, of handshake steps; NULL: none */
};

/* fd and tls are taken. */
void hbone_server_start(struct hbone_server *c, struct loop *loop, int fd, struct tls_session *tls,
                        const struct hbone_server_setup *setup);
void hbone_server_fini(struct hbone_server *c); /* after landed */
/* The verified identity at the other end; NULL before ready. */
const char *hbone_server_peer(const struct hbone_server *c);

/* Answer 200; the body is open. baggage: NULL to leave it out. Errs: ERR_MEMORY, ERR_LIMIT, ERR_INTERNAL (stream gone) */
MUST_CHECK enum err hbone_server_grant(struct hbone_stream *s, const struct baggage *baggage);
/* Answer cause's status, without a body, and forget the stream. Attached streams by _refuse, others by id. */
void hbone_server_refuse(struct hbone_stream *s, enum err cause);
void hbone_server_refuse_id(struct hbone_server *c, int32_t stream_id, enum err cause);

/* Take no new streams, let those there are finish, then close. */
void hbone_server_drain(struct hbone_server *c);
/* Has the peer been revoked since? It is then to be closed. */
bool hbone_server_revoked(const struct hbone_server *c);
/* Ready, but nothing could be kept to find its peer revoked later. */
bool hbone_server_untracked(const struct hbone_server *c);
/* Close now, with GOAWAY NO_ERROR; streams break with cause on our side and are reset on the peer's. */
void hbone_server_close(struct hbone_server *c, enum err cause);

#endif
