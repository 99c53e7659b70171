/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/tls/pem_msg.h"
#include "common/tls/spiffe_msg.h"
#include "common/tls/tls_aead.h"
#include "common/tls/tls_config.h"
#include "common/tls/tls_verify.h"
#include "tests/unit/common/tls/test_pki.h"

#define BOB "spiffe://cluster.local/ns/demo/sa/bob"

static struct test_pki root;

static int set_up(void **state)
{
	(void)state;
	assert_int_equal(tls_global_init(), ERR_OK);
	test_pki_init(&root, "root");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	test_pki_fini(&root);
	tls_global_fini();
	return 0;
}

/* The verdict on a chain, in_s seconds from now. */
static enum err verdict(struct test_leaf leaf, enum tls_role role, int64_t in_s)
{
	static const char *const ids[] = {BOB};
	const struct tls_expect expect = {.identities = ids, .identity_count = 1};
	const struct span name = buf_span(&root.name);
	const struct tls_verify_rule rule = {.role = role,
	                                     .now_s = clock_wall_s() + in_s,
	                                     .expect = &expect,
	                                     .trust_domain = span_str("cluster.local"),
	                                     .roots = &name,
	                                     .root_count = 1};
	struct span chain[8], rest, identity;
	struct buf ders[8];
	struct test_material m;
	struct pem_block block;
	unsigned int n = 0;
	enum err e;

	test_pki_issue(&root, &leaf, &m);
	rest = buf_span(&m.chain);
	while (pem_next(&rest, &block) == ERR_OK) {
		buf_init(&ders[n], X509_DER_MAX);
		assert_int_equal(pem_decode(&block, &ders[n]), ERR_OK);
		chain[n] = buf_span(&ders[n]);
		n++;
	}
	e = tls_verify_chain(&rule, chain, n, &identity);
	if (e == ERR_OK)
		assert_true(span_eq_str(identity, BOB));
	while (n > 0)
		buf_fini(&ders[--n]);
	test_material_fini(&m);
	return e;
}

static void validity_is_exact_to_the_second(void **state)
{
	const struct test_leaf leaf = {
		.uris = {BOB}, .not_before_in_s = 100, .not_after_in_s = 200};

	(void)state;
	assert_int_equal(verdict(leaf, TLS_SERVER, 97), ERR_TLS_NOT_YET_VALID);
	assert_int_equal(verdict(leaf, TLS_SERVER, 102), ERR_OK);
	assert_int_equal(verdict(leaf, TLS_SERVER, 197), ERR_OK);
	assert_int_equal(verdict(leaf, TLS_SERVER, 203), ERR_TLS_EXPIRED);
}

