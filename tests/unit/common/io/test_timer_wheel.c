/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/io/timer_wheel.h"

enum { TIMERS = 200, STEPS = 4000, SEEDS = 20 };

static void never(struct timer *t)
{
	(void)t;
}

/* The model: an array, searched. */
struct model {
	struct timer_wheel wheel;
	struct timer timers[TIMERS];
	bool armed[TIMERS];
	uint64_t due_ms[TIMERS];
	uint64_t now_ms;
	struct rand dice;
};

/* Near, far, and everything between: every level of the wheel gets some. */
static uint64_t any_delay(struct rand *dice)
{
	return rand_u64(dice) >> (24 + rand_below(dice, 40));
}

static void arm(struct model *m, size_t i, uint64_t delay_ms)
{
	if (m->armed[i])
		timer_disarm(&m->timers[i]);
	m->armed[i] = true;
	m->due_ms[i] = m->now_ms + delay_ms;
	timer_wheel_add(&m->wheel, &m->timers[i], m->due_ms[i]);
}

static uint64_t model_first(const struct model *m)
{
	uint64_t first = TIMER_NEVER;

	for (size_t i = 0; i < TIMERS; i++)
		if (m->armed[i] && m->due_ms[i] < first)
			first = m->due_ms[i];
	return first;
}

static void expire_and_compare(struct model *m)
{
	struct list due, *n;
	uint64_t last = 0;

	list_init(&due);
	timer_wheel_expire(&m->wheel, m->now_ms, &due);
	while ((n = list_shift(&due)) != NULL) {
		size_t i = (size_t)(list_entry(n, struct timer, link) - m->timers);

		assert_true(i < TIMERS && m->armed[i]);
		assert_true(m->due_ms[i] <= m->now_ms);
		assert_true(m->due_ms[i] >= last);
		last = m->due_ms[i];
		m->armed[i] = false;
	}
	for (size_t i = 0; i < TIMERS; i++) {
		assert_false(m->armed[i] && m->due_ms[i] <= m->now_ms);
		assert_int_equal(timer_armed(&m->timers[i]), m->armed[i]);
	}
}

static void step(struct model *m)
{
	size_t i = (size_t)rand_below(&m->dice, TIMERS);
	uint64_t next, first;

	switch (rand_below(&m->dice, 4)) {
	case 0:
	case 1: arm(m, i, any_delay(&m->dice)); break;
	case 2:
		timer_disarm(&m->timers[i]);
		m->armed[i] = false;
		break;
	default:
		/* a jump, or exactly to where the wheel wants to be called */
		next = timer_wheel_next(&m->wheel);
		if (rand_below(&m->dice, 2) == 0 || next == TIMER_NEVER)
			m->now_ms += any_delay(&m->dice) >> 8;
		else if (next > m->now_ms)
			m->now_ms = next;
		expire_and_compare(m);
		break;
	}
	next = timer_wheel_next(&m->wheel);
	first = model_first(m);
	assert_int_equal(next == TIMER_NEVER, first == TIMER_NEVER);
	assert_true(next <= first);
}

static void a_wheel_agrees_with_an_array(void **state)
{
	struct model *m = mem_new(sizeof(*m));

	(void)state;
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		*m = (struct model){.now_ms = seed * 1000003};
		rand_init(&m->dice, seed);
		timer_wheel_init(&m->wheel, m->now_ms);
		for (size_t i = 0; i < TIMERS; i++)
			timer_init(&m->timers[i], never);
		for (unsigned int i = 0; i < STEPS; i++)
			step(m);
	}
	free(m);
}

static void following_the_wheel_reaches_a_deadline_in_few_calls(void **state)
{
	struct model *m = mem_new(sizeof(*m));

	(void)state;
	rand_init(&m->dice, 1);
	for (unsigned int round = 0; round < 200; round++) {
		unsigned int calls = 0;

		m->now_ms = any_delay(&m->dice);
		timer_wheel_init(&m->wheel, m->now_ms);
		for (size_t i = 0; i < TIMERS; i++)
			timer_init(&m->timers[i], never);
		arm(m, 0, any_delay(&m->dice));
		while (m->armed[0]) {
			m->now_ms = timer_wheel_next(&m->wheel);
			expire_and_compare(m);
			calls++;
		}
		assert_true(m->now_ms == m->due_ms[0]);
		assert_true(calls <= TIMER_LEVELS);
	}
	free(m);
}

static void a_due_timer_can_still_be_disarmed(void **state)
{
	static struct timer_wheel wheel;
	struct timer a, b;
	struct list due;

	(void)state;
	timer_wheel_init(&wheel, 10);
	timer_init(&a, never);
	timer_init(&b, never);
	timer_wheel_add(&wheel, &a, 11);
	timer_wheel_add(&wheel, &b, 12);
	list_init(&due);
	timer_wheel_expire(&wheel, 20, &due);
	assert_ptr_equal(due.next, &a.link);
	timer_disarm(&b);
	assert_ptr_equal(list_shift(&due), &a.link);
	assert_null(list_shift(&due));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wheel_agrees_with_an_array),
		cmocka_unit_test(following_the_wheel_reaches_a_deadline_in_few_calls),
		cmocka_unit_test(a_due_timer_can_still_be_disarmed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
