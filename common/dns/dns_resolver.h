/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_resolver - addresses of host names that workloads are known by, resolved at connect time. Contract 9.6. Drives; one per worker.
 *
 * Both families at once (IPv4 alone without IPv6), 4096 names remembered for as long as their TTL says, one question
 * for any number of waiters.
 */
#ifndef COMMON_DNS_DNS_RESOLVER_H
#define COMMON_DNS_DNS_RESOLVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/list.h"
#include "common/base/netaddr.h"
#include "common/dns/dns_ask.h"
#include "common/io/loop.h"

struct dns_resolver;
struct dns_lookup;
typedef void dns_lookup_fn(struct dns_lookup *l);

enum {
	DNS_RESOLVER_NAMES_MAX = 4096, /* contract 9.6 */
	DNS_LOOKUP_ADDRS_MAX = 16,     /* of one family: a choice among more is no better */
};

struct dns_resolver_options {
	struct dns_forwarder
		*forwarder; /* borrowed: usually of a dns_upstream with dns_sockets_here */
	bool ipv6;
	size_t names_max; /* 0: DNS_RESOLVER_NAMES_MAX */
};

/* Embedded by the waiter; the results are readable from done() on. */
struct dns_lookup {
	struct ip ret_addrs[2 *
	                    DNS_LOOKUP_ADDRS_MAX]; /* IPv4 first, each family in the order given */
	size_t ret_count;
	enum err ret_err;
	dns_lookup_fn *done; /* private, as all that follows */
	struct list link;
	struct op post;
	struct dns_resolver *resolver;
	bool waiting;
};

struct dns_resolver *dns_resolver_new(struct loop *loop, const struct dns_resolver_options *opt);
/* No lookup may be waiting. */
void dns_resolver_free(struct dns_resolver *r);

/*
 * hostname: borrowed for the call. done() runs once, from loop_turn(), never inside this call.
 * Errs (ret_err): ERR_RESOLVE the name has no address, or no nameserver answers; ERR_PARSE no host name; ERR_CANCELLED
 */
void dns_lookup_start(struct dns_lookup *l, struct dns_resolver *r, const char *hostname,
                      dns_lookup_fn *done);
/* End early: done() follows soon with ERR_CANCELLED. Harmless when it is over. */
void dns_lookup_cancel(struct dns_lookup *l);

#endif
