/* SPDX-License-Identifier: Apache-2.0 */
#include "common/tls/tls_record.h"

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/hash.h>
#include <wolfssl/wolfcrypt/kdf.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/tls/tls_session.h"

enum {
	SHA256_SECRET = 32,
	SHA384_SECRET = 48,
	RECORD_VERSION = 0x0303, /* RFC 8446 5.2; of TLS 1.2 itself, too */
	AAD12_LEN = 13,          /* number, type, version, length: RFC 5246 6.2.3.3 */
	PLAIN12_MAX = 16384,     /* RFC 5246 6.2.1 */
};

/*
 * Records under one key of TLS 1.2, which has no other one to change to: their nonces are counted and never meet, and
 * 2^32 full ones leave an attacker a chance of 2^-41 (RFC 8446 5.5 counts so).
 */
static const uint64_t key12_records_max = (uint64_t)1 << 32;

/* HKDF-Expand-Label with an empty context, RFC 8446 7.1. */
static enum err expand(const struct tls_direction *d, const char *label, uint8_t *out, size_t n)
{
	static const uint8_t prefix[] = {'t', 'l', 's', '1', '3', ' '};
	const int hash = d->secret_len == SHA384_SECRET ? WC_SHA384 : WC_SHA256;
	const struct span text = span_str(label);

	if (wc_Tls13_HKDF_Expand_Label(out, (word32)n, d->secret, d->secret_len, prefix,
	                               sizeof(prefix), text.p, (word32)text.n, NULL, 0, hash) != 0)
		return ERR_TLS;
	return ERR_OK;
}

/* Make the expanded key from the secret unless it is there. */
static enum err warm(struct tls_direction *d)
{
	uint8_t key[TLS_AEAD_KEY_MAX];
	const size_t key_len = d->secret_len == SHA384_SECRET ? 32 : 16;
	enum err e;

	if (d->key != NULL)
		return ERR_OK;
	if (d->v12) {
		d->key = tls_aead_new(tls_aead_best(), span_of(d->secret, d->secret_len));
		return d->key == NULL ? ERR_MEMORY : ERR_OK;
	}
	e = expand(d, "key", key, key_len);
	if (e == ERR_OK) {
		d->key = tls_aead_new(tls_aead_best(), span_of(key, key_len));
		if (d->key == NULL)
			e = ERR_MEMORY;
	}
	mem_wipe(key, sizeof(key));
	return e;
}

enum err tls_direction_init(struct tls_direction *d, struct span secret)
{
	memset(d, 0, sizeof(*d));
	if (secret.n != SHA256_SECRET && secret.n != SHA384_SECRET)
		return ERR_TLS;
	memcpy(d->secret, secret.p, secret.n);
	d->secret_len = (uint8_t)secret.n;
	return expand(d, "iv", d->iv, sizeof(d->iv));
}

enum err tls_direction_init_12(struct tls_direction *d, struct span key, struct span salt)
{
	memset(d, 0, sizeof(*d));
	if ((key.n != 16 && key.n != 32) || salt.n != TLS12_SALT)
		return ERR_TLS;
	memcpy(d->secret, key.p, key.n);
	memcpy(d->iv, salt.p, salt.n);
	d->secret_len = (uint8_t)key.n;
	d->v12 = true;
	d->seq = 1; /* Finished was the first */
	return ERR_OK;
}

void tls_direction_fini(struct tls_direction *d)
{
	tls_aead_free(d->key);
	mem_wipe(d, sizeof(*d));
}

void tls_direction_cool(struct tls_direction *d)
{
	tls_aead_free(d->key);
	d->key = NULL;
}

enum err tls_direction_update(struct tls_direction *d)
{
	uint8_t next[TLS_SECRET_MAX];
	enum err e = expand(d, "traffic upd", next, d->secret_len);

	if (e == ERR_OK) {
		tls_direction_cool(d);
		memcpy(d->secret, next, d->secret_len);
		d->seq = 0;
		e = expand(d, "iv", d->iv, sizeof(d->iv));
	}
	mem_wipe(next, sizeof(next));
	return e;
}

