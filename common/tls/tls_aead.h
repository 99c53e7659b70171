/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_aead - AES-GCM in place under one expanded key, by whichever library is the fastest on this CPU: wolfCrypt,
 * libipsec-mb (AVX-512) or libgcrypt (VAES with AVX2). Tried out once at the start; each must first agree with
 * wolfCrypt. Pure but for that.
 */
#ifndef COMMON_TLS_TLS_AEAD_H
#define COMMON_TLS_TLS_AEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/span.h"

enum {
	TLS_AEAD_KEY_MAX = 32,
	TLS_AEAD_NONCE = 12,
	TLS_AEAD_TAG = 16,
};

enum tls_aead_provider {
	TLS_AEAD_WOLFCRYPT,
	TLS_AEAD_IPSEC_MB,
	TLS_AEAD_GCRYPT,
	TLS_AEAD_PROVIDERS, /* how many */
};

/* Once, before threads start; chooses the fastest provider that works here. About a millisecond. */
void tls_aead_global_init(void);
void tls_aead_global_fini(void);
enum tls_aead_provider tls_aead_best(void);
bool tls_aead_available(enum tls_aead_provider provider);
const char *tls_aead_provider_text(enum tls_aead_provider provider); /* "ipsec-mb 1.3" */

struct tls_aead; /* an expanded key */

/* key: 16 or 32 octets. NULL when out of memory or the provider is not available. */
struct tls_aead *tls_aead_new(enum tls_aead_provider provider, struct span key);
void tls_aead_free(struct tls_aead *a); /* wipes; NULL is allowed */
size_t tls_aead_bytes(const struct tls_aead *a);

/* Encrypt n octets at p, write the tag behind them. The nonce must never have been used with this key. */
void tls_aead_seal(struct tls_aead *a, const uint8_t nonce[TLS_AEAD_NONCE], struct span aad,
                   uint8_t *p, size_t n);
/* Decrypt n octets at p; the tag stands behind them. false: it is wrong, and the octets are wiped. */
bool tls_aead_open(struct tls_aead *a, const uint8_t nonce[TLS_AEAD_NONCE], struct span aad,
                   uint8_t *p, size_t n);

#endif
