/* SPDX-License-Identifier: Apache-2.0 */
/* A duration is bounded, and the same when written as a sum of milliseconds. */
#include <inttypes.h>
#include <stdio.h>

#include "common/base/check.h"
#include "common/base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	uint64_t ms, again;
	char text[32];

	if (str_parse_duration(span_of(p, n), &ms) != ERR_OK)
		return 0;
	CHECK(ms <= STR_DURATION_MS_MAX);
	(void)snprintf(text, sizeof(text), "%" PRIu64 "ms", ms);
	CHECK(str_parse_duration(span_str(text), &again) == ERR_OK && again == ms);
	return 0;
}
