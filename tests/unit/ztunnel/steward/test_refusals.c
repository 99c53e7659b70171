/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ztunnel/steward/refusals.h"

static char told[512];

static void tell(void *arg, const char *request, const char *reason, uint64_t count)
{
	size_t n = strlen(told);

	(void)arg;
	(void)snprintf(told + n, sizeof(told) - n, "%s%s %s %llu", n > 0 ? ", " : "", request,
	               reason, (unsigned long long)count);
}

#define assert_told(r, expected)                     \
	do {                                         \
		told[0] = '\0';                      \
		refusals_each(r, tell, NULL);        \
		assert_string_equal(told, expected); \
	} while (0)

static void what_was_refused_is_told_by_request_and_reason(void **state)
{
	struct refusals r = {0};

	(void)state;
	assert_told(&r, "");
	refusals_note_errno(&r, STEWARD_SOCKET, EMFILE);
	refusals_note_errno(&r, STEWARD_SOCKET, EMFILE);
	refusals_note_errno(&r, STEWARD_RESOLVER, EPERM);
	refusals_note(&r, STEWARD_ENROLL, ERR_SYSTEM);
	assert_told(&r, "enroll SYSTEM 1, socket EMFILE 2, resolver EPERM 1");
}

static void what_has_no_name_of_its_own_is_counted_all_the_same(void **state)
{
	struct refusals r = {0};

	(void)state;
	refusals_note_errno(&r, STEWARD_SOCKET, EPROTO);
	refusals_note_errno(&r, STEWARD_SOCKET, 0);
	refusals_note(&r, STEWARD_SWEEP, ERR_PARSE);
	assert_told(&r, "sweep other 1, socket other 2");
}

static void success_is_no_refusal(void **state)
{
	struct refusals r = {0};

	(void)state;
	refusals_note(&r, STEWARD_ENROLL, ERR_OK);
	assert_told(&r, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_refused_is_told_by_request_and_reason),
		cmocka_unit_test(what_has_no_name_of_its_own_is_counted_all_the_same),
		cmocka_unit_test(success_is_no_refusal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
