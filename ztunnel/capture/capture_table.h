/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capture_table - the node's maps, by meaning. Drives the bpf(2) call only.
 */
#ifndef ZTUNNEL_CAPTURE_CAPTURE_TABLE_H
#define ZTUNNEL_CAPTURE_CAPTURE_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/capture_shared.h"
#include "common/base/err.h"
#include "common/base/netaddr.h"
#include "ztunnel/capture/why.h"

struct capture_table {
	int pods, hostns, podip, passconn, ztsock, stats; /* descriptors; borrowed */
};

/* What the programs call a pod. */
static inline uint32_t capture_id(uint64_t cookie)
{
	return (uint32_t)cookie;
}

struct capture_addr capture_addr_of(const struct ip *ip);

/* The node's own namespace. Errs: ERR_SYSTEM */
MUST_CHECK enum err capture_table_set_node(const struct capture_table *t, uint64_t cookie,
                                           char why[WHY_MAX]);
/* From now on its connects are captured. flags: CAPTURE_POD_*. Errs: ERR_SYSTEM, also when full */
MUST_CHECK enum err capture_table_add_pod(const struct capture_table *t, uint64_t cookie,
                                          uint32_t flags, char why[WHY_MAX]);
/* Idempotent. */
void capture_table_drop_pod(const struct capture_table *t, uint64_t cookie);
/* Cookies of captured pods, at most max; returns how many. */
size_t capture_table_pods(const struct capture_table *t, uint64_t *out, size_t max);

/* The node's processes reach these addresses past the proxy. Errs: ERR_SYSTEM */
MUST_CHECK enum err capture_table_add_addr(const struct capture_table *t, const struct ip *ip,
                                           uint64_t cookie, char why[WHY_MAX]);
/* Forget all addresses of a pod, and the connections its proxy had recorded. */
void capture_table_forget(const struct capture_table *t, uint64_t cookie);

/* Let the programs know a socket as the proxy's, before it connects or listens. 0, or -errno. Any thread. */
int capture_table_own_socket(const struct capture_table *t, int fd, enum capture_ztsock_kind kind);

/* A counter, over all processors. */
uint64_t capture_table_stat(const struct capture_table *t, enum capture_stat which);

#endif
