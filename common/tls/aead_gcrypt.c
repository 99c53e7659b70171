/* SPDX-License-Identifier: Apache-2.0 */
/* AES-GCM by libgcrypt: the fastest of the three where the CPU has VAES with AVX2 but no AVX-512. */
#include "common/tls/aead_provider.h"

#ifdef HAVE_GCRYPT
#include <gcrypt.h>

#include "common/tls/tls_aead.h"

enum { KEY_BYTES = 8 * 1024 }; /* of an open handle with its tables, rounded up */

static bool start(void)
{
	if (gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P))
		return true;
	if (gcry_check_version("1.10.0") == NULL)
		return false;
	(void)gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
	(void)gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
	return true;
}

static void stop(void)
{
}

static void *new_key(struct span key)
{
	int algo = key.n == 16 ? GCRY_CIPHER_AES128 : GCRY_CIPHER_AES256;
	gcry_cipher_hd_t h;

	if (gcry_cipher_open(&h, algo, GCRY_CIPHER_MODE_GCM, 0) != 0)
		return NULL;
	if (gcry_cipher_setkey(h, key.p, key.n) == 0)
		return h;
	gcry_cipher_close(h);
	return NULL;
}

/* gcry_cipher_close wipes what it frees. */
static void free_key(void *k)
{
	gcry_cipher_close(k);
}

static bool begin(void *k, const struct aead_job *j)
{
	return gcry_cipher_setiv(k, j->nonce, TLS_AEAD_NONCE) == 0 &&
	       gcry_cipher_authenticate(k, j->aad.p, j->aad.n) == 0;
}

static bool seal(void *k, const struct aead_job *j)
{
	return begin(k, j) && gcry_cipher_encrypt(k, j->p, j->n, NULL, 0) == 0 &&
	       gcry_cipher_gettag(k, j->p + j->n, TLS_AEAD_TAG) == 0;
}

static bool open(void *k, const struct aead_job *j)
{
	return begin(k, j) && gcry_cipher_decrypt(k, j->p, j->n, NULL, 0) == 0 &&
	       gcry_cipher_checktag(k, j->p + j->n, TLS_AEAD_TAG) == 0;
}

const struct aead_provider aead_gcrypt = {
	.name = "libgcrypt",
	.start = start,
	.stop = stop,
	.new_key = new_key,
	.free_key = free_key,
	.key_bytes = KEY_BYTES,
	.seal = seal,
	.open = open,
};
#else
static bool not_built(void)
{
	return false;
}

const struct aead_provider aead_gcrypt = {.name = "libgcrypt", .start = not_built};
#endif
