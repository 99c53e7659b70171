/* SPDX-License-Identifier: Apache-2.0 */
/* Workers that keep and ask about chains while new lists are published. For the thread sanitizer, above all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "common/tls/pem_msg.h"
#include "common/tls/revocation.h"
#include "common/tls/tls_config.h"
#include "tests/unit/common/tls/test_pki.h"

enum { THREADS = 4, ROUNDS = 300, PUBLISHED = 60 };

static struct revocation *revocation;
static struct revocation_chain chain;

static void *keep_and_ask(void *arg)
{
	uintptr_t revoked = 0;

	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		struct peer_chain *kept = peer_chain_new(revocation, &chain);

		if (kept == NULL)
			return (void *)UINTPTR_MAX;
		revoked += peer_chain_revoked(kept);
		revoked += revocation_revokes(revocation, &chain);
		peer_chain_free(kept);
	}
	return (void *)revoked;
}

static void publish(struct test_pki *issuer, const struct span *serials, size_t count)
{
	struct crl_set *set = NULL;
	struct buf text;
	char why[200];

	buf_init(&text, PEM_TEXT_MAX);
	test_pki_crl(issuer, &(struct test_crl){.serials = serials, .count = count}, true, &text);
	assert_int_equal(crl_set_new(buf_span(&text), &set, why, sizeof(why)), ERR_OK);
	revocation_publish(revocation, set);
	buf_fini(&text);
}

static void workers_ask_while_lists_change(void **state)
{
	static const char *const uri = "spiffe://cluster.local/ns/demo/sa/bob";
	pthread_t threads[THREADS];
	struct test_material m;
	struct pem_block block;
	struct span rest, serial, leaf_der, root_der;
	struct test_pki root;
	struct buf der;

	(void)state;
	assert_int_equal(tls_global_init(), ERR_OK);
	revocation = revocation_new();
	test_pki_init(&root, "root");
	test_pki_issue(&root, &(struct test_leaf){.uris = {uri}}, &m);
	serial = test_pki_serial(&m.chain, 0);
	rest = buf_span(&m.chain);
	buf_init(&der, X509_DER_MAX);
	assert_int_equal(pem_next(&rest, &block), ERR_OK);
	assert_int_equal(pem_decode(&block, &der), ERR_OK);
	leaf_der = buf_span(&der);
	root_der = buf_span(&root.der);
	chain = (struct revocation_chain){
		.certs = &leaf_der, .cert_count = 1, .roots = &root_der, .root_count = 1};
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, keep_and_ask, NULL), 0);
	for (int i = 0; i < PUBLISHED; i++)
		publish(&root, &serial, i % 2 == 0 ? 1 : 0);
	for (int i = 0; i < THREADS; i++) {
		void *ret = NULL;

		assert_int_equal(pthread_join(threads[i], &ret), 0);
		assert_true((uintptr_t)ret <= 2 * ROUNDS);
	}
	assert_false(revocation_revokes(revocation, &chain)); /* the last list names nobody */
	publish(&root, &serial, 1);
	assert_true(revocation_revokes(revocation, &chain));
	revocation_free(revocation); /* checks that no issuer is left */
	test_material_fini(&m);
	test_pki_fini(&root);
	buf_fini(&der);
	tls_global_fini();
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(workers_ask_while_lists_change)};

	return cmocka_run_group_tests_name("revocation_threads", tests, NULL, NULL);
}
