/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backoff - how long to wait before trying again: doubling up to a cap, with jitter. Pure.
 */
#ifndef COMMON_BASE_BACKOFF_H
#define COMMON_BASE_BACKOFF_H

#include <stdint.h>

struct backoff {
	uint64_t initial_ms; /* private */
	uint64_t cap_ms;     /* private */
	uint64_t step_ms;    /* private: the longest the next delay may be */
};

/* 0 < initial_ms <= cap_ms. */
void backoff_init(struct backoff *b, uint64_t initial_ms, uint64_t cap_ms);
/* Delay before the next attempt: between half a step and a whole one, chosen by dice; the step then doubles. */
uint64_t backoff_next_ms(struct backoff *b, uint64_t dice);
/* It worked: start over. */
void backoff_reset(struct backoff *b);

#endif
