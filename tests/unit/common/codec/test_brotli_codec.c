/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <brotli/decode.h>

#include "common/codec/brotli_codec.h"
#include "tests/unit/common/codec/codec_cases.h"

static void assert_round_trip(const uint8_t *p, size_t n)
{
	uint8_t *back = malloc(n + 1);
	size_t back_n = n + 1;
	struct buf out;

	buf_init(&out, 1 << 24);
	assert_int_equal(brotli_encode(span_of(p, n), &out), ERR_OK);
	assert_int_equal(BrotliDecoderDecompress(out.n, out.p, &back_n, back),
	                 BROTLI_DECODER_RESULT_SUCCESS);
	assert_int_equal(back_n, n);
	if (n > 0)
		assert_memory_equal(back, p, n);
	buf_fini(&out);
	free(back);
}

static void brotli_unpacks_whole_what_was_packed(void **state)
{
	(void)state;
	for_each_codec_case(assert_round_trip);
}

static void brotli_meets_a_ceiling_with_an_error(void **state)
{
	(void)state;
	assert_codec_meets_ceiling(brotli_encode);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(brotli_unpacks_whole_what_was_packed),
		cmocka_unit_test(brotli_meets_a_ceiling_with_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
