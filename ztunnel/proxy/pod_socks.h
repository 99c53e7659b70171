/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pod_socks - the SOCKS listeners of one pod, and what resolves the names its clients ask for. Contract 7.8.
 *
 * One worker serves all of a pod's clients, as with DNS: so the pod's names are remembered once. A client is here until its
 * destination is an address; from then on it is an outbound connection like any other.
 */
#ifndef ZTUNNEL_PROXY_POD_SOCKS_H
#define ZTUNNEL_PROXY_POD_SOCKS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/list.h"
#include "common/dns/dns_resolver.h"
#include "common/dns/dns_upstream.h"
#include "common/io/loop.h"
#include "common/io/timer.h"
#include "ztunnel/steward/steward.h"

struct pod_proxy;

enum {
	/* Clients of a pod that are not connections yet: the oldest goes when there is one more. */
	POD_SOCKS_CLIENTS_MAX = 1024,
	POD_SOCKS_WAIT_MS = 15000, /* from accept until the destination is an address */
	POD_SOCKS_LOOK_MS = 50,    /* how often the pod is looked for in the mesh */
};

struct pod_socks_listener {
	struct op op;
	struct timer backoff;
	struct pod_socks *owner;
	int fd; /* -1: not there, or not any more */
};

/* Embedded in the pod's proxy; zero: nothing listens. */
struct pod_socks {
	struct pod_proxy *pod; /* NULL: not started */
	struct dns_sockets sockets;
	struct dns_upstream *upstream;
	struct dns_resolver *resolver;
	struct pod_socks_listener listeners[STEWARD_SOCKS_LISTENERS];
	struct list clients; /* struct socks_client, the oldest first */
	unsigned int count;
	bool going;
};

/* Serve, if this worker is the one and there are listeners. */
void pod_socks_start(struct pod_socks *s, struct pod_proxy *pod);
/* No new clients; those that are not connections yet end. The pod's proxy is told when all is over. */
void pod_socks_stop(struct pod_socks *s);
bool pod_socks_is_over(const struct pod_socks *s);

/* From socks_client: one ended. */
void pod_socks_left(struct pod_socks *s);

#endif
