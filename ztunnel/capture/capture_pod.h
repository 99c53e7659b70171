/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capture_pod - the maps and programs of one captured pod. Drives.
 */
#ifndef ZTUNNEL_CAPTURE_CAPTURE_POD_H
#define ZTUNNEL_CAPTURE_CAPTURE_POD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/capture_shared.h"
#include "common/base/err.h"
#include "ztunnel/capture/capture.h"
#include "ztunnel/capture/rtnl.h"
#include "ztunnel/capture/why.h"

struct capture_pod_maps {
	uint64_t cookie;
	int cfg, own, virt, socks, state; /* descriptors */
	bool fresh; /* some were made now, none of another process were found */
};

/* Whether the kernel takes the programs of a pod, and their tags. Errs: ERR_SYSTEM */
MUST_CHECK enum err capture_pod_probe(struct capture *c, char why[WHY_MAX]);

/* Find or make the pod's pinned maps. Errs: ERR_SYSTEM; nothing new is left */
MUST_CHECK enum err capture_pod_open(const struct capture *c, uint64_t cookie,
                                     struct capture_pod_maps *ret_maps, char why[WHY_MAX]);
void capture_pod_close(struct capture_pod_maps *m);

/* What is to be known after a restart. */
MUST_CHECK enum err capture_pod_load_state(const struct capture_pod_maps *m,
                                           struct capture_state *ret_state, char why[WHY_MAX]);
MUST_CHECK enum err capture_pod_save_state(const struct capture_pod_maps *m,
                                           const struct capture_state *state, char why[WHY_MAX]);

MUST_CHECK enum err capture_pod_configure(const struct capture_pod_maps *m,
                                          const struct capture_cfg *cfg, char why[WHY_MAX]);
/* The pod's addresses are these and no others. Errs: ERR_SYSTEM, ERR_LIMIT */
MUST_CHECK enum err capture_pod_set_own(const struct capture_pod_maps *m,
                                        const struct rtnl_addr *addrs, size_t n, char why[WHY_MAX]);
/* The inner devices are these and no others. Errs: ERR_SYSTEM */
MUST_CHECK enum err capture_pod_set_virts(const struct capture_pod_maps *m,
                                          const uint32_t *ifindexes, size_t n, char why[WHY_MAX]);
MUST_CHECK enum err capture_pod_set_listener(const struct capture_pod_maps *m,
                                             enum capture_kind kind, uint32_t worker, int fd,
                                             char why[WHY_MAX]);
/* The same into a slot that stands empty. false: it does not, or the kernel refuses. */
bool capture_pod_refill_listener(const struct capture_pod_maps *m, enum capture_kind kind,
                                 uint32_t worker, int fd);
/* Slots of workers from this one on, of that kind, give nothing: the kernel refuses. */
void capture_pod_clear_listeners(const struct capture_pod_maps *m, enum capture_kind kind,
                                 uint32_t from_worker);

/* Inbound capture of this program is in force. */
bool capture_pod_is_attached(const struct capture *c, uint64_t cookie);
/* Capture what arrives, by now configured. netns_fd: the pod's. Errs: ERR_SYSTEM */
MUST_CHECK enum err capture_pod_attach(const struct capture *c, const struct capture_pod_maps *m,
                                       int netns_fd, char why[WHY_MAX]);
/* No longer. Idempotent. */
void capture_pod_detach(const struct capture *c, uint64_t cookie);

/* Guard these devices; call inside the pod's namespace. Errs: ERR_SYSTEM */
MUST_CHECK enum err capture_pod_guard(const struct capture *c, const struct capture_pod_maps *m,
                                      const struct rtnl_link *links, size_t n, char why[WHY_MAX]);
/* Of a guard by clsact; one by links goes with the pins. Call inside the pod's namespace. */
void capture_pod_unguard(const struct rtnl_link *links, size_t n);

#endif
