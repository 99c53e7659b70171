/* SPDX-License-Identifier: Apache-2.0 */
/* One thread adds, judges and removes while another lists: each listing shows what is whole. For the thread sanitizer. */
#include "ztunnel/proxy/live_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/check.h"

enum { CONNS = 60, ROUNDS = 2000, LISTINGS_MIN = 50 };

static struct live_table table;
static struct live conns[CONNS];
static _Atomic unsigned int listings;
static atomic_bool stop;

static void on_judge(struct live *l)
{
	(void)l;
}

static void look(void *arg, const struct live *l)
{
	size_t *n = arg;

	CHECK(l->pod_uid != NULL && l->src.port == l->actual_dst.port);
	(*n)++;
}

static void *list_on(void *arg)
{
	(void)arg;
	while (!atomic_load(&stop)) {
		size_t n = 0;

		live_each(&table, look, &n);
		CHECK(n <= CONNS);
		atomic_fetch_add(&listings, 1);
	}
	return NULL;
}

static void a_listing_never_meets_half_a_change(void **state)
{
	pthread_t thread;

	(void)state;
	live_table_init(&table);
	assert_int_equal(pthread_create(&thread, NULL, list_on, NULL), 0);
	for (unsigned int round = 0; round < ROUNDS || atomic_load(&listings) < LISTINGS_MIN;
	     round++) {
		for (size_t i = 0; i < CONNS; i++) {
			conns[i] = (struct live){.pod_uid = "pod", .judge = on_judge};
			conns[i].src.port = (uint16_t)round;
			conns[i].actual_dst.port = (uint16_t)round;
			live_add(&table, &conns[i]);
		}
		live_judge_begin(&table);
		while (live_judge_some(&table))
			continue;
		for (size_t i = 0; i < CONNS; i++)
			live_remove(&table, &conns[i]);
	}
	atomic_store(&stop, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	live_table_fini(&table);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_listing_never_meets_half_a_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
