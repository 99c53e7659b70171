/* SPDX-License-Identifier: Apache-2.0 */
/*
 * authz_world - random policies and connections from a seed, and the ways to rewrite policies that must not, or
 * may only one way, change who gets through.
 */
#ifndef TESTS_UNIT_COMMON_MESH_AUTHZ_WORLD_H
#define TESTS_UNIT_COMMON_MESH_AUTHZ_WORLD_H

#include "common/mesh/authz.h"
#include "common/mesh/mesh_arena.h"

enum {
	WORLD_POLICIES_MAX = 24,
	WORLD_QUESTIONS = 24,
};

struct world {
	struct mesh_arena
		*arena; /* of all that policies point to; shared by copies, freed with the first */
	struct policy policies[WORLD_POLICIES_MAX];
	size_t policy_count;
};

enum rewrite {
	REWRITE_SHUFFLE, /* everything in another order */
	REWRITE_DOUBLE,  /* and some of it twice */
	REWRITE_SPLIT,   /* a list of two values as two matches of its clause */
	REWRITE_GARBLE, /* some matches no longer understood: the only one that changes the meaning */
};

/* Up to half of WORLD_POLICIES_MAX policies. dice: changed */
void world_init(struct world *w, uint64_t *dice);
void world_fini(struct world *w);
/* One more policy, of this action, that counts. */
void world_add(struct world *w, enum policy_action action, uint64_t *dice);
/* The policies in other words; w must stay while they are used. */
struct world world_rewritten(const struct world *w, enum rewrite how, uint64_t *dice);
/* A mesh of one workload, "w" in namespace "default" that names half of all policies. */
struct mesh *world_mesh(const struct world *w);

/* Who may be allowed: a random connection. */
struct authz_facts world_question(uint64_t *dice);
bool world_allows(const struct mesh *m, const struct authz_facts *q);

#endif
