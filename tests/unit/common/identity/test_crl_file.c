/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/check.h"
#include "common/identity/crl_file.h"
#include "common/tls/tls_config.h"
#include "tests/sim/sim.h"
#include "tests/unit/common/tls/test_pki.h"

enum { TEXT_MAX = 20 * 1024 * 1024 };

static char dir[64];
static char path[128];
static struct loop *loop;
static struct revocation *revocation;
static struct test_pki root;
static struct crl_news heard; /* the last news */
static char heard_why[CRL_WHY_MAX];
static unsigned int heard_count;

static int set_up(void **state)
{
	(void)state;
	assert_int_equal(tls_global_init(), ERR_OK);
	(void)snprintf(dir, sizeof(dir), "/tmp/culvert-test-crl-XXXXXX");
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/ca-crl.pem", dir);
	loop = sim_new(NULL);
	revocation = revocation_new();
	test_pki_init(&root, "root");
	heard_count = 0;
	return 0;
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	test_pki_fini(&root);
	revocation_free(revocation);
	loop_free(loop);
	(void)snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
	tls_global_fini();
	return 0;
}

static void on_news(void *arg, const struct crl_news *news)
{
	(void)arg;
	heard = *news;
	(void)snprintf(heard_why, sizeof(heard_why), "%s", news->why);
	heard_count++;
}

static struct crl_file *start(void)
{
	const struct crl_file_owner owner = {.news = on_news};

	return crl_file_new(loop, path, revocation, &owner);
}

static void write_at(const char *where, struct span text)
{
	FILE *f = fopen(where, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text.p, 1, text.n, f), text.n);
	assert_int_equal(fclose(f), 0);
}

static const struct span serial = {(const uint8_t *)"\x12\x34\x56", 3};

/* A file that revokes n times the same serial: its number tells which file was read. */
static void write_list(const char *where, size_t n)
{
	const struct span serials[] = {serial, serial, serial};
	struct buf text;

	buf_init(&text, TEXT_MAX);
	test_pki_crl(&root, &(struct test_crl){.serials = serials, .count = n}, true, &text);
	write_at(where, buf_span(&text));
	buf_fini(&text);
}

static void looks(unsigned int n)
{
	while (n-- > 0) {
		sim_advance(loop, CRL_LOOK_MS);
		for (int i = 0; i < 3; i++)
			loop_turn(loop, 0);
	}
}

static void a_file_is_read_at_the_start_and_when_it_changes(void **state)
{
	struct crl_file *f;

	(void)state;
	write_list(path, 1);
	f = start();
	assert_int_equal(heard_count, 1);
	assert_int_equal(heard.err, ERR_OK);
	assert_true(heard.changed && heard.in_force);
	assert_int_equal(heard.serials, 1);
	looks(10);
	assert_int_equal(heard_count, 1); /* nothing changed */
	write_list(path, 2);
	looks(3);
	assert_int_equal(heard_count, 2);
	assert_int_equal(heard.serials, 2);
	assert_int_equal(crl_file_stats(f).loaded, 2);
	assert_int_equal(crl_file_stats(f).serials, 2);
	crl_file_free(f);
}

static void a_missing_file_is_picked_up_when_it_appears(void **state)
{
	struct crl_file *f = start();

	(void)state;
	assert_int_equal(heard.err, ERR_EOF);
	assert_false(heard.in_force);
	assert_non_null(strstr(heard_why, "No such file"));
	looks(200);
	assert_int_equal(heard_count, 1); /* said once */
	write_list(path, 1);
	looks(3);
	assert_int_equal(heard.err, ERR_OK);
	assert_true(heard.in_force);
	crl_file_free(f);
}

static void a_bad_file_at_the_start_does_not_end_the_watch(void **state)
{
	struct crl_file *f;

	(void)state;
	write_at(path, span_str("-----BEGIN nonsense"));
	f = start();
	assert_int_equal(heard.err, ERR_PARSE);
	assert_false(heard.in_force);
	write_list(path, 1);
	looks(3);
	assert_int_equal(heard.err, ERR_OK);
	assert_true(heard.in_force);
	crl_file_free(f);
}

