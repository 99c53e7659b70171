/* SPDX-License-Identifier: Apache-2.0 */
/* The first octet says whether '+' is a space. What decodes is no longer, and encoded again decodes to the same. */
#include "common/base/check.h"
#include "common/codec/percent_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct buf text, coded, again;
	bool plus;

	if (n == 0)
		return 0;
	plus = (p[0] & 1) != 0;
	buf_init(&text, n);
	buf_init(&coded, 3 * n);
	buf_init(&again, n);
	if (percent_decode(span_of(p + 1, n - 1), plus, &text) == ERR_OK &&
	    memchr(p + 1, '\0', n - 1) == NULL) {
		CHECK(text.n <= n - 1);
		CHECK(text.n == 0 || memchr(text.p, '\0', text.n) == NULL);
		percent_encode(buf_span(&text), &coded);
		CHECK(buf_status(&coded) == ERR_OK);
		CHECK(percent_decode(buf_span(&coded), !plus, &again) == ERR_OK);
		CHECK(span_eq(buf_span(&again), buf_span(&text)));
	}
	buf_fini(&text);
	buf_fini(&coded);
	buf_fini(&again);
	return 0;
}
