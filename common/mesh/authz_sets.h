/* SPDX-License-Identifier: Apache-2.0 */
/*
 * authz_sets - the policies that apply together: of everywhere, of a namespace, of a workload's own list; and who
 * of them matches first. Pure. Contract 8.1.
 *
 * Built with the mesh, in its arena; workloads with the same list share a set. Long sets are indexed, short ones
 * are faster gone through; both ways give the same answer.
 */
#ifndef COMMON_MESH_AUTHZ_SETS_H
#define COMMON_MESH_AUTHZ_SETS_H

#include "common/mesh/authz_index.h"
#include "common/mesh/mesh_table.h"

enum {
	AUTHZ_PLAIN_RULES_MAX =
		8, /* up to here asking every rule costs less than looking keys up */
	/*
	 * Of all indexes of a mesh: 20 to 40 octets each. A hundred times what large clusters hold; without it, many
	 * workloads each with its own long list could fill memory.
	 */
	AUTHZ_INDEXED_RULES_MAX = 8 * 1024 * 1024,
};

struct authz_set {
	struct policy_list list;
	bool indexed;
	const struct authz_index *parts[2][2]; /* by action, dry run; NULL: no such policy */
	bool exists[2][2];
};

/* Which of a set's policies a question is about. */
struct authz_part {
	enum policy_action action;
	bool dry_run;
};

struct authz_sets;

/*
 * Give every workload of m its set. m is about to be sealed, its policies joined.
 *
 * scoped:      policies of everywhere ("") and of namespaces, sorted by that
 * indexed_max: rules in all indexes, usually AUTHZ_INDEXED_RULES_MAX; sets beyond stay without
 */
struct authz_sets *authz_sets_new(struct mesh *m, struct policy_list scoped, size_t indexed_max);
/* The policies of a namespace, "" for those of everywhere; an empty set if there are none. */
const struct authz_set *authz_sets_of_namespace(const struct authz_sets *s, const char *namespace);
/* "" for a policy of everywhere (contract 3.9). */
const char *authz_sets_namespace(const struct policy *p);

/*
 * The first rule that holds of each of the first policies of a part that have one, in the order of the list.
 * want: 1..AUTHZ_FIND_MAX, room in out. Returns how many were found.
 */
size_t authz_set_find(const struct authz_set *set, struct authz_part part,
                      const struct authz_peer *peer, struct authz_hit *out, size_t want);
/* The same by asking every rule: what the other is tested and measured against. */
size_t authz_set_find_plainly(const struct authz_set *set, struct authz_part part,
                              const struct authz_peer *peer, struct authz_hit *out, size_t want);

#endif
