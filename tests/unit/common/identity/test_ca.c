/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/identity/ca_dev.h"
#include "common/identity/ca_files.h"
#include "common/tls/pem_msg.h"
#include "common/tls/tls_config.h"
#include "common/tls/tls_session.h"
#include "tests/sim/sim.h"
#include "tests/unit/common/tls/test_pki.h"

#define ALICE "spiffe://cluster.local/ns/demo/sa/alice"
#define BOB   "spiffe://cluster.local/ns/demo/sa/bob"

enum { TTL_S = 3600 };

static char dir[64];
static char path[128];
static struct loop *loop;

static int set_up(void **state)
{
	(void)state;
	assert_int_equal(tls_global_init(), ERR_OK);
	(void)snprintf(dir, sizeof(dir), "/tmp/culvert-test-ca-XXXXXX");
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/root.pem", dir);
	loop = sim_new(NULL);
	return 0;
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	loop_free(loop);
	(void)snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
	tls_global_fini();
	return 0;
}

static int done_count;

static void on_done(struct ca_request *r)
{
	(void)r;
	done_count++;
}

static void fetch(struct ca_client *ca, struct ca_request *r, const char *identity)
{
	memset(r, 0, sizeof(*r));
	done_count = 0;
	ca_client_fetch(ca, r, identity, TTL_S, on_done);
	assert_int_equal(done_count, 0); /* never inside the call */
	for (int i = 0; i < 10 && done_count == 0; i++)
		(void)sim_turn(loop);
	assert_int_equal(done_count, 1);
}

static struct tls_config *config_of(const struct ca_request *r)
{
	const struct tls_material m = {.chain_pem = buf_span(&r->chain_pem),
	                               .key_pem = buf_span(&r->key_pem),
	                               .roots_pem = buf_span(&r->roots_pem)};
	struct tls_config *cfg = NULL;
	char why[200];

	assert_int_equal(r->err, ERR_OK);
	assert_int_equal(tls_config_new(&m, &cfg, why, sizeof(why)), ERR_OK);
	return cfg;
}

static struct tls_config *dev_config(struct ca_client *ca, const char *identity)
{
	struct ca_request r;
	struct tls_config *cfg;

	fetch(ca, &r, identity);
	cfg = config_of(&r);
	ca_request_fini(&r);
	return cfg;
}

static struct ca_client *dev_open(void)
{
	struct ca_client *ca = NULL;
	char why[200] = "";

	assert_int_equal(ca_dev_new(loop, path, &ca, why, sizeof(why)), ERR_OK);

	return ca;
}

static void two_nodes_that_share_the_file_trust_each_other(void **state)
{
	static const char *const bob[] = {BOB};
	const struct tls_expect expect = {.identities = bob, .identity_count = 1}, nobody = {0};
	struct ca_client *ca_a = dev_open(), *ca_b = dev_open();
	struct tls_config *a = dev_config(ca_a, ALICE), *b = dev_config(ca_b, BOB);
	struct tls_session *c = tls_session_new(a, TLS_CLIENT, &expect);
	struct tls_session *s = tls_session_new(b, TLS_SERVER, &nobody);
	struct buf to_c, to_s;
	size_t used;

	(void)state;
	assert_in_range(tls_config_not_after(a) - clock_wall_s(), TTL_S - 100, TTL_S + 100);
	buf_init(&to_c, 65536);
	buf_init(&to_s, 65536);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(tls_session_handshake(c, buf_span(&to_c), &used, &to_s), ERR_OK);
		buf_consume(&to_c, used);
		assert_int_equal(tls_session_handshake(s, buf_span(&to_s), &used, &to_c), ERR_OK);
		buf_consume(&to_s, used);
	}
	assert_true(tls_session_established(c) && tls_session_established(s));
	assert_string_equal(tls_session_peer(s), ALICE);
	tls_session_free(c);
	tls_session_free(s);
	tls_config_unref(a);
	tls_config_unref(b);
	ca_client_free(ca_a);
	ca_client_free(ca_b);
	buf_fini(&to_c);
	buf_fini(&to_s);
}

static void nodes_that_start_at_once_agree_on_one_root(void **state)
{
	enum { NODES = 8 };
	struct tls_cert_facts root, first = {0};
	pid_t pids[NODES];
	int status;

	(void)state;
	for (int i = 0; i < NODES; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			struct ca_client *ca;
			char why[200];

			_exit(ca_dev_new(loop, path, &ca, why, sizeof(why)) == ERR_OK ? 0 : 1);
		}
	}
	for (int i = 0; i < NODES; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	for (int i = 0; i < 2; i++) {
		struct ca_client *ca = dev_open();
		struct tls_config *cfg = dev_config(ca, BOB);

		assert_true(tls_config_root_at(cfg, 0, &root));
		assert_false(tls_config_root_at(cfg, 1, &root));
		if (i == 0)
			first = root;
		assert_string_equal(root.serial_decimal, first.serial_decimal);
		tls_config_unref(cfg);
		ca_client_free(ca);
	}
	/* nothing but the file itself was left behind */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(mkdir(dir, 0700), 0);
}

