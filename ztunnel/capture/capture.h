/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capture - what eBPF capture needs once per node: shared maps and the program at the root cgroup. Drives.
 *
 * Everything is pinned and survives the process; a new process finds it, and replaces a program in place when its
 * own is another one. Pods are capture_pod's.
 */
#ifndef ZTUNNEL_CAPTURE_CAPTURE_H
#define ZTUNNEL_CAPTURE_CAPTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "ztunnel/capture/capture_link.h"
#include "ztunnel/capture/capture_pins.h"
#include "ztunnel/capture/capture_table.h"
#include "ztunnel/capture/why.h"

struct capture_egress;

struct capture {
	char root[PIN_ROOT_MAX + 1];
	struct capture_table table;
	struct capture_egress *egress;     /* private */
	struct program_tag ingress, guard; /* of the programs this build would attach in a pod */
	bool without_tcx;                  /* guard by clsact */
};

/* root, cgroup_root: as steward_options. node_cookie: of the node's namespace. Errs: ERR_CONFIG, ERR_SYSTEM */
MUST_CHECK enum err capture_start(const char *root, const char *cgroup_root, uint64_t node_cookie,
                                  struct capture **ret_capture, char why[WHY_MAX]);
/* Closes descriptors; all stays in force. */
void capture_stop(struct capture *c);

/* Cookies of the pods under the root, at most max; returns how many. */
size_t capture_pinned(const struct capture *c, uint64_t *out, size_t max);

#endif
