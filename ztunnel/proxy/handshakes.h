/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handshakes - how many inbound connections of a worker may be without a proven peer at once, in all and from one
 * address: whoever says hello and nothing more takes its own places, not everybody's. Pure.
 */
#ifndef ZTUNNEL_PROXY_HANDSHAKES_H
#define ZTUNNEL_PROXY_HANDSHAKES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/map.h"
#include "common/base/netaddr.h"

enum {
	HANDSHAKES_MAX = 1024,          /* of a worker: some 10 MB of unfinished handshakes */
	HANDSHAKES_OF_SOURCE_MAX = 128, /* of one address: at 5 ms each 25,000 a second */
};

struct handshakes {
	struct map sources; /* those with any */
	unsigned int count;
	uint64_t refused; /* since they were told of last; the owner's to reset */
};

struct handshake_source;

void handshakes_init(struct handshakes *h);
void handshakes_fini(struct handshakes *h); /* all places were given back */
/* A place for one from this address, to be given back; NULL: there is none, and it is counted. */
struct handshake_source *handshakes_take(struct handshakes *h, const struct ip *from);
void handshakes_give(struct handshakes *h, struct handshake_source *s);

#endif
