/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grpc_client - one connection to a gRPC server and the calls on it, unary or streaming both ways. Reconnecting is
 * its owner's business, for only the owner knows what a call that broke off means.
 *
 * All callbacks run from loop_turn(), never inside a call made here.
 */
#ifndef COMMON_GRPC_GRPC_CLIENT_H
#define COMMON_GRPC_GRPC_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/list.h"
#include "common/base/span.h"
#include "common/grpc/grpc_codec.h"
#include "common/grpc/grpc_status.h"
#include "common/h2/h2_conn.h"
#include "common/io/timer.h"

enum { GRPC_METADATA_MAX = 16 }; /* fields of ours and the caller's with a call */

struct grpc_client;
struct grpc_call;

struct grpc_client_owner {
	/* The server is who it should be: calls may begin, credentials may be sent. */
	void (*ready)(struct grpc_client *c);
	/* Over; every call has ended. ERR_OK: an orderly end. Once. */
	void (*ended)(struct grpc_client *c, enum err cause);
	/* grpc_client_fini may run. Once, after ended. */
	void (*landed)(struct grpc_client *c);
};

/* Embedded; fields are private. */
struct grpc_client {
	struct h2_conn h2;
	const struct grpc_client_owner *owner;
	struct list calls;
	const char *authority; /* borrowed */
	bool going;            /* the server said GOAWAY: no new calls */
};

struct grpc_client_setup {
	const struct grpc_client_owner *owner;
	const struct h2_options *options; /* NULL: grpc_client_options */
	struct h2_events *scratch;        /* the worker's; outlives the connection */
	const char *authority;            /* "host:port"; outlives the connection */
	uint64_t handshake_ms;
};

/* fd and tls are taken. */
void grpc_client_start(struct grpc_client *c, struct loop *loop, int fd, struct tls_session *tls,
                       const struct grpc_client_setup *setup);
/* May a call begin now? */
bool grpc_client_ready(const struct grpc_client *c);
/* Calls end CANCELLED, then ended() follows. */
void grpc_client_close(struct grpc_client *c);
void grpc_client_fini(struct grpc_client *c); /* after landed */

struct grpc_call_owner {
	/* One whole message; borrowed. */
	void (*message)(struct grpc_call *a, struct span message);
	/* Over: what the server said, or why it could not. Once; nothing follows. */
	void (*ended)(struct grpc_call *a, const struct grpc_status *st);
};

/* Embedded, needed until ended or cancelled; fields are private. */
struct grpc_call {
	struct list link;
	struct grpc_client *client; /* NULL: no longer under way */
	const struct grpc_call_owner *owner;
	struct grpc_reader reader;
	struct grpc_status status;
	struct timer deadline;
	int32_t id;
	bool headed, said; /* a gRPC answer; its status is known */
};

struct grpc_request {
	const char *path;                /* "/package.Service/Method" */
	const struct h2_field *metadata; /* beside what gRPC needs; borrowed for the call */
	unsigned int metadata_count;     /* at most GRPC_METADATA_MAX - 7 */
	uint32_t message_max;            /* octets of an answer's message */
	uint64_t timeout_ms;             /* 0: none. Told to the server, and kept by us */
};

/* Errs: ERR_H2_STREAM_REFUSED when none can begin now; ERR_MEMORY. Then nothing follows. */
MUST_CHECK enum err grpc_call_start(struct grpc_call *a, struct grpc_client *c,
                                    const struct grpc_request *req,
                                    const struct grpc_call_owner *owner);
/* Errs: ERR_MEMORY, ERR_H2_STREAM_RESET (it is over, or ended() is on its way). */
MUST_CHECK enum err grpc_call_send(struct grpc_call *a, struct span message);
void grpc_call_end(struct grpc_call *a); /* no more messages from us */
/* Nothing follows. Harmless when it is over. */
void grpc_call_cancel(struct grpc_call *a);
/* Octets of ours that wait for the server's window. */
size_t grpc_call_queued(const struct grpc_call *a);

#endif
