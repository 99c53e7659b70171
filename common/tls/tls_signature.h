/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_signature - is this signature that key's? For what wolfSSL's handshake does not check itself: revocation lists,
 * and which of several issuers of one name signed a certificate. Pure.
 *
 * ECDSA and RSA (PKCS#1 v1.5), each with SHA-256, -384 or -512. RFC 5758, RFC 4055.
 */
#ifndef COMMON_TLS_TLS_SIGNATURE_H
#define COMMON_TLS_TLS_SIGNATURE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/span.h"

enum { TLS_DIGEST_MAX = 64 };

/* What a signature is over, in short. */
struct tls_digest {
	uint8_t octets[TLS_DIGEST_MAX];
	uint8_t len;
	uint8_t method; /* private: row of the table of algorithms */
};

/* algorithm: a whole AlgorithmIdentifier. Errs: ERR_UNSUPPORTED for another algorithm, ERR_TLS. */
MUST_CHECK enum err tls_digest_of(struct span algorithm, struct span text, struct tls_digest *ret);
/* spki: a whole SubjectPublicKeyInfo; false also when it is no key of that algorithm. */
bool tls_signature_good(const struct tls_digest *d, struct span signature, struct span spki);

#endif
