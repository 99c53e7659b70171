/* SPDX-License-Identifier: Apache-2.0 */
/*
 * live_table - the connections a worker carries now: re-judged when policies change, shown by the admin server.
 *
 * The worker adds, removes and judges; one other thread may list. One lock, held for one entry's worth of work by the
 * worker and for a few entries' by a listing, which leaves it to the worker in between.
 *
 * Judging goes round: who waits for it stands in front, who was judged, or came since, behind. So it can be done in
 * parts with anything in between, a further change of policies included, and nobody is passed over.
 */
#ifndef ZTUNNEL_PROXY_LIVE_TABLE_H
#define ZTUNNEL_PROXY_LIVE_TABLE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/list.h"
#include "common/base/netaddr.h"

enum live_protocol { LIVE_TCP, LIVE_HBONE, LIVE_DOUBLE_HBONE };

enum {
	LIVE_JUDGED_MAX = 16, /* connections judged between two looks at the clock: 20 us, mostly */
	LIVE_LISTED_MAX =
		32, /* connections listed while the worker may have to wait: 50 us, mostly */
};

/* Embedded in the connection. */
struct live {
	struct list link;    /* private */
	uint32_t judged;     /* private: the round it was last judged in, or came in */
	uint32_t listed;     /* private: the last listing that has it, or that it came during */
	const char *pod_uid; /* borrowed while in the table, as are service and identity */
	const char *
		service; /* inbound: the service the client said it addressed; NULL: it said none */
	const char *identity; /* inbound: the peer's, as policies see it; NULL: plaintext */
	bool inbound;
	enum live_protocol protocol;
	struct endpoint src; /* who connected */
	struct endpoint
		original_dst; /* to what: outbound as the application meant it, inbound the pod's own end */
	struct endpoint actual_dst; /* what is reached for it: the next hop, or the application */
	/* Inbound: cut it unless it is still allowed. Runs on the worker, without the lock; NULL: nobody asks. */
	void (*judge)(struct live *l);
};

struct live_table {
	pthread_mutex_t lock;
	struct list all; /* private: not judged in this round first */
	size_t count;
	uint32_t round; /* private, as is all below */
	uint32_t listing;
	struct list bookmark; /* in all, behind what this listing has seen */
	atomic_bool wanted;   /* the worker waits for the lock */
};

void live_table_init(struct live_table *t);
void live_table_fini(struct live_table *t);
/* l counts as judged: by the policies the worker has now. */
void live_add(struct live_table *t, struct live *l);
void live_remove(struct live_table *t, struct live *l);
/* Worker only: policies changed, everybody in the table is to be judged. */
void live_judge_begin(struct live_table *t);
/* Worker only: ask the judges of up to LIVE_JUDGED_MAX. false: nobody is left to be judged. */
bool live_judge_some(struct live_table *t);

typedef void live_fn(void *arg, const struct live *l);
/* The control thread: fn for each that is there from beginning to end, once; under the lock. */
void live_each(struct live_table *t, live_fn *fn, void *arg);

#endif
