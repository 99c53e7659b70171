/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inbound_tunnel - one HBONE connection to a pod of this node: TLS with the pod's certificate, then CONNECT streams,
 * each an inbound connection of its own. Contract 7.5.
 */
#ifndef ZTUNNEL_PROXY_INBOUND_TUNNEL_H
#define ZTUNNEL_PROXY_INBOUND_TUNNEL_H

#include "common/base/err.h"
#include "common/base/netaddr.h"
#include "common/hbone/hbone_server.h"
#include "ztunnel/proxy/pod_proxy.h"

struct inbound_tunnel {
	struct pod_conn conn;
	struct pod_proxy *pod;
	struct hbone_server server;
	struct endpoint src, dst; /* of the TCP connection */
	uint64_t started_ms;
	bool verified;
	struct handshake_source *place; /* among the unfinished handshakes; NULL once given back */
	int fd;                         /* until the server has it */
	uint64_t give_up_ms;
	struct timer look; /* for a certificate that is not there yet */
	struct loop_retired retired;
};

/* Serve fd (taken on success). Errs: ERR_MEMORY */
MUST_CHECK enum err inbound_tunnel_start(struct pod_proxy *pod, int fd, const struct endpoint *src,
                                         const struct endpoint *dst);
/* GOAWAY; streams finish. c: a member of pod_proxy.tunnels. */
void inbound_tunnel_drain(struct pod_conn *c);

#endif
