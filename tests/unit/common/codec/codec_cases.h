/* SPDX-License-Identifier: Apache-2.0 */
/*
 * codec_cases - what every compressor of this room is tried on. Behind cmocka's headers.
 */
#ifndef TESTS_UNIT_COMMON_CODEC_CODEC_CASES_H
#define TESTS_UNIT_COMMON_CODEC_CODEC_CASES_H

#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/span.h"

/* Zeros, noise, one octet, none. */
static inline void for_each_codec_case(void (*check)(const uint8_t *p, size_t n))
{
	static uint8_t octets[1 << 20];
	uint32_t x = 1;

	check(octets, sizeof(octets));
	for (size_t i = 0; i < sizeof(octets); i++) {
		x = x * 1664525 + 1013904223;
		octets[i] = (uint8_t)(x >> 24);
	}
	check(octets, sizeof(octets));
	check(octets, 1);
	check(octets, 0);
}

/* Ten octets are too few for whatever a thousand zeros become. */
static inline void assert_codec_meets_ceiling(enum err (*encode)(struct span in, struct buf *out))
{
	static const uint8_t zeros[1000];
	struct buf out;

	buf_init(&out, 10);
	assert_int_equal(encode(span_of(zeros, sizeof(zeros)), &out), ERR_LIMIT);
	buf_fini(&out);
}

#endif
