/* SPDX-License-Identifier: Apache-2.0 */
#include "common/codec/gzip_codec.h"

#include <limits.h>
#include <zlib.h>

#include "common/base/check.h"

enum {
	GZIP_WINDOW_BITS = MAX_WBITS + 16, /* zlib: "add 16 to write a gzip header" */
	ZLIB_WINDOW_BITS = MAX_WBITS,
	GZIP_MEM_LEVEL = 8, /* zlib's default */
	GZIP_CHUNK = 64 * 1024,
};

static enum err pack(struct span in, int window_bits, struct buf *out)
{
	z_stream z = {0};
	int end = Z_OK;

	if (in.n > UINT_MAX)
		return ERR_LIMIT;
	if (deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, window_bits, GZIP_MEM_LEVEL,
	                 Z_DEFAULT_STRATEGY) != Z_OK)
		return ERR_MEMORY;
	z.next_in = (z_const Bytef *)(uintptr_t)in.p; /* zlib reads only */
	z.avail_in = (uInt)in.n;
	while (end != Z_STREAM_END) {
		uint8_t *room = buf_reserve(out, GZIP_CHUNK);

		if (room == NULL)
			break;
		z.next_out = room;
		z.avail_out = GZIP_CHUNK;
		end = deflate(&z, Z_FINISH);
		CHECK(end == Z_OK || end == Z_STREAM_END);
		buf_added(out, GZIP_CHUNK - z.avail_out);
	}
	(void)deflateEnd(&z);
	return buf_status(out);
}

enum err gzip_encode(struct span in, struct buf *out)
{
	return pack(in, GZIP_WINDOW_BITS, out);
}

enum err zlib_encode(struct span in, struct buf *out)
{
	return pack(in, ZLIB_WINDOW_BITS, out);
}
