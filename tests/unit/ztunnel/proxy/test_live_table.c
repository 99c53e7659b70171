/* SPDX-License-Identifier: Apache-2.0 */
#include "ztunnel/proxy/live_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/check.h"

enum { CONNS = 3 * LIVE_JUDGED_MAX + 7 };

struct conn {
	struct live live;
	unsigned int judged;
	bool leaves; /* when it is judged */
};

static struct live_table table;
static struct conn conns[CONNS];

static void on_judge(struct live *l)
{
	struct conn *c = container_of(l, struct conn, live);

	c->judged++;
	if (c->leaves)
		live_remove(&table, l);
}

static void fill(void)
{
	memset(conns, 0, sizeof(conns));
	live_table_init(&table);
	for (size_t i = 0; i < CONNS; i++) {
		conns[i].live.judge = on_judge;
		live_add(&table, &conns[i].live);
	}
}

static void empty(void)
{
	for (size_t i = 0; i < CONNS; i++) {
		if (!conns[i].leaves)
			live_remove(&table, &conns[i].live);
	}
	live_table_fini(&table);
}

static unsigned int judge_all(void)
{
	unsigned int parts = 1;

	while (live_judge_some(&table))
		parts++;
	return parts;
}

static void everybody_is_judged_once_and_in_parts(void **state)
{
	(void)state;
	fill();
	assert_int_equal(judge_all(), 1); /* they came under the present policies */
	assert_int_equal(conns[0].judged, 0);
	live_judge_begin(&table);
	assert_true(live_judge_some(&table));
	assert_int_equal(conns[LIVE_JUDGED_MAX - 1].judged, 1);
	assert_int_equal(conns[LIVE_JUDGED_MAX].judged, 0);
	assert_int_equal(judge_all(), 3);
	for (size_t i = 0; i < CONNS; i++)
		assert_int_equal(conns[i].judged, 1);
	empty();
}

static void a_change_in_the_middle_has_everybody_judged_by_it(void **state)
{
	(void)state;
	fill();
	live_judge_begin(&table);
	assert_true(live_judge_some(&table));
	live_judge_begin(&table);
	(void)judge_all();
	for (size_t i = 0; i < CONNS; i++)
		assert_int_equal(conns[i].judged, i < LIVE_JUDGED_MAX ? 2 : 1);
	empty();
}

static void who_comes_or_goes_meanwhile_lets_nobody_be_passed_over(void **state)
{
	struct conn late = {.live.judge = on_judge};

	(void)state;
	fill();
	for (size_t i = 0; i < CONNS; i += 2)
		conns[i].leaves = true;
	live_judge_begin(&table);
	assert_true(live_judge_some(&table));
	live_add(&table, &late.live); /* judged by its owner, by the policies of now */
	conns[CONNS - 2].leaves = true;
	live_remove(&table, &conns[CONNS - 2].live);
	(void)judge_all();
	for (size_t i = 0; i < CONNS; i++)
		assert_int_equal(conns[i].judged, i == CONNS - 2 ? 0 : 1);
	assert_int_equal(late.judged, 0);
	live_judge_begin(&table);
	(void)judge_all();
	assert_int_equal(late.judged, 1);
	live_remove(&table, &late.live);
	empty();
}

static void count_one(void *arg, const struct live *l)
{
	(void)l;
	(*(size_t *)arg)++;
}

static void a_listing_shows_each_once_at_any_time(void **state)
{
	size_t n = 0;

	(void)state;
	fill();
	live_judge_begin(&table);
	assert_true(live_judge_some(&table));
	live_each(&table, count_one, &n);
	assert_int_equal(n, CONNS);
	empty();
}

static void who_has_no_judge_is_left_alone(void **state)
{
	struct live outbound = {.inbound = false};

	(void)state;
	live_table_init(&table);
	live_add(&table, &outbound);
	live_judge_begin(&table);
	assert_false(live_judge_some(&table));
	live_remove(&table, &outbound);
	live_table_fini(&table);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(everybody_is_judged_once_and_in_parts),
		cmocka_unit_test(a_change_in_the_middle_has_everybody_judged_by_it),
		cmocka_unit_test(who_comes_or_goes_meanwhile_lets_nobody_be_passed_over),
		cmocka_unit_test(a_listing_shows_each_once_at_any_time),
		cmocka_unit_test(who_has_no_judge_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
