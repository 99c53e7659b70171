/* SPDX-License-Identifier: Apache-2.0 */
#include "common/codec/base64_codec.h"

void base64_encode(struct span in, struct buf *out)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
	enum { PADDING = 64 };

	for (size_t i = 0; i < in.n; i += 3) {
		size_t n = in.n - i < 3 ? in.n - i : 3;
		uint32_t v = (uint32_t)in.p[i] << 16;
		char four[4];

		v |= n > 1 ? (uint32_t)in.p[i + 1] << 8 : 0;
		v |= n > 2 ? in.p[i + 2] : 0;
		four[0] = digits[v >> 18];
		four[1] = digits[(v >> 12) & 63];
		four[2] = digits[n > 1 ? (v >> 6) & 63 : PADDING];
		four[3] = digits[n > 2 ? v & 63 : PADDING];
		buf_put(out, span_of(four, sizeof(four)));
	}
}
