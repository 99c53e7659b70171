/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/check.h"
#include "common/tls/crl_set.h"
#include "common/tls/tls_config.h"
#include "common/tls/x509_crl_msg.h"
#include "tests/unit/common/tls/test_pki.h"

enum { MANY = 100000, TEXT_MAX = 32 * 1024 * 1024 };

static struct test_pki root, other, twin;
static struct span spki_of_root, spki_of_other, spki_of_twin;

static struct span spki_of(struct test_pki *pki)
{
	struct x509_facts f;

	assert_int_equal(x509_parse(buf_span(&pki->der), &f), ERR_OK);
	return f.spki;
}

static int set_up(void **state)
{
	(void)state;
	assert_int_equal(tls_global_init(), ERR_OK);
	test_pki_init(&root, "root");
	test_pki_init(&other, "other");
	test_pki_init(&twin, "root"); /* the same name, another key */
	spki_of_root = spki_of(&root);
	spki_of_other = spki_of(&other);
	spki_of_twin = spki_of(&twin);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	test_pki_fini(&root);
	test_pki_fini(&other);
	test_pki_fini(&twin);
	tls_global_fini();
	return 0;
}

static const struct span one[] = {{(const uint8_t *)"\x11\x22", 2}};
static const struct span two[] = {{(const uint8_t *)"\x33", 1}, {(const uint8_t *)"\x00\x80", 2}};

static struct crl_set *load(const struct buf *text)
{
	struct crl_set *set = NULL;
	char why[256] = "";

	if (crl_set_new(buf_span(text), &set, why, sizeof(why)) != ERR_OK)
		fail_msg("%s", why);
	return set;
}

static struct crl_set *load_one(struct test_pki *issuer, const struct test_crl *crl, bool pem)
{
	struct crl_set *set;
	struct buf text;

	buf_init(&text, TEXT_MAX);
	test_pki_crl(issuer, crl, pem, &text);
	set = load(&text);
	buf_fini(&text);
	return set;
}

static bool revokes(struct crl_set *set, struct test_pki *issuer, struct span serial)
{
	const struct crl_query q = {.issuer = buf_span(&issuer->name),
	                            .issuer_spki = spki_of(issuer),
	                            .serial = serial};

	return crl_set_revokes(set, &q);
}

static void a_list_revokes_what_it_names_in_pem_and_in_der(void **state)
{
	(void)state;
	for (int pem = 0; pem < 2; pem++) {
		struct crl_set *set =
			load_one(&root, &(struct test_crl){.serials = two, .count = 2}, pem == 1);

		assert_int_equal(crl_set_lists(set), 1);
		assert_int_equal(crl_set_serials(set), 2);
		assert_true(revokes(set, &root, span_of("\x33", 1)));
		assert_true(revokes(set, &root, span_of("\x00\x80", 2)));
		assert_false(revokes(set, &root, span_of("\x34", 1)));
		assert_false(revokes(set, &root, span_of("\x33\x33", 2)));
		assert_false(revokes(set, &root, span_of("", 0)));
		crl_set_unref(set);
	}
}

static void a_list_speaks_for_its_own_issuer_only(void **state)
{
	struct crl_set *set = load_one(&root, &(struct test_crl){.serials = one, .count = 1}, true);

	(void)state;
	assert_true(revokes(set, &root, one[0]));
	assert_false(revokes(set, &other, one[0]));
	crl_set_unref(set);
}

/* The name is the issuer's, the signature is not: it counts for nothing, and says so. */
static void a_forged_list_neither_revokes_nor_unrevokes(void **state)
{
	struct crl_set *set;
	struct buf text;

	(void)state;
	set = load_one(&root, &(struct test_crl){.serials = one, .count = 1, .forger = &other},
	               true);
	assert_false(revokes(set, &root, one[0]));
	assert_int_equal(crl_set_forged(set), 1);
	assert_false(revokes(set, &root, one[0]));
	assert_int_equal(crl_set_forged(set), 1); /* the verdict is remembered */
	crl_set_unref(set);

	buf_init(&text, TEXT_MAX);
	test_pki_crl(&root, &(struct test_crl){.forger = &other}, true, &text);
	test_pki_crl(&root, &(struct test_crl){.serials = one, .count = 1}, true, &text);
	set = load(&text);
	assert_true(revokes(set, &root, one[0]));
	crl_set_unref(set);
	buf_fini(&text);
}

