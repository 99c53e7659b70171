/* SPDX-License-Identifier: Apache-2.0 */
/*
 * next_hop - where an outbound connection really goes, and whom to expect there. Pure. Contract 7.2.
 */
#ifndef COMMON_MESH_NEXT_HOP_H
#define COMMON_MESH_NEXT_HOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/netaddr.h"
#include "common/mesh/mesh.h"

/* All borrowed. */
struct next_hop_query {
	const struct mesh *mesh;
	const struct workload *source;
	struct endpoint client;    /* the application's end */
	struct endpoint target;    /* where it meant to go: the original destination */
	const char *network;       /* of this node */
	uint16_t hbone_port;       /* 15008 */
	const uint16_t *own_ports; /* the proxy's, never a destination */
	size_t own_port_count;
	uint64_t dice; /* fresh random bits: all the chance there is */
};

enum next_hop_kind {
	NEXT_HOP_REFUSE, /* cause says why */
	NEXT_HOP_PLAIN,  /* TCP to connect, as it is */
	NEXT_HOP_HBONE,  /* mutual TLS to connect, CONNECT authority */
	/*
	 * Likewise, to the gateway of another network; within its stream a second HBONE connection, to whomever the
	 * gateway picks there, with the same authority (contract 6.6).
	 */
	NEXT_HOP_DOUBLE_HBONE,
};

/* How the decision came about, for people: next_hop_words(). */
enum next_hop_reason {
	NEXT_HOP_NO_SOURCE,
	NEXT_HOP_OWN_PORT,
	NEXT_HOP_UNKNOWN_ADDRESS,
	NEXT_HOP_PASSTHROUGH_SERVICE,
	NEXT_HOP_NO_ENDPOINT,
	NEXT_HOP_NO_ADDRESS,
	NEXT_HOP_NO_GATEWAY,
	NEXT_HOP_NO_SERVICE,
	NEXT_HOP_GATEWAY_UNRESOLVED,
	NEXT_HOP_WAYPOINT_UNRESOLVED,
	NEXT_HOP_SERVICE_WAYPOINT,
	NEXT_HOP_WORKLOAD_WAYPOINT,
	NEXT_HOP_SERVICE_ENDPOINT,
	NEXT_HOP_WORKLOAD_ADDRESS,
	NEXT_HOP_NETWORK_GATEWAY,
};

/* Pointers are into the mesh of the query: hold it, or copy, for as long as they are used. */
struct next_hop {
	enum next_hop_kind kind;
	enum err cause; /* ERR_OK unless kind is REFUSE */
	enum next_hop_reason reason;
	struct endpoint connect;   /* its ip is missing while hostname is set */
	const char *hostname;      /* to be resolved first: next_hop_resolved(); NULL: nothing is */
	struct endpoint authority; /* of HBONE: CONNECT's :authority */
	const char *authority_host;    /* of DOUBLE_HBONE: in place of authority's ip; else NULL */
	bool authority_is_connect;     /* authority's ip is connect's */
	bool passthrough;              /* PLAIN to an address the mesh does not know */
	const struct workload *dst;    /* whom the connection reaches; NULL: unknown */
	const struct service *service; /* the service it was addressed to; NULL: none */
	const struct gateway_address *waypoint; /* the waypoint's reference, if one was chosen */
	const struct gateway_address *gateway;  /* the network gateway's, likewise */
	/* Who may be at connect (HBONE): each of these, and dst's own identity. */
	const struct service *san_service; /* whose identities also count; NULL: none */
	/* Who may end the inner connection (DOUBLE_HBONE): these alone. */
	const struct service *inner_service;
};

enum { NEXT_HOP_WORDS_MAX = 320 };

void next_hop_choose(const struct next_hop_query *q, struct next_hop *ret_hop);

/*
 * The addresses hop->hostname has: connect gets one, of target's family if there is any (contract 7.2.2).
 * Errs: ERR_RESOLVE when n is 0
 */
MUST_CHECK enum err next_hop_resolved(struct next_hop *hop, const struct ip *ips, size_t n,
                                      const struct ip *target, uint64_t dice);

/* Identities to expect, for HBONE at least one: "spiffe://td/ns/x/sa/y"; i < count. */
size_t next_hop_identity_count(const struct next_hop *hop);
const char *next_hop_identity(const struct next_hop *hop, size_t i);
/* Likewise at the end of the inner connection of DOUBLE_HBONE; none: nobody can be trusted there. */
size_t next_hop_inner_identity_count(const struct next_hop *hop);
const char *next_hop_inner_identity(const struct next_hop *hop, size_t i);

/* A sentence for `explain` and the log; returns out. */
const char *next_hop_words(const struct next_hop *hop, char out[NEXT_HOP_WORDS_MAX]);

#endif
