/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_query_end - one question of a pod, from its octets to the octets of its answer: refused, answered from the mesh, or
 * forwarded. Counts and logs it. How it came and how the answer leaves is the server's business. Drives, through the forwarder.
 */
#ifndef COMMON_DNS_DNS_QUERY_END_H
#define COMMON_DNS_DNS_QUERY_END_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/list.h"
#include "common/base/rand.h"
#include "common/dns/dns_ask.h"
#include "common/dns/dns_msg.h"
#include "common/dns/dns_server.h"
#include "common/io/loop.h"

struct dns_query_end;
typedef void dns_query_end_fn(struct dns_query_end *e);

/* What all questions of a server have in common. */
struct dns_judge {
	struct loop *loop;
	const struct dns_server_options *opt;
	struct rand dice;
	struct ip *addrs; /* room for DNS_ADDRS_MAX, from the first answer on */
};

/* Embedded by the waiter. */
struct dns_query_end {
	struct dns_judge *judge;
	struct span msg; /* borrowed until done */
	bool tcp;
	struct buf out; /* the answer; empty: there is to be none */
	dns_query_end_fn *done;
	struct dns_query query; /* private, as all that follows */
	struct dns_ask ask;
	bool forwarding;
	uint64_t started_ns;
	uint64_t deadline_ms; /* for the pod to be known */
	struct list parked;   /* for the server: waits for its pod to be known */
};

enum dns_query_state {
	DNS_QUERY_DONE,  /* out is filled in, or empty: say nothing; done() was not run */
	DNS_QUERY_FLIES, /* done() will run from the loop */
	DNS_QUERY_PARKED, /* the pod is not known: call dns_query_end_run again, until it is not this */
};

/* msg, tcp and done are set. */
void dns_query_end_init(struct dns_query_end *e, struct dns_judge *judge);
enum dns_query_state dns_query_end_run(struct dns_query_end *e);
/* Of one that flies: done() follows soon, with an empty answer. */
void dns_query_end_cancel(struct dns_query_end *e);
void dns_query_end_fini(struct dns_query_end *e); /* not while it flies */

#endif
