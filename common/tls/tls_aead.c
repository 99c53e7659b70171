/* SPDX-License-Identifier: Apache-2.0 */
#include "common/tls/tls_aead.h"

#include <stdlib.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/aes.h>
#ifdef HAVE_IPSEC_MB
#include <intel-ipsec-mb.h>
#endif

#include "common/base/check.h"
#include "common/base/mem.h"

enum { AEAD_ALIGN = 64 }; /* a cache line, and what ipsec-mb asks for its key tables */

struct tls_aead {
	enum tls_aead_provider provider;
	unsigned int key_len;
	union {
		Aes aes;
#ifdef HAVE_IPSEC_MB
		struct gcm_key_data gcm;
#endif
	} u __attribute__((aligned(AEAD_ALIGN)));
};

#ifdef HAVE_IPSEC_MB
/* Function pointers chosen for this CPU; set once before threads start, read-only afterwards. */
static IMB_MGR *mgr;

static size_t aead_size(enum tls_aead_provider provider)
{
	const size_t head = offsetof(struct tls_aead, u);
	const size_t body =
		provider == TLS_AEAD_IPSEC_MB ? sizeof(struct gcm_key_data) : sizeof(Aes);

	return (head + body + AEAD_ALIGN - 1) / AEAD_ALIGN * AEAD_ALIGN;
}

void tls_aead_global_init(void)
{
	const uint64_t needed = IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ;

	if (mgr != NULL)
		return;
	mgr = alloc_mb_mgr(0);
	if (mgr == NULL)
		return;
	init_mb_mgr_auto(mgr, NULL);
	if (imb_get_errno(mgr) != 0 || (mgr->features & needed) != needed) {
		free_mb_mgr(mgr);
		mgr = NULL;
	}
}

void tls_aead_global_fini(void)
{
	if (mgr != NULL)
		free_mb_mgr(mgr);
	mgr = NULL;
}

bool tls_aead_available(enum tls_aead_provider provider)
{
	return provider == TLS_AEAD_WOLFCRYPT || mgr != NULL;
}

static void mb_expand(struct tls_aead *a, struct span key)
{
	if (a->key_len == 16)
		IMB_AES128_GCM_PRE(mgr, key.p, &a->u.gcm);
	else
		IMB_AES256_GCM_PRE(mgr, key.p, &a->u.gcm);
}

static void mb_seal(struct tls_aead *a, const uint8_t *nonce, struct span aad, uint8_t *p, size_t n)
{
	struct gcm_context_data c;

	if (a->key_len == 16)
		IMB_AES128_GCM_ENC(mgr, &a->u.gcm, &c, p, p, n, nonce, aad.p, aad.n, p + n,
		                   TLS_AEAD_TAG);
	else
		IMB_AES256_GCM_ENC(mgr, &a->u.gcm, &c, p, p, n, nonce, aad.p, aad.n, p + n,
		                   TLS_AEAD_TAG);
}

static bool mb_open(struct tls_aead *a, const uint8_t *nonce, struct span aad, uint8_t *p, size_t n)
{
	struct gcm_context_data c;
	uint8_t tag[TLS_AEAD_TAG], differs = 0;

	if (a->key_len == 16)
		IMB_AES128_GCM_DEC(mgr, &a->u.gcm, &c, p, p, n, nonce, aad.p, aad.n, tag,
		                   sizeof(tag));
	else
		IMB_AES256_GCM_DEC(mgr, &a->u.gcm, &c, p, p, n, nonce, aad.p, aad.n, tag,
		                   sizeof(tag));
	for (size_t i = 0; i < sizeof(tag); i++)
		differs |= (uint8_t)(tag[i] ^ p[n + i]);
	return differs == 0;
}

const char *tls_aead_provider_text(enum tls_aead_provider provider)
{
	return provider == TLS_AEAD_IPSEC_MB ? "ipsec-mb " IMB_VERSION_STR : "wolfCrypt";
}
#else
static size_t aead_size(enum tls_aead_provider provider)
{
	(void)provider;
	return (sizeof(struct tls_aead) + AEAD_ALIGN - 1) / AEAD_ALIGN * AEAD_ALIGN;
}

