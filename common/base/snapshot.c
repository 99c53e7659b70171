/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/snapshot.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/mem.h"

struct snapshot_cell {
	_Atomic uint64_t generation; /* changes under lock, read without */
	pthread_mutex_t lock;        /* held for a few instructions, once per change and reader */
	struct snapshot *current;    /* shared: one reference; NULL before the first publish */
};

void snapshot_init(struct snapshot *s, void (*destroy)(struct snapshot *))
{
	atomic_init(&s->refs, 1);
	s->destroy = destroy;
}

struct snapshot *snapshot_ref(struct snapshot *s)
{
	uint32_t old = atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);

	CHECK(old > 0 && old < UINT32_MAX);
	return s;
}

void snapshot_unref(struct snapshot *s)
{
	uint32_t old;

	if (s == NULL)
		return;
	old = atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel);
	CHECK(old > 0);
	if (old == 1)
		s->destroy(s);
}

struct snapshot_cell *snapshot_cell_new(void)
{
	struct snapshot_cell *c = mem_new(sizeof(*c));

	CHECK(pthread_mutex_init(&c->lock, NULL) == 0);
	return c;
}

void snapshot_cell_free(struct snapshot_cell *c)
{
	if (c == NULL)
		return;
	snapshot_unref(c->current);
	CHECK(pthread_mutex_destroy(&c->lock) == 0);
	free(c);
}

void snapshot_publish(struct snapshot_cell *c, struct snapshot *s)
{
	struct snapshot *old;

	CHECK(pthread_mutex_lock(&c->lock) == 0);
	old = c->current;
	c->current = s;
	(void)atomic_fetch_add_explicit(&c->generation, 1, memory_order_relaxed);
	CHECK(pthread_mutex_unlock(&c->lock) == 0);
	snapshot_unref(old);
}

bool snapshot_refresh(struct snapshot_cell *c, uint64_t *generation, struct snapshot **held)
{
	struct snapshot *old = *held;

	if (atomic_load_explicit(&c->generation, memory_order_relaxed) == *generation)
		return false;
	CHECK(pthread_mutex_lock(&c->lock) == 0);
	*held = c->current != NULL ? snapshot_ref(c->current) : NULL;
	*generation = atomic_load_explicit(&c->generation, memory_order_relaxed);
	CHECK(pthread_mutex_unlock(&c->lock) == 0);
	snapshot_unref(old);
	return true;
}
