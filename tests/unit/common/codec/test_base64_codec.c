/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/codec/base64_codec.h"

static void every_length_is_padded_as_rfc_4648_section_10_shows(void **state)
{
	static const char *const pairs[][2] = {
		{"", ""},
		{"f", "Zg=="},
		{"fo", "Zm8="},
		{"foo", "Zm9v"},
		{"foob", "Zm9vYg=="},
		{"fooba", "Zm9vYmE="},
		{"foobar", "Zm9vYmFy"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		struct buf out;

		buf_init(&out, 64);
		base64_encode(span_str(pairs[i][0]), &out);
		assert_true(span_eq_str(buf_span(&out), pairs[i][1]));
		buf_fini(&out);
	}
}

static void high_octets_use_the_last_digits(void **state)
{
	static const uint8_t bytes[] = {0xff, 0xff, 0xfe, 0xfb};
	struct buf out;

	(void)state;
	buf_init(&out, 64);
	base64_encode(span_of(bytes, sizeof(bytes)), &out);
	assert_true(span_eq_str(buf_span(&out), "///++w=="));
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_length_is_padded_as_rfc_4648_section_10_shows),
		cmocka_unit_test(high_octets_use_the_last_digits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
