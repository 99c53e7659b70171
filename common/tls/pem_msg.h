/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pem_msg - the textual encoding of certificates, keys and requests. Pure. RFC 7468.
 */
#ifndef COMMON_TLS_PEM_MSG_H
#define COMMON_TLS_PEM_MSG_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/span.h"

enum { PEM_TEXT_MAX = 1024 * 1024 }; /* octets of a file we read: bundles of a hundred roots fit */

/* Views into the text. */
struct pem_block {
	struct span label; /* "CERTIFICATE" */
	struct span body;  /* base64 between the two lines */
};

/*
 * The next block of *rest, which then starts behind it; text between blocks is skipped.
 * Errs: ERR_EOF when there is none left, ERR_PARSE for a block that does not end with its own label.
 */
MUST_CHECK enum err pem_next(struct span *rest, struct pem_block *ret);
/* Append what a block encodes. Errs: ERR_PARSE, ERR_LIMIT. */
MUST_CHECK enum err pem_decode(const struct pem_block *block, struct buf *out);
/* The same for a body of at most text_max octets in place of PEM_TEXT_MAX. */
MUST_CHECK enum err pem_decode_max(const struct pem_block *block, size_t text_max, struct buf *out);
/* Append der as a block; failure shows in buf_status. */
void pem_put(struct buf *out, const char *label, struct span der);

#endif
