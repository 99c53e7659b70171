/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aead_provider - one implementation of AES-GCM behind tls_aead. Private to it. Pure.
 */
#ifndef COMMON_TLS_AEAD_PROVIDER_H
#define COMMON_TLS_AEAD_PROVIDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/span.h"

/* One call's worth: n octets at p in place, the 16 octets of the tag behind them. */
struct aead_job {
	const uint8_t *nonce; /* 12 octets */
	struct span aad;
	uint8_t *p;
	size_t n;
};

struct aead_provider {
	const char *name;
	/* Once, before threads start. false: not in this build, or not on this CPU. */
	bool (*start)(void);
	void (*stop)(void);
	/* An expanded key of 16 or 32 octets; NULL without memory. free() wipes it. */
	void *(*new_key)(struct span key);
	void (*free_key)(void *k);
	size_t key_bytes; /* memory of one, about */
	bool (*seal)(void *k, const struct aead_job *
	                              j); /* false: the library refused; never on input's account */
	bool (*open)(void *k, const struct aead_job *j); /* false: the tag is wrong */
};

/* Those not in the build are never started. */
extern const struct aead_provider aead_wolfcrypt, aead_ipsec_mb, aead_gcrypt;

#endif
