/* SPDX-License-Identifier: Apache-2.0 */
/*
 * authz_filing - builds an authz_index: decides for every rule what it is filed under. Pure.
 *
 * For each rule, of all that must be true for it to hold, what the fewest other rules need; rules that say the
 * same are filed once. In n rules with v values this takes O((n + v) log n) time and O(n + v) memory, whatever
 * they say.
 */
#ifndef COMMON_MESH_AUTHZ_FILING_H
#define COMMON_MESH_AUTHZ_FILING_H

#include "common/mesh/authz_index.h"
#include "common/mesh/mesh_table.h"

/* Of the policies in list with this action and dryness; NULL if there is none. m is not sealed yet. */
const struct authz_index *authz_filing_new(struct mesh *m, struct policy_list list,
                                           enum policy_action action, bool dry_run);

#endif
