/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_csr - a fresh key and the request to certify it (contract 4.4), and the CA's reading of one. RFC 2986.
 */
#ifndef COMMON_TLS_TLS_CSR_H
#define COMMON_TLS_TLS_CSR_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/span.h"

/*
 * Make a P-256 key and a request with an empty subject and one critical subjectAltName: the identity as URI.
 *
 * key_pem, csr_pem: appended to; key_pem is the caller's to wipe
 * Errs: ERR_PARSE when identity is not a SPIFFE id, ERR_TLS, ERR_LIMIT, ERR_MEMORY
 */
MUST_CHECK enum err tls_csr_new(const char *identity, struct buf *key_pem, struct buf *csr_pem);

/*
 * Read a request as a CA does: exactly that form, signed by the key it names.
 *
 * der:     receives the request; the two results point into it
 * Errs:    ERR_PARSE, ERR_LIMIT, ERR_TLS_BAD_SIGNATURE
 */
MUST_CHECK enum err tls_csr_read(struct span csr_pem, struct buf *der, struct span *ret_spki,
                                 struct span *ret_identity);

#endif
