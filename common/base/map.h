/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map - an intrusive hash table from bytes to whatever embeds a map_node. Pure. The hash is SipHash-1-3 under a
 * key of the table's own, so that peers who choose the keys cannot choose the collisions.
 */
#ifndef COMMON_BASE_MAP_H
#define COMMON_BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/check.h"
#include "common/base/span.h"

enum { MAP_EMBEDDED = 4 }; /* buckets a table has before it needs memory */

/* Embedded by what is stored. */
struct map_node {
	struct map_node *next; /* private: of the same bucket */
	uint64_t hash;         /* private */
	struct span key;       /* borrowed: must stay unchanged while the node is in a table */
};

struct map {
	struct map_node **heap;                  /* private: buckets, NULL while embedded ones do */
	struct map_node *embedded[MAP_EMBEDDED]; /* private */
	uint64_t seed[2];                        /* private */
	size_t mask;                             /* private: buckets - 1 */
	size_t count;                            /* nodes */
};

/* seed: 16 octets, from rand_system_bytes() where keys come from outside. */
void map_init(struct map *m, const uint8_t seed[16]);
/* Frees the buckets; the nodes are the caller's. */
void map_fini(struct map *m);

/* The node with this key, or NULL. */
struct map_node *map_get(const struct map *m, struct span key);
/*
 * Insert node under key (borrowed for as long as it stays). A node with an equal key is taken out and
 * returned, for the caller to free; else NULL. Never fails: without memory to grow, chains get longer.
 */
struct map_node *map_put(struct map *m, struct map_node *node, struct span key);
/* Take the node with this key out and return it, or NULL. */
struct map_node *map_remove(struct map *m, struct span key);

/*
 * Iteration in no order: start with after = NULL, ends with NULL. The table must not change meanwhile, but
 * for the node just passed: fetch the next first, then remove it.
 */
struct map_node *map_next(const struct map *m, const struct map_node *after);

#define map_entry(ptr, type, member) container_of(ptr, type, member)
#define map_for_each(it, m) \
	for (struct map_node *it = map_next(m, NULL); it != NULL; it = map_next(m, it))

/* SipHash-1-3 (Aumasson and Bernstein), for who needs a keyed hash alone. */
uint64_t map_hash(const uint64_t seed[2], struct span bytes);

#endif
