/* SPDX-License-Identifier: Apache-2.0 */
#include "common/tls/pem_msg.h"

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/coding.h>

static const char begin_mark[] = "-----BEGIN ";
static const char end_mark[] = "-----END ";
static const char dashes[] = "-----";

static const uint8_t *find(struct span s, struct span what)
{
	return s.n == 0 ? NULL : memmem(s.p, s.n, what.p, what.n);
}

static struct span behind(struct span s, const uint8_t *at, size_t n)
{
	return span_of(at + n, (size_t)(s.p + s.n - at) - n);
}

enum err pem_next(struct span *rest, struct pem_block *ret)
{
	const uint8_t *at = find(*rest, span_str(begin_mark));
	struct pem_block block;
	struct span s;

	if (at == NULL) {
		*rest = span_of(NULL, 0);
		return ERR_EOF;
	}
	s = behind(*rest, at, strlen(begin_mark));
	at = find(s, span_str(dashes));
	if (at == NULL)
		return ERR_PARSE;
	block.label = span_of(s.p, (size_t)(at - s.p));
	s = behind(s, at, strlen(dashes));
	at = find(s, span_str(end_mark));
	if (at == NULL)
		return ERR_PARSE;
	block.body = span_of(s.p, (size_t)(at - s.p));
	s = behind(s, at, strlen(end_mark));
	if (s.n < block.label.n || !span_eq(span_of(s.p, block.label.n), block.label))
		return ERR_PARSE;
	s = span_of(s.p + block.label.n, s.n - block.label.n);
	if (s.n < strlen(dashes) || memcmp(s.p, dashes, strlen(dashes)) != 0)
		return ERR_PARSE;
	*rest = behind(s, s.p, strlen(dashes));
	*ret = block;
	return ERR_OK;
}

enum err pem_decode(const struct pem_block *block, struct buf *out)
{
	return pem_decode_max(block, PEM_TEXT_MAX, out);
}

enum err pem_decode_max(const struct pem_block *block, size_t text_max, struct buf *out)
{
	word32 len = (word32)(block->body.n / 4 * 3 + 4);
	uint8_t *p;

	if (block->body.n == 0)
		return ERR_PARSE;
	if (block->body.n > text_max)
		return ERR_LIMIT;
	p = buf_reserve(out, len);
	if (p == NULL)
		return ERR_LIMIT;
	if (Base64_Decode(block->body.p, (word32)block->body.n, p, &len) != 0)
		return ERR_PARSE;
	buf_added(out, len);
	return ERR_OK;
}

void pem_put(struct buf *out, const char *label, struct span der)
{
	word32 len = (word32)((der.n + 2) / 3 * 4 + der.n / 48 + 2); /* a newline each 48 octets */
	uint8_t *p;

	buf_printf(out, "-----BEGIN %s-----\n", label);
	p = buf_reserve(out, len);
	if (p == NULL)
		return;
	if (Base64_Encode(der.p, (word32)der.n, p, &len) != 0) {
		out->failed = true;
		return;
	}
	buf_added(out, len);
	buf_printf(out, "-----END %s-----\n", label);
}
