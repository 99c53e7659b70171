/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/common/tls/test_pki.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/rand.h"
#include "common/tls/der_msg.h"
#include "common/tls/pem_msg.h"

enum {
	INTERMEDIATES_MAX = 6,
	HOUR_S = 3600,
	SERIAL_LEN = 16,
};

#define MUST(e) must((e), __LINE__)

static void must(enum err e, int line)
{
	if (e == ERR_OK)
		return;
	(void)fprintf(stderr, "test_pki.c:%d: %s\n", line, err_info(e)->name);
	abort();
}

static void make_serial(uint8_t serial[SERIAL_LEN])
{
	rand_system_bytes(serial, SERIAL_LEN);
	serial[0] = (uint8_t)((serial[0] & 0x7f) | 1);
}

static void ca_issue(struct test_pki *ca, struct test_pki *signer, const char *common_name)
{
	uint8_t serial[SERIAL_LEN];
	struct buf spki;
	struct x509_spec spec = {
		.serial = span_of(serial, sizeof(serial)),
		.not_before = clock_wall_s() - TEST_PKI_DAY_S,
		.not_after = clock_wall_s() + 30 * TEST_PKI_DAY_S,
		.is_ca = true,
	};

	make_serial(serial);
	buf_init(&ca->name, X509_DER_MAX);
	buf_init(&ca->der, X509_DER_MAX);
	buf_init(&ca->pem, PEM_TEXT_MAX);
	buf_init(&spki, X509_DER_MAX);
	MUST(tls_key_new(&ca->key));
	MUST(tls_key_put_spki(ca->key, &spki));
	x509_put_name(&ca->name, "culvert test", common_name);
	spec.subject = buf_span(&ca->name);
	spec.issuer = buf_span(signer == NULL ? &ca->name : &signer->name);
	spec.spki = buf_span(&spki);
	MUST(tls_key_issue(signer == NULL ? ca->key : signer->key, &spec, &ca->der));
	pem_put(&ca->pem, "CERTIFICATE", buf_span(&ca->der));
	MUST(buf_status(&ca->pem));
	buf_fini(&spki);
}

void test_pki_init(struct test_pki *pki, const char *common_name)
{
	ca_issue(pki, NULL, common_name);
}

void test_pki_init_under(struct test_pki *pki, struct test_pki *signer, const char *common_name)
{
	ca_issue(pki, signer, common_name);
}

struct span test_pki_serial(const struct buf *pem, unsigned int i)
{
	static uint8_t kept[64][X509_SERIAL_MAX + 1]; /* as many as any test asks for at once */
	static unsigned int next;
	struct span rest = buf_span(pem);
	struct x509_facts f;
	struct pem_block block;
	struct buf der;
	uint8_t *to = kept[next++ % 64];
	size_t n;

	do
		MUST(pem_next(&rest, &block));
	while (i-- > 0);
	buf_init(&der, X509_DER_MAX);
	MUST(pem_decode(&block, &der));
	MUST(x509_parse(buf_span(&der), &f));
	n = f.serial.n;
	memcpy(to, f.serial.p, n);
	buf_fini(&der);
	return span_of(to, n);
}

static void put_crl_extension(struct buf *b, uint8_t ce, bool critical, struct span value)
{
	const uint8_t oid[] = {0x55, 0x1d, ce};
	size_t ext = der_begin(b, DER_SEQUENCE);

	der_put(b, DER_OID, span_of(oid, sizeof(oid)));
	if (critical)
		der_put_bool(b, true);
	der_put(b, DER_OCTET_STRING, value);
	der_end(b, ext);
}

static void put_crl_entries(struct buf *b, const struct test_crl *crl)
{
	struct buf content;
	uint8_t head[6] = {DER_SEQUENCE, 0x84};

	if (crl->count == 0)
		return;
	buf_init(&content, 16 * 1024 * 1024);
	for (size_t i = 0; i < crl->count; i++) {
		size_t entry = der_begin(&content, DER_SEQUENCE);

		der_put(&content, DER_INTEGER, crl->serials[i]);
		der_put_time(&content, clock_wall_s() - HOUR_S);
		if (crl->entry_of_another) {
			size_t seq = der_begin(&content, DER_SEQUENCE);

			put_crl_extension(&content, 29, true, span_of("\x30\x00", 2));
			der_end(&content, seq);
		}
		der_end(&content, entry);
	}
	MUST(buf_status(&content));
	if (content.n < 0x80) { /* der_end is for what fits 64 kB */
		head[1] = (uint8_t)content.n;
		buf_put(b, span_of(head, 2));
	} else {
		unsigned int octets = content.n < 0x100 ? 1 : content.n < 0x10000 ? 2 : 3;

		head[1] = (uint8_t)(0x80 + octets);
		for (unsigned int i = 0; i < octets; i++)
			head[2 + i] = (uint8_t)(content.n >> (8 * (octets - 1 - i)));
		buf_put(b, span_of(head, 2 + octets));
	}
	buf_put(b, buf_span(&content));
	buf_fini(&content);
}

