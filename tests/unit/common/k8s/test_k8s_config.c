/* SPDX-License-Identifier: Apache-2.0 */
/* Where the API server is and what it is shown, from files good and bad. */
#include "common/k8s/k8s_config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64], why[K8S_CONFIG_WHY_MAX];

static const char *path_of(const char *name)
{
	static char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static void write_file(const char *name, const char *text, size_t n)
{
	FILE *f = fopen(path_of(name), "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

static void put(const char *name, const char *text)
{
	write_file(name, text, strlen(text));
}

static enum err load(const char *host, const char *port, struct k8s_config *c)
{
	const struct k8s_config_source from = {.host = host, .port = port, .folder = folder};

	why[0] = '\0';
	return k8s_config_load(&from, c, why);
}

static int set_up(void **state)
{
	(void)state;
	(void)snprintf(folder, sizeof(folder), "/tmp/k8s-config-XXXXXX");
	(void)unsetenv("KUBERNETES_SERVICE_HOST");
	(void)unsetenv("KUBERNETES_SERVICE_PORT");
	return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
	static const char *const names[] = {"token", "ca.crt", "namespace"};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)unlink(path_of(names[i]));
		(void)rmdir(path_of(names[i]));
	}
	return rmdir(folder);
}

/* --- claims ----------------------------------------------------------------------------------------- */

static void a_pod_is_told_by_its_environment(void **state)
{
	struct k8s_config c;

	(void)state;
	put("namespace", "culvert-system\n");
	(void)setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1", 1);
	(void)setenv("KUBERNETES_SERVICE_PORT", "443", 1);
	assert_int_equal(load(NULL, NULL, &c), ERR_OK);
	assert_string_equal(c.authority, "10.96.0.1:443");
	assert_string_equal(c.host, "10.96.0.1");
	assert_string_equal(c.space, "culvert-system");
	assert_int_equal(load("fd00::1", "6443", &c), ERR_OK);
	assert_string_equal(c.authority, "[fd00::1]:6443");
	assert_string_equal(c.host, "fd00::1");
	assert_string_equal(c.name, "");
	assert_int_equal(load("api.k8s.example", "443", &c), ERR_OK);
	assert_string_equal(c.authority, "api.k8s.example:443");
	assert_string_equal(c.host, "api.k8s.example");
	assert_string_equal(c.name, "api.k8s.example");
	assert_int_equal(c.server.ip.family, IP_NONE);
}

static void without_files_of_its_own_a_pods_folder_is_read(void **state)
{
	const struct k8s_config_source from = {
		.host = "10.0.0.1", .port = "1", .tls_name = "kubernetes"};
	struct k8s_config c;

	(void)state;
	assert_int_equal(k8s_config_load(&from, &c, why), ERR_OK);
	assert_string_equal(c.folder, K8S_FOLDER);
	assert_string_equal(c.host, "kubernetes");
}

static void what_is_missing_or_absurd_is_named(void **state)
{
	static const struct {
		const char *host, *port, *why;
	} cases[] = {
		{NULL, "443", "KUBERNETES_SERVICE_HOST is not set"},
		{"", "443", "KUBERNETES_SERVICE_HOST is not set"},
		{"10.0.0.256", "443", "10.0.0.256: neither an address nor"},
		{"api.example.", "443", "neither"},
		{".api", "443", "neither"},
		{"api example", "443", "neither"},
		{"https://api.example", "443", "neither"},
		{"10.0.0.1", NULL, "KUBERNETES_SERVICE_PORT is not set"},
		{"10.0.0.1", "0", "=0: not a port"},
		{"10.0.0.1", "65536", "not a port"},
		{"10.0.0.1", "https", "not a port"},
	};
	struct k8s_config c;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(load(cases[i].host, cases[i].port, &c), ERR_CONFIG);
		if (!strstr(why, cases[i].why))
			fail_msg("\"%s\" does not say \"%s\"", why, cases[i].why);
	}
	put("namespace", "two words");
	assert_int_equal(load("10.0.0.1", "443", &c), ERR_CONFIG);
	assert_non_null(strstr(why, "namespace"));
}