static void a_bad_or_removed_file_keeps_the_lists_in_force(void **state)
{
	struct crl_file *f;

	(void)state;
	write_list(path, 3);
	f = start();
	write_at(path, span_str("-----BEGIN nonsense"));
	looks(3);
	assert_int_equal(heard.err, ERR_PARSE);
	assert_true(heard.in_force);
	assert_false(heard.changed);
	assert_int_equal(crl_file_stats(f).serials, 3);
	assert_int_equal(crl_file_stats(f).failed, 1);
	assert_int_equal(unlink(path), 0);
	looks(3);
	assert_int_equal(heard.err, ERR_EOF);
	assert_true(heard.in_force);
	assert_int_equal(crl_file_stats(f).serials, 3);
	write_at(path, span_str(""));
	looks(3);
	assert_int_equal(heard.err, ERR_OK); /* empty: nothing is revoked, and that is news */
	assert_int_equal(crl_file_stats(f).serials, 0);
	crl_file_free(f);
}

static void a_link_that_points_elsewhere_is_a_change(void **state)
{
	char one[128], two[128], next[128];
	struct crl_file *f;

	(void)state;
	(void)snprintf(one, sizeof(one), "%s/one", dir);
	(void)snprintf(two, sizeof(two), "%s/two", dir);
	(void)snprintf(next, sizeof(next), "%s/next", dir);
	write_list(one, 1);
	write_list(two, 2);
	assert_int_equal(symlink(one, path), 0);
	f = start();
	assert_int_equal(heard.serials, 1);
	assert_int_equal(symlink(two, next), 0);
	assert_int_equal(rename(next, path), 0);
	looks(3);
	assert_int_equal(heard.serials, 2);
	crl_file_free(f);
}

static void a_file_that_is_still_being_written_is_waited_for(void **state)
{
	struct buf text;
	struct crl_file *f;

	(void)state;
	buf_init(&text, TEXT_MAX);
	write_list(path, 1);
	f = start();
	for (int i = 0; i < 8; i++) {
		buf_put_str(&text, "-----BEGIN half of something\n");
		write_at(path, buf_span(&text));
		looks(1);
	}
	assert_int_equal(heard_count, 1);
	write_list(path, 2);
	looks(3);
	assert_int_equal(heard_count, 2);
	assert_int_equal(heard.err, ERR_OK);
	crl_file_free(f);
	buf_fini(&text);
}

static void what_is_no_file_or_too_long_is_an_error(void **state)
{
	struct crl_file *f;

	(void)state;
	assert_int_equal(mkdir(path, 0700), 0);
	f = start();
	assert_int_equal(heard.err, ERR_SYSTEM);
	assert_non_null(strstr(heard_why, "not a regular file"));
	assert_int_equal(rmdir(path), 0);
	write_at(path, span_str(""));
	assert_int_equal(truncate(path, (off_t)CRL_FILE_MAX + 1), 0);
	looks(3);
	assert_int_equal(heard.err, ERR_LIMIT);
	crl_file_free(f);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0); /* must not hold the thread */
	f = start();
	assert_int_equal(heard.err, ERR_SYSTEM);
	crl_file_free(f);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_file_is_read_at_the_start_and_when_it_changes),
		TEST(a_missing_file_is_picked_up_when_it_appears),
		TEST(a_bad_file_at_the_start_does_not_end_the_watch),
		TEST(a_bad_or_removed_file_keeps_the_lists_in_force),
		TEST(a_link_that_points_elsewhere_is_a_change),
		TEST(a_file_that_is_still_being_written_is_waited_for),
		TEST(what_is_no_file_or_too_long_is_an_error),
	};

	return cmocka_run_group_tests_name("crl_file", tests, NULL, NULL);
}
