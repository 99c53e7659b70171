/* SPDX-License-Identifier: Apache-2.0 */
#include "common/h2/h2_budget.h"

enum { TOKEN = 1000 }; /* millitokens */

void h2_budget_init(struct h2_budget *b, uint32_t burst, uint32_t per_s, uint64_t now_ms)
{
	*b = (struct h2_budget){
		.millitokens = (uint64_t)burst * TOKEN,
		.at_ms = now_ms,
		.burst = burst,
		.per_s = per_s,
	};
}

bool h2_budget_take(struct h2_budget *b, uint64_t now_ms)
{
	uint64_t full = (uint64_t)b->burst * TOKEN;

	if (now_ms > b->at_ms) {
		uint64_t ms = now_ms - b->at_ms;

		/* per_s tokens a second are per_s millitokens a millisecond */
		if (b->per_s != 0 && ms >= full / b->per_s)
			b->millitokens = full;
		else
			b->millitokens += ms * b->per_s;
		if (b->millitokens > full)
			b->millitokens = full;
		b->at_ms = now_ms;
	}
	if (b->millitokens < TOKEN)
		return false;
	b->millitokens -= TOKEN;
	return true;
}