/* The IV with the record number exclusive-ored into its end, RFC 8446 5.3. */
static void make_nonce(const struct tls_direction *d, uint8_t nonce[TLS_AEAD_NONCE])
{
	memcpy(nonce, d->iv, TLS_AEAD_NONCE);
	for (unsigned int i = 0; i < 8; i++)
		nonce[TLS_AEAD_NONCE - 1 - i] ^= (uint8_t)(d->seq >> (8 * i));
}

static void put_u64(uint8_t *to, uint64_t v)
{
	for (unsigned int i = 0; i < 8; i++)
		to[i] = (uint8_t)(v >> (8 * (7 - i)));
}

/* What a record of TLS 1.2 is bound to, and its nonce: the salt and what stands in front of the content. */
static void bind_12(const struct tls_direction *d, const uint8_t *record, size_t n,
                    uint8_t nonce[TLS_AEAD_NONCE], uint8_t aad[AAD12_LEN])
{
	memcpy(nonce, d->iv, TLS12_SALT);
	memcpy(nonce + TLS12_SALT, record + TLS_RECORD_HEAD, TLS12_EXPLICIT);
	put_u64(aad, d->seq);
	memcpy(aad + 8, record, 3); /* type and version */
	aad[11] = (uint8_t)(n >> 8);
	aad[12] = (uint8_t)n;
}

static enum err seal_12(struct tls_direction *d, enum tls_content type, uint8_t *record, size_t n,
                        size_t *ret_len)
{
	const size_t payload = TLS12_EXPLICIT + n + TLS_AEAD_TAG;
	uint8_t nonce[TLS_AEAD_NONCE], aad[AAD12_LEN];
	uint8_t *p = record + TLS_RECORD_HEAD + TLS12_EXPLICIT;
	enum err e;

	CHECK(n <= PLAIN12_MAX);
	if (d->seq >= key12_records_max)
		return ERR_TLS;
	e = warm(d);
	if (e != ERR_OK)
		return e;
	memmove(p, record + TLS_RECORD_HEAD, n);
	record[0] = (uint8_t)type;
	record[1] = RECORD_VERSION >> 8;
	record[2] = RECORD_VERSION & 0xff;
	record[3] = (uint8_t)(payload >> 8);
	record[4] = (uint8_t)payload;
	put_u64(record + TLS_RECORD_HEAD,
	        d->seq); /* the number is the nonce: it never comes again */
	bind_12(d, record, n, nonce, aad);
	d->seq++;
	tls_aead_seal(d->key, nonce, span_of(aad, sizeof(aad)), p, n);
	*ret_len = TLS_RECORD_HEAD + payload;
	return ERR_OK;
}

static enum err open_12(struct tls_direction *d, uint8_t *record, size_t len,
                        struct tls_record_inner *ret, enum tls_alert *ret_alert)
{
	const size_t overhead = TLS_RECORD_HEAD + TLS12_EXPLICIT + TLS_AEAD_TAG;
	uint8_t nonce[TLS_AEAD_NONCE], aad[AAD12_LEN];
	uint8_t *p = record + TLS_RECORD_HEAD + TLS12_EXPLICIT;
	enum err e;

	*ret_alert = TLS_ALERT_DECODE_ERROR;
	if (len < TLS_RECORD_HEAD || (size_t)(record[3] << 8 | record[4]) != len - TLS_RECORD_HEAD)
		return ERR_TLS;
	*ret_alert = TLS_ALERT_UNEXPECTED_MESSAGE;
	if (record[0] < TLS_CONTENT_ALERT || record[0] > TLS_CONTENT_DATA || record[1] != 3 ||
	    record[2] != 3)
		return ERR_TLS;
	*ret_alert = TLS_ALERT_BAD_RECORD_MAC;
	if (len < overhead)
		return ERR_TLS;
	*ret_alert = TLS_ALERT_RECORD_OVERFLOW;
	if (len - overhead > PLAIN12_MAX)
		return ERR_TLS;
	*ret_alert = TLS_ALERT_INTERNAL_ERROR;
	e = warm(d);
	if (e != ERR_OK)
		return e;
	*ret_alert = TLS_ALERT_BAD_RECORD_MAC;
	bind_12(d, record, len - overhead, nonce, aad);
	if (d->seq == UINT64_MAX ||
	    !tls_aead_open(d->key, nonce, span_of(aad, sizeof(aad)), p, len - overhead))
		return ERR_TLS;
	d->seq++;
	ret->type = (enum tls_content)record[0];
	ret->p = p;
	ret->n = len - overhead;
	return ERR_OK;
}

