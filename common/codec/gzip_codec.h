/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gzip_codec - pack bytes as one gzip member or zlib stream. Pure. RFC 1952, 1950.
 */
#ifndef COMMON_CODEC_GZIP_CODEC_H
#define COMMON_CODEC_GZIP_CODEC_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/span.h"

/* Append in, packed. Errs: ERR_LIMIT when out's ceiling was reached, ERR_MEMORY; out may then hold a part */
MUST_CHECK enum err gzip_encode(struct span in, struct buf *out);
/* The same in the form HTTP calls "deflate" (RFC 9110 8.4.1.2). */
MUST_CHECK enum err zlib_encode(struct span in, struct buf *out);

#endif
