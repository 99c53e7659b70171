/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pod_routing - routes, rules and sysctls inside a pod by which marked packets come back to the proxy. Drives.
 *
 * Inert for whatever carries no mark. No address is rewritten, nothing depends on conntrack.
 */
#ifndef ZTUNNEL_CAPTURE_POD_ROUTING_H
#define ZTUNNEL_CAPTURE_POD_ROUTING_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"
#include "ztunnel/capture/rtnl.h"
#include "ztunnel/capture/why.h"

struct capture_state;

enum {
	POD_ROUTING_TABLE = 100,
	/* both behind "local" (0), before "main" (32766) */
	POD_ROUTING_PRIORITY = 32764,
	POD_ROUTING_PRIORITY_VIRT = 32765, /* what inner devices bring */
};

enum pod_sysctl {
	POD_SYSCTL_FWMARK_ACCEPT, /* replies of an application to a spoofed client are marked like its SYN */
	POD_SYSCTL_V4_REFLECT, /* and so are resets, */
	POD_SYSCTL_V6_REFLECT, /* of both families */
	POD_SYSCTL_TW_REUSE, /* spoofed ports leave TIME_WAITs that must not stop a busy client, */
	POD_SYSCTL_TW_REUSE_DELAY, /* not even for a second: both ends are in this kernel (Linux 6.14) */
	POD_SYSCTL_LO_ACCEPT_LOCAL, /* questions turned back at the uplink come by lo from our own address */
	POD_SYSCTLS,
};

/*
 * Note in state what the sysctls are that have to change, unless it already says so: to be kept where the next
 * process finds it before anything is set. Call inside the pod's namespace. Errs: ERR_SYSTEM
 */
MUST_CHECK enum err pod_sysctls_remember(struct capture_state *state, char why[WHY_MAX]);
/* Set them. Call inside the pod's namespace. Errs: ERR_SYSTEM; pod_sysctls_restore undoes what was done */
MUST_CHECK enum err pod_sysctls_set(const struct capture_state *state, char why[WHY_MAX]);
/* Put back what state remembers. Call inside the pod's namespace. Errs: ERR_SYSTEM, after trying all */
MUST_CHECK enum err pod_sysctls_restore(struct capture_state *state, char why[WHY_MAX]);

/* What is steered beside marked packets. */
struct pod_steering {
	const char (*virts)
		[RTNL_NAME_MAX]; /* names of inner devices: what they bring counts as the pod's own */
	size_t virt_count;
	bool dns; /* their questions to resolvers, too */
};

/* Add routes and rules for each family with a global address among addrs. Errs: ERR_SYSTEM */
MUST_CHECK enum err pod_routes_add(struct rtnl *r, const struct rtnl_addr *addrs, size_t addr_count,
                                   const struct pod_steering *steering, char why[WHY_MAX]);
/* Remove the rules for inner devices of an earlier enrollment. Errs: ERR_SYSTEM */
MUST_CHECK enum err pod_routes_prune(struct rtnl *r, char why[WHY_MAX]);

#endif
