/* SPDX-License-Identifier: Apache-2.0 */
/*
 * percent_codec - percent-encoding of URI parts. Pure. RFC 3986 section 2.1.
 */
#ifndef COMMON_CODEC_PERCENT_CODEC_H
#define COMMON_CODEC_PERCENT_CODEC_H

#include <stdbool.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/span.h"

/*
 * Append text with %XX turned into octets; plus: '+' means a space, as in queries of forms.
 * Errs: ERR_PARSE for a '%' without two hex digits, or for %00, which no text of ours may hold; ERR_LIMIT. out may
 *       then hold a part
 */
MUST_CHECK enum err percent_decode(struct span text, bool plus, struct buf *out);
/* Append text with all but the unreserved characters (2.3) encoded. */
void percent_encode(struct span text, struct buf *out);

#endif
