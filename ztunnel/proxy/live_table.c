/* SPDX-License-Identifier: Apache-2.0 */
#include "ztunnel/proxy/live_table.h"

#include "common/base/check.h"

void live_table_init(struct live_table *t)
{
	CHECK(pthread_mutex_init(&t->lock, NULL) == 0);
	list_init(&t->all);
	t->count = 0;
	t->round = 0;
}

void live_table_fini(struct live_table *t)
{
	CHECK(list_empty(&t->all));
	(void)pthread_mutex_destroy(&t->lock);
}

static void lock(struct live_table *t)
{
	CHECK(pthread_mutex_lock(&t->lock) == 0);
}

static void unlock(struct live_table *t)
{
	CHECK(pthread_mutex_unlock(&t->lock) == 0);
}

void live_add(struct live_table *t, struct live *l)
{
	l->judged = t->round;
	lock(t);
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

/* The first who was not judged in this round, moved behind the others; NULL: none. */
static struct live *next_to_judge(struct live_table *t)
{
	struct live *l;

	if (list_empty(&t->all))
		return NULL;
	l = list_entry(t->all.next, struct live, link); /* only this thread changes the list */
	if (l->judged == t->round)
		return NULL;
	l->judged = t->round;
	lock(t);
	list_remove(&l->link);
	list_push(&t->all, &l->link);
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

void live_each(struct live_table *t, live_fn *fn, void *arg)
{
	lock(t);
	list_for_each (it, &t->all)
		fn(arg, list_entry(it, struct live, link));
	unlock(t);
}
