/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h2_budget - how much nuisance one HTTP/2 peer may make: a token bucket over a clock handed in. Pure.
 */
#ifndef COMMON_H2_H2_BUDGET_H
#define COMMON_H2_H2_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

struct h2_budget {
	uint64_t millitokens; /* private */
	uint64_t at_ms;       /* private: when they were counted */
	uint32_t burst;       /* private: tokens it holds at most */
	uint32_t per_s;       /* private: tokens that grow back in a second */
};

void h2_budget_init(struct h2_budget *b, uint32_t burst, uint32_t per_s, uint64_t now_ms);
/* Take one token; false when none is left. A clock that steps back counts as standing still. */
bool h2_budget_take(struct h2_budget *b, uint64_t now_ms);

#endif