static void two_authorities_of_one_name_are_told_apart_by_their_keys(void **state)
{
	struct crl_set *set = load_one(&twin, &(struct test_crl){.serials = one, .count = 1}, true);

	(void)state;
	assert_true(span_eq(buf_span(&root.name), buf_span(&twin.name)));
	assert_true(revokes(set, &twin, one[0]));
	assert_false(revokes(set, &root, one[0]));
	crl_set_unref(set);
}

static void a_list_past_its_next_update_counts(void **state)
{
	struct crl_set *set = load_one(
		&root, &(struct test_crl){.serials = one, .count = 1, .expired = true}, true);

	(void)state;
	assert_true(revokes(set, &root, one[0]));
	crl_set_unref(set);
}

static void version_1_and_numbered_lists_are_read(void **state)
{
	struct crl_set *set = load_one(
		&root, &(struct test_crl){.serials = one, .count = 1, .version_1 = true}, false);

	(void)state;
	assert_true(revokes(set, &root, one[0]));
	crl_set_unref(set);
	set = load_one(&root, &(struct test_crl){.serials = one, .count = 1, .numbered = true},
	               false);
	assert_true(revokes(set, &root, one[0]));
	crl_set_unref(set);
}

static void many_lists_in_one_file_count_and_other_blocks_are_skipped(void **state)
{
	struct crl_set *set;
	struct buf text;

	(void)state;
	buf_init(&text, TEXT_MAX);
	buf_put(&text, buf_span(&other.pem));
	test_pki_crl(&root, &(struct test_crl){.serials = one, .count = 1}, true, &text);
	buf_put(&text, buf_span(&root.pem));
	test_pki_crl(&root, &(struct test_crl){.serials = two, .count = 2}, true, &text);
	test_pki_crl(&other, &(struct test_crl){.serials = two, .count = 1}, true, &text);
	set = load(&text);
	assert_int_equal(crl_set_lists(set), 3);
	assert_true(revokes(set, &root, one[0]));
	assert_true(revokes(set, &root, two[1]));
	assert_true(revokes(set, &other, two[0]));
	assert_false(revokes(set, &other, two[1]));
	crl_set_unref(set);
	buf_fini(&text);
}

static void an_empty_file_and_one_without_lists_revoke_nothing(void **state)
{
	struct crl_set *set;
	struct buf text;

	(void)state;
	buf_init(&text, TEXT_MAX);
	set = load(&text);
	assert_int_equal(crl_set_lists(set), 0);
	assert_false(revokes(set, &root, one[0]));
	crl_set_unref(set);
	buf_put(&text, buf_span(&root.pem));
	set = load(&text);
	assert_int_equal(crl_set_lists(set), 0);
	crl_set_unref(set);
	set = load_one(&root, &(struct test_crl){.count = 0}, true);
	assert_int_equal(crl_set_lists(set), 1);
	assert_int_equal(crl_set_serials(set), 0);
	crl_set_unref(set);
	buf_fini(&text);
}

