/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listener - open a plain TCP listening socket of this network namespace: admin, metrics, tests. (Sockets inside
 * pods come from the steward.)
 */
#ifndef COMMON_IO_LISTENER_H
#define COMMON_IO_LISTENER_H

#include <stdbool.h>

#include "common/base/err.h"
#include "common/base/netaddr.h"

struct listener_options {
	int backlog;     /* 0: the kernel's ceiling (net.core.somaxconn) */
	bool reuse_port; /* several listeners share the port, each with its own queue */
	bool v6_only;    /* an IPv6 wildcard does not take IPv4 as well */
};

/*
 * ep:   address and port to bind; port 0 lets the kernel choose. An address of family IP_NONE is the wildcard of
 *       IPv6 and IPv4, or of IPv4 alone on a kernel without IPv6.
 * opt:  NULL for the defaults
 * Errs: ERR_SYSTEM (errno says why); the descriptor is otherwise the caller's: non-blocking, CLOEXEC
 */
MUST_CHECK enum err listener_open(const struct endpoint *ep, const struct listener_options *opt,
                                  int *ret_fd);

/* Where a socket is bound. Errs: ERR_SYSTEM. */
MUST_CHECK enum err listener_endpoint(int fd, struct endpoint *ret_ep);

#endif
