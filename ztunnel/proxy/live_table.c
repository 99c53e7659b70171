/* SPDX-License-Identifier: Apache-2.0 */
#include "ztunnel/proxy/live_table.h"

#include <sched.h>

#include "common/base/check.h"

void live_table_init(struct live_table *t)
{
	CHECK(pthread_mutex_init(&t->lock, NULL) == 0);
	list_init(&t->all);
	list_init(&t->bookmark);
	t->count = 0;
	t->round = 0;
	t->listing = 0;
	atomic_init(&t->wanted, false);
}

void live_table_fini(struct live_table *t)
{
	CHECK(list_empty(&t->all));
	(void)pthread_mutex_destroy(&t->lock);
}

static void unlock(struct live_table *t)
{
	CHECK(pthread_mutex_unlock(&t->lock) == 0);
}

/* The worker's way in: a listing steps aside. */
static void lock(struct live_table *t)
{
	atomic_store_explicit(&t->wanted, true, memory_order_relaxed);
	CHECK(pthread_mutex_lock(&t->lock) == 0);
	atomic_store_explicit(&t->wanted, false, memory_order_relaxed);
}

void live_add(struct live_table *t, struct live *l)
{
	l->judged = t->round;
	lock(t);
	l->listed = t->listing;
	list_push(&t->all, &l->link);
	t->count++;
	unlock(t);
}

void live_remove(struct live_table *t, struct live *l)
{
	lock(t);
	list_remove(&l->link);
	t->count--;
	unlock(t);
}

void live_judge_begin(struct live_table *t)
{
	t->round++;
}

/* Behind it in the list, a listing's bookmark passed over; NULL: the last. */
static struct live *next_of(const struct live_table *t, const struct list *it)
{
	struct list *next = it->next == &t->bookmark ? t->bookmark.next : it->next;

	return next == &t->all ? NULL : list_entry(next, struct live, link);
}

/* The first who was not judged in this round, moved behind the others; NULL: none. */
static struct live *next_to_judge(struct live_table *t)
{
	struct live *l;

	lock(t);
	l = next_of(t, &t->all);
	if (l != NULL && l->judged == t->round)
		l = NULL;
	if (l != NULL) {
		l->judged = t->round;
		list_remove(&l->link);
		list_push(&t->all, &l->link);
	}
	unlock(t);
	return l;
}

bool live_judge_some(struct live_table *t)
{
	for (unsigned int i = 0; i < LIVE_JUDGED_MAX; i++) {
		struct live *l = next_to_judge(t);

		if (l == NULL)
			return false;
		if (l->judge != NULL)
			l->judge(l); /* may remove l */
	}
	return true;
}

static void put_behind(struct list *at, struct list *n)
{
	list_push(at->next, n); /* the last before what follows */
}

/* Some of those behind the bookmark, which moves on. false: none are left. */
static bool list_some(struct live_table *t, live_fn *fn, void *arg)
{
	for (unsigned int i = 0; i < LIVE_LISTED_MAX; i++) {
		struct list *it = t->bookmark.next;
		struct live *l;

		if (it == &t->all)
			return false;
		list_remove(&t->bookmark);
		put_behind(it, &t->bookmark);
		l = list_entry(it, struct live, link);
		if (l->listed != t->listing)
			fn(arg, l);
		l->listed = t->listing; /* judged meanwhile, it may come by again */
	}
	return true;
}

void live_each(struct live_table *t, live_fn *fn, void *arg)
{
	bool more = true;

	CHECK(pthread_mutex_lock(&t->lock) == 0);
	t->listing++;
	put_behind(&t->all, &t->bookmark);
	while (more) {
		more = list_some(t, fn, arg);
		unlock(t);
		while (atomic_load_explicit(&t->wanted, memory_order_relaxed))
			(void)sched_yield();
		CHECK(pthread_mutex_lock(&t->lock) == 0);
	}
	list_remove(&t->bookmark);
	unlock(t);
}
