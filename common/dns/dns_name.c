/* SPDX-License-Identifier: Apache-2.0 */
#include "common/dns/dns_name.h"

#include <string.h>

enum {
	POINTER = 0xc0, /* the two top bits of a length octet, RFC 1035 4.1.4 */
};

/* Append n octets of a label. */
static enum err put_label(struct dns_name *n, const uint8_t *label, size_t len)
{
	if (len > DNS_LABEL_MAX || n->len + 1 + len + 1 > DNS_NAME_MAX)
		return ERR_PARSE;
	n->wire[n->len++] = (uint8_t)len;
	memcpy(n->wire + n->len, label, len);
	n->len = (uint8_t)(n->len + len);
	return ERR_OK;
}

enum err dns_name_read(struct span msg, size_t *at, struct dns_name *ret_name)
{
	struct dns_name n = {.len = 0};
	size_t here = *at, limit = here,
	       behind = 0; /* behind: where the message goes on; 0: not known yet */

	for (;;) {
		uint8_t len;

		if (here >= msg.n)
			return ERR_PARSE;
		len = msg.p[here];
		if (len == 0)
			break;
		if (len >= POINTER) {
			size_t to;

			if (here + 2 > msg.n)
				return ERR_PARSE;
			to = (size_t)(len & ~POINTER) << 8 | msg.p[here + 1];
			if (to >= limit) /* always further back, so it ends */
				return ERR_PARSE;
			behind = behind != 0 ? behind : here + 2;
			limit = to;
			here = to;
			continue;
		}
		if (here + 1 + len > msg.n || put_label(&n, msg.p + here + 1, len) != ERR_OK)
			return ERR_PARSE; /* also for the label types 01 and 10: they exceed DNS_LABEL_MAX */
		here += 1 + (size_t)len;
	}
	n.wire[n.len++] = 0;
	*at = behind != 0 ? behind : here + 1;
	*ret_name = n;
	return ERR_OK;
}

/* One character of the text form. Errs: ERR_PARSE */
static enum err unescape(struct span *text, uint8_t *ret_octet)
{
	unsigned int v = 0;

	if (text->n == 0)
		return ERR_PARSE;
	if (text->p[0] < '0' || text->p[0] > '9') {
		*ret_octet = text->p[0];
		*text = span_of(text->p + 1, text->n - 1);
		return ERR_OK;
	}
	for (size_t i = 0; i < 3; i++) {
		if (i >= text->n || text->p[i] < '0' || text->p[i] > '9')
			return ERR_PARSE;
		v = v * 10 + (unsigned int)(text->p[i] - '0');
	}
	if (v > UINT8_MAX)
		return ERR_PARSE;
	*ret_octet = (uint8_t)v;
	*text = span_of(text->p + 3, text->n - 3);
	return ERR_OK;
}

/* The label in front of text, and the dot behind it. Errs: ERR_PARSE: empty or too long */
static enum err parse_label(struct span *text, struct dns_name *n)
{
	uint8_t label[DNS_LABEL_MAX];
	size_t len = 0;

	while (text->n > 0) {
		uint8_t c = text->p[0];

		*text = span_of(text->p + 1, text->n - 1);
		if (c == '.')
			break;
		if (c == '\\' && unescape(text, &c) != ERR_OK)
			return ERR_PARSE;
		if (len == DNS_LABEL_MAX)
			return ERR_PARSE;
		label[len++] = c;
	}
	return len > 0 ? put_label(n, label, len) : ERR_PARSE;
}

enum err dns_name_parse(struct span text, struct dns_name *ret_name)
{
	struct dns_name n = {.len = 0};

	if (text.n == 0)
		return ERR_PARSE;
	if (span_eq_str(text, "."))
		text.n = 0;
	while (text.n > 0)
		if (parse_label(&text, &n) != ERR_OK)
			return ERR_PARSE;
	n.wire[n.len++] = 0;
	*ret_name = n;
	return ERR_OK;
}

static char *put_octet(char *out, uint8_t c)
{
	if (c <= ' ' || c >= 0x7f) {
		*out++ = '\\';
		*out++ = (char)('0' + c / 100);
		*out++ = (char)('0' + c / 10 % 10);
		*out++ = (char)('0' + c % 10);
		return out;
	}
	if (strchr(".\\\"();@$", c) != NULL)
		*out++ = '\\';
	*out++ = (char)c;
	return out;
}

const char *dns_name_format(const struct dns_name *n, char out[DNS_TEXT_MAX])
{
	char *p = out;

	for (size_t at = 0; at < n->len && n->wire[at] != 0; at += 1 + (size_t)n->wire[at]) {
		if (at > 0)
			*p++ = '.';
		for (size_t i = 1; i <= n->wire[at]; i++)
			p = put_octet(p, n->wire[at + i]);
	}
	if (p == out && n->len > 0)
		*p++ = '.';
	*p = '\0';
	return out;
}

/* Lengths are below 'A', so that no length octet changes. */
static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}
_Static_assert(DNS_LABEL_MAX < 'A', "lower() may be used on length octets");

bool dns_name_eq(const struct dns_name *a, const struct dns_name *b)
{
	if (a->len != b->len)
		return false;
	for (size_t i = 0; i < a->len; i++)
		if (lower(a->wire[i]) != lower(b->wire[i]))
			return false;
	return true;
}

struct dns_name dns_name_lower(const struct dns_name *n)
{
	struct dns_name out = *n;

	for (size_t i = 0; i < out.len; i++)
		out.wire[i] = lower(out.wire[i]);
	return out;
}

unsigned int dns_name_labels(const struct dns_name *n)
{
	unsigned int count = 0;

	for (size_t at = 0; at < n->len && n->wire[at] != 0; at += 1 + (size_t)n->wire[at])
		count++;
	return count;
}
