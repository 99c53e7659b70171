/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot - publish an immutable, counted value from one thread to many.
 *
 * The publisher swaps the value; each reader compares a generation once per turn (one relaxed atomic
 * load) and takes a counted reference only when it changed. Nothing is ever edited in place.
 */
#ifndef COMMON_BASE_SNAPSHOT_H
#define COMMON_BASE_SNAPSHOT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* First member of a published value. */
struct snapshot {
	_Atomic uint32_t refs;              /* starts at 1: the creator's */
	void (*destroy)(struct snapshot *); /* runs on whichever thread drops the last reference */
};

void snapshot_init(struct snapshot *s, void (*destroy)(struct snapshot *));
struct snapshot *snapshot_ref(struct snapshot *s);
void snapshot_unref(struct snapshot *s); /* NULL is allowed */

struct snapshot_cell;

struct snapshot_cell *snapshot_cell_new(void);
void snapshot_cell_free(struct snapshot_cell *c);
/* Takes the caller's reference of s. Any thread. */
void snapshot_publish(struct snapshot_cell *c, struct snapshot *s);
/*
 * If the cell changed since *generation, *held (may be NULL at first) is dropped and replaced by a
 * new reference, *generation updated, and true returned. Any thread; cheap when nothing changed.
 */
bool snapshot_refresh(struct snapshot_cell *c, uint64_t *generation, struct snapshot **held);

#endif
