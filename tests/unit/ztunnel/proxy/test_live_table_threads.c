/* SPDX-License-Identifier: Apache-2.0 */
/* One thread adds, judges and removes while another lists. For the thread sanitizer, too. */
#include "ztunnel/proxy/live_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/check.h"

enum { STAYING = 150, CHANGING = 40, ROUNDS = 3000, LISTINGS_MIN = 100 };

static struct live_table table;
static struct live staying[STAYING], changing[CHANGING];
static unsigned int judged;
static _Atomic unsigned int listings;
static atomic_bool stop;

static void on_judge(struct live *l)
{
	(void)l;
	judged++;
}

/* How often a listing met each of those that stay, and how many others. */
struct seen {
	unsigned char staying[STAYING];
	size_t others;
};

static void look(void *arg, const struct live *l)
{
	struct seen *seen = arg;

	CHECK(l->pod_uid != NULL && l->src.port == l->actual_dst.port);
	if (l >= staying && l < staying + STAYING)
		seen->staying[l - staying]++;
	else
		seen->others++;
}

static void *list_on(void *arg)
{
	(void)arg;
	while (!atomic_load(&stop)) {
		struct seen seen = {.others = 0};

		live_each(&table, look, &seen);
		for (size_t i = 0; i < STAYING; i++)
			CHECK(seen.staying[i] == 1);
		CHECK(seen.others <= CHANGING);
		atomic_fetch_add(&listings, 1);
	}
	return NULL;
}

static void add(struct live *l, uint16_t port)
{
	*l = (struct live){.pod_uid = "pod", .judge = on_judge};
	l->src.port = port;
	l->actual_dst.port = port;
	live_add(&table, l);
}

static void a_listing_meets_whoever_stays_exactly_once(void **state)
{
	pthread_t thread;

	(void)state;
	live_table_init(&table);
	for (size_t i = 0; i < STAYING; i++)
		add(&staying[i], (uint16_t)i);
	assert_int_equal(pthread_create(&thread, NULL, list_on, NULL), 0);
	for (unsigned int round = 0; round < ROUNDS || atomic_load(&listings) < LISTINGS_MIN;
	     round++) {
		for (size_t i = 0; i < CHANGING; i++)
			add(&changing[i], (uint16_t)round);
		judged = 0;
		live_judge_begin(&table);
		while (live_judge_some(&table))
			continue;
		assert_int_equal(judged, STAYING + CHANGING);
		for (size_t i = 0; i < CHANGING; i++)
			live_remove(&table, &changing[i]);
	}
	atomic_store(&stop, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	for (size_t i = 0; i < STAYING; i++)
		live_remove(&table, &staying[i]);
	live_table_fini(&table);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_listing_meets_whoever_stays_exactly_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
