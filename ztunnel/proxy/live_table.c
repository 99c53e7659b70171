/* SPDX-License-Identifier: Apache-2.0 */
#include "ztunnel/proxy/live_table.h"

#include "common/base/check.h"

void live_table_init(struct live_table *t)
{
	CHECK(pthread_mutex_init(&t->lock, NULL) == 0);
	list_init(&t->all);
	t->count = 0;
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

size_t live_judge_all(struct live_table *t)
{
	size_t cut = 0;

	/* Only this thread changes the list, and a judge removes nothing: it cuts, and the removal follows later. */
	list_for_each (it, &t->all) {
		struct live *l = list_entry(it, struct live, link);

		if (l->judge != NULL && !l->judge(l))
			cut++;
	}
	return cut;
}

void live_each(struct live_table *t, live_fn *fn, void *arg)
{
	lock(t);
	list_for_each (it, &t->all)
		fn(arg, list_entry(it, struct live, link));
	unlock(t);
}