static void expect_refused(const struct buf *text, enum err e, const char *words)
{
	struct crl_set *set = NULL;
	char why[256] = "";

	assert_int_equal(crl_set_new(buf_span(text), &set, why, sizeof(why)), e);
	assert_null(set);
	if (strstr(why, words) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", why, words);
}

static void what_is_no_complete_list_of_its_issuer_is_refused_with_a_reason(void **state)
{
	static const struct {
		struct test_crl crl;
		const char *words;
	} bad[] = {
		{{.serials = one, .count = 1, .delta = true}, "delta"},
		{{.serials = one, .count = 1, .indirect = true}, "indirect"},
		{{.serials = one, .count = 1, .entry_of_another = true}, "indirect"},
		{{.serials = one, .count = 1, .unknown_critical = true}, "critical"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct buf text;

		buf_init(&text, TEXT_MAX);
		test_pki_crl(&root, &(struct test_crl){.serials = two, .count = 2}, true, &text);
		test_pki_crl(&root, &bad[i].crl, true, &text);
		expect_refused(&text, ERR_UNSUPPORTED, bad[i].words);
		expect_refused(&text, ERR_UNSUPPORTED, "list 2");
		buf_fini(&text);
	}
}

static void what_is_malformed_is_refused(void **state)
{
	struct buf text;
	size_t whole;

	(void)state;
	buf_init(&text, TEXT_MAX);
	buf_put_str(&text, "hello");
	expect_refused(&text, ERR_PARSE, "list 1");
	buf_clear(&text);
	buf_put_str(&text, "-----BEGIN X509 CRL-----\nAAAA\n");
	expect_refused(&text, ERR_PARSE, "no end");
	buf_clear(&text);
	buf_put_str(&text, "-----BEGIN X509 CRL-----\n?!\n-----END X509 CRL-----\n");
	expect_refused(&text, ERR_PARSE, "base64");
	buf_clear(&text);
	test_pki_crl(&root, &(struct test_crl){.serials = one, .count = 1}, false, &text);
	whole = text.n;
	for (text.n = 1; text.n < whole; text.n++)
		expect_refused(&text, ERR_PARSE, "list 1");
	text.n = whole;
	buf_put_u8(&text, 0);
	expect_refused(&text, ERR_PARSE, "list 1");
	buf_fini(&text);
}

static void every_octet_changed_is_refused_or_counts_for_nothing(void **state)
{
	struct buf text;

	(void)state;
	buf_init(&text, TEXT_MAX);
	test_pki_crl(&root, &(struct test_crl){.serials = one, .count = 1}, false, &text);
	for (size_t i = 0; i < text.n; i++) {
		struct crl_set *set = NULL;
		char why[256];

		text.p[i] ^= 0x01;
		if (crl_set_new(buf_span(&text), &set, why, sizeof(why)) == ERR_OK)
			assert_false(revokes(set, &root, one[0]));
		crl_set_unref(set);
		text.p[i] ^= 0x01;
	}
	buf_fini(&text);
}

static void lists_are_limited_in_number_and_a_file_in_length(void **state)
{
	struct crl_set *set;
	struct buf text;

	(void)state;
	buf_init(&text, TEXT_MAX);
	for (int i = 0; i < CRL_LISTS_MAX; i++)
		test_pki_crl(&root, &(struct test_crl){.count = 0}, true, &text);
	set = load(&text);
	assert_int_equal(crl_set_lists(set), CRL_LISTS_MAX);
	crl_set_unref(set);
	test_pki_crl(&root, &(struct test_crl){.count = 0}, true, &text);
	expect_refused(&text, ERR_LIMIT, "256");
	while (text.n <= CRL_FILE_MAX)
		buf_put(&text, buf_span(&root.pem));
	expect_refused(&text, ERR_LIMIT, "longer than");
	buf_fini(&text);
}

/* Sorted and searched: as many again as a large installation has. */
static void a_hundred_thousand_serials_are_found_each(void **state)
{
	struct span *serials = calloc(MANY, sizeof(*serials));
	uint8_t(*octets)[4] = calloc(MANY, sizeof(*octets));
	struct crl_set *set;

	(void)state;
	assert_non_null(serials);
	assert_non_null(octets);
	for (uint32_t i = 0; i < MANY; i++) {
		const uint32_t v = (i * 2654435761u) | 1u; /* scattered; odd ones are revoked */

		octets[i][0] = (uint8_t)(0x10 | (v >> 24 & 0x6f));
		octets[i][1] = (uint8_t)(v >> 16);
		octets[i][2] = (uint8_t)(v >> 8);
		octets[i][3] = (uint8_t)v;
		serials[i] = span_of(octets[i], 4);
	}
	set = load_one(&root, &(struct test_crl){.serials = serials, .count = MANY}, true);
	assert_int_equal(crl_set_serials(set), MANY);
	for (uint32_t i = 0; i < MANY; i++) {
		assert_true(revokes(set, &root, serials[i]));
		octets[i][3] ^= 1;
		assert_false(revokes(set, &root, serials[i]));
	}
	crl_set_unref(set);
	free(serials);
	free(octets);
}

static void read_into(const char *dir, const char *name, struct buf *out)
{
	char path[128];
	uint8_t *p;
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "r");
	assert_non_null(f);
	p = buf_reserve(out, 65536);
	assert_non_null(p);
	buf_added(out, fread(p, 1, 65536, f));
	assert_int_equal(fclose(f), 0);
}

/* Lists of another hand than ours, and signed with RSA. */
static void openssls_lists_are_read_whatever_key_signed_them(void **state)
{
	static const struct {
		const char *key, *digest;
	} kinds[] = {{"rsa:2048", "sha256"},
	             {"rsa:3072", "sha512"},
	             {"ec -pkeyopt ec_paramgen_curve:P-384", "sha384"}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		char dir[] = "/tmp/culvert-test-crl-XXXXXX", command[1500];
		struct buf cert, crl;
		struct x509_facts f;
		struct crl_set *set;

		assert_non_null(mkdtemp(dir));
		(void)snprintf(
			command, sizeof(command),
			"cd %s && exec >log 2>&1 && touch index && "
			"printf '[ca]\\ndefault_ca=d\\n[d]\\ndatabase=index\\n' >ca.conf && "
			"printf 'default_crl_days=1\\ndefault_md=%s\\n' >>ca.conf && "
			"printf 'R\\t330101000000Z\\t260101000000Z\\t0A0B0C\\tunknown\\t/CN=x\\n' "
			">index && "
			"openssl req -x509 -newkey %s -nodes -keyout key -out cert.pem -subj /O=another "
			"-days 1 && openssl x509 -in cert.pem -outform DER -out cert && "
			"openssl ca -gencrl -config ca.conf -keyfile key -cert cert.pem -out crl",
			dir, kinds[i].digest, kinds[i].key);
		assert_int_equal(system(command), 0);
		buf_init(&cert, X509_DER_MAX + 65536);
		buf_init(&crl, TEXT_MAX);
		read_into(dir, "cert", &cert);
		read_into(dir, "crl", &crl);
		assert_int_equal(x509_parse(buf_span(&cert), &f), ERR_OK);
		set = load(&crl);
		assert_int_equal(crl_set_serials(set), 1);
		{
			struct crl_query q = {.issuer = f.subject,
			                      .issuer_spki = f.spki,
			                      .serial = span_of("\x0a\x0b\x0c", 3)};

			assert_true(crl_set_revokes(set, &q));
			q.issuer_spki = spki_of_other; /* a key of another kind */
			assert_false(crl_set_revokes(set, &q));
		}
		crl_set_unref(set);
		buf_fini(&cert);
		buf_fini(&crl);
		(void)snprintf(command, sizeof(command), "rm -rf %s", dir);
		assert_int_equal(system(command), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_list_revokes_what_it_names_in_pem_and_in_der),
		cmocka_unit_test(a_list_speaks_for_its_own_issuer_only),
		cmocka_unit_test(a_forged_list_neither_revokes_nor_unrevokes),
		cmocka_unit_test(two_authorities_of_one_name_are_told_apart_by_their_keys),
		cmocka_unit_test(a_list_past_its_next_update_counts),
		cmocka_unit_test(version_1_and_numbered_lists_are_read),
		cmocka_unit_test(many_lists_in_one_file_count_and_other_blocks_are_skipped),
		cmocka_unit_test(an_empty_file_and_one_without_lists_revoke_nothing),
		cmocka_unit_test(what_is_no_complete_list_of_its_issuer_is_refused_with_a_reason),
		cmocka_unit_test(what_is_malformed_is_refused),
		cmocka_unit_test(every_octet_changed_is_refused_or_counts_for_nothing),
		cmocka_unit_test(lists_are_limited_in_number_and_a_file_in_length),
		cmocka_unit_test(openssls_lists_are_read_whatever_key_signed_them),
		cmocka_unit_test(a_hundred_thousand_serials_are_found_each),
	};

	return cmocka_run_group_tests_name("crl_set", tests, set_up, tear_down);
}
