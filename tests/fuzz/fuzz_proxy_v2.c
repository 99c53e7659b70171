/* SPDX-License-Identifier: Apache-2.0 */
/* A header that parses, written again, parses to the same. */
#include "common/base/check.h"
#include "common/hbone/proxy_v2.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static uint8_t out[PROXY_V2_LEN_MAX];
	struct proxy_v2 a, b;
	size_t len, again;

	if (proxy_v2_parse(span_of(p, n), &a, &len) != ERR_OK)
		return 0;
	CHECK(len <= n);
	CHECK(proxy_v2_build(&a, out, &len) == ERR_OK);
	CHECK(proxy_v2_parse(span_of(out, len), &b, &again) == ERR_OK);
	CHECK(again == len);
	CHECK(endpoint_eq(&a.source, &b.source) && endpoint_eq(&a.destination, &b.destination));
	CHECK(span_eq(a.identity, b.identity));
	return 0;
}
