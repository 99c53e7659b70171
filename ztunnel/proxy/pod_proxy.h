/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pod_proxy - one captured pod on one worker: its listeners, its pool of tunnels, its connections.
 */
#ifndef ZTUNNEL_PROXY_POD_PROXY_H
#define ZTUNNEL_PROXY_POD_PROXY_H

#include <stdbool.h>

#include "common/base/list.h"
#include "common/hbone/hbone_pool.h"
#include "common/io/loop.h"
#include "common/io/timer.h"
#include "ztunnel/pods/pods_table.h"
#include "ztunnel/proxy/pod_dns.h"
#include "ztunnel/proxy/pod_socks.h"
#include "ztunnel/proxy/proxy_worker.h"

enum { ACCEPT_BACKOFF_MS = 100 }; /* after EMFILE and its like: no spinning, quick recovery */

struct pod_listener {
	struct op op;
	struct timer backoff;
	struct pod_proxy *pod;
	enum steward_listener kind;
	int fd;
};

/* A connection, as its pod sees it. Embedded. */
struct pod_conn {
	struct list link;
	void (*cut)(struct pod_conn *c, enum err cause); /* end it now */
	/* Has a TLS peer of its own been revoked since? NULL: it has none (a stream's is its tunnel's). */
	bool (*revoked)(struct pod_conn *c);
};

struct pod_proxy {
	struct list link;
	struct proxy_worker *worker;
	struct pod *pod; /* a reference */
	struct pod_listener listeners[LISTENER_KINDS];
	struct hbone_pool pool;
	struct list inner_conns; /* within its tunnels: struct inner_conn */
	struct spoof_ports ports;
	struct pod_dns dns;
	struct pod_socks socks;
	struct list conns;   /* struct pod_conn: streams and plain connections */
	struct list tunnels; /* struct pod_conn: inbound tunnel connections */
	unsigned int open;   /* members of both */
	bool going, pool_stopped;
	struct loop_hook hook;
	struct loop_retired retired;
};

/* Take the pod's listeners for this worker and serve. A reference of pod is taken. NULL when out of memory. */
struct pod_proxy *pod_proxy_start(struct proxy_worker *w, struct pod *pod);
/* No new connections; frees itself when the last one is over. */
void pod_proxy_drain(struct pod_proxy *p);
/* End every connection with cause. */
void pod_proxy_cut(struct pod_proxy *p, enum err cause);

/* Revocation lists changed: end every tunnel whose peer is revoked now. */
void pod_proxy_recheck(struct pod_proxy *p);

/* A connection of the pod began and ended; list is &p->conns or &p->tunnels. */
void pod_proxy_add(struct pod_proxy *p, struct list *list, struct pod_conn *c);
void pod_proxy_remove(struct pod_proxy *p, struct pod_conn *c);
/* Something of it is over: it may be time to end. */
void pod_proxy_look_again(struct pod_proxy *p);
/* The workload this pod is, in the worker's present mesh; NULL when it is not there. */
const struct workload *pod_proxy_workload(const struct pod_proxy *p);

#endif