static void put_crl_extensions(struct buf *b, const struct test_crl *crl)
{
	size_t outer, seq;

	if (!crl->delta && !crl->indirect && !crl->unknown_critical && !crl->numbered)
		return;
	outer = der_begin(b, DER_CONTEXT_CONSTRUCTED + 0);
	seq = der_begin(b, DER_SEQUENCE);
	if (crl->numbered)
		put_crl_extension(b, 20, false, span_of("\x02\x01\x07", 3));
	if (crl->delta)
		put_crl_extension(b, 27, true, span_of("\x02\x01\x01", 3));
	if (crl->indirect)
		put_crl_extension(b, 28, true, span_of("\x30\x03\x84\x01\xff", 5));
	if (crl->unknown_critical)
		put_crl_extension(b, 99, true, span_of("\x05\x00", 2));
	der_end(b, seq);
	der_end(b, outer);
}

/* A SEQUENCE of any length around content. */
static void put_sequence(struct buf *b, struct span content)
{
	const uint8_t head[] = {DER_SEQUENCE, 0x83, (uint8_t)(content.n >> 16),
	                        (uint8_t)(content.n >> 8), (uint8_t)content.n};
	const uint8_t middle[] = {DER_SEQUENCE, 0x82, head[3], head[4]};
	const uint8_t small[] = {DER_SEQUENCE, 0x81, head[4]};

	if (content.n >= 0x10000)
		buf_put(b, span_of(head, sizeof(head)));
	else if (content.n >= 0x100)
		buf_put(b, span_of(middle, sizeof(middle)));
	else if (content.n >= 0x80)
		buf_put(b, span_of(small, sizeof(small)));
	else
		buf_put(b, span_of((const uint8_t[]){DER_SEQUENCE, (uint8_t)content.n}, 2));
	buf_put(b, content);
}

void test_pki_crl(struct test_pki *issuer, const struct test_crl *crl, bool pem, struct buf *out)
{
	static const uint8_t ecdsa_sha256[] = {0x30, 10,   6,    8, 0x2a, 0x86,
	                                       0x48, 0xce, 0x3d, 4, 3,    2};
	const struct span algorithm = span_of(ecdsa_sha256, sizeof(ecdsa_sha256));
	struct buf content, tbs, all, der, signature;
	size_t bits;

	buf_init(&content, 16 * 1024 * 1024);
	buf_init(&tbs, 16 * 1024 * 1024);
	buf_init(&all, 16 * 1024 * 1024);
	buf_init(&der, 16 * 1024 * 1024);
	buf_init(&signature, 128);
	if (!crl->version_1)
		der_put_small(&content, 1);
	buf_put(&content, algorithm);
	buf_put(&content, buf_span(&issuer->name));
	der_put_time(&content, clock_wall_s() - 2 * HOUR_S);
	der_put_time(&content, clock_wall_s() + (crl->expired ? -HOUR_S : HOUR_S));
	put_crl_entries(&content, crl);
	put_crl_extensions(&content, crl);
	put_sequence(&tbs, buf_span(&content));
	MUST(tls_key_sign((crl->forger == NULL ? issuer : crl->forger)->key, buf_span(&tbs),
	                  &signature));
	buf_put(&all, buf_span(&tbs));
	buf_put(&all, algorithm);
	bits = der_begin(&all, DER_BIT_STRING);
	buf_put_u8(&all, 0);
	buf_put(&all, buf_span(&signature));
	der_end(&all, bits);
	put_sequence(&der, buf_span(&all));
	MUST(buf_status(&der));
	if (pem)
		pem_put(out, "X509 CRL", buf_span(&der));
	else
		buf_put(out, buf_span(&der));
	MUST(buf_status(out));
	buf_fini(&content);
	buf_fini(&tbs);
	buf_fini(&all);
	buf_fini(&der);
	buf_fini(&signature);
}

void test_pki_fini(struct test_pki *pki)
{
	tls_key_free(pki->key);
	buf_fini(&pki->name);
	buf_fini(&pki->der);
	buf_fini(&pki->pem);
}

/* The leaf with the root's names, serial and signature pasted in. */
static void issue_clone(struct test_pki *pki, struct x509_spec *spec, struct buf *der)
{
	struct x509_facts root;
	struct buf tbs;

	MUST(x509_parse(buf_span(&pki->der), &root));
	spec->subject = root.subject;
	spec->issuer = root.issuer;
	spec->serial = root.serial;
	buf_init(&tbs, X509_DER_MAX);
	x509_put_tbs(&tbs, spec);
	x509_put_signed(der, buf_span(&tbs), root.signature);
	MUST(buf_status(der));
	buf_fini(&tbs);
}

