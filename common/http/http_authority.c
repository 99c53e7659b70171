/* SPDX-License-Identifier: Apache-2.0 */
#include "common/http/http_authority.h"

#include <stdio.h>
#include <string.h>

#include "common/base/str.h"

static bool digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool letter(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool label_valid(struct span label)
{
	if (label.n == 0 || label.n > HTTP_LABEL_MAX || label.p[0] == '-' ||
	    label.p[label.n - 1] == '-')
		return false;
	for (size_t i = 0; i < label.n; i++) {
		uint8_t c = label.p[i];

		if (!digit(c) && !letter(c) && c != '-' && c != '_')
			return false;
	}
	return true;
}

/* "10", "0x7f", "0177": what inet_aton(3) would take for an address or the tail of one. */
static bool number_like(struct span label)
{
	if (label.n >= 2 && label.p[0] == '0' && (label.p[1] | 0x20) == 'x')
		return true;
	for (size_t i = 0; i < label.n; i++) {
		if (!digit(label.p[i]))
			return false;
	}
	return true;
}

bool http_host_valid(struct span host)
{
	struct span rest = host, label = {0};

	if (host.n == 0 || host.n > HTTP_HOST_MAX)
		return false;
	while (rest.p) {
		label = str_split(&rest, '.');
		if (!label_valid(label))
			return false;
	}
	return !number_like(label); /* the last one tells names from addresses (WHATWG URL 4.3) */
}

static enum err parse_host(struct span host, struct http_authority *a)
{
	if (ip_parse(host, &a->ip) == ERR_OK)
		return a->ip.family == IP_V4 ? ERR_OK : ERR_PARSE; /* v6 wants brackets */
	if (!http_host_valid(host))
		return ERR_PARSE;
	a->is_name = true;
	for (size_t i = 0; i < host.n; i++) {
		uint8_t c = host.p[i];

		a->host[i] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
	}
	return ERR_OK;
}

/* "[v6]": an IPv4 address does not belong into brackets, not as a mapped one either: it would be a second name for it. */
static enum err parse_bracketed(struct span inner, struct http_authority *a)
{
	if (memchr(inner.p, ':', inner.n) == NULL)
		return ERR_PARSE;
	if (ip_parse(inner, &a->ip) != ERR_OK || a->ip.family != IP_V6)
		return ERR_PARSE;
	return ERR_OK;
}

enum err http_authority_parse(struct span text, struct http_authority *ret_authority)
{
	struct http_authority a = {0};
	size_t colon = text.n;
	uint64_t port;
	enum err e;

	while (colon > 0 && text.p[colon - 1] != ':')
		colon--;
	if (colon < 2) /* no ':', or nothing in front of it */
		return ERR_PARSE;
	if (str_parse_u64(span_of(text.p + colon, text.n - colon), UINT16_MAX, &port) != ERR_OK ||
	    port == 0)
		return ERR_PARSE;
	a.port = (uint16_t)port;
	text.n = colon - 1;
	if (text.n > 2 && text.p[0] == '[' && text.p[text.n - 1] == ']')
		e = parse_bracketed(span_of(text.p + 1, text.n - 2), &a);
	else
		e = parse_host(text, &a);
	if (e == ERR_OK)
		*ret_authority = a;
	return e;
}

const char *http_authority_format(const struct http_authority *a, char buf[HTTP_AUTHORITY_TEXT_MAX])
{
	struct endpoint ep = {.ip = a->ip, .port = a->port};

	if (a->is_name)
		(void)snprintf(buf, HTTP_AUTHORITY_TEXT_MAX, "%s:%u", a->host, a->port);
	else
		(void)endpoint_format(&ep, buf);
	return buf;
}
