/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outbound - the life of one connection a pod's application opened: route (where to, through what), reach (a stream
 * on a warm tunnel, or a plain socket), relay, drain (land every op, write the one log line). Contract 7.2.
 */
#ifndef ZTUNNEL_PROXY_OUTBOUND_H
#define ZTUNNEL_PROXY_OUTBOUND_H

#include "common/base/err.h"
#include "common/base/netaddr.h"
#include "ztunnel/proxy/account.h"
#include "ztunnel/proxy/pod_proxy.h"

/* Whom the application asked to be connected, and who owes it a word on how that went. */
struct outbound_front {
	struct span granted; /* told in front of all else when the far end is reached */
	/* It is not, because of cause; status: of ERR_HBONE_STATUS. fd is the callee's. */
	void (*refused)(struct pod_proxy *pod, int fd, enum err cause, uint16_t status);
};

/*
 * Serve fd (taken on success) from src to dst, the original destination. front: NULL when it was captured.
 * Errs: ERR_MEMORY, ERR_OVERLOAD, ERR_DRAINED
 */
MUST_CHECK enum err outbound_start(struct pod_proxy *pod, int fd, const struct endpoint *src,
                                   const struct endpoint *dst, const struct outbound_front *front);

#endif
