/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gzip_codec - pack bytes as one gzip member. Pure. RFC 1952. The only room that includes zlib.
 */
#ifndef COMMON_CODEC_GZIP_CODEC_H
#define COMMON_CODEC_GZIP_CODEC_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/span.h"

/* Append in, packed. Errs: ERR_LIMIT when out's ceiling was reached, ERR_MEMORY; out may then hold a part */
MUST_CHECK enum err gzip_encode(struct span in, struct buf *out);

#endif
