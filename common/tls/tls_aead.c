/* SPDX-License-Identifier: Apache-2.0 */
#include "common/tls/tls_aead.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/tls/aead_provider.h"

enum {
	TRIAL_BYTES = 16384, /* a full record */
	TRIAL_ROUNDS = 5, /* the best of them counts: others only show what else the machine did */
	TRIAL_SEALS = 4,  /* 64 KiB a round: some 20 us */
};

struct tls_aead {
	enum tls_aead_provider provider;
	void *key;
};

static const struct aead_provider *const providers[TLS_AEAD_PROVIDERS] = {
	[TLS_AEAD_WOLFCRYPT] = &aead_wolfcrypt,
	[TLS_AEAD_IPSEC_MB] = &aead_ipsec_mb,
	[TLS_AEAD_GCRYPT] = &aead_gcrypt,
};

/* Set once before threads start, read-only afterwards. */
static bool started[TLS_AEAD_PROVIDERS];
static enum tls_aead_provider best;

/* A provider must agree with wolfCrypt, to the octet, before it is believed. */
static bool agrees(enum tls_aead_provider p)
{
	static const uint8_t key[TLS_AEAD_KEY_MAX] = {1, 2, 3}, nonce[TLS_AEAD_NONCE] = {4};
	uint8_t expected[1000 + TLS_AEAD_TAG] = {5}, got[1000 + TLS_AEAD_TAG] = {5};
	struct aead_job j = {.nonce = nonce, .aad = span_of("aad42", 5), .p = expected, .n = 1000};
	void *theirs = providers[p]->new_key(span_of(key, sizeof(key)));
	void *ours = aead_wolfcrypt.new_key(span_of(key, sizeof(key)));
	bool good = theirs != NULL && ours != NULL && aead_wolfcrypt.seal(ours, &j);

	j.p = got;
	good = good && providers[p]->seal(theirs, &j) && memcmp(expected, got, sizeof(got)) == 0;
	good = good && providers[p]->open(theirs, &j) && got[0] == 5;
	j.p = expected;
	expected[sizeof(expected) - 1] ^= 1;
	good = good && !providers[p]->open(theirs, &j);
	if (theirs != NULL)
		providers[p]->free_key(theirs);
	if (ours != NULL)
		aead_wolfcrypt.free_key(ours);
	return good;
}

/* Nanoseconds of the best round; UINT64_MAX when it cannot. */
static uint64_t trial(enum tls_aead_provider p, uint8_t *record)
{
	static const uint8_t key[TLS_AEAD_KEY_MAX], nonce[TLS_AEAD_NONCE];
	struct aead_job j = {.nonce = nonce, .aad = span_of("aad42", 5), .n = TRIAL_BYTES};
	void *k = providers[p]->new_key(span_of(key, sizeof(key)));
	uint64_t least = UINT64_MAX;

	j.p = record;
	if (k == NULL)
		return least;
	for (unsigned int round = 0; round < TRIAL_ROUNDS; round++) {
		uint64_t from = clock_thread_ns(), took;

		for (unsigned int i = 0; i < TRIAL_SEALS; i++)
			CHECK(providers[p]->seal(k, &j));
		took = clock_thread_ns() - from;
		least = took < least ? took : least;
	}
	providers[p]->free_key(k);
	return least;
}

void tls_aead_global_init(void)
{
	uint8_t *record = calloc(1, TRIAL_BYTES + TLS_AEAD_TAG);
	uint64_t least = UINT64_MAX;

	for (unsigned int i = 0; i < TLS_AEAD_PROVIDERS; i++) {
		enum tls_aead_provider p = (enum tls_aead_provider)i;
		uint64_t took;

		started[p] = providers[p]->start() && (p == TLS_AEAD_WOLFCRYPT || agrees(p));
		took = started[p] && record != NULL ? trial(p, record) : UINT64_MAX;
		if (took < least) {
			least = took;
			best = p;
		}
	}
	free(record);
}

void tls_aead_global_fini(void)
{
	for (unsigned int i = 0; i < TLS_AEAD_PROVIDERS; i++) {
		if (started[i])
			providers[i]->stop();
		started[i] = false;
	}
	best = TLS_AEAD_WOLFCRYPT;
}

enum tls_aead_provider tls_aead_best(void)
{
	return best;
}

bool tls_aead_available(enum tls_aead_provider p)
{
	return p == TLS_AEAD_WOLFCRYPT || started[p];
}

const char *tls_aead_provider_text(enum tls_aead_provider p)
{
	return providers[p]->name;
}

struct tls_aead *tls_aead_new(enum tls_aead_provider provider, struct span key)
{
	struct tls_aead *a;

	CHECK(key.n == 16 || key.n == 32);
	if (!tls_aead_available(provider))
		return NULL;
	a = calloc(1, sizeof(*a));
	if (a == NULL)
		return NULL;
	a->provider = provider;
	a->key = providers[provider]->new_key(key);
	if (a->key == NULL) {
		free(a);
		return NULL;
	}
	return a;
}

void tls_aead_free(struct tls_aead *a)
{
	if (a == NULL)
		return;
	providers[a->provider]->free_key(a->key);
	free(a);
}

size_t tls_aead_bytes(const struct tls_aead *a)
{
	return a == NULL ? 0 : sizeof(*a) + providers[a->provider]->key_bytes;
}

void tls_aead_seal(struct tls_aead *a, const uint8_t nonce[TLS_AEAD_NONCE], struct span aad,
                   uint8_t *p, size_t n)
{
	struct aead_job j = {.nonce = nonce, .aad = aad, .n = n};

	j.p = p;
	CHECK(providers[a->provider]->seal(a->key, &j));
}

bool tls_aead_open(struct tls_aead *a, const uint8_t nonce[TLS_AEAD_NONCE], struct span aad,
                   uint8_t *p, size_t n)
{
	struct aead_job j = {.nonce = nonce, .aad = aad, .p = p, .n = n};
	bool good = providers[a->provider]->open(a->key, &j);

	if (!good)
		mem_wipe(p, n);
	return good;
}
