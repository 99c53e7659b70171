/* SPDX-License-Identifier: Apache-2.0 */
/*
 * live_table - the connections a worker carries now: re-judged when policies change, shown by the admin server.
 *
 * The worker adds, removes and judges; any thread may list. One lock, held for one entry's worth of work by the
 * worker and for one listing by others.
 */
#ifndef ZTUNNEL_PROXY_LIVE_TABLE_H
#define ZTUNNEL_PROXY_LIVE_TABLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/base/list.h"
#include "common/base/netaddr.h"

enum live_protocol { LIVE_TCP, LIVE_HBONE };

/* Embedded in the connection. */
struct live {
	struct list link;    /* private */
	const char *pod_uid; /* borrowed while in the table */
	bool inbound;
	enum live_protocol protocol;
	struct endpoint src; /* who connected */
	struct endpoint
		original_dst; /* to what: outbound as the application meant it, inbound the pod's own end */
	struct endpoint actual_dst; /* what is reached for it: the next hop, or the application */
	/* Inbound: is it still allowed? false: it was cut. Runs on the worker, without the lock. */
	bool (*judge)(struct live *l);
};

struct live_table {
	pthread_mutex_t lock;
	struct list all;
	size_t count;
};

void live_table_init(struct live_table *t);
void live_table_fini(struct live_table *t);
void live_add(struct live_table *t, struct live *l);
void live_remove(struct live_table *t, struct live *l);
/* Worker only: ask every inbound connection's judge. Returns how many were cut. */
size_t live_judge_all(struct live_table *t);

typedef void live_fn(void *arg, const struct live *l);
/* Any thread: fn for each, under the lock. */
void live_each(struct live_table *t, live_fn *fn, void *arg);

#endif