enum err tls_record_seal(struct tls_direction *d, enum tls_content type, uint8_t *record, size_t n,
                         size_t *ret_len)
{
	const size_t inner = n + 1, payload = inner + TLS_AEAD_TAG;
	uint8_t nonce[TLS_AEAD_NONCE];
	enum err e;

	if (d->v12)
		return seal_12(d, type, record, n, ret_len);
	CHECK(inner <= TLS_INNER_MAX);
	if (d->seq >= TLS_KEY_RECORDS_MAX)
		return ERR_TLS;
	e = warm(d);
	if (e != ERR_OK)
		return e;
	record[0] = TLS_CONTENT_DATA;
	record[1] = RECORD_VERSION >> 8;
	record[2] = RECORD_VERSION & 0xff;
	record[3] = (uint8_t)(payload >> 8);
	record[4] = (uint8_t)payload;
	record[TLS_RECORD_HEAD + n] = (uint8_t)type;
	make_nonce(d, nonce);
	d->seq++;
	tls_aead_seal(d->key, nonce, span_of(record, TLS_RECORD_HEAD), record + TLS_RECORD_HEAD,
	              inner);
	*ret_len = TLS_RECORD_HEAD + payload;
	return ERR_OK;
}

/* Octets of an inner plaintext up to and with its content type: the padding behind is zeroes. */
static size_t without_padding(const uint8_t *p, size_t n)
{
	while (n > 0 && p[n - 1] == 0)
		n--;
	return n;
}

/* Refuse by the header alone. */
static enum err check_head(const uint8_t *record, size_t len, enum tls_alert *ret_alert)
{
	const size_t payload = len < TLS_RECORD_HEAD ? 0 : len - TLS_RECORD_HEAD;

	*ret_alert = TLS_ALERT_DECODE_ERROR;
	if (len < TLS_RECORD_HEAD || (size_t)(record[3] << 8 | record[4]) != payload)
		return ERR_TLS;
	*ret_alert = TLS_ALERT_UNEXPECTED_MESSAGE;
	if (record[0] != TLS_CONTENT_DATA)
		return ERR_TLS;
	*ret_alert = TLS_ALERT_RECORD_OVERFLOW;
	if (len > TLS_RECORD_MAX || payload > TLS_INNER_MAX + 255)
		return ERR_TLS;
	*ret_alert = TLS_ALERT_BAD_RECORD_MAC;
	if (payload < 1 + TLS_AEAD_TAG) /* nothing but a tag has no content type either */
		return ERR_TLS;
	return ERR_OK;
}

enum err tls_record_open(struct tls_direction *d, uint8_t *record, size_t len,
                         struct tls_record_inner *ret, enum tls_alert *ret_alert)
{
	uint8_t *p = record + TLS_RECORD_HEAD;
	uint8_t nonce[TLS_AEAD_NONCE];
	size_t inner;
	enum err e;

	if (d->v12)
		return open_12(d, record, len, ret, ret_alert);
	e = check_head(record, len, ret_alert);
	if (e != ERR_OK)
		return e;
	e = warm(d);
	if (e != ERR_OK) {
		*ret_alert = TLS_ALERT_INTERNAL_ERROR;
		return e;
	}
	make_nonce(d, nonce);
	inner = len - TLS_RECORD_HEAD - TLS_AEAD_TAG;
	if (d->seq == UINT64_MAX ||
	    !tls_aead_open(d->key, nonce, span_of(record, TLS_RECORD_HEAD), p, inner))
		return ERR_TLS;
	d->seq++;
	*ret_alert = TLS_ALERT_RECORD_OVERFLOW;
	if (inner > TLS_INNER_MAX)
		return ERR_TLS;
	inner = without_padding(p, inner);
	*ret_alert = TLS_ALERT_UNEXPECTED_MESSAGE;
	if (inner == 0)
		return ERR_TLS;
	switch (p[inner - 1]) {
	case TLS_CONTENT_ALERT:
	case TLS_CONTENT_HANDSHAKE:
	case TLS_CONTENT_DATA: break;
	default: return ERR_TLS;
	}
	ret->type = (enum tls_content)p[inner - 1];
	ret->p = p;
	ret->n = inner - 1;
	return ERR_OK;
}
