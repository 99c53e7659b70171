/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hbone_pool - warm tunnels of one captured pod on one worker, by (source identity, expected identities, source
 * address, next hop), and the CONNECT streams opened on them. Contract 6.5.
 *
 * Creation is single-flight per key: askers that fit wait for the tunnel being made, and all of them hear its
 * failure. A tunnel below its stream limit is used again. What was sent is never sent again; an ask that was not sent
 * when its tunnel turned out full or going away is another tunnel's.
 */
#ifndef COMMON_HBONE_HBONE_POOL_H
#define COMMON_HBONE_HBONE_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/map.h"
#include "common/base/netaddr.h"
#include "common/hbone/hbone_stream.h"
#include "common/io/loop.h"
#include "common/tls/tls_config.h"

enum {
	HBONE_KEY_IDENTITIES_MAX =
		64, /* service SANs and the workload's own: real services have a few */
};

struct hbone_pool;
struct hbone_tunnel;
struct hbone_call;

/* Whom to reach, as whom. All borrowed for the call that takes it. */
struct hbone_key {
	struct tls_config *config; /* certificate and trust of the source identity */
	struct ip source_ip;
	struct endpoint to;            /* the peer's HBONE port */
	const char *const *identities; /* who may answer there, in order */
	unsigned int identity_count;
};

/* A TCP connection being made for the pool by its owner. */
struct hbone_dial {
	struct endpoint to;
	void *impl; /* the owner's */
};

struct hbone_pool_owner {
	/* Connect to d->to within its own deadline; answer later with hbone_dial_done. false: no memory, no answer. */
	bool (*dial)(struct hbone_pool *p, struct hbone_dial *d);
	/* Hurry up: the answer, whatever it is, is no longer wanted. */
	void (*dial_cancel)(struct hbone_pool *p, struct hbone_dial *d);
	/* A tunnel opened (ERR_OK), or could not be opened. took_ms: from dial to handshake. For counters. */
	void (*opened)(struct hbone_pool *p, enum err cause, uint64_t took_ms);
	/* A tunnel that had opened ended. */
	void (*closed)(struct hbone_pool *p, enum err cause);
	/* A tunnel opened whose peer cannot be found revoked later, for want of memory. For counters; may be NULL. */
	void (*untracked)(struct hbone_pool *p);
	/* hbone_pool_stop is complete. Once. */
	void (*stopped)(struct hbone_pool *p);
};

struct hbone_pool_options {
	struct h2_options h2;
	uint32_t streams_max; /* per tunnel, POOL_MAX_STREAMS_PER_CONNECTION */
	uint64_t idle_ms;     /* POOL_UNUSED_RELEASE_TIMEOUT */
	uint64_t handshake_ms;
	uint64_t answer_ms; /* from CONNECT to its answer */
	uint16_t own_port;  /* 15008: a dial time-out there names NetworkPolicy */
};

/* Embedded by its owner; fields are private. */
struct hbone_pool {
	struct loop *loop;
	struct h2_events *scratch;
	const struct hbone_pool_owner *owner;
	struct hbone_pool_options options;
	struct map tunnels; /* by key: the newest of each chain */
	struct list all;
	unsigned int count;
	bool stopping, stop_told;
	struct loop_hook hook;
};

/* scratch: the worker's, borrowed. */
void hbone_pool_init(struct hbone_pool *p, struct loop *loop, struct h2_events *scratch,
                     const struct hbone_pool_options *options,
                     const struct hbone_pool_owner *owner);
/* End every tunnel (streams on it break) and report stopped(). */
void hbone_pool_stop(struct hbone_pool *p);
void hbone_pool_fini(struct hbone_pool *p); /* after stopped() */
/* Drop every tunnel whose peer has been revoked; its streams break with ERR_TLS_REVOKED. Returns how many. */
unsigned int hbone_pool_recheck(struct hbone_pool *p);
unsigned int hbone_pool_tunnels(const struct hbone_pool *p);

struct hbone_call_owner {
	/*
	 * The peer answered or never will. ERR_OK: 200, the stream is open, to be taken now with hbone_stream_move;
	 * ERR_HBONE_STATUS: status says what; else no stream was made. Once, unless cancelled.
	 */
	void (*answered)(struct hbone_call *a, enum err cause);
};

/* One CONNECT being asked for. Embedded, needed until answered; fields but stream and status are private. */
struct hbone_call {
	struct hbone_stream stream;
	uint16_t status; /* of ERR_HBONE_STATUS */
	const struct hbone_call_owner *owner;
	struct hbone_pool *pool;
	struct hbone_tunnel *tunnel; /* waited for */
	const struct h2_field *fields;
	unsigned int field_count;
	struct list link;
	struct timer deadline;
	enum err cause;
	uint8_t moves; /* from one tunnel to another, unsent */
	bool answered;
	struct loop_hook hook;
};

/*
 * fields: the CONNECT head; they and what they point to are borrowed until answered() or cancel.
 */
void hbone_call_start(struct hbone_call *a, struct hbone_pool *p, const struct hbone_key *key,
                      const struct h2_field *fields, unsigned int field_count,
                      const struct hbone_call_owner *owner);
/* Before answered(): nothing follows; a stream that was opened is reset. Harmless after it. */
void hbone_call_cancel(struct hbone_call *a);

/* The pool owner's answer to dial: fd (taken) when cause is ERR_OK. From loop_turn(), not inside dial(). */
void hbone_dial_done(struct hbone_pool *p, struct hbone_dial *d, int fd, enum err cause);

#endif
