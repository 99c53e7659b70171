/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grpc_server - one accepted connection and the calls a client makes on it. Methods are its owner's: by the path it
 * decides who answers. All callbacks run from loop_turn(), never inside a call made here.
 */
#ifndef COMMON_GRPC_GRPC_SERVER_H
#define COMMON_GRPC_GRPC_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/list.h"
#include "common/base/span.h"
#include "common/grpc/grpc_codec.h"
#include "common/grpc/grpc_status.h"
#include "common/h2/h2_conn.h"

struct grpc_server;
struct grpc_answer;

struct grpc_server_owner {
	/* The client is there; what TLS says of it is in h2_conn_peer. */
	void (*ready)(struct grpc_server *c);
	/*
	 * A call begins. true: it was taken with grpc_answer_begin (and may be finished already); false: no such method,
	 * it is answered UNIMPLEMENTED. head: borrowed for the call.
	 */
	bool (*call)(struct grpc_server *c, int32_t id, struct span path,
	             const struct h2_head *head);
	void (*ended)(struct grpc_server *c,
	              enum err cause);         /* over; every call has ended. Once. */
	void (*landed)(struct grpc_server *c); /* grpc_server_fini may run. Once, after ended. */
};

/* Embedded; fields are private. */
struct grpc_server {
	struct h2_conn h2;
	const struct grpc_server_owner *owner;
	struct list answers;
};

struct grpc_server_setup {
	const struct grpc_server_owner *owner;
	const struct h2_options *options; /* NULL: grpc_server_options */
	struct h2_events *scratch;        /* the worker's; outlives the connection */
	uint64_t handshake_ms;
};

/* fd and tls are taken. */
void grpc_server_start(struct grpc_server *c, struct loop *loop, int fd, struct tls_session *tls,
                       const struct grpc_server_setup *setup);
/* Calls under way break, then ended() follows. */
void grpc_server_close(struct grpc_server *c);
void grpc_server_fini(struct grpc_server *c); /* after landed */

struct grpc_answer_owner {
	void (*message)(struct grpc_answer *a, struct span message); /* borrowed */
	/* The client has no more to say: usually the moment to answer. */
	void (*end)(struct grpc_answer *a);
	/* The client gave up, or what it sent is no gRPC. Nothing follows; not after grpc_answer_finish. */
	void (*broken)(struct grpc_answer *a, enum err cause);
};

/* One call on the server's side. Embedded, needed until broken or finished; fields are private. */
struct grpc_answer {
	struct list link;
	struct grpc_server *server; /* NULL: no longer under way */
	const struct grpc_answer_owner *owner;
	struct grpc_reader reader;
	int32_t id;
	bool headed; /* our head was sent */
};

/* message_max: octets of one message of the client's. */
void grpc_answer_begin(struct grpc_answer *a, struct grpc_server *c, int32_t id,
                       uint32_t message_max, const struct grpc_answer_owner *owner);
/* Errs: ERR_MEMORY, ERR_H2_STREAM_RESET. */
MUST_CHECK enum err grpc_answer_send(struct grpc_answer *a, struct span message);
/* The status, and that is all: nothing follows. words: for people, may be empty. */
void grpc_answer_finish(struct grpc_answer *a, enum grpc_code code, const char *words);

#endif
