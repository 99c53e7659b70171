/* SPDX-License-Identifier: Apache-2.0 */
/* AES-GCM by wolfCrypt: always there. */
#include <stdlib.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/aes.h>

#include "common/base/mem.h"
#include "common/tls/aead_provider.h"
#include "common/tls/tls_aead.h"

enum { AES_ALIGN = 64 }; /* what its assembly likes */

static const size_t aes_room = (sizeof(Aes) + AES_ALIGN - 1) / AES_ALIGN * AES_ALIGN;

static bool start(void)
{
	return true;
}

static void stop(void)
{
}

static void *new_key(struct span key)
{
	Aes *aes = aligned_alloc(AES_ALIGN, aes_room);

	if (aes == NULL)
		return NULL;
	if (wc_AesInit(aes, NULL, INVALID_DEVID) != 0) {
		free(aes);
		return NULL;
	}
	if (wc_AesGcmSetKey(aes, key.p, (word32)key.n) == 0)
		return aes;
	wc_AesFree(aes);
	free(aes);
	return NULL;
}

static void free_key(void *k)
{
	wc_AesFree(k);
	mem_wipe(k, aes_room);
	free(k);
}

static bool seal(void *k, const struct aead_job *j)
{
	return wc_AesGcmEncrypt(k, j->p, j->p, (word32)j->n, j->nonce, TLS_AEAD_NONCE, j->p + j->n,
	                        TLS_AEAD_TAG, j->aad.p, (word32)j->aad.n) == 0;
}

static bool open(void *k, const struct aead_job *j)
{
	return wc_AesGcmDecrypt(k, j->p, j->p, (word32)j->n, j->nonce, TLS_AEAD_NONCE, j->p + j->n,
	                        TLS_AEAD_TAG, j->aad.p, (word32)j->aad.n) == 0;
}

const struct aead_provider aead_wolfcrypt = {
	.name = "wolfCrypt",
	.start = start,
	.stop = stop,
	.new_key = new_key,
	.free_key = free_key,
	.key_bytes = sizeof(Aes),
	.seal = seal,
	.open = open,
};
