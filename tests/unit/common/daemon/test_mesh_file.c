/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/daemon/mesh_file.h"
#include "common/daemon/settings.h"

static char home[] = "/tmp/culvert-mesh-file-XXXXXX";

static int begin(void **state)
{
	(void)state;
	return mkdtemp(home) == NULL || chdir(home) != 0;
}

static int end(void **state)
{
	(void)state;
	(void)unlink("etc/istio/config/mesh");
	(void)unlink("etc/istio");
	(void)rmdir("etc/istio/config");
	(void)rmdir("etc/istio");
	(void)rmdir("etc");
	return chdir("/") != 0 || rmdir(home) != 0;
}

/* What the start says with the environment alone being enough. */
static enum err start(struct settings_report *r)
{
	static const char *const env[] = {"LOCAL_XDS_PATH=/mesh.yaml", "CULVERT_CA=files",
	                                  "CULVERT_CERT_DIR=/certs", NULL};
	struct settings s = {0};
	enum err e;

	settings_report_init(r);
	mesh_file_check(&r->errors);
	e = settings_read(env, 1, &s, r);
	settings_fini(&s);
	return e;
}

static void no_mesh_file_is_no_error(void **state)
{
	struct settings_report r;

	(void)state;
	assert_int_equal(start(&r), ERR_OK);
	assert_int_equal(r.errors.n, 0);
	settings_report_fini(&r);

	assert_int_equal(mkdir("etc", 0755), 0);
	assert_int_equal(close(open("etc/istio", O_CREAT | O_WRONLY | O_CLOEXEC, 0644)), 0);
	assert_int_equal(start(&r), ERR_OK); /* a file where a directory would be */
	settings_report_fini(&r);
	assert_int_equal(unlink("etc/istio"), 0);
}

static void a_mesh_file_stops_the_start_and_is_named(void **state)
{
	static const char named[] = "etc/istio/config/mesh: not read here yet";
	struct settings_report r;

	(void)state;
	assert_int_equal(mkdir("etc/istio", 0755), 0);
	assert_int_equal(mkdir("etc/istio/config", 0755), 0);
	assert_int_equal(close(open("etc/istio/config/mesh", O_CREAT | O_WRONLY | O_CLOEXEC, 0644)),
	                 0);
	assert_int_equal(start(&r), ERR_CONFIG);
	assert_non_null(memmem(r.errors.p, r.errors.n, named, strlen(named)));
	settings_report_fini(&r);
}

static void a_mesh_file_that_cannot_be_looked_for_stops_the_start(void **state)
{
	struct settings_report r;

	(void)state;
	(void)unlink("etc/istio/config/mesh");
	assert_int_equal(symlink("mesh", "etc/istio/config/mesh"), 0); /* ELOOP */
	assert_int_equal(start(&r), ERR_CONFIG);
	assert_non_null(memmem(r.errors.p, r.errors.n, "cannot tell", strlen("cannot tell")));
	settings_report_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_mesh_file_is_no_error),
		cmocka_unit_test(a_mesh_file_stops_the_start_and_is_named),
		cmocka_unit_test(a_mesh_file_that_cannot_be_looked_for_stops_the_start),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
