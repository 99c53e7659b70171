/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/snapshot.h"

enum { READERS = 4, PUBLISHED = 20000 };

static _Atomic unsigned int alive;

struct value {
	struct snapshot snap;
	unsigned int number;
	unsigned int twice; /* a torn or freed value would not fit */
};

static void destroy(struct snapshot *s)
{
	struct value *v = container_of(s, struct value, snap);

	v->twice = 1;
	atomic_fetch_sub(&alive, 1);
	free(v);
}

static struct snapshot *value_new(unsigned int number)
{
	struct value *v = mem_new(sizeof(*v));

	snapshot_init(&v->snap, destroy);
	v->number = number;
	v->twice = 2 * number;
	atomic_fetch_add(&alive, 1);
	return &v->snap;
}

static void *read_all(void *arg)
{
	struct snapshot_cell *cell = arg;
	struct snapshot *held = NULL;
	uint64_t generation = 0;
	unsigned int last = 0;

	while (last < PUBLISHED) {
		const struct value *v;

		if (!snapshot_refresh(cell, &generation, &held))
			continue;
		v = container_of(held, struct value, snap);
		CHECK(v->twice == 2 * v->number);
		CHECK(v->number > last); /* never back in time */
		last = v->number;
	}
	snapshot_unref(held);
	return NULL;
}

static void readers_see_whole_values_in_order(void **state)
{
	struct snapshot_cell *cell = snapshot_cell_new();
	pthread_t threads[READERS];

	(void)state;
	for (size_t i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_all, cell), 0);
	for (unsigned int i = 1; i <= PUBLISHED; i++)
		snapshot_publish(cell, value_new(i));
	for (size_t i = 0; i < READERS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(alive, 1);
	snapshot_cell_free(cell);
	assert_int_equal(alive, 0);
}

static void a_refresh_without_news_changes_nothing(void **state)
{
	struct snapshot_cell *cell = snapshot_cell_new();
	struct snapshot *held = NULL, *first = value_new(1);
	uint64_t generation = 0;

	(void)state;
	assert_false(snapshot_refresh(cell, &generation, &held));
	assert_null(held);
	snapshot_publish(cell, first);
	assert_true(snapshot_refresh(cell, &generation, &held));
	assert_ptr_equal(held, first);
	assert_false(snapshot_refresh(cell, &generation, &held));
	snapshot_publish(cell, value_new(2));
	assert_int_equal(alive, 2); /* held keeps the old one */
	assert_true(snapshot_refresh(cell, &generation, &held));
	assert_int_equal(alive, 1);
	snapshot_unref(held);
	snapshot_unref(NULL);
	snapshot_cell_free(cell);
	assert_int_equal(alive, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(readers_see_whole_values_in_order),
		cmocka_unit_test(a_refresh_without_news_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