static void a_uri_with_nul_or_other_octets_is_no_identity(void **state)
{
	static const struct {
		const char *p;
		size_t n;
	} uris[] = {
		{BOB "\0", sizeof(BOB)},
		{BOB "\0.evil.org", sizeof(BOB) + 9},
		{"\0" BOB, sizeof(BOB)},
		{BOB "\n", sizeof(BOB)},
		{"spiffe://cluster.local/ns/demo/sa/b\xc3\xb6"
	         "b",
	         38},
		{"spiffe://cluster.local/ns/demo/sa/b%6fb", 39},
		{"", 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(uris); i++) {
		const struct test_leaf leaf = {.raw_uri = uris[i].p, .raw_uri_len = uris[i].n};

		assert_int_equal(verdict(leaf, TLS_SERVER, 0), ERR_TLS_NO_SPIFFE);
		assert_int_equal(verdict(leaf, TLS_CLIENT, 0), ERR_TLS_NO_SPIFFE);
	}
}

static void a_chain_is_at_most_four_long_and_leads_to_a_root(void **state)
{
	(void)state;
	assert_int_equal(
		verdict((struct test_leaf){.uris = {BOB}, .intermediates = 3}, TLS_CLIENT, 0),
		ERR_OK);
	assert_int_equal(
		verdict((struct test_leaf){.uris = {BOB}, .intermediates = 4}, TLS_CLIENT, 0),
		ERR_TLS_CHAIN_LEN);
	assert_int_equal(verdict((struct test_leaf){.uris = {BOB},
	                                            .intermediates = 1,
	                                            .hide_intermediates = true},
	                         TLS_CLIENT, 0),
	                 ERR_TLS_UNTRUSTED);
	assert_int_equal(verdict((struct test_leaf){.uris = {BOB}, .is_ca = true}, TLS_CLIENT, 0),
	                 ERR_TLS_BAD_USAGE);
}

static void only_the_exact_form_is_an_identity(void **state)
{
	static const char *const good[] = {
		"spiffe://cluster.local/ns/default/sa/default",
		"spiffe://td/ns/a/sa/b",
		"spiffe://My_Domain-1.org/ns/n.s/sa/s_a-1",
	};
	static const char *const bad[] = {
		"",
		"spiffe://",
		"spiffe:///ns/a/sa/b",
		"spiffe://td",
		"spiffe://td/",
		"spiffe://td/ns/a/sa",
		"spiffe://td/ns/a/sa/",
		"spiffe://td/ns//sa/b",
		"spiffe://td/ns/a/sa/b/",
		"spiffe://td/ns/a/sa/b/c",
		"spiffe://td/sa/b/ns/a",
		"spiffe://td/NS/a/sa/b",
		"SPIFFE://td/ns/a/sa/b",
		"spiffe://td:80/ns/a/sa/b",
		"spiffe://u@td/ns/a/sa/b",
		"spiffe://td/ns/a/sa/b?x",
		"spiffe://td/ns/a/sa/b#x",
		"spiffe://td/ns/../sa/b",
		"spiffe://td/ns/a/sa/.",
		" spiffe://td/ns/a/sa/b",
		"spiffe://td/ns/a b/sa/b",
		"https://td/ns/a/sa/b",
	};
	struct spiffe_id id;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		char text[200];
		size_t n = 0;

		assert_int_equal(spiffe_parse(span_str(good[i]), &id), ERR_OK);
		assert_int_equal(spiffe_format(&id, text, sizeof(text), &n), ERR_OK);
		assert_string_equal(text, good[i]);
		assert_int_equal(n, strlen(good[i]));
		assert_int_equal(spiffe_format(&id, text, n, NULL), ERR_LIMIT);
		assert_int_equal(spiffe_format(&id, text, n + 1, NULL), ERR_OK);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(spiffe_parse(span_str(bad[i]), &id), ERR_PARSE);
	id.namespace = span_str("a/sa/x");
	id.trust_domain = span_str("td");
	id.service_account = span_str("b");
	assert_int_equal(spiffe_format(&id, (char[100]){0}, 100, NULL), ERR_PARSE);
}

static void a_certificate_cut_or_changed_anywhere_never_parses_as_another(void **state)
{
	struct test_leaf leaf = {.uris = {BOB}};
	struct x509_facts whole, f;
	struct test_material m;
	struct pem_block block;
	struct span rest;
	struct buf der;

	(void)state;
	test_pki_issue(&root, &leaf, &m);
	rest = buf_span(&m.chain);
	buf_init(&der, X509_DER_MAX);
	assert_int_equal(pem_next(&rest, &block), ERR_OK);
	assert_int_equal(pem_decode(&block, &der), ERR_OK);
	assert_int_equal(x509_parse(buf_span(&der), &whole), ERR_OK);
	for (size_t n = 0; n < der.n; n++)
		assert_int_equal(x509_parse(span_of(der.p, n), &f), ERR_PARSE);
	buf_put_u8(&der, 0);
	assert_int_equal(x509_parse(buf_span(&der), &f), ERR_PARSE);
	buf_fini(&der);
	test_material_fini(&m);
}

static void compare_with_wolfcrypt(enum tls_aead_provider provider, size_t key_len)
{
	static uint8_t a[16384 + 32], b[16384 + 32];
	const uint8_t key[32] = {7, 1, 2}, nonce[TLS_AEAD_NONCE] = {9};
	struct tls_aead *other = tls_aead_new(provider, span_of(key, key_len));
	struct tls_aead *wc = tls_aead_new(TLS_AEAD_WOLFCRYPT, span_of(key, key_len));

	assert_non_null(other);
	for (size_t n = 0; n <= 16384; n += n < 300 ? 1 : 509) {
		memset(a, (int)n, sizeof(a));
		memset(b, (int)n, sizeof(b));
		tls_aead_seal(other, nonce, span_str("head!"), a, n);
		tls_aead_seal(wc, nonce, span_str("head!"), b, n);
		assert_memory_equal(a, b, n + TLS_AEAD_TAG);
		assert_true(tls_aead_open(other, nonce, span_str("head!"), b, n));
		assert_true(tls_aead_open(wc, nonce, span_str("head!"), a, n));
		assert_memory_equal(a, b, n);
		a[n] ^= 1;
		assert_false(tls_aead_open(other, nonce, span_str("head!"), a, n));
	}
	tls_aead_free(other);
	tls_aead_free(wc);
}

static void all_providers_make_the_same_octets(void **state)
{
	(void)state;
	for (int p = TLS_AEAD_WOLFCRYPT; p < TLS_AEAD_PROVIDERS; p++) {
		if (!tls_aead_available((enum tls_aead_provider)p))
			continue; /* not in this build, or not on this CPU */
		compare_with_wolfcrypt((enum tls_aead_provider)p, 16);
		compare_with_wolfcrypt((enum tls_aead_provider)p, 32);
	}
	assert_true(tls_aead_available(tls_aead_best()));
}

static void the_self_test_passes_here(void **state)
{
	char why[200] = "?";

	(void)state;
	assert_int_equal(tls_self_test(why, sizeof(why)), ERR_OK);
	assert_string_equal(why, "");
}

static void a_config_says_what_is_wrong_with_its_material(void **state)
{
	static const struct {
		struct test_leaf leaf;
		enum err want;
		const char *words;
	} cases[] = {
		{{.uris = {BOB}, .not_after_in_s = -5}, ERR_TLS_EXPIRED, "expired at 20"},
		{{.uris = {BOB, BOB}}, ERR_TLS_MANY_SPIFFE, "2 URIs"},
		{{.dns = "bob"}, ERR_TLS_NO_SPIFFE, "no URI"},
		{{.uris = {"spiffe://x/y"}}, ERR_TLS_NO_SPIFFE, "\"spiffe://x/y\" is not"},
	};
	struct test_material good, other;
	struct tls_material view;
	struct tls_config *cfg = NULL;
	char why[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct test_material m;

		test_pki_issue(&root, &cases[i].leaf, &m);
		view = test_material_view(&m);
		assert_int_equal(tls_config_new(&view, &cfg, why, sizeof(why)), cases[i].want);
		assert_non_null(strstr(why, cases[i].words));
		test_material_fini(&m);
	}
	test_pki_issue(&root, &(struct test_leaf){.uris = {BOB}}, &good);
	test_pki_issue(&root, &(struct test_leaf){.uris = {BOB}}, &other);
	view = test_material_view(&good);
	view.key_pem = buf_span(&other.key);
	assert_int_equal(tls_config_new(&view, &cfg, why, sizeof(why)), ERR_TLS_BAD_SIGNATURE);
	view.key_pem = span_str("no key");
	assert_int_equal(tls_config_new(&view, &cfg, why, sizeof(why)), ERR_PARSE);
	assert_non_null(strstr(why, "private key"));
	view = test_material_view(&good);
	view.roots_pem = span_str("");
	assert_int_equal(tls_config_new(&view, &cfg, why, sizeof(why)), ERR_PARSE);
	assert_non_null(strstr(why, "root bundle"));
	view = test_material_view(&good);
	view.chain_pem.n -= 10;
	assert_int_equal(tls_config_new(&view, &cfg, why, sizeof(why)), ERR_PARSE);
	assert_non_null(strstr(why, "certificate chain"));
	test_material_fini(&good);
	test_material_fini(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(validity_is_exact_to_the_second),
		cmocka_unit_test(a_uri_with_nul_or_other_octets_is_no_identity),
		cmocka_unit_test(a_chain_is_at_most_four_long_and_leads_to_a_root),
		cmocka_unit_test(only_the_exact_form_is_an_identity),
		cmocka_unit_test(a_certificate_cut_or_changed_anywhere_never_parses_as_another),
		cmocka_unit_test(all_providers_make_the_same_octets),
		cmocka_unit_test(the_self_test_passes_here),
		cmocka_unit_test(a_config_says_what_is_wrong_with_its_material),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