static void issue_leaf(struct test_pki *root, struct test_pki *signer, const struct test_leaf *leaf,
                       struct tls_key *key, struct buf *der)
{
	uint8_t serial[SERIAL_LEN];
	struct span uris[3];
	struct buf spki, name;
	struct x509_spec spec = {
		.serial = span_of(serial, sizeof(serial)),
		.issuer = buf_span(&signer->name),
		.not_before = clock_wall_s() +
	                      (leaf->not_before_in_s != 0 ? leaf->not_before_in_s : -HOUR_S),
		.not_after = clock_wall_s() +
	                     (leaf->not_after_in_s != 0 ? leaf->not_after_in_s : TEST_PKI_DAY_S),
		.is_ca = leaf->is_ca,
		.no_key_usage = leaf->no_key_usage,
		.no_digital_signature = leaf->no_digital_signature,
		.ext_server = !leaf->no_ext && (leaf->ext_server || !leaf->ext_client),
		.ext_client = !leaf->no_ext && (leaf->ext_client || !leaf->ext_server),
		.uris = uris,
		.dns = leaf->dns,
	};

	make_serial(serial);
	buf_init(&spki, X509_DER_MAX);
	buf_init(&name, X509_DER_MAX);
	MUST(tls_key_put_spki(key, &spki));
	x509_put_name(&name, NULL, NULL);
	spec.subject = buf_span(&name);
	spec.spki = buf_span(&spki);
	while (spec.uri_count < 3 && leaf->uris[spec.uri_count] != NULL) {
		uris[spec.uri_count] = span_str(leaf->uris[spec.uri_count]);
		spec.uri_count++;
	}
	if (leaf->raw_uri != NULL)
		uris[spec.uri_count++] = span_of(leaf->raw_uri, leaf->raw_uri_len);
	if (leaf->clone_root)
		issue_clone(root, &spec, der);
	else
		MUST(tls_key_issue(signer->key, &spec, der));
	buf_fini(&spki);
	buf_fini(&name);
}

void test_pki_issue(struct test_pki *pki, const struct test_leaf *leaf, struct test_material *ret)
{
	struct test_pki middle[INTERMEDIATES_MAX];
	struct test_pki *signer = pki;
	struct tls_key *key;
	struct buf der;

	buf_init(&ret->chain, PEM_TEXT_MAX);
	buf_init(&ret->key, PEM_TEXT_MAX);
	buf_init(&ret->roots, PEM_TEXT_MAX);
	buf_init(&der, X509_DER_MAX);
	if (leaf->intermediates > INTERMEDIATES_MAX)
		abort();
	for (unsigned int i = 0; i < leaf->intermediates; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "intermediate %u", i);
		ca_issue(&middle[i], signer, name);
		signer = &middle[i];
	}
	MUST(tls_key_new(&key));
	issue_leaf(pki, signer, leaf, key, &der);
	pem_put(&ret->chain, "CERTIFICATE", buf_span(&der));
	for (unsigned int i = leaf->intermediates; i-- > 0 && !leaf->hide_intermediates;)
		buf_put(&ret->chain, buf_span(&middle[i].pem));
	MUST(buf_status(&ret->chain));
	MUST(tls_key_put_pem(key, &ret->key));
	buf_put(&ret->roots, buf_span(&pki->pem));
	MUST(buf_status(&ret->roots));
	for (unsigned int i = 0; i < leaf->intermediates; i++)
		test_pki_fini(&middle[i]);
	tls_key_free(key);
	buf_fini(&der);
}

void test_material_fini(struct test_material *m)
{
	buf_fini(&m->chain);
	buf_wipe_fini(&m->key);
	buf_fini(&m->roots);
}

struct tls_material test_material_view(const struct test_material *m)
{
	return (struct tls_material){
		.chain_pem = buf_span(&m->chain),
		.key_pem = buf_span(&m->key),
		.roots_pem = buf_span(&m->roots),
	};
}

struct tls_config *test_pki_config(struct test_pki *pki, const char *identity)
{
	struct test_leaf leaf = {.uris = {identity}};
	struct test_material m;
	struct tls_material view;
	struct tls_config *cfg = NULL;
	char why[200];

	test_pki_issue(pki, &leaf, &m);
	view = test_material_view(&m);
	if (tls_config_new(&view, &cfg, why, sizeof(why)) != ERR_OK) {
		(void)fprintf(stderr, "test_pki_config: %s\n", why);
		abort();
	}
	test_material_fini(&m);
	return cfg;
}

struct tls_config *test_alice, *test_bob;
static struct test_pki two_root;

int test_two_set_up(void **state)
{
	(void)state;
	if (tls_global_init() != ERR_OK)
		return -1;
	test_pki_init(&two_root, "root");
	test_alice = test_pki_config(&two_root, TEST_ALICE);
	test_bob = test_pki_config(&two_root, TEST_BOB);
	return 0;
}

int test_two_tear_down(void **state)
{
	(void)state;
	tls_config_unref(test_alice);
	tls_config_unref(test_bob);
	test_pki_fini(&two_root);
	tls_global_fini();
	return 0;
}