static void serials_differ_and_are_positive(void **state)
{
	struct ca_client *ca = dev_open();
	char last[64] = "";

	(void)state;
	for (int i = 0; i < 5; i++) {
		struct tls_config *cfg = dev_config(ca, BOB);
		struct tls_cert_facts leaf;

		assert_true(tls_config_chain_at(cfg, 0, &leaf));
		assert_string_not_equal(leaf.serial_decimal, last);
		assert_true(strlen(leaf.serial_decimal) > 30);
		(void)snprintf(last, sizeof(last), "%s", leaf.serial_decimal);
		tls_config_unref(cfg);
	}
	ca_client_free(ca);
}

static void a_key_that_others_may_read_is_refused(void **state)
{
	struct ca_client *ca = dev_open();
	char why[200];

	(void)state;
	ca_client_free(ca);
	assert_int_equal(chmod(path, 0640), 0);
	assert_int_equal(ca_dev_new(loop, path, &ca, why, sizeof(why)), ERR_CONFIG);
	assert_non_null(strstr(why, path));
	assert_non_null(strstr(why, "chmod"));
}

static void write_file(const char *name, struct span text)
{
	FILE *f = fopen(name, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text.p, 1, text.n, f), text.n);
	assert_int_equal(fclose(f), 0);
}

static void a_file_that_is_no_ca_is_refused_and_left_alone(void **state)
{
	static const char *const texts[] = {"", "hello", "-----BEGIN PRIVATE KEY-----\nAAAA\n"};
	struct ca_client *ca;
	char why[200];
	struct stat st;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		write_file(path, span_str(texts[i]));
		assert_int_equal(chmod(path, 0600), 0);
		assert_int_equal(ca_dev_new(loop, path, &ca, why, sizeof(why)), ERR_CONFIG);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_size, strlen(texts[i]));
	}
	(void)snprintf(path, sizeof(path), "%s/no/such/dir", dir);
	assert_int_equal(ca_dev_new(loop, path, &ca, why, sizeof(why)), ERR_SYSTEM);
}

/* Write bob's files as pki makes them. */
static void put_files(struct test_pki *pki, const char *where, const char *identity)
{
	struct test_material m;
	char name[200];

	test_pki_issue(pki, &(struct test_leaf){.uris = {identity}}, &m);
	(void)snprintf(name, sizeof(name), "%s/cert-chain.pem", where);
	write_file(name, buf_span(&m.chain));
	(void)snprintf(name, sizeof(name), "%s/key.pem", where);
	write_file(name, buf_span(&m.key));
	(void)snprintf(name, sizeof(name), "%s/root-cert.pem", where);
	write_file(name, buf_span(&m.roots));
	test_material_fini(&m);
}

static void files_of_an_identity_are_read_and_changes_noticed(void **state)
{
	const struct ca_files_options opt = {.dir = dir};
	struct ca_client *ca = NULL;
	struct tls_config *cfg;
	struct test_pki pki;
	struct ca_request r, last = {0};
	char where[128], why[200];

	(void)state;
	test_pki_init(&pki, "files");
	(void)snprintf(where, sizeof(where), "%s/demo", dir);
	assert_int_equal(mkdir(where, 0700), 0);
	(void)snprintf(where, sizeof(where), "%s/demo/bob", dir);
	assert_int_equal(mkdir(where, 0700), 0);
	put_files(&pki, where, BOB);
	assert_int_equal(ca_files_new(loop, &opt, &ca, why, sizeof(why)), ERR_OK);
	assert_false(ca_client_changed(ca, &last));
	fetch(ca, &last, BOB);
	cfg = config_of(&last);
	assert_string_equal(tls_config_identity(cfg), BOB);
	tls_config_unref(cfg);
	ca_request_fini(&last);
	assert_false(ca_client_changed(ca, &last));
	put_files(&pki, where, BOB);
	assert_true(ca_client_changed(ca, &last));
	fetch(ca, &last, BOB);
	assert_false(ca_client_changed(ca, &last));
	ca_request_fini(&last);

	fetch(ca, &r, ALICE);
	assert_int_equal(r.err, ERR_IDENTITY);
	assert_non_null(strstr(r.why, "demo/alice/cert-chain.pem: No such file"));
	ca_request_fini(&r);
	ca_client_free(ca);
	test_pki_fini(&pki);
}

