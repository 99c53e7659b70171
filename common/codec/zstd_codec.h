/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zstd_codec - pack bytes as one Zstandard frame. Pure. RFC 8878.
 */
#ifndef COMMON_CODEC_ZSTD_CODEC_H
#define COMMON_CODEC_ZSTD_CODEC_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/span.h"

/* Append in, packed. Errs: ERR_LIMIT when out's ceiling has no room for the worst case, ERR_MEMORY */
MUST_CHECK enum err zstd_encode(struct span in, struct buf *out);

#endif
