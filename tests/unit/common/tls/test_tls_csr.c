/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/tls/pem_msg.h"
#include "common/tls/tls_config.h"
#include "common/tls/tls_csr.h"
#include "common/tls/tls_key.h"

#define BOB "spiffe://cluster.local/ns/demo/sa/bob"

static int set_up(void **state)
{
	(void)state;
	return tls_global_init() == ERR_OK ? 0 : 1;
}

static int tear_down(void **state)
{
	(void)state;
	tls_global_fini();
	return 0;
}

/* What another implementation prints about a text given on its standard input. */
static void ask(const char *command, struct span input, char *out, size_t out_len)
{
	char name[] = "/tmp/culvert-test-csr-XXXXXX", line[256];
	int fd = mkstemp(name);
	size_t n;
	FILE *f;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, input.p, input.n), input.n);
	(void)snprintf(line, sizeof(line), "%s < %s 2>&1", command, name);
	f = popen(line, "r");
	assert_non_null(f);
	n = fread(out, 1, out_len - 1, f);
	out[n] = '\0';
	(void)close(fd);
	(void)unlink(name);
	assert_int_equal(pclose(f), 0);
}

static void openssl_reads_the_request_as_meant(void **state)
{
	char text[8192];
	struct buf key, csr;

	(void)state;
	buf_init(&key, 65536);
	buf_init(&csr, 65536);
	assert_int_equal(tls_csr_new(BOB, &key, &csr), ERR_OK);
	ask("openssl req -verify -noout -text", buf_span(&csr), text, sizeof(text));
	assert_non_null(strstr(text, "self-signature verify OK"));
	assert_non_null(strstr(text, "Version: 1 (0x0)"));
	assert_non_null(strstr(text, "Subject: \n"));
	assert_non_null(strstr(text, "NIST CURVE: P-256"));
	assert_non_null(strstr(text, "X509v3 Subject Alternative Name: critical\n"));
	assert_non_null(strstr(text, "URI:" BOB "\n"));
	assert_null(strstr(strstr(text, "URI:") + 1, "URI:"));
	assert_non_null(strstr(text, "Signature Algorithm: ecdsa-with-SHA256"));
	ask("openssl pkey -noout -text", buf_span(&key), text, sizeof(text));
	assert_non_null(strstr(text, "NIST CURVE: P-256"));
	assert_non_null(memmem(key.p, key.n, "BEGIN PRIVATE KEY", 17)); /* PKCS#8 */
	buf_wipe_fini(&key);
	buf_fini(&csr);
}

static void a_ca_reads_back_what_was_asked(void **state)
{
	struct span spki, identity;
	struct buf key, csr, der, mine;
	struct tls_key *k = NULL;

	(void)state;
	buf_init(&key, 65536);
	buf_init(&csr, 65536);
	buf_init(&der, 65536);
	buf_init(&mine, 65536);
	assert_int_equal(tls_csr_new(BOB, &key, &csr), ERR_OK);
	assert_int_equal(tls_csr_read(buf_span(&csr), &der, &spki, &identity), ERR_OK);
	assert_true(span_eq_str(identity, BOB));
	assert_int_equal(tls_key_parse(buf_span(&key), &k), ERR_OK);
	assert_int_equal(tls_key_put_spki(k, &mine), ERR_OK);
	assert_true(span_eq(buf_span(&mine), spki));
	tls_key_free(k);
	buf_wipe_fini(&key);
	buf_fini(&csr);
	buf_fini(&der);
	buf_fini(&mine);
}

static void a_request_changed_anywhere_is_refused(void **state)
{
	struct span spki, identity, rest;
	struct buf key, csr, der, pem, again;
	struct pem_block block;

	(void)state;
	buf_init(&key, 65536);
	buf_init(&csr, 65536);
	buf_init(&der, 65536);
	assert_int_equal(tls_csr_new(BOB, &key, &csr), ERR_OK);
	rest = buf_span(&csr);
	assert_int_equal(pem_next(&rest, &block), ERR_OK);
	assert_int_equal(pem_decode(&block, &der), ERR_OK);
	for (size_t i = 0; i < der.n; i++) {
		buf_init(&pem, 65536);
		buf_init(&again, 65536);
		der.p[i] ^= 1;
		pem_put(&pem, "CERTIFICATE REQUEST", buf_span(&der));
		der.p[i] ^= 1;
		/* but for the outer algorithm, which is not signed and not used */
		if (tls_csr_read(buf_span(&pem), &again, &spki, &identity) == ERR_OK)
			assert_true(i > der.n - 90);
		buf_fini(&pem);
		buf_fini(&again);
	}
	buf_wipe_fini(&key);
	buf_fini(&csr);
	buf_fini(&der);
}

static void every_key_is_fresh_and_only_identities_are_asked_for(void **state)
{
	struct buf key[2], csr;

	(void)state;
	buf_init(&key[0], 65536);
	buf_init(&key[1], 65536);
	buf_init(&csr, 65536);
	assert_int_equal(tls_csr_new(BOB, &key[0], &csr), ERR_OK);
	assert_int_equal(tls_csr_new(BOB, &key[1], &csr), ERR_OK);
	assert_false(span_eq(buf_span(&key[0]), buf_span(&key[1])));
	assert_int_equal(tls_csr_new("bob", &key[0], &csr), ERR_PARSE);
	buf_wipe_fini(&key[0]);
	buf_wipe_fini(&key[1]);
	buf_fini(&csr);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(openssl_reads_the_request_as_meant),
		cmocka_unit_test(a_ca_reads_back_what_was_asked),
		cmocka_unit_test(a_request_changed_anywhere_is_refused),
		cmocka_unit_test(every_key_is_fresh_and_only_identities_are_asked_for),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
