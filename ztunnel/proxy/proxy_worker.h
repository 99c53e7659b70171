/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_worker - one data-plane thread: its loop, its pods, its view of the world. Shares nothing with the others but
 * immutable snapshots. The control thread talks to it by the calls below, which are letters.
 */
#ifndef ZTUNNEL_PROXY_PROXY_WORKER_H
#define ZTUNNEL_PROXY_PROXY_WORKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/admin/ready.h"
#include "common/base/list.h"
#include "common/base/netaddr.h"
#include "common/base/rand.h"
#include "common/base/snapshot.h"
#include "common/dns/dns_resolver.h"
#include "common/dns/dns_upstream.h"
#include "common/hbone/hbone_pool.h"
#include "common/identity/cert_set.h"
#include "common/io/worker.h"
#include "common/mesh/mesh.h"
#include "common/telemetry/metrics.h"
#include "common/tls/tls_gate.h"
#include "ztunnel/pods/pods_table.h"
#include "ztunnel/proxy/account_texts.h"
#include "ztunnel/proxy/handshakes.h"
#include "ztunnel/proxy/live_table.h"
#include "ztunnel/steward/steward.h"

struct dns_zone;

enum {
	PROXY_OWN_PORTS = 4,
	PROXY_LOCAL_WAIT_MS =
		5000, /* how long a connection waits for its own workload or certificate (7.2) */
	/* A turn gives to judging live connections again, however dear policies are: less than a full read costs. */
	PROXY_JUDGE_NS = 250 * 1000,
	PROXY_TIDY_MS = 1000,
	PROXY_AWAITED_SLOTS = 64, /* a collision costs a letter too many, or a wait in line */
	PROXY_LOCAL_LOOK_MS = 50, /* and how often it looks */
};

/* The last one is ours only with SOCKS: see proxy_own_port_count(). */
extern const uint16_t proxy_own_ports[PROXY_OWN_PORTS];

/* The same for all workers; borrowed while they run. */
struct proxy_options {
	/* Ready is answered by the workers, so that a wedged one fails the probe (contract 11.4). */
	struct ready *ready;
	struct endpoint ready_at;
	const struct steward *steward;
	struct metrics *metrics;
	struct snapshot_cell *certs; /* of struct cert_set */
	/* A connection waits for this identity's first certificate. Any worker's thread. NULL: nobody hears. */
	void (*cert_awaited)(void *arg, const char *identity);
	void *cert_awaited_arg;
	struct snapshot_cell *resolv; /* of struct resolv_conf */
	bool ipv6;                    /* host names are asked for IPv6 addresses, too */
	const struct dns_zone *dns_zone;
	const char *network, *node;
	struct hbone_pool_options pool;
	struct h2_options server_h2;
	struct loop_options loop;
	uint64_t connect_ms;
	bool spoof_source; /* applications see the client's address */
	bool response_baggage;
	bool localhost_app_tunnel;
	bool socks;      /* pods have SOCKS listeners */
	bool authz_info; /* decisions are logged at info, not debug */
	uint32_t workers;
};

struct proxy_worker {
	const struct proxy_options *options;
	struct worker *thread;
	struct loop *loop;
	unsigned int index;
	struct h2_events scratch;
	struct h2_events inner_scratch; /* of connections within tunnels */
	struct http1_server *ready_server;
	struct metrics_shard *shard;
	struct mesh *mesh;      /* a reference; replaced by proxy_worker_mesh */
	struct snapshot *certs; /* the held struct cert_set; NULL at first */
	uint64_t certs_generation;
	/* Hashes of identities that were told to be awaited since certs changed; 0: none. */
	uint64_t awaited[PROXY_AWAITED_SLOTS];
	struct rand dice;
	struct list pods; /* struct pod_proxy */
	struct live_table live;
	struct tls_gate gate; /* steps of inbound handshakes */
	struct handshakes handshakes;
	struct op judging; /* pending while some of them wait to be judged again */
	struct account_cache account_cache;
	struct dns_upstream *upstream; /* in the network namespace of the process */
	struct dns_resolver
		*resolver; /* of workloads with only a host name; NULL: no name resolves */
	struct timer
		tidy; /* every PROXY_TIDY_MS: says that it turns, spare buffers go back, gauges are set */
	bool draining;
	_Atomic uint64_t open; /* connections and tunnels: what a drain waits for */
};

static inline size_t proxy_own_port_count(const struct proxy_options *options)
{
	return options->socks ? PROXY_OWN_PORTS : PROXY_OWN_PORTS - 1;
}

/* Start worker index of options->workers. mesh: a reference is taken. Errs: ERR_SYSTEM, ERR_MEMORY */
MUST_CHECK enum err proxy_worker_start(const struct proxy_options *options, unsigned int index,
                                       struct mesh *mesh, struct proxy_worker **ret_worker);
/* After a drain and a cut: ends the thread and frees. */
void proxy_worker_stop(struct proxy_worker *w);

/* From the control thread; each takes effect at one of the worker's next turns. */
void proxy_worker_mesh(struct proxy_worker *w,
                       struct mesh *mesh); /* takes a reference of its own */
void proxy_worker_pod_up(struct proxy_worker *w, struct pod *pod); /* likewise */
void proxy_worker_pod_down(struct proxy_worker *w, struct pod *pod);
/* End what a pod that went down still has open, with cause. */
void proxy_worker_pod_cut(struct proxy_worker *w, struct pod *pod, enum err cause);
/* Close listeners, GOAWAY, let connections finish. */
void proxy_worker_drain(struct proxy_worker *w);
/* Revocation lists changed: end every tunnel whose peer is revoked now. */
void proxy_worker_recheck(struct proxy_worker *w);
/* End whatever is still open, with cause. */
void proxy_worker_cut(struct proxy_worker *w, enum err cause);
uint64_t proxy_worker_open(const struct proxy_worker *w);

/* On the worker's thread. */
/* Decide by this mesh from now on; live connections are judged by it soon. A reference of mesh is handed over. */
void proxy_worker_use_mesh(struct proxy_worker *w, struct mesh *mesh);
/*
 * The certificate of that identity, borrowed until the next turn. NULL: none now; whoever fetches them is told that
 * somebody waits for it.
 */
struct tls_config *proxy_worker_config(struct proxy_worker *w, const char *identity);
/* It could not be had: there is nothing to wait for (contract 4.5). */
bool proxy_worker_cert_failed(const struct proxy_worker *w, const char *identity);
void proxy_worker_opened(struct proxy_worker *w);
void proxy_worker_closed(struct proxy_worker *w);

#endif
