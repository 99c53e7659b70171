/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/daemon/mesh_file.h"
#include "common/daemon/proxy_config.h"

static struct buf text, errors;
static char home[] = "/tmp/culvert-mesh-file-XXXXXX";

static int begin(void **state)
{
	(void)state;
	return mkdtemp(home) == NULL || chdir(home) != 0;
}

static int end(void **state)
{
	(void)state;
	buf_fini(&text);
	buf_fini(&errors);
	(void)unlink("etc/istio/config/mesh");
	(void)unlink("etc/istio");
	(void)rmdir("etc/istio/config");
	(void)rmdir("etc/istio");
	(void)rmdir("etc");
	return chdir("/") != 0 || rmdir(home) != 0;
}

static enum err read_file(void)
{
	buf_fini(&text);
	buf_fini(&errors);
	buf_init(&errors, 4096);
	return mesh_file_read(&text, &errors);
}

static bool told(const char *words)
{
	return errors.n > 0 && memmem(errors.p, errors.n, words, strlen(words)) != NULL;
}

static void write_file(const char *words, size_t times)
{
	FILE *f = fopen("etc/istio/config/mesh", "we");

	assert_non_null(f);
	while (times-- > 0)
		assert_true(fputs(words, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void no_mesh_file_is_no_error(void **state)
{
	(void)state;
	assert_int_equal(read_file(), ERR_OK);
	assert_int_equal(text.n + errors.n, 0);

	assert_int_equal(mkdir("etc", 0755), 0);
	assert_int_equal(close(open("etc/istio", O_CREAT | O_WRONLY | O_CLOEXEC, 0644)), 0);
	assert_int_equal(read_file(), ERR_OK); /* a file where a directory would be */
	assert_int_equal(unlink("etc/istio"), 0);
}

static void a_mesh_file_is_read_whole(void **state)
{
	(void)state;
	assert_int_equal(mkdir("etc/istio", 0755), 0);
	assert_int_equal(mkdir("etc/istio/config", 0755), 0);
	write_file("0123456789abcdef", 65536); /* what is allowed at most */
	assert_int_equal(read_file(), ERR_OK);
	assert_int_equal(text.n, PROXY_CONFIG_TEXT_MAX);
	write_file("0123456789abcdef", 80000);
	assert_int_equal(read_file(), ERR_CONFIG);
	assert_true(told("etc/istio/config/mesh: cannot be read"));
}

static void a_mesh_file_that_cannot_be_read_stops_the_start_and_is_named(void **state)
{
	(void)state;
	(void)unlink("etc/istio/config/mesh");
	assert_int_equal(symlink("mesh", "etc/istio/config/mesh"), 0); /* ELOOP */
	assert_int_equal(read_file(), ERR_CONFIG);
	assert_true(told("etc/istio/config/mesh: cannot be read"));
	(void)unlink("etc/istio/config/mesh");
	assert_int_equal(mkdir("etc/istio/config/mesh", 0755), 0);
	assert_int_equal(read_file(), ERR_CONFIG);
	assert_int_equal(rmdir("etc/istio/config/mesh"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_mesh_file_is_no_error),
		cmocka_unit_test(a_mesh_file_is_read_whole),
		cmocka_unit_test(a_mesh_file_that_cannot_be_read_stops_the_start_and_is_named),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
