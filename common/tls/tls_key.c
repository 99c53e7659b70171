/* SPDX-License-Identifier: Apache-2.0 */
#include "common/tls/tls_key.h"

#include <stdlib.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/hash.h>
#include <wolfssl/wolfcrypt/random.h>

#include "common/base/mem.h"
#include "common/tls/pem_msg.h"

enum {
	P256_OCTETS = 32,
	KEY_DER_MAX = 256,  /* PKCS#8 of P-256 takes 138 */
	SIGNATURE_MAX = 80, /* DER of two 256-bit numbers takes at most 72 */
	TBS_MAX = X509_DER_MAX,
};

struct tls_key {
	ecc_key ecc;
	WC_RNG rng;
};

static enum err key_alloc(struct tls_key **ret_key)
{
	struct tls_key *k = calloc(1, sizeof(*k));

	if (k == NULL)
		return ERR_MEMORY;
	if (wc_InitRng(&k->rng) != 0) {
		free(k);
		return ERR_TLS;
	}
	if (wc_ecc_init(&k->ecc) != 0) {
		wc_FreeRng(&k->rng);
		free(k);
		return ERR_TLS;
	}
	(void)wc_ecc_set_rng(&k->ecc, &k->rng);
	*ret_key = k;
	return ERR_OK;
}

void tls_key_free(struct tls_key *k)
{
	if (k == NULL)
		return;
	wc_ecc_free(&k->ecc);
	wc_FreeRng(&k->rng);
	mem_wipe(k, sizeof(*k));
	free(k);
}

enum err tls_key_new(struct tls_key **ret_key)
{
	struct tls_key *k;
	enum err e = key_alloc(&k);

	if (e != ERR_OK)
		return e;
	if (wc_ecc_make_key_ex(&k->rng, P256_OCTETS, &k->ecc, ECC_SECP256R1) != 0) {
		tls_key_free(k);
		return ERR_TLS;
	}
	*ret_key = k;
	return ERR_OK;
}

static enum err decode(struct tls_key *k, struct span der)
{
	word32 at = 0;

	/* takes PKCS#8 as well as SEC1 */
	if (wc_EccPrivateKeyDecode(der.p, &at, &k->ecc, (word32)der.n) != 0 || at != der.n)
		return ERR_PARSE;
	if (wc_ecc_get_curve_id(k->ecc.idx) != ECC_SECP256R1)
		return ERR_PARSE;
	if (k->ecc.type == ECC_PRIVATEKEY_ONLY && wc_ecc_make_pub(&k->ecc, NULL) != 0)
		return ERR_PARSE;
	return ERR_OK;
}

enum err tls_key_parse(struct span pem, struct tls_key **ret_key)
{
	struct pem_block block;
	struct tls_key *k = NULL;
	struct buf der;
	enum err e;

	buf_init(&der, PEM_TEXT_MAX);
	do {
		e = pem_next(&pem, &block);
	} while (e == ERR_OK && !span_eq_str(block.label, "PRIVATE KEY") &&
	         !span_eq_str(block.label, "EC PRIVATE KEY"));
	if (e != ERR_OK) {
		e = ERR_PARSE;
		goto out;
	}
	e = pem_decode(&block, &der);
	if (e == ERR_OK)
		e = key_alloc(&k);
	if (e == ERR_OK)
		e = decode(k, buf_span(&der));
	if (e == ERR_OK)
		*ret_key = k;
	else
		tls_key_free(k);
out:
	buf_wipe_fini(&der);
	return e;
}

enum err tls_key_put_pem(struct tls_key *k, struct buf *out)
{
	uint8_t der[KEY_DER_MAX];
	word32 len = sizeof(der);
	enum err e = ERR_TLS;
	int n = wc_EccKeyToPKCS8(&k->ecc, der, &len);

	if (n >= 0) {
		pem_put(out, "PRIVATE KEY", span_of(der, len));
		e = buf_status(out);
	}
	mem_wipe(der, sizeof(der));
	return e;
}

enum err tls_key_put_spki(struct tls_key *k, struct buf *out)
{
	uint8_t der[KEY_DER_MAX];
	int n = wc_EccPublicKeyToDer(&k->ecc, der, sizeof(der), 1);

	if (n <= 0)
		return ERR_TLS;
	buf_put(out, span_of(der, (size_t)n));
	return buf_status(out);
}

enum err tls_key_sign(struct tls_key *k, struct span text, struct buf *out)
{
	uint8_t digest[WC_SHA256_DIGEST_SIZE], signature[SIGNATURE_MAX];
	word32 len = sizeof(signature);

	if (wc_Sha256Hash(text.p, (word32)text.n, digest) != 0 ||
	    wc_ecc_sign_hash(digest, sizeof(digest), signature, &len, &k->rng, &k->ecc) != 0)
		return ERR_TLS;
	buf_put(out, span_of(signature, len));
	return buf_status(out);
}

enum err tls_key_issue(struct tls_key *k, const struct x509_spec *spec, struct buf *out)
{
	struct buf tbs, signature;
	enum err e;

	buf_init(&tbs, TBS_MAX);
	buf_init(&signature, SIGNATURE_MAX);
	x509_put_tbs(&tbs, spec);
	e = buf_status(&tbs);
	if (e == ERR_OK)
		e = tls_key_sign(k, buf_span(&tbs), &signature);
	if (e == ERR_OK) {
		x509_put_signed(out, buf_span(&tbs), buf_span(&signature));
		e = buf_status(out);
	}
	buf_fini(&tbs);
	buf_fini(&signature);
	return e;
}
