/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/timer_wheel.h"

#include "common/base/check.h"

void timer_wheel_init(struct timer_wheel *w, uint64_t now_ms)
{
	w->now_ms = now_ms;
	for (unsigned int level = 0; level < TIMER_LEVELS; level++) {
		w->occupied[level] = 0;
		for (unsigned int slot = 0; slot < TIMER_SLOTS; slot++)
			list_init(&w->slots[level][slot]);
	}
}

static void insert(struct timer_wheel *w, struct timer *t)
{
	uint64_t at = t->deadline_ms > w->now_ms ? t->deadline_ms : w->now_ms;
	uint64_t differs = (at ^ w->now_ms) | 1;
	unsigned int level = (63U - (unsigned int)__builtin_clzll(differs)) / TIMER_SLOT_BITS;
	unsigned int slot;

	CHECK(level < TIMER_LEVELS);
	slot = (unsigned int)(at >> (TIMER_SLOT_BITS * level)) % TIMER_SLOTS;
	list_push(&w->slots[level][slot], &t->link);
	w->occupied[level] |= UINT64_C(1) << slot;
}

void timer_wheel_add(struct timer_wheel *w, struct timer *t, uint64_t deadline_ms)
{
	CHECK(!timer_armed(t));
	t->deadline_ms = deadline_ms;
	insert(w, t);
}

/* The first slot of a level that holds a timer, or NULL; forgets what disarming left empty. */
static struct list *first_slot(struct timer_wheel *w, unsigned int level, unsigned int *ret_slot)
{
	while (w->occupied[level] != 0) {
		unsigned int slot = (unsigned int)__builtin_ctzll(w->occupied[level]);

		if (!list_empty(&w->slots[level][slot])) {
			*ret_slot = slot;
			return &w->slots[level][slot];
		}
		w->occupied[level] &= ~(UINT64_C(1) << slot);
	}
	return NULL;
}

/* The slot that is due first and when, or NULL. */
static struct list *next_slot(struct timer_wheel *w, uint64_t *ret_at)
{
	for (unsigned int level = 0; level < TIMER_LEVELS; level++) {
		unsigned int shift = TIMER_SLOT_BITS * level, slot = 0;
		struct list *head = first_slot(w, level, &slot);

		if (head == NULL)
			continue;
		*ret_at = ((w->now_ms >> shift) / TIMER_SLOTS * TIMER_SLOTS + slot) << shift;
		return head;
	}
	return NULL;
}

uint64_t timer_wheel_next(struct timer_wheel *w)
{
	uint64_t at;

	return next_slot(w, &at) != NULL ? at : TIMER_NEVER;
}

void timer_wheel_expire(struct timer_wheel *w, uint64_t now_ms, struct list *due)
{
	struct list *head;
	uint64_t at;

	while ((head = next_slot(w, &at)) != NULL && at <= now_ms) {
		struct list batch, *n;

		list_init(&batch);
		while ((n = list_shift(head)) != NULL)
			list_push(&batch, n);
		w->now_ms = at;
		while ((n = list_shift(&batch)) != NULL) {
			struct timer *t = list_entry(n, struct timer, link);

			if (t->deadline_ms <= at)
				list_push(due, n);
			else
				insert(w, t);
		}
	}
	if (now_ms > w->now_ms)
		w->now_ms = now_ms;
}
