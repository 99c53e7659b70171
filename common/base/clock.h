/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock - what time it is. Deadlines use the monotonic clock, validity and log lines the wall clock.
 * Only drivers ask; cores take the time as an argument.
 */
#ifndef COMMON_BASE_CLOCK_H
#define COMMON_BASE_CLOCK_H

#include <stdint.h>

uint64_t clock_mono_ns(void);
uint64_t clock_mono_ms(void);
/* Processor time of the calling thread: what else runs on the machine does not count. */
uint64_t clock_thread_ns(void);
/* Since 1970 UTC. */
int64_t clock_wall_s(void);
int64_t clock_wall_us(void);

#endif