void tls_aead_global_init(void)
{
}

void tls_aead_global_fini(void)
{
}

bool tls_aead_available(enum tls_aead_provider provider)
{
	return provider == TLS_AEAD_WOLFCRYPT;
}

static void mb_expand(struct tls_aead *a, struct span key)
{
	(void)a;
	(void)key;
	CHECK(false);
}

static void mb_seal(struct tls_aead *a, const uint8_t *nonce, struct span aad, uint8_t *p, size_t n)
{
	(void)nonce;
	(void)aad;
	(void)p;
	(void)n;
	mb_expand(a, aad);
}

static bool mb_open(struct tls_aead *a, const uint8_t *nonce, struct span aad, uint8_t *p, size_t n)
{
	mb_seal(a, nonce, aad, p, n);
	return false;
}

const char *tls_aead_provider_text(enum tls_aead_provider provider)
{
	(void)provider;
	return "wolfCrypt";
}
#endif

enum tls_aead_provider tls_aead_best(void)
{
	return tls_aead_available(TLS_AEAD_IPSEC_MB) ? TLS_AEAD_IPSEC_MB : TLS_AEAD_WOLFCRYPT;
}

static bool wc_expand(struct tls_aead *a, struct span key)
{
	if (wc_AesInit(&a->u.aes, NULL, INVALID_DEVID) != 0)
		return false;
	if (wc_AesGcmSetKey(&a->u.aes, key.p, (word32)key.n) == 0)
		return true;
	wc_AesFree(&a->u.aes);
	return false;
}

struct tls_aead *tls_aead_new(enum tls_aead_provider provider, struct span key)
{
	struct tls_aead *a;

	CHECK(key.n == 16 || key.n == 32);
	if (!tls_aead_available(provider))
		return NULL;
	a = aligned_alloc(AEAD_ALIGN, aead_size(provider));
	if (a == NULL)
		return NULL;
	memset(a, 0, aead_size(provider));
	a->provider = provider;
	a->key_len = (unsigned int)key.n;
	switch (provider) {
	case TLS_AEAD_IPSEC_MB: mb_expand(a, key); break;
	case TLS_AEAD_WOLFCRYPT:
		if (!wc_expand(a, key)) {
			free(a);
			return NULL;
		}
		break;
	}
	return a;
}

void tls_aead_free(struct tls_aead *a)
{
	if (a == NULL)
		return;
	if (a->provider == TLS_AEAD_WOLFCRYPT)
		wc_AesFree(&a->u.aes);
	mem_wipe(a, aead_size(a->provider));
	free(a);
}

size_t tls_aead_bytes(const struct tls_aead *a)
{
	return a == NULL ? 0 : aead_size(a->provider);
}

void tls_aead_seal(struct tls_aead *a, const uint8_t nonce[TLS_AEAD_NONCE], struct span aad,
                   uint8_t *p, size_t n)
{
	switch (a->provider) {
	case TLS_AEAD_IPSEC_MB: mb_seal(a, nonce, aad, p, n); break;
	case TLS_AEAD_WOLFCRYPT:
		CHECK(wc_AesGcmEncrypt(&a->u.aes, p, p, (word32)n, nonce, TLS_AEAD_NONCE, p + n,
		                       TLS_AEAD_TAG, aad.p, (word32)aad.n) == 0);
		break;
	}
}

bool tls_aead_open(struct tls_aead *a, const uint8_t nonce[TLS_AEAD_NONCE], struct span aad,
                   uint8_t *p, size_t n)
{
	bool good = false;

	switch (a->provider) {
	case TLS_AEAD_IPSEC_MB: good = mb_open(a, nonce, aad, p, n); break;
	case TLS_AEAD_WOLFCRYPT:
		good = wc_AesGcmDecrypt(&a->u.aes, p, p, (word32)n, nonce, TLS_AEAD_NONCE, p + n,
		                        TLS_AEAD_TAG, aad.p, (word32)aad.n) == 0;
		break;
	}
	if (!good)
		mem_wipe(p, n);
	return good;
}
