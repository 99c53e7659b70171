/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timer_wheel - a hierarchical wheel of deadlines in milliseconds. Pure: time is an argument. Arming and disarming
 * cost the same however many timers there are.
 *
 * Level n has 64 slots of 64^n ms. A timer sits at the level of the highest group of 6 bits in which its deadline
 * differs from the wheel's time, so every slot of a lower level is due before any slot of a higher one.
 */
#ifndef COMMON_IO_TIMER_WHEEL_H
#define COMMON_IO_TIMER_WHEEL_H

#include <stdint.h>

#include "common/base/list.h"
#include "common/io/timer.h"

enum {
	TIMER_SLOT_BITS = 6,
	TIMER_SLOTS = 1 << TIMER_SLOT_BITS,
	TIMER_LEVELS = 7, /* 2^42 ms, 139 years after the clock's zero */
};

#define TIMER_DELAY_MS_MAX (UINT64_C(1) << 40) /* 34 years; longer ones are cut to it */
#define TIMER_NEVER        UINT64_MAX

struct timer_wheel {
	uint64_t now_ms;                 /* private: all due up to here were taken out */
	uint64_t occupied[TIMER_LEVELS]; /* private: a bit per slot, may be stale */
	struct list slots[TIMER_LEVELS][TIMER_SLOTS]; /* private */
};

void timer_wheel_init(struct timer_wheel *w, uint64_t now_ms);
/* t is not armed. */
void timer_wheel_add(struct timer_wheel *w, struct timer *t, uint64_t deadline_ms);
/* Move every timer due at now_ms to the end of due, by deadline. Timers still on the list can be disarmed. */
void timer_wheel_expire(struct timer_wheel *w, uint64_t now_ms, struct list *due);
/*
 * When to call timer_wheel_expire next, TIMER_NEVER without timers. Not after the first deadline; it may be before
 * it, when timers have to move to a finer level.
 */
uint64_t timer_wheel_next(struct timer_wheel *w);

#endif
