/* SPDX-License-Identifier: Apache-2.0 */
/*
 * authz_needs - what must be true for a rule to hold, read off the rule before any peer is known. Pure.
 *
 * A match is dead if it can hold for nobody: it is empty, or it was not understood and would allow. One that was
 * not understood and would deny holds for everybody, so its clause asks for nothing.
 */
#ifndef COMMON_MESH_AUTHZ_NEEDS_H
#define COMMON_MESH_AUTHZ_NEEDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/mesh/authz_atom.h"

/* How many rules name a key, about: keys that share a slot share a count. */
struct key_counts {
	uint32_t *v; /* private */
	size_t mask; /* private */
};

void key_counts_init(struct key_counts *c, size_t rules);
void key_counts_fini(struct key_counts *c);

bool match_is_dead(const struct match *m, enum policy_action action);
/* No clause is made of dead matches only. */
bool rule_can_hold(const struct rule *r, enum policy_action action);
/* For whom it can hold: everybody, who has an identity, who has none (which is how STRICT is written). */
enum rule_audience { FOR_EVERYBODY, FOR_IDENTIFIED, FOR_PLAINTEXT, RULE_AUDIENCES };
enum rule_audience rule_audience(const struct rule *r, enum policy_action action);

/* What one match needs: one of the values of field. cost NEED_NOTHING: none is needed. */
struct match_need {
	enum atom_field field;
	uint64_t cost; /* about how many rules a peer that has it must ask */
};
#define NEED_NOTHING UINT64_MAX

/* counts: of rule_count_needs() over all rules */
void rule_count_needs(const struct rule *r, enum policy_action action, struct key_counts *counts);
struct match_need match_need_of(const struct match *m, const struct key_counts *counts);
/* The clause of r, if any, all of whose living matches need something; of several the cheapest. */
const struct clause *rule_key_clause(const struct rule *r, enum policy_action action,
                                     const struct key_counts *counts);

/* A value that, if true of the peer, keeps r from holding; of several the one most rules share. false: none. */
void rule_count_vetoes(const struct rule *r, enum policy_action action, struct key_counts *counts);
bool rule_veto(const struct rule *r, enum policy_action action, const struct key_counts *counts,
               struct atom *ret_veto);

/* Word for word the same, values in the same order. */
bool rule_same(const struct rule *a, const struct rule *b);
/* Equal for rules that are the same. */
uint64_t rule_hash(const struct rule *r);

#endif
