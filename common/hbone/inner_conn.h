/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inner_conn - the inner connection of double HBONE: TLS and HTTP/2 with whoever a network gateway leads to, carried by
 * a stream of the tunnel to that gateway, for one CONNECT of ours. Never pooled. Contract 6.6.
 *
 * It lives as long as its stream, then says so (close_notify, the end of the outer stream) and frees itself. What holds
 * it back is the outer stream's queue in one direction and the inner stream's window in the other.
 */
#ifndef COMMON_HBONE_INNER_CONN_H
#define COMMON_HBONE_INNER_CONN_H

#include <stdint.h>

#include "common/base/err.h"
#include "common/base/list.h"
#include "common/h2/h2_session.h"
#include "common/hbone/hbone_stream.h"
#include "common/io/loop.h"
#include "common/tls/tls_config.h"
#include "common/tls/tls_session.h"

enum {
	INNER_QUEUE_MAX =
		512 *
		1024, /* sealed octets the outer stream has not sent; more only adds latency */
	INNER_CLOSE_MS = 2000, /* how long the far end may take to end the outer stream */
	INNER_RETRY_MS = 10,   /* until a buffer is asked for again */
};

struct inner_conn;
struct inner_call;

struct inner_call_owner {
	/*
	 * The far end answered or never will. ERR_OK: 200, the stream is open, to be taken now with hbone_stream_move;
	 * ERR_HBONE_STATUS: status says what; else no stream was made. head and peer are set when there was an answer.
	 * Once, unless cancelled.
	 */
	void (*answered)(struct inner_call *a, enum err cause);
};

/* The CONNECT being asked for. Embedded, needed until answered; conn and owner are private. */
struct inner_call {
	struct hbone_stream stream;
	uint16_t status;
	const struct h2_head *head; /* the answer's, for the time of answered() */
	const char *peer;           /* the verified SPIFFE id of who answered, likewise */
	struct inner_conn *conn;
	const struct inner_call_owner *owner;
};

/* How it is to be. identities and fields are borrowed until answered() or cancel, the rest for the call. */
struct inner_setup {
	struct tls_config *config;     /* who we are */
	const char *const *identities; /* who may be there; none: nobody */
	unsigned int identity_count;
	const struct h2_field *fields; /* the CONNECT's head */
	unsigned int field_count;
	const struct h2_options *options;
	/* Must outlive it, and be another than the tunnels': ours arise while theirs are being told. */
	struct h2_events *scratch;
	uint64_t handshake_ms, answer_ms;
	struct list *
		siblings; /* joined for as long as the far end's certificate matters; must outlive it */
};

/* outer: an open stream, forgotten by its holder. Never answers inside the call. Errs: ERR_MEMORY: outer was reset. */
MUST_CHECK enum err inner_call_start(struct inner_call *a, struct loop *loop,
                                     struct hbone_stream *outer, const struct inner_setup *setup,
                                     const struct inner_call_owner *owner);
/* Before answered(): nothing follows. Harmless after it. */
void inner_call_cancel(struct inner_call *a);

/* End those whose far end has been revoked, with ERR_TLS_REVOKED. Returns how many. */
unsigned int inner_conn_recheck(struct list *siblings);

#endif
