/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_upstream - asks the nameservers of resolv.conf, by c-ares on our loop: retries, fail-over, TCP where an answer does not
 * fit, and a cache whose TTLs count down. Contract 9.5. Drives; belongs to one loop.
 *
 * Queries go out octet by octet as they came, but for the id. Sockets come from a callback, as those of a pod must be made
 * inside its network namespace; they are asked for with the first question, and given back when it has been quiet.
 */
#ifndef COMMON_DNS_DNS_UPSTREAM_H
#define COMMON_DNS_DNS_UPSTREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/snapshot.h"
#include "common/dns/dns_ask.h"
#include "common/dns/resolv_conf.h"
#include "common/io/loop.h"

struct dns_upstream;

/* A socket being made. Embedded by the waiter. */
struct dns_socket_ask {
	struct op op; /* res: a non-blocking descriptor, the waiter's, or -errno */
	int family;   /* AF_INET, AF_INET6 */
	int type;     /* SOCK_DGRAM, SOCK_STREAM */
	int ret_fd;   /* for the maker's use */
	void *maker;  /* for the maker's use */
};

/*
 * Who makes sockets. open() is asynchronous: done(&ask->op) runs once, later, on this loop. A maker that asks somebody else ends with
 * loop_post(loop, &ask->op, res, done).
 */
struct dns_sockets {
	void (*open)(struct dns_sockets *s, struct loop *loop, struct dns_socket_ask *ask,
	             op_done_fn *done);
};

/* Makes them here, in the network namespace of the process. */
extern struct dns_sockets dns_sockets_here;

struct dns_upstream_options {
	struct dns_sockets *sockets; /* borrowed */
	struct snapshot_cell
		*config;        /* borrowed: of struct resolv_conf, looked at with every question */
	uint16_t port;          /* of the nameservers; 0: 53 */
	size_t asks_max;        /* on their way at once; 0: DNS_ASKS_MAX */
	size_t cache_bytes_max; /* 0: DNS_CACHE_BYTES_MAX */
};

enum {
	DNS_ASKS_MAX = 256, /* more than that unanswered is a flood, or a dead nameserver */
	DNS_CACHE_BYTES_MAX = 128 * 1024, /* some five hundred answers */
};

struct dns_upstream *dns_upstream_new(struct loop *loop, const struct dns_upstream_options *opt);
struct dns_forwarder *dns_upstream_forwarder(struct dns_upstream *u);
/* Cancels all asks (their done() still runs, from the loop) and frees u when the last op has landed. */
void dns_upstream_free(struct dns_upstream *u);

#endif
