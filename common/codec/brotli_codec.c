/* SPDX-License-Identifier: Apache-2.0 */
#include "common/codec/brotli_codec.h"

#include <brotli/encode.h>

enum { QUALITY = 4 }; /* above it time grows faster than text like ours shrinks */

enum err brotli_encode(struct span in, struct buf *out)
{
	size_t n = BrotliEncoderMaxCompressedSize(in.n);
	uint8_t *at = n == 0 ? NULL : buf_reserve(out, n);

	if (n == 0)
		return ERR_LIMIT; /* brotli's way to say: more than it can count */
	if (at == NULL)
		return buf_status(out);
	if (BrotliEncoderCompress(QUALITY, BROTLI_DEFAULT_WINDOW, BROTLI_MODE_TEXT, in.n, in.p, &n,
	                          at) != BROTLI_TRUE)
		return ERR_MEMORY;
	buf_added(out, n);
	return ERR_OK;
}
