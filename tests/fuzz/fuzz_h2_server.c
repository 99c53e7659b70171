/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of a hostile peer into a server session. */
#include "tests/fuzz/fuzz_h2_session.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	fuzz_session(H2_SERVER, p, n);
	return 0;
}
