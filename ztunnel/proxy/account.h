/* SPDX-License-Identifier: Apache-2.0 */
/*
 * account - what one connection is counted and logged as: opened once its context is complete, closed once.
 *
 * It holds its own copies, shared with connections like it, so that a long-lived connection keeps no old mesh alive.
 */
#ifndef ZTUNNEL_PROXY_ACCOUNT_H
#define ZTUNNEL_PROXY_ACCOUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/netaddr.h"
#include "common/mesh/mesh.h"
#include "common/telemetry/access_log.h"
#include "common/telemetry/metrics.h"
#include "ztunnel/proxy/account_texts.h"

struct baggage;

/* Everything is borrowed for the call; NULL where unknown. */
struct account_facts {
	enum access_direction direction;
	struct endpoint src, dst; /* as the access log shows them (contract 10.3) */
	const struct workload *src_workload, *dst_workload;
	const struct service *service; /* the one the client addressed */
	/* What the peer says of itself, when its workload is unknown: one of them at most. */
	const struct baggage *src_baggage, *dst_baggage;
	const char *src_identity, *dst_identity; /* of mutual TLS; NULL on plaintext */
	const char *hbone_addr;                  /* CONNECT authority */
};

struct account {
	struct traffic_series *series;
	uint64_t started_ms;
	uint64_t received, sent;         /* octets client to server, server to client */
	enum access_direction direction; /* private, as is all below */
	struct account_texts *texts;     /* NULL: there was no memory for them */
};

/* Counts as opened. Never fails: without memory the line lacks its texts. cache: the worker's. */
void account_open(struct account *a, struct metrics_shard *shard, struct account_cache *cache,
                  const struct account_facts *f, uint64_t now_ms);
/* The service it counts for, borrowed until the close; NULL: unknown. */
const char *account_service(const struct account *a);
void account_moved(struct account *a, bool client_to_server, size_t n);
/* How it ended. words: more exact than cause's own, or NULL. */
struct account_end {
	struct endpoint src, dst; /* as in account_open */
	enum err cause;
	const char *words;
	uint64_t now_ms;
};
/* Counts and logs the end. a needs no fini after it. */
void account_close(struct account *a, const struct account_end *end);

/* A stream that ended with cause was reset: by the peer, or by us. */
void account_reset(struct metrics_shard *shard, enum err cause);

/* Turned away before its context was complete: only a log line and a counter. */
void account_refused(struct metrics_shard *shard, enum access_direction direction,
                     const struct endpoint *src, const struct endpoint *dst, enum err cause,
                     const char *words);

#endif