static enum err token(const struct k8s_config *c, const char *expected)
{
	struct buf out;
	enum err e;

	buf_init(&out, K8S_TOKEN_MAX);
	why[0] = '\0';
	e = k8s_config_token(c, &out, why);
	assert_int_equal(e == ERR_OK, expected != NULL);
	assert_int_equal(e != ERR_OK, why[0] != '\0');
	if (expected)
		assert_true(span_eq_str(buf_span(&out), expected));
	else
		assert_int_equal(out.n, 0);
	buf_wipe_fini(&out);
	return e;
}

static void the_token_is_read_anew_and_without_blanks_around_it(void **state)
{
	struct k8s_config c;

	(void)state;
	assert_int_equal(load("10.0.0.1", "443", &c), ERR_OK);
	assert_string_equal(c.space, "");
	put("token", "abc.def-_~+/=\n");
	(void)token(&c, "abc.def-_~+/=");
	put("token", " \t\r\nnext\r\n\n");
	(void)token(&c, "next");
}

static void a_token_that_is_none_is_an_error(void **state)
{
	static char large[K8S_TOKEN_MAX + 2];
	struct k8s_config c;

	(void)state;
	assert_int_equal(load("10.0.0.1", "443", &c), ERR_OK);
	assert_int_equal(token(&c, NULL), ERR_CONFIG);
	assert_non_null(strstr(why, path_of("token")));
	put("token", "");
	assert_int_equal(token(&c, NULL), ERR_CONFIG);
	put("token", "\n \n");
	assert_int_equal(token(&c, NULL), ERR_CONFIG);
	assert_non_null(strstr(why, "empty"));
	put("token", "a\r\nx-more: b");
	assert_int_equal(token(&c, NULL), ERR_CONFIG);
	write_file("token", "a\0b", 3);
	assert_int_equal(token(&c, NULL), ERR_CONFIG);
	memset(large, 'x', sizeof(large));
	write_file("token", large, K8S_TOKEN_MAX + 1);
	assert_int_equal(token(&c, NULL), ERR_LIMIT);
	assert_int_equal(unlink(path_of("token")), 0);
	assert_int_equal(mkdir(path_of("token"), 0700), 0);
	assert_int_equal(token(&c, NULL), ERR_SYSTEM);
	assert_int_equal(rmdir(path_of("token")), 0);
	assert_int_equal(mkfifo(path_of("token"), 0600), 0);
	assert_int_equal(token(&c, NULL), ERR_SYSTEM);
}

static void authorities_are_read_whole_or_not_at_all(void **state)
{
	static char large[K8S_CA_MAX + 1];
	struct k8s_config c;
	struct buf out;

	(void)state;
	assert_int_equal(load("10.0.0.1", "443", &c), ERR_OK);
	buf_init(&out, 2 * K8S_CA_MAX);
	assert_int_equal(k8s_config_ca(&c, &out, why), ERR_CONFIG);
	assert_non_null(strstr(why, "ca.crt"));
	put("ca.crt", "");
	assert_int_equal(k8s_config_ca(&c, &out, why), ERR_CONFIG);
	put("ca.crt", "PEM\n");
	assert_int_equal(k8s_config_ca(&c, &out, why), ERR_OK);
	assert_true(span_eq_str(buf_span(&out), "PEM\n"));
	write_file("ca.crt", large, sizeof(large));
	assert_int_equal(k8s_config_ca(&c, &out, why), ERR_LIMIT);
	buf_fini(&out);
}

int main(void)
{
#define CLAIM(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CLAIM(a_pod_is_told_by_its_environment),
		CLAIM(without_files_of_its_own_a_pods_folder_is_read),
		CLAIM(what_is_missing_or_absurd_is_named),
		CLAIM(the_token_is_read_anew_and_without_blanks_around_it),
		CLAIM(a_token_that_is_none_is_an_error),
		CLAIM(authorities_are_read_whole_or_not_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
