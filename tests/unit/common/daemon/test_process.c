/* SPDX-License-Identifier: Apache-2.0 */
/* args, signals and process: what meets the kernel and the shell. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/base/str.h"
#include "common/daemon/args.h"
#include "common/daemon/build_info.h"
#include "common/daemon/process.h"
#include "common/daemon/signals.h"

static enum args_verb verb_of(const char *word)
{
	char name[] = "culvert", copy[32];
	char *argv[] = {name, copy, NULL};
	struct args a;

	assert_true(str_copy(copy, sizeof(copy), span_str(word != NULL ? word : "")));
	args_parse(word != NULL ? 2 : 1, argv, &a);
	return a.verb;
}

static void the_first_argument_is_the_verb(void **state)
{
	(void)state;
	assert_int_equal(verb_of(NULL), ARGS_RUN);
	assert_int_equal(verb_of("proxy"), ARGS_RUN);
	assert_int_equal(verb_of("version"), ARGS_VERSION);
	assert_int_equal(verb_of("help"), ARGS_HELP);
	assert_int_equal(verb_of("--help"), ARGS_BAD);
	assert_int_equal(verb_of(""), ARGS_BAD);
}

static void further_arguments_are_kept_for_the_dump(void **state)
{
	char name[] = "culvert", proxy[] = "proxy", ztunnel[] = "ztunnel";
	char *argv[] = {name, proxy, ztunnel, NULL};
	struct args a;

	(void)state;
	args_parse(3, argv, &a);
	assert_int_equal(a.verb, ARGS_RUN);
	assert_string_equal(a.text, "proxy ztunnel");
}

static void endless_arguments_are_cut(void **state)
{
	static char long_word[ARGS_TEXT_MAX * 2];
	char name[] = "culvert", proxy[] = "proxy";
	char *argv[] = {name, proxy, long_word, long_word, NULL};
	struct args a;

	(void)state;
	memset(long_word, 'x', sizeof(long_word) - 1);
	args_parse(4, argv, &a);
	assert_int_equal(strlen(a.text), ARGS_TEXT_MAX - 1);
}

static void the_second_interrupt_exits_at_once(void **state)
{
	struct signals s = {.fd = -1};

	(void)state;
	assert_int_equal(signals_judge(&s, SIGHUP), SIGNAL_RELOAD);
	assert_int_equal(signals_judge(&s, SIGINT), SIGNAL_DRAIN);
	assert_int_equal(signals_judge(&s, SIGTERM), SIGNAL_NONE);
	assert_int_equal(signals_judge(&s, SIGHUP), SIGNAL_RELOAD);
	assert_int_equal(signals_judge(&s, SIGINT), SIGNAL_EXIT_NOW);
}

static void signals_arrive_through_the_descriptor(void **state)
{
	struct signals s;
	struct pollfd p;

	(void)state;
	assert_int_equal(signals_init(&s), ERR_OK);
	assert_int_equal(signals_next(&s), SIGNAL_NONE);
	assert_int_equal(raise(SIGHUP), 0);
	assert_int_equal(raise(SIGTERM), 0);
	p = (struct pollfd){.fd = s.fd, .events = POLLIN};
	assert_int_equal(poll(&p, 1, -1), 1);
	assert_int_equal(signals_next(&s), SIGNAL_RELOAD);
	assert_int_equal(signals_next(&s), SIGNAL_DRAIN);
	assert_int_equal(signals_next(&s), SIGNAL_NONE);
	assert_int_equal(raise(SIGPIPE), 0); /* we live on */
	signals_fini(&s);
}

static void the_descriptor_limit_goes_up_to_the_hard_one(void **state)
{
	struct rlimit before, after;
	uint64_t limit = 0;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	before.rlim_cur = 64;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(process_raise_nofile(&limit), ERR_OK);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &after), 0);
	assert_int_equal(after.rlim_cur, before.rlim_max);
	assert_int_equal(limit, before.rlim_max);
	assert_true(process_cpu_count() >= 1);
}

static void dumps_are_forbidden(void **state)
{
	(void)state;
	assert_int_equal(process_forbid_dumps(), ERR_OK);
	assert_int_equal(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 0);
}

static void the_version_section_has_the_contracts_keys(void **state)
{
	static const char *const keys[] = {"version",       "gitRevision", "rustVersion",
	                                   "buildProfile",  "buildStatus", "istioVersion",
	                                   "cryptoProvider"};
	struct json_write w;
	struct buf out;

	(void)state;
	buf_init(&out, 4096);
	json_write_init(&w, &out, false);
	build_info_json(&w, "1.30", "wolfSSL");
	buf_put_u8(&out, '\0');
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		assert_non_null(strstr((const char *)out.p, keys[i]));
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_argument_is_the_verb),
		cmocka_unit_test(further_arguments_are_kept_for_the_dump),
		cmocka_unit_test(endless_arguments_are_cut),
		cmocka_unit_test(the_second_interrupt_exits_at_once),
		cmocka_unit_test(signals_arrive_through_the_descriptor),
		cmocka_unit_test(the_descriptor_limit_goes_up_to_the_hard_one),
		cmocka_unit_test(dumps_are_forbidden),
		cmocka_unit_test(the_version_section_has_the_contracts_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
