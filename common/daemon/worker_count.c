/* SPDX-License-Identifier: Apache-2.0 */
#include "common/daemon/worker_count.h"

#include <stdbool.h>

#include "common/base/str.h"

enum {
	MILLI = 1000,
	PERCENT_MAX = 100,
	DEFAULT_WORKERS = 2, /* contract 1.3: never fewer when nothing was said ... */
	DEFAULT_SHARE = 4,   /* ... nor than this part of the cores */
};

static uint64_t div_up(uint64_t n, uint64_t d)
{
	return (n + d - 1) / d;
}

static uint64_t max_of(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* The rule when nothing was wished for. */
static uint64_t default_count(const struct worker_inputs *in, uint64_t cores)
{
	if (in->limit_cpus > 0)
		return max_of(in->limit_cpus, in->request_cpus);
	return max_of(max_of(DEFAULT_WORKERS, in->request_cpus), div_up(cores, DEFAULT_SHARE));
}

uint32_t worker_count(const struct worker_inputs *in)
{
	uint64_t cores = in->limit_cpus > 0  ? in->limit_cpus
	                 : in->cpu_limit > 0 ? in->cpu_limit
	                                     : in->logical_cpus;
	uint64_t n = 0;

	switch (in->wish.kind) {
	case WORKERS_UNSET: n = default_count(in, cores); break;
	case WORKERS_COUNT: n = in->wish.count > 0 ? in->wish.count : cores; break;
	case WORKERS_PERCENT:
		n = div_up(cores * in->wish.percent_milli, (uint64_t)PERCENT_MAX * MILLI);
		break;
	}
	if (n > WORKERS_MAX)
		n = WORKERS_MAX;
	return n > 0 ? (uint32_t)n : 1;
}

/*
 * "12", "1.5", ".5" as thousandths, digits beyond the third rounded up. At least one digit somewhere; whole at
 * most max.
 */
static enum err milli_parse(struct span text, uint32_t max, uint64_t *ret_milli)
{
	struct span rest = text;
	struct span whole = str_split(&rest, '.');
	bool has_point = rest.p != NULL;
	uint64_t milli = 0;
	uint32_t unit = MILLI / 10;
	bool more = false;

	if (has_point && rest.n == 0)
		return ERR_PARSE;
	if ((whole.n > 0 || !has_point) && str_parse_u64(whole, max, &milli) != ERR_OK)
		return ERR_PARSE;
	milli *= MILLI;
	for (size_t i = 0; has_point && i < rest.n; i++) {
		if (rest.p[i] < '0' || rest.p[i] > '9')
			return ERR_PARSE;
		milli += (uint64_t)(rest.p[i] - '0') * unit;
		more |= unit == 0 && rest.p[i] != '0';
		unit /= 10;
	}
	*ret_milli = milli + more;
	return ERR_OK;
}

enum err worker_wish_parse(struct span text, struct worker_wish *ret_wish)
{
	uint64_t v;

	if (text.n > 0 && text.p[text.n - 1] == '%') {
		if (milli_parse(span_of(text.p, text.n - 1), PERCENT_MAX, &v) != ERR_OK || v == 0 ||
		    v > (uint64_t)PERCENT_MAX * MILLI)
			return ERR_PARSE;
		*ret_wish =
			(struct worker_wish){.kind = WORKERS_PERCENT, .percent_milli = (uint32_t)v};
		return ERR_OK;
	}
	if (str_parse_u64(text, WORKERS_MAX, &v) != ERR_OK)
		return ERR_PARSE;
	*ret_wish = (struct worker_wish){.kind = WORKERS_COUNT, .count = (uint32_t)v};
	return ERR_OK;
}

enum err cpu_quantity_parse(struct span text, uint32_t *ret_cpus)
{
	uint64_t milli;

	if (text.n > 0 && text.p[text.n - 1] == 'm') {
		if (str_parse_u64(span_of(text.p, text.n - 1), (uint64_t)CPUS_MAX * MILLI,
		                  &milli) != ERR_OK)
			return ERR_PARSE;
	} else if (milli_parse(text, CPUS_MAX, &milli) != ERR_OK) {
		return ERR_PARSE;
	}
	if (milli == 0)
		return ERR_PARSE;
	*ret_cpus = (uint32_t)div_up(milli, MILLI);
	return ERR_OK;
}
