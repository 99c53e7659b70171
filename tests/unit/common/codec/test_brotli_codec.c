/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <brotli/decode.h>

#include "common/codec/brotli_codec.h"

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
	static uint8_t noise[1 << 20];
	uint32_t x = 1;

	(void)state;
	assert_round_trip(noise, sizeof(noise)); /* zeros */
	for (size_t i = 0; i < sizeof(noise); i++) {
		x = x * 1664525 + 1013904223;
		noise[i] = (uint8_t)(x >> 24);
	}
	assert_round_trip(noise, sizeof(noise));
	assert_round_trip(noise, 1);
	assert_round_trip(noise, 0);
}

static void brotli_meets_a_ceiling_with_an_error(void **state)
{
	static const uint8_t zeros[1000];
	struct buf out;

	(void)state;
	buf_init(&out, 10);
	assert_int_equal(brotli_encode(span_of(zeros, sizeof(zeros)), &out), ERR_LIMIT);
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(brotli_unpacks_whole_what_was_packed),
		cmocka_unit_test(brotli_meets_a_ceiling_with_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
