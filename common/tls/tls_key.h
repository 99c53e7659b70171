/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_key - a P-256 key pair that makes certificates and requests. SHA-256 throughout (contract 4.4).
 */
#ifndef COMMON_TLS_TLS_KEY_H
#define COMMON_TLS_TLS_KEY_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/span.h"
#include "common/tls/x509_msg.h"

struct tls_key;

/* A fresh one. Errs: ERR_TLS when the random source fails, ERR_MEMORY. */
MUST_CHECK enum err tls_key_new(struct tls_key **ret_key);
/* PKCS#8 or SEC1, PEM. Errs: ERR_PARSE, ERR_MEMORY. */
MUST_CHECK enum err tls_key_parse(struct span pem, struct tls_key **ret_key);
void tls_key_free(struct tls_key *k); /* wipes; NULL is allowed */

/* Append the private key as PKCS#8 PEM. Errs: ERR_TLS, ERR_LIMIT. */
MUST_CHECK enum err tls_key_put_pem(struct tls_key *k, struct buf *out);
/* Append the SubjectPublicKeyInfo. Errs: ERR_TLS, ERR_LIMIT. */
MUST_CHECK enum err tls_key_put_spki(struct tls_key *k, struct buf *out);
/* Append an ECDSA signature over SHA-256 of text. Errs: ERR_TLS, ERR_LIMIT. */
MUST_CHECK enum err tls_key_sign(struct tls_key *k, struct span text, struct buf *out);
/* Append the certificate that spec describes, signed with k. Errs: ERR_TLS, ERR_LIMIT. */
MUST_CHECK enum err tls_key_issue(struct tls_key *k, const struct x509_spec *spec, struct buf *out);

#endif
