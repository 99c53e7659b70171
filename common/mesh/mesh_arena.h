/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh_arena - memory that is only ever given back all at once, and texts kept once. Pure.
 */
#ifndef COMMON_MESH_MESH_ARENA_H
#define COMMON_MESH_MESH_ARENA_H

#include <stddef.h>

#include "common/base/span.h"

struct mesh_arena;

/* Like mem_new: out of memory ends the process, there is no half-built mesh. */
struct mesh_arena *mesh_arena_new(void);
void mesh_arena_free(struct mesh_arena *a); /* NULL is allowed */
/* Zeroed, aligned for anything. size 0 gives a pointer too. */
void *mesh_arena_alloc(struct mesh_arena *a, size_t size);
/* A NUL-terminated copy; equal texts give the same pointer. */
const char *mesh_arena_intern(struct mesh_arena *a, struct span text);
size_t mesh_arena_bytes(const struct mesh_arena *a);

#endif
