/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_record - one direction of a TLS connection after the handshake: a traffic secret, the key and IV made from it, and
 * a record number; records are protected and opened in place. Pure. RFC 8446 sections 5 and 7; of TLS 1.2 AES-GCM
 * alone, RFC 5288.
 */
#ifndef COMMON_TLS_TLS_RECORD_H
#define COMMON_TLS_TLS_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/span.h"
#include "common/tls/tls_aead.h"

enum tls_content {
	TLS_CONTENT_CHANGE_CIPHER_SPEC = 20,
	TLS_CONTENT_ALERT = 21,
	TLS_CONTENT_HANDSHAKE = 22,
	TLS_CONTENT_DATA = 23,
};

enum tls_alert {
	TLS_ALERT_CLOSE_NOTIFY = 0,
	TLS_ALERT_UNEXPECTED_MESSAGE = 10,
	TLS_ALERT_BAD_RECORD_MAC = 20,
	TLS_ALERT_RECORD_OVERFLOW = 22,
	TLS_ALERT_DECODE_ERROR = 50,
	TLS_ALERT_INTERNAL_ERROR = 80,
	TLS_ALERT_USER_CANCELED = 90,
};

enum {
	TLS_SECRET_MAX = 48,            /* SHA-384 */
	TLS_INNER_MAX = 16384 + 1,      /* RFC 8446 5.2: plaintext, padding and content type */
	TLS_KEY_RECORDS_SOFT = 1 << 23, /* from here on a new key is due */
	TLS_KEY_RECORDS_MAX =
		1 << 24, /* never seal more under one key; RFC 8446 5.5 allows 2^24.5 */
	TLS12_SALT = 4,
	TLS12_EXPLICIT = 8, /* octets of the nonce in front of each record's content, RFC 5288 3 */
};

/* Embedded; fields are private. */
struct tls_direction {
	uint8_t secret[TLS_SECRET_MAX]; /* "application_traffic_secret_N" */
	uint8_t iv[TLS_AEAD_NONCE];
	uint8_t secret_len;   /* 32: AES-128 and SHA-256; 48: AES-256 and SHA-384 */
	bool v12;             /* TLS 1.2: secret is the key, the IV's first four octets the salt */
	uint64_t seq;         /* of the next record under this key */
	struct tls_aead *key; /* NULL while cool */
};

/* secret: 32 or 48 octets, which also tells the suite. Errs: ERR_TLS. */
MUST_CHECK enum err tls_direction_init(struct tls_direction *d, struct span secret);
/*
 * Of TLS 1.2: the key (16 or 32 octets) and the salt (4) of the key block, after the one record of the handshake under
 * them. Such a key is never changed. Errs: ERR_TLS.
 */
MUST_CHECK enum err tls_direction_init_12(struct tls_direction *d, struct span key,
                                          struct span salt);
void tls_direction_fini(struct tls_direction *d); /* wipes */
/* Drop the expanded key; it is made again from the secret when needed. */
void tls_direction_cool(struct tls_direction *d);
/* The next secret, RFC 8446 7.2; the record number starts over. Errs: ERR_TLS. */
MUST_CHECK enum err tls_direction_update(struct tls_direction *d);

/*
 * Protect n (0..16384) octets at record + 5 as content of that type. The memory has TLS_RECORD_TAIL octets of room
 * behind them; in TLS 1.2 they are moved, as the explicit nonce stands in front of them. Errs: ERR_TLS when the key is spent, ERR_MEMORY.
 */
MUST_CHECK enum err tls_record_seal(struct tls_direction *d, enum tls_content type, uint8_t *record,
                                    size_t n, size_t *ret_len);

/* What was in a record. */
struct tls_record_inner {
	enum tls_content type;
	uint8_t *p; /* inside the record */
	size_t n;
};
/*
 * Open one whole record in place.
 * Errs: ERR_TLS, with the alert to send in ret_alert; ERR_MEMORY (the record is then unharmed)
 */
MUST_CHECK enum err tls_record_open(struct tls_direction *d, uint8_t *record, size_t len,
                                    struct tls_record_inner *ret, enum tls_alert *ret_alert);

#endif
