/* SPDX-License-Identifier: Apache-2.0 */
/* A filter that parses prints as one that parses to the same levels; what does not is named within the text. */
#include <string.h>

#include "common/base/check.h"
#include "common/base/log_filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	char text[LOG_FILTER_TEXT_MAX], again[LOG_FILTER_TEXT_MAX];
	struct log_filter f, g;
	struct span bad;

	if (log_filter_parse(span_of(p, n), &f, &bad) != ERR_OK) {
		CHECK(bad.n > 0 && bad.p >= p && bad.p + bad.n <= p + n);
		return 0;
	}
	CHECK(log_filter_format(&f, text, sizeof(text)) < sizeof(text) - 1);
	CHECK(log_filter_parse(span_str(text), &g, &bad) == ERR_OK);
	(void)log_filter_format(&g, again, sizeof(again));
	CHECK(strcmp(text, again) == 0);
	for (enum log_scope scope = 0; scope < LOG_SCOPE_COUNT; scope++)
		CHECK(log_filter_level(&f, scope) == log_filter_level(&g, scope));
	return 0;
}
