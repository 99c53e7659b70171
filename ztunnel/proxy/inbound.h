/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inbound - the life of one connection to an application of a captured pod, by CONNECT stream or in plaintext: judge
 * (where to, may it), dial the application as the client, relay, drain. Contract 7.5, 7.6, 8.
 */
#ifndef ZTUNNEL_PROXY_INBOUND_H
#define ZTUNNEL_PROXY_INBOUND_H

#include "common/base/err.h"
#include "common/base/netaddr.h"
#include "common/hbone/hbone_msg.h"
#include "ztunnel/proxy/pod_proxy.h"

struct inbound_tunnel;

/* A CONNECT on tunnel: granted or refused, here or later. */
void inbound_start_hbone(struct inbound_tunnel *tunnel, int32_t stream_id,
                         const struct hbone_request *req);
/* Plaintext: fd (taken on success) from src to dst, the original destination. Errs: ERR_MEMORY */
MUST_CHECK enum err inbound_start_plain(struct pod_proxy *pod, int fd, const struct endpoint *src,
                                        const struct endpoint *dst);

#endif
