/* SPDX-License-Identifier: Apache-2.0 */
/*
 * route - where one outbound connection goes: the decision, kept with the mesh it points into until the way is made;
 * and what is said on the way, to the next hop and through it. Contract 7.2, 6.1.
 */
#ifndef ZTUNNEL_PROXY_ROUTE_H
#define ZTUNNEL_PROXY_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/hbone/hbone_msg.h"
#include "common/hbone/hbone_pool.h"
#include "common/http/http_authority.h"
#include "common/mesh/next_hop.h"
#include "common/tls/tls_config.h"
#include "ztunnel/proxy/account.h"
#include "ztunnel/proxy/pod_proxy.h"

/* Embedded; zeroed is empty. */
struct route {
	struct next_hop hop;
	const struct workload *self;
	const char *identity;            /* as whom we go; borrowed from the pod */
	struct http_authority authority; /* of a tunnel */
	char authority_text[HTTP_AUTHORITY_TEXT_MAX];
	struct mesh *mesh;         /* private: a reference, what hop and self point into */
	struct tls_config *config; /* private: a reference, of a tunnel */
	uint64_t dice[3];          /* private: of the trace */
};

/*
 * Decide. Errs: the hop's cause when it refuses, and, worth another try soon: ERR_NO_WORKLOAD when the pod's own
 * workload is not known, ERR_IDENTITY when a tunnel is to be made and there is no certificate: r then tells all but how
 * to go. r must be empty.
 */
MUST_CHECK enum err route_choose(struct route *r, const struct pod_proxy *pod,
                                 const struct endpoint *client, const struct endpoint *target);
void route_fini(struct route *r);

bool route_tunnels(const struct route *r); /* by HBONE, once or twice */
bool route_nests(const struct route *r);   /* twice */
/* The hop's address is known: name the authority. Errs: ERR_CONFIG: the service's name is no host name */
MUST_CHECK enum err route_settle(struct route *r);

/* The CONNECT head for the next hop, or (inner) for whoever is behind the gateway. f: empty. Errs: ERR_LIMIT */
MUST_CHECK enum err route_head(const struct route *r, const struct endpoint *client, bool inner,
                               const char *network, struct hbone_fields *f);
/* Who may be at the next hop, or (inner) behind it. Points into the mesh. Errs: ERR_LIMIT: more than identities take */
MUST_CHECK enum err route_identities(const struct route *r, bool inner,
                                     const char *identities[HBONE_KEY_IDENTITIES_MAX],
                                     unsigned int *ret_count);
/* What the connection is counted as; src and dst are the next hop's. */
struct account_facts route_facts(const struct route *r, const struct endpoint *client);

#endif
