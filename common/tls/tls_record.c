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
	RECORD_VERSION = 0x0303, /* RFC 8446 5.2 */
};

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

enum err tls_record_seal(struct tls_direction *d, enum tls_content type, uint8_t *record, size_t n,
                         size_t *ret_len)
{
	const size_t inner = n + 1, payload = inner + TLS_AEAD_TAG;
	uint8_t nonce[TLS_AEAD_NONCE];
	enum err e;

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
	enum err e = check_head(record, len, ret_alert);

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
