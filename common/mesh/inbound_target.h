/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inbound_target - where an inbound stream may go: checks the CONNECT authority against the pod it arrived at.
 * Pure. Contract 7.5 steps 3 to 6, 7.6.
 */
#ifndef COMMON_MESH_INBOUND_TARGET_H
#define COMMON_MESH_INBOUND_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/netaddr.h"
#include "common/mesh/mesh.h"

/* All borrowed. */
struct inbound_query {
	const struct mesh *mesh;
	const struct workload *local; /* the pod; NULL gives ERR_NO_WORKLOAD */
	const char *network;          /* of this node */
	struct ip local_ip;           /* D: the local address of the TCP connection */
	bool is_host;                 /* the authority is host:port, not ip:port */
	struct endpoint ep;           /* of an IP authority, as parsed */
	const char *host;             /* of a name */
	uint16_t port;                /* of a name */
	const uint16_t *own_ports;    /* the proxy's, never a destination */
	size_t own_port_count;
	bool localhost_app_tunnel; /* LOCALHOST_APP_TUNNEL */
};

struct inbound_target {
	struct endpoint upstream; /* what policy judges and the log shows */
	struct endpoint
		connect;     /* where to connect: upstream, unless an app tunnel says loopback */
	bool proxy_protocol; /* send a PROXY header first (contract 6.9) */
	struct endpoint
		told; /* the destination in it: the authority, or an address of the service it names */
	bool loopback; /* connect is loopback: come from there, too, not from the peer's address */
	const struct service *service; /* named by the authority, or NULL */
};

/*
 * Errs: ERR_NO_WORKLOAD; ERR_HBONE_AUTHORITY (the address is not this pod's: 400); ERR_NO_SERVICE, ERR_NO_VIP (503);
 *       ERR_LOOP (503)
 */
MUST_CHECK enum err inbound_target_hbone(const struct inbound_query *q,
                                         struct inbound_target *ret_target);
/* Plaintext that arrived for ep, the original destination. Errs: ERR_NO_WORKLOAD, ERR_LOOP */
MUST_CHECK enum err inbound_target_plain(const struct inbound_query *q,
                                         struct inbound_target *ret_target);

/*
 * The service a connection counts for in telemetry (7.5): the one of the target, else the one named by
 * forwarded_host ("" or NULL: none), else the first of the pod's with that port; NULL = unknown.
 */
const struct service *inbound_target_service(const struct inbound_query *q,
                                             const struct inbound_target *target,
                                             const char *forwarded_host);

#endif
