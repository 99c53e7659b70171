/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/backoff.h"

#include "common/base/check.h"

void backoff_init(struct backoff *b, uint64_t initial_ms, uint64_t cap_ms)
{
	CHECK(initial_ms > 0 && initial_ms <= cap_ms);
	*b = (struct backoff){.initial_ms = initial_ms, .cap_ms = cap_ms, .step_ms = initial_ms};
}

uint64_t backoff_next_ms(struct backoff *b, uint64_t dice)
{
	uint64_t step = b->step_ms;
	uint64_t half = step / 2;

	b->step_ms = step > b->cap_ms / 2 ? b->cap_ms : step * 2;
	return step - dice % (half + 1);
}

void backoff_reset(struct backoff *b)
{
	b->step_ms = b->initial_ms;
}
