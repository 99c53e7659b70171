/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/timer.h"

#include "common/io/loop_internal.h"
#include "common/io/timer_wheel.h"

void timer_init(struct timer *t, timer_fn *fn)
{
	*t = (struct timer){.fn = fn};
	list_init(&t->link);
}

void timer_arm(struct loop *loop, struct timer *t, uint64_t delay_ms)
{
	if (delay_ms > TIMER_DELAY_MS_MAX)
		delay_ms = TIMER_DELAY_MS_MAX;
	timer_disarm(t);
	timer_wheel_add(&loop->timers, t, loop->now_ms + delay_ms);
}

void timer_disarm(struct timer *t)
{
	list_remove(&t->link);
}

bool timer_armed(const struct timer *t)
{
	return !list_empty(&t->link);
}
