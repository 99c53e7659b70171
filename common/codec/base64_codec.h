/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base64_codec - bytes as base64 text. Pure. RFC 4648 section 4.
 */
#ifndef COMMON_CODEC_BASE64_CODEC_H
#define COMMON_CODEC_BASE64_CODEC_H

#include "common/base/buf.h"
#include "common/base/span.h"

/* Append in in base64, padded, in one line. */
void base64_encode(struct span in, struct buf *out);

#endif