static void put_authority(struct test_pki *own, struct test_pki *also)
{
	struct buf text;

	buf_init(&text, PEM_TEXT_MAX);
	assert_int_equal(tls_key_put_pem(own->key, &text), ERR_OK);
	buf_put(&text, buf_span(&own->pem));
	if (also != NULL)
		buf_put(&text, buf_span(&also->pem));
	write_file(path, buf_span(&text));
	assert_int_equal(chmod(path, 0600), 0);
	buf_fini(&text);
}

static unsigned int roots_in(const struct tls_config *cfg)
{
	struct tls_cert_facts facts;
	unsigned int n = 0;

	while (tls_config_root_at(cfg, n, &facts))
		n++;
	return n;
}

/* Old, both, new: as the file changes every identity is asked for again; what is broken or gone changes nothing. */
static void a_rotated_development_root_is_noticed_by_each_identity(void **state)
{
	struct ca_request bob, alice;
	struct ca_client *ca = NULL;
	struct test_pki old, new;
	struct tls_config *cfg;
	char why[200];

	(void)state;
	test_pki_init(&old, "insecure");
	test_pki_init(&new, "insecure");
	put_authority(&old, NULL);
	assert_int_equal(ca_dev_new(loop, path, &ca, why, sizeof(why)), ERR_OK);
	fetch(ca, &bob, BOB);
	ca_request_fini(&bob);
	fetch(ca, &alice, ALICE);
	ca_request_fini(&alice);
	assert_false(ca_client_changed(ca, &bob));

	put_authority(&new, &old);
	assert_true(ca_client_changed(ca, &bob));
	fetch(ca, &bob, BOB);
	cfg = config_of(&bob);
	assert_int_equal(roots_in(cfg), 2);
	tls_config_unref(cfg);
	ca_request_fini(&bob);
	assert_false(ca_client_changed(ca, &bob));
	assert_true(ca_client_changed(ca, &alice)); /* whose own turn is still to come */

	write_file(path, span_str("nonsense"));
	assert_int_equal(chmod(path, 0600), 0);
	fetch(ca, &bob, BOB);
	assert_int_equal(bob.err, ERR_CA);
	assert_non_null(strstr(bob.why, "not a development CA"));
	ca_request_fini(&bob);
	assert_int_equal(unlink(path), 0);
	assert_false(ca_client_changed(ca, &bob));
	fetch(ca, &bob, BOB); /* with what was read last */
	cfg = config_of(&bob);
	assert_int_equal(roots_in(cfg), 2);
	tls_config_unref(cfg);
	ca_request_fini(&bob);
	ca_client_free(ca);
	test_pki_fini(&old);
	test_pki_fini(&new);
}

static void one_triple_serves_one_identity(void **state)
{
	char chain[200], key[200], roots[200], why[200];
	const struct ca_files_options opt = {.chain = chain, .key = key, .roots = roots};
	const struct ca_files_options half = {.chain = chain, .key = key};
	const struct ca_files_options both = {.dir = dir, .chain = chain};
	struct ca_client *ca = NULL;
	struct tls_config *cfg;
	struct test_pki pki;

	(void)state;
	(void)snprintf(chain, sizeof(chain), "%s/cert-chain.pem", dir);
	(void)snprintf(key, sizeof(key), "%s/key.pem", dir);
	(void)snprintf(roots, sizeof(roots), "%s/root-cert.pem", dir);
	assert_int_equal(ca_files_new(loop, &half, &ca, why, sizeof(why)), ERR_CONFIG);
	assert_int_equal(ca_files_new(loop, &both, &ca, why, sizeof(why)), ERR_CONFIG);
	test_pki_init(&pki, "files");
	put_files(&pki, dir, BOB);
	assert_int_equal(ca_files_new(loop, &opt, &ca, why, sizeof(why)), ERR_OK);
	cfg = dev_config(ca, BOB);
	assert_string_equal(tls_config_identity(cfg), BOB);
	tls_config_unref(cfg);
	ca_client_free(ca);
	test_pki_fini(&pki);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(two_nodes_that_share_the_file_trust_each_other),
		TEST(nodes_that_start_at_once_agree_on_one_root),
		TEST(serials_differ_and_are_positive),
		TEST(a_key_that_others_may_read_is_refused),
		TEST(a_file_that_is_no_ca_is_refused_and_left_alone),
		TEST(files_of_an_identity_are_read_and_changes_noticed),
		TEST(a_rotated_development_root_is_noticed_by_each_identity),
		TEST(one_triple_serves_one_identity),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
