/* SPDX-License-Identifier: Apache-2.0 */
#include "common/codec/zstd_codec.h"

#include <zstd.h>

enum { LEVEL = 3 }; /* zstd's default: faster than gzip's fastest */

enum err zstd_encode(struct span in, struct buf *out)
{
	size_t room = ZSTD_compressBound(in.n);
	uint8_t *at = buf_reserve(out, room);
	size_t n;

	if (at == NULL)
		return buf_status(out);
	n = ZSTD_compress(at, room, in.p, in.n, LEVEL);
	if (ZSTD_isError(n))
		return ERR_MEMORY; /* there is room for whatever it makes */
	buf_added(out, n);
	return ERR_OK;
}
