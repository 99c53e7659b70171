/* SPDX-License-Identifier: Apache-2.0 */
#include "common/codec/percent_codec.h"

static int hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

enum err percent_decode(struct span text, bool plus, struct buf *out)
{
	for (size_t i = 0; i < text.n; i++) {
		int high, low;

		if (text.p[i] != '%') {
			buf_put_u8(out, plus && text.p[i] == '+' ? ' ' : text.p[i]);
			continue;
		}
		if (text.n - i < 3)
			return ERR_PARSE;
		high = hex_value(text.p[i + 1]);
		low = hex_value(text.p[i + 2]);
		if (high < 0 || low < 0 || (high == 0 && low == 0))
			return ERR_PARSE;
		buf_put_u8(out, (uint8_t)(high << 4 | low));
		i += 2;
	}
	return buf_status(out);
}

static bool is_unreserved(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       c == '-' || c == '.' || c == '_' || c == '~';
}

void percent_encode(struct span text, struct buf *out)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < text.n; i++) {
		if (is_unreserved(text.p[i])) {
			buf_put_u8(out, text.p[i]);
			continue;
		}
		buf_put_u8(out, '%');
		buf_put_u8(out, (uint8_t)digits[text.p[i] >> 4]);
		buf_put_u8(out, (uint8_t)digits[text.p[i] & 0xf]);
	}
}
