/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timer - deadlines on a loop: a hierarchical wheel with millisecond ticks, any number of timers.
 */
#ifndef COMMON_IO_TIMER_H
#define COMMON_IO_TIMER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/list.h"

struct loop;
struct timer;

typedef void timer_fn(struct timer *t);

/* Embedded by its waiter. */
struct timer {
	struct list link;     /* private */
	uint64_t deadline_ms; /* private: loop time */
	timer_fn *fn;
};

void timer_init(struct timer *t, timer_fn *fn);
/* (Re)arm: fn runs once from loop_turn(), not earlier than delay_ms after loop_now_ms(). */
void timer_arm(struct loop *loop, struct timer *t, uint64_t delay_ms);
void timer_disarm(struct timer *t); /* harmless when not armed */
bool timer_armed(const struct timer *t);

#endif
