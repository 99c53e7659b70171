/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void memory_comes_zeroed_and_is_never_null(void **state)
{
	uint8_t *p = mem_new(64), *nothing = mem_new(0);

	(void)state;
	for (size_t i = 0; i < 64; i++)
		assert_int_equal(p[i], 0);
	assert_non_null(nothing);
	free(p);
	free(nothing);
}

/* There is no half-built mesh and no half-read setting: without memory there is nothing to go on with. */
static void when_there_is_no_memory_the_process_ends(void **state)
{
	volatile size_t too_much = SIZE_MAX / 4;
	pid_t child = fork();
	int status = 0;

	(void)state;
	if (child == 0) {
		(void)close(STDERR_FILENO);
		free(mem_new(too_much));
		_exit(0);
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void a_text_is_copied_with_its_end(void **state)
{
	char *text = mem_str(span_of("abcdef", 3)), *empty = mem_str(span_of(NULL, 0));

	(void)state;
	assert_string_equal(text, "abc");
	assert_string_equal(empty, "");
	free(text);
	free(empty);
}

static void what_is_wiped_is_gone(void **state)
{
	char secret[8] = "secret!";
	static const char zero[8];

	(void)state;
	mem_wipe(secret, sizeof(secret));
	assert_memory_equal(secret, zero, sizeof(secret));
	mem_wipe(NULL, 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_comes_zeroed_and_is_never_null),
		cmocka_unit_test(when_there_is_no_memory_the_process_ends),
		cmocka_unit_test(a_text_is_copied_with_its_end),
		cmocka_unit_test(what_is_wiped_is_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
