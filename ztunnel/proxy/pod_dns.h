/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pod_dns - the DNS proxy of one captured pod: servers on its sockets, a forwarder that asks from inside it. Contract 9.
 *
 * One worker serves all questions of a pod: they are few, and so a pod has one cache, and two sockets a family. The
 * pods are spread over the workers by their numbers.
 */
#ifndef ZTUNNEL_PROXY_POD_DNS_H
#define ZTUNNEL_PROXY_POD_DNS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/dns/dns_upstream.h"

struct pod_proxy;
struct dns_server;

enum {
	POD_DNS_SERVERS = 2,     /* one for each family */
	POD_DNS_GRACE_MS = 2000, /* for questions on their way when the pod leaves */
};

struct pod_dns_server {
	struct pod_dns *owner;
	struct dns_server *server; /* NULL: not there, or not any more */
};

/* Embedded in the pod's proxy; zero: no DNS proxy runs. */
struct pod_dns {
	struct pod_proxy *pod;
	struct dns_sockets sockets; /* how the forwarder gets sockets inside the pod */
	struct dns_upstream *upstream;
	struct pod_dns_server servers[POD_DNS_SERVERS];
	unsigned int running;
};

/* Serve, if this worker is the one and the pod's questions are captured. */
void pod_dns_start(struct pod_dns *d, struct pod_proxy *pod);
/* No new questions; those on their way are answered within the grace. The pod's proxy is told when all is over. */
void pod_dns_drain(struct pod_dns *d);
/* The same, at once. */
void pod_dns_cut(struct pod_dns *d);
/* Nothing runs, or nothing any more. */
bool pod_dns_is_over(const struct pod_dns *d);

#endif
