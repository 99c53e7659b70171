/* SPDX-License-Identifier: Apache-2.0 */
/*
 * authz_index - the rules of many policies, filed so that few of them need to be asked. Pure.
 *
 * A rule that can only hold when something is true of the peer (its port is 8080, its principal is p) is filed
 * under the keys of what it needs, the rarest such set; a peer's own keys lead to it. The others, made of
 * negations, stand by audience in groups that one condition rules out as a whole. Either way the answer comes from
 * rule_holds(), and of several rules that hold the first in order is found.
 *
 * Lives in the mesh's arena and never changes.
 */
#ifndef COMMON_MESH_AUTHZ_INDEX_H
#define COMMON_MESH_AUTHZ_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/mesh/authz_atom.h"
#include "common/mesh/authz_needs.h"

struct authz_hit {
	const struct policy *policy;
	size_t rule; /* from 0 */
};

/* Some of all rules, by their place in the order of policies and rules. */
struct authz_places {
	const uint32_t *v; /* ascending */
	size_t n;
};

/* Rules that cannot hold if the veto does. */
struct authz_group {
	struct atom veto; /* match NULL: none */
	struct authz_places rules;
};

struct authz_groups {
	const struct authz_group *v; /* by their first rule */
	size_t n;
};

/* Patterns in use of one text field, so that only their keys are looked for; lengths ascending, no two alike. */
struct authz_texts {
	bool exact;
	struct authz_places prefix_lens, suffix_lens;
};

enum { AUTHZ_PREFIX_LENS = 129 }; /* 0 to 128 bits */

struct authz_rule_ref {
	const struct policy *policy;
	uint32_t rule;
};

struct authz_index {
	enum policy_action action;
	const struct authz_rule_ref *rules; /* in order */
	size_t rule_count;
	const uint64_t *keys; /* ascending, no two alike */
	size_t key_count;
	const uint32_t *starts; /* of a key's places; one more than keys */
	const uint32_t *places;
	const uint32_t
		*directory; /* of the first key with these top bits; one more than 1 << bits */
	unsigned int directory_bits;
	struct authz_groups groups[RULE_AUDIENCES];
	bool ports, accounts; /* such keys exist */
	struct authz_texts principals, namespaces;
	bool source_lens[AUTHZ_PREFIX_LENS], destination_lens[AUTHZ_PREFIX_LENS];
};

enum { AUTHZ_FIND_MAX = 33 };

/*
 * The first rule that holds of each of the first policies that have one, in order.
 *
 * want: how many policies at most, 1..AUTHZ_FIND_MAX; out has room for them
 * Returns how many were found.
 */
size_t authz_index_find(const struct authz_index *x, const struct authz_peer *peer,
                        struct authz_hit *out, size_t want);

#endif
