/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pods_static - enrollment from a list: makes the node's captured pods equal to the wanted ones. Drives.
 *
 * Control thread only. New pods are enrolled, pods no longer wanted un-enrolled (capture ends at once, the rest
 * when they are drained). A pod whose namespace was replaced under the same name is both; one that is only described in
 * other words changes hands without a moment outside the mesh. Each pod fails alone: it is
 * pending and retried every 5 s while the others run (contract 2.6).
 */
#ifndef ZTUNNEL_PODS_PODS_STATIC_H
#define ZTUNNEL_PODS_PODS_STATIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/io/loop.h"
#include "ztunnel/pods/pods_table.h"
#include "ztunnel/steward/steward.h"

struct pods_static;

struct pods_static_events {
	/*
	 * The pod is enrolled. Hand every worker a reference; each takes its listeners and accepts on them.
	 * Until it does, connections wait in their backlog.
	 */
	void (*pod_up)(void *arg, struct pod *pod);
	/*
	 * The pod is to be drained: new connections no longer come. Workers close their listeners, say GOAWAY on
	 * tunnels and drop their references, connections drop theirs when they end.
	 */
	void (*pod_down)(void *arg, struct pod *pod);
	/*
	 * The drain's deadline passed, or the pod's namespace is gone, and somebody still holds the pod: end its
	 * connections. What has not landed soon after breaks, as what remains of capture goes then.
	 */
	void (*pod_cut)(void *arg, struct pod *pod);
	void *arg;
};

struct pods_static_options {
	struct pods_static_events events;
	uint32_t drain_ms; /* how long a pod that left may finish its connections */
};

/* steward, loop: borrowed until pods_static_free. Errs: none today */
MUST_CHECK enum err pods_static_new(struct steward *steward, struct loop *loop,
                                    const struct pods_static_options *opt,
                                    struct pods_static **ret_pods);
/*
 * These pods, and no others, are to run. The first call also ends with a sweep of what earlier processes left.
 *
 * wanted: copied; a uid or a netns that occurs twice is refused
 * Errs:   ERR_CONFIG, ERR_LIMIT, with text in why: the last accepted list stays in force
 */
MUST_CHECK enum err pods_static_apply(struct pods_static *ps, const struct pod_wanted *wanted,
                                      size_t count, char why[STEWARD_WHY_MAX]);
/* Wanted pods that do not run yet, and the reason of one of them ("" when none). For readiness and admin. */
size_t pods_static_pending(const struct pods_static *ps, const char **ret_why);
/* The first list was accepted and its sweep is over. */
bool pods_static_synced(const struct pods_static *ps);
const struct pods_table *pods_static_table(const struct pods_static *ps);

/*
 * Stop reconciling. Pods stay captured (closed when the process ends); references of the table are dropped.
 * Free when pods_static_stopped().
 */
void pods_static_stop(struct pods_static *ps);
bool pods_static_stopped(const struct pods_static *ps);
void pods_static_free(struct pods_static *ps);

#endif
