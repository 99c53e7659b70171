/* SPDX-License-Identifier: Apache-2.0 */
/* AES-GCM by Intel's multi-buffer library: three times the others where the CPU has AVX-512. x86-64 only. */
#include "common/tls/aead_provider.h"

#ifdef HAVE_IPSEC_MB
#include <stdlib.h>

#include <intel-ipsec-mb.h>

#include "common/base/mem.h"
#include "common/tls/tls_aead.h"

enum { KEY_ALIGN = 64 }; /* what its key tables ask for */

struct mb_key {
	struct gcm_key_data gcm;
	bool is_128;
};

static const size_t key_room = (sizeof(struct mb_key) + KEY_ALIGN - 1) / KEY_ALIGN * KEY_ALIGN;

/* Function pointers chosen for this CPU; set once before threads start, read-only afterwards. */
static IMB_MGR *mgr;

static void stop(void)
{
	if (mgr != NULL)
		free_mb_mgr(mgr);
	mgr = NULL;
}

static bool start(void)
{
	const uint64_t needed = IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ;

	if (mgr != NULL)
		return true;
	mgr = alloc_mb_mgr(0);
	if (mgr == NULL)
		return false;
	init_mb_mgr_auto(mgr, NULL);
	if (imb_get_errno(mgr) != 0 || (mgr->features & needed) != needed)
		stop();
	return mgr != NULL;
}

static void *new_key(struct span key)
{
	struct mb_key *k = aligned_alloc(KEY_ALIGN, key_room);

	if (k == NULL)
		return NULL;
	k->is_128 = key.n == 16;
	if (k->is_128)
		IMB_AES128_GCM_PRE(mgr, key.p, &k->gcm);
	else
		IMB_AES256_GCM_PRE(mgr, key.p, &k->gcm);
	return k;
}

static void free_key(void *k)
{
	mem_wipe(k, key_room);
	free(k);
}

static bool seal(void *key, const struct aead_job *j)
{
	struct mb_key *k = key;
	struct gcm_context_data c;

	if (k->is_128)
		IMB_AES128_GCM_ENC(mgr, &k->gcm, &c, j->p, j->p, j->n, j->nonce, j->aad.p, j->aad.n,
		                   j->p + j->n, TLS_AEAD_TAG);
	else
		IMB_AES256_GCM_ENC(mgr, &k->gcm, &c, j->p, j->p, j->n, j->nonce, j->aad.p, j->aad.n,
		                   j->p + j->n, TLS_AEAD_TAG);
	return true;
}

static bool open(void *key, const struct aead_job *j)
{
	uint8_t tag[TLS_AEAD_TAG], differs = 0;
	struct mb_key *k = key;
	struct gcm_context_data c;

	if (k->is_128)
		IMB_AES128_GCM_DEC(mgr, &k->gcm, &c, j->p, j->p, j->n, j->nonce, j->aad.p, j->aad.n,
		                   tag, sizeof(tag));
	else
		IMB_AES256_GCM_DEC(mgr, &k->gcm, &c, j->p, j->p, j->n, j->nonce, j->aad.p, j->aad.n,
		                   tag, sizeof(tag));
	for (size_t i = 0; i < sizeof(tag); i++)
		differs |= (uint8_t)(tag[i] ^ j->p[j->n + i]);
	return differs == 0;
}

const struct aead_provider aead_ipsec_mb = {
	.name = "ipsec-mb " IMB_VERSION_STR,
	.start = start,
	.stop = stop,
	.new_key = new_key,
	.free_key = free_key,
	.key_bytes = sizeof(struct mb_key),
	.seal = seal,
	.open = open,
};
#else
static bool not_built(void)
{
	return false;
}

const struct aead_provider aead_ipsec_mb = {.name = "ipsec-mb", .start = not_built};
#endif
