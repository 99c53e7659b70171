/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/codec/pprof_codec.h"

/* The message, by hand after profile.proto. */
static void a_profile_is_the_message_pprof_reads(void **state)
{
	static const uint8_t want[] =
		{
			0x0a, 4,    0x08, 1,    0x10, 2, /* samples, count */
			0x0a, 4,    0x08, 3,    0x10, 4, /* cpu, nanoseconds */
			0x12, 13,   0x08, 1,    0x10, 3,    0x10, 0xac, 0x02, 0x1a, 4,    0x08,
			5,    0x10, 7,    0x12, 12,   0x08, 2,    0x10, 1,    0x10, 100,  0x1a,
			4,    0x08, 5,    0x10, 7,    0x22, 7,    0x08, 1,    0x10, 1,    0x18,
			0x80, 0x20, /* 0x1000, in the mapping */
			0x22, 7,    0x08, 2,    0x10, 0,    0x18, 0x80, 0x40, /* its end is outside */
			0x1a, 13,   0x08, 1,    0x10, 0x80, 0x20, 0x18, 0x80, 0x40, 0x20, 0x80,
			0x01, 0x28, 6,    0x32, 0,    0x32, 7,    's',  'a',  'm',  'p',  'l',
			'e',  's',  0x32, 5,    'c',  'o',  'u',  'n',  't',  0x32, 3,    'c',
			'p',  'u',  0x32, 11,   'n',  'a',  'n',  'o',  's',  'e',  'c',  'o',
			'n',  'd',  's',  0x32, 6,    't',  'h',  'r',  'e',  'a',  'd',  0x32,
			2,    '/',  'x',  0x32, 1,    'w',  0x48, 9,    0x50, 8,    0x5a, 4,
			0x08, 3,    0x10, 4,    0x60, 100,
		};
	const struct pprof_mapping mapping = {0x1000, 0x2000, 0x80, "/x"};
	const struct pprof_sample samples[] = {{0x1000, 0, 3}, {0x2000, 0, 1}};
	const char *const threads[] = {"w"};
	struct buf out;

	(void)state;
	buf_init(&out, 4096);
	pprof_write(
		&(struct pprof){
			.mappings = &mapping,
			.mapping_count = 1,
			.samples = samples,
			.sample_count = 2,
			.threads = threads,
			.thread_count = 1,
			.began_ns = 9,
			.duration_ns = 8,
			.period_ns = 100,
		},
		&out);
	assert_int_equal(out.n, sizeof(want));
	assert_memory_equal(out.p, want, sizeof(want));
	buf_fini(&out);
}

static void a_ceiling_fails_the_profile(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 20);
	pprof_write(&(struct pprof){.period_ns = 1}, &out);
	assert_int_equal(buf_status(&out), ERR_LIMIT);
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_profile_is_the_message_pprof_reads),
		cmocka_unit_test(a_ceiling_fails_the_profile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
