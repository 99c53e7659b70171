/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <zlib.h>

#include "common/codec/gzip_codec.h"
#include "tests/unit/common/codec/codec_cases.h"

static void assert_round_trip_of(enum err (*encode)(struct span in, struct buf *out),
                                 int window_bits, const uint8_t *p, size_t n)
{
	uint8_t *back = malloc(n + 1);
	z_stream z = {0};
	struct buf out;

	buf_init(&out, 1 << 24);
	assert_int_equal(encode(span_of(p, n), &out), ERR_OK);
	assert_int_equal(inflateInit2(&z, window_bits), Z_OK);
	z.next_in = out.p;
	z.avail_in = (uInt)out.n;
	z.next_out = back;
	z.avail_out = (uInt)(n + 1);
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	assert_int_equal(z.total_out, n);
	if (n > 0)
		assert_memory_equal(back, p, n);
	(void)inflateEnd(&z);
	buf_fini(&out);
	free(back);
}

/* As a gzip member, and as the zlib stream that HTTP calls deflate. */
static void assert_round_trip(const uint8_t *p, size_t n)
{
	assert_round_trip_of(gzip_encode, 16 + MAX_WBITS, p, n);
	assert_round_trip_of(zlib_encode, MAX_WBITS, p, n);
}

static void what_is_packed_unpacks_whole(void **state)
{
	(void)state;
	for_each_codec_case(assert_round_trip);
}

static void a_ceiling_is_an_error(void **state)
{
	(void)state;
	assert_codec_meets_ceiling(gzip_encode);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_packed_unpacks_whole),
		cmocka_unit_test(a_ceiling_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
