/* SPDX-License-Identifier: Apache-2.0 */
#include "common/tls/tls_signature.h"

#include <stdlib.h>
#include <string.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/hash.h>
#include <wolfssl/wolfcrypt/rsa.h>

#include "common/base/check.h"
#include "common/tls/der_msg.h"

enum {
	RSA_OCTETS_MAX = 512, /* of a modulus: 4096 bits */
	SIGNATURE_MAX = 1024, /* octets; ends what no key can have made */
};

#define OID(...)                                                                       \
	{                                                                              \
		(const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}) \
	}

static const struct {
	struct span oid;
	enum wc_HashType hash;
	uint8_t len;
	bool rsa;
} methods[] = {
	{OID(0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2), WC_HASH_TYPE_SHA256, 32, false},
	{OID(0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3), WC_HASH_TYPE_SHA384, 48, false},
	{OID(0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4), WC_HASH_TYPE_SHA512, 64, false},
	{OID(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11), WC_HASH_TYPE_SHA256, 32, true},
	{OID(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12), WC_HASH_TYPE_SHA384, 48, true},
	{OID(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 13), WC_HASH_TYPE_SHA512, 64, true},
};

enum err tls_digest_of(struct span algorithm, struct span text, struct tls_digest *ret)
{
	struct rd all = rd_of(algorithm), seq = rd_of(der_get(&all, DER_SEQUENCE));
	struct span oid = der_get(&seq, DER_OID);
	struct tls_digest d = {0};

	for (uint8_t i = 0; i < ARRAY_LEN(methods) && !rd_failed(&seq); i++) {
		if (!span_eq(oid, methods[i].oid))
			continue;
		d.method = i;
		d.len = methods[i].len;
		if (wc_Hash(methods[i].hash, text.p, (word32)text.n, d.octets, d.len) != 0)
			return ERR_TLS;
		*ret = d;
		return ERR_OK;
	}
	return ERR_UNSUPPORTED;
}

/* The library's keys are kilobytes: not for the stack. */
static bool ecdsa_good(const struct tls_digest *d, struct span signature, struct span spki)
{
	ecc_key *key = calloc(1, sizeof(*key));
	word32 at = 0;
	int good = 0;

	if (key == NULL || wc_ecc_init(key) != 0) {
		free(key);
		return false;
	}
	if (wc_EccPublicKeyDecode(spki.p, &at, key, (word32)spki.n) != 0 || at != spki.n ||
	    wc_ecc_verify_hash(signature.p, (word32)signature.n, d->octets, d->len, &good, key) !=
	            0)
		good = 0;
	wc_ecc_free(key);
	free(key);
	return good == 1;
}

static bool rsa_good(const struct tls_digest *d, struct span signature, struct span spki)
{
	uint8_t expected[TLS_DIGEST_MAX + 32], got[RSA_OCTETS_MAX] = {0};
	const word32 want = wc_EncodeSignature(expected, d->octets, d->len,
	                                       wc_HashGetOID(methods[d->method].hash));
	RsaKey *key = calloc(1, sizeof(*key));
	word32 at = 0;
	int n = -1;

	if (key == NULL || wc_InitRsaKey(key, NULL) != 0) {
		free(key);
		return false;
	}
	if (wc_RsaPublicKeyDecode(spki.p, &at, key, (word32)spki.n) == 0)
		n = wc_RsaSSL_Verify(signature.p, (word32)signature.n, got, sizeof(got), key);
	wc_FreeRsaKey(key);
	free(key);
	return n > 0 && (word32)n == want && memcmp(got, expected, want) == 0;
}

bool tls_signature_good(const struct tls_digest *d, struct span signature, struct span spki)
{
	if (signature.n == 0 || signature.n > SIGNATURE_MAX || spki.n == 0)
		return false;
	return methods[d->method].rsa ? rsa_good(d, signature, spki)
	                              : ecdsa_good(d, signature, spki);
}
