/* SPDX-License-Identifier: Apache-2.0 */
/* The host found lies inside the value and holds visible ASCII only. */
#include "common/base/check.h"
#include "common/hbone/forwarded.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct span host = forwarded_host(span_of(p, n));

	if (host.n == 0)
		return 0;
	CHECK(host.p >= p && host.p + host.n <= p + n);
	for (size_t i = 0; i < host.n; i++)
		CHECK(host.p[i] >= 0x20 && host.p[i] < 0x7f);
	return 0;
}
