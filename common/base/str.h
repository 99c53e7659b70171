/* SPDX-License-Identifier: Apache-2.0 */
/*
 * str - bounded text: copies, numbers, durations, times. Pure.
 */
#ifndef COMMON_BASE_STR_H
#define COMMON_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/span.h"

enum { STR_TIME_MAX = 28 }; /* "2026-08-20T13:45:53.123456Z" with the NUL */

/* Copy with a NUL, cut to fit; out_len > 0. false when it had to be cut. */
bool str_copy(char *out, size_t out_len, struct span s);

/* ASCII letters compare without case. */
bool str_eq_nocase(struct span a, const char *b);

/* Remove spaces and tabs from both ends. */
struct span str_trim(struct span s);

/*
 * The part of *rest before the next sep; *rest then starts after it. At the end everything is given and *rest
 * becomes {NULL, 0}; so: for (rest = text; rest.p != NULL;) item = str_split(&rest, ',');
 */
struct span str_split(struct span *rest, char sep);

/* Decimal digits only, no sign, no leading zeros but "0" itself, at most max. Errs: ERR_PARSE. */
MUST_CHECK enum err str_parse_u64(struct span s, uint64_t max, uint64_t *ret_v);

/*
 * Contract 1.3: "500ms", "5s", "10m", "1h", "1d", sums such as "1h30m", and a bare integer meaning
 * seconds. Errs: ERR_PARSE, also for more than STR_DURATION_MS_MAX.
 */
#define STR_DURATION_MS_MAX \
	UINT64_C(3155760000000) /* 100 years: sums of deadlines cannot overflow */
MUST_CHECK enum err str_parse_duration(struct span s, uint64_t *ret_ms);

/* RFC 3339 in UTC with microseconds: "2026-08-20T13:45:53.123456Z". Years 0..9999. Returns out. */
const char *str_format_time(int64_t wall_us, char out[STR_TIME_MAX]);
/* RFC 3339 in UTC, whole seconds: "2026-08-20T13:45:53Z". Returns out. */
const char *str_format_time_s(int64_t wall_s, char out[STR_TIME_MAX]);

#endif
