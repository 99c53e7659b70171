/* SPDX-License-Identifier: Apache-2.0 */
/*
 * authz_match - does a rule hold for a connection: the plain meaning of policies, one rule at a time. Pure.
 * Contract 8.3. Whatever is faster (authz_index) only chooses which rules are asked here.
 */
#ifndef COMMON_MESH_AUTHZ_MATCH_H
#define COMMON_MESH_AUTHZ_MATCH_H

#include <stdbool.h>

#include "common/base/netaddr.h"
#include "common/mesh/mesh.h"

/* A connection as policies see it, the identity taken apart once. */
struct authz_peer {
	struct ip source_ip;
	struct endpoint destination;
	bool identified;
	struct identity_parts id; /* all "" when not identified */
};

bool string_match_holds(const struct string_match *m, struct span text);
bool account_match_holds(const struct account_match *m, const struct authz_peer *peer);

/* No list of m holds a value and all of m was understood: then m is skipped, it never holds (8.3, 8.6). */
bool match_is_empty(const struct match *m);

/*
 * action: of r's policy; it says which way a match that was not understood leans
 *         (docs/decisions/0014-what-a-policy-means-when-part-of-it-is-not-understood.md)
 */
bool rule_holds(const struct rule *r, enum policy_action action, const struct authz_peer *peer);

#endif
