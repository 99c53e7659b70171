/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/clock.h"

#include <time.h>

#include "common/base/check.h"

static struct timespec now_of(clockid_t id)
{
	struct timespec t;

	CHECK(clock_gettime(id, &t) == 0);
	return t;
}

uint64_t clock_mono_ns(void)
{
	struct timespec t = now_of(CLOCK_MONOTONIC);

	return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

uint64_t clock_mono_ms(void)
{
	return clock_mono_ns() / 1000000U;
}

int64_t clock_wall_s(void)
{
	return now_of(CLOCK_REALTIME).tv_sec;
}

int64_t clock_wall_us(void)
{
	struct timespec t = now_of(CLOCK_REALTIME);

	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

uint64_t clock_thread_ns(void)
{
	struct timespec t = now_of(CLOCK_THREAD_CPUTIME_ID);

	return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}
