/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/netaddr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/str.h"

enum { V6_GROUPS = 8 };

static const uint8_t mapped_head[12] = {[10] = 0xff, [11] = 0xff};

/* v4-mapped becomes IPv4. */
static struct ip ip_of_v6(const uint8_t bytes[16])
{
	struct ip ip = {.family = IP_V6};

	if (memcmp(bytes, mapped_head, sizeof(mapped_head)) == 0) {
		ip.family = IP_V4;
		memcpy(ip.bytes, bytes + sizeof(mapped_head), 4);
		return ip;
	}
	memcpy(ip.bytes, bytes, 16);
	return ip;
}

static bool parse_v4(struct span text, uint8_t out[4])
{
	struct span rest = text;
	unsigned int count = 0;

	while (rest.p != NULL) {
		struct span part = str_split(&rest, '.');
		uint64_t v;

		/* str_parse_u64 refuses leading zeros: "010" is octal to some and decimal to others */
		if (count == 4 || str_parse_u64(part, 255, &v) != ERR_OK)
			return false;
		out[count++] = (uint8_t)v;
	}
	return count == 4;
}

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

static bool parse_group(struct span s, uint8_t out[2])
{
	unsigned int v = 0;

	if (s.n == 0 || s.n > 4)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		int digit = hex_value(s.p[i]);

		if (digit < 0)
			return false;
		v = v << 4 | (unsigned int)digit;
	}
	out[0] = (uint8_t)(v >> 8);
	out[1] = (uint8_t)v;
	return true;
}

/*
 * Colon-separated groups, without "::", into out; the last may be dotted IPv4 if v4_last. Returns how many groups
 * (an IPv4 tail counts two), or -1. An empty text is no groups.
 */
static int parse_groups(struct span text, bool v4_last, uint8_t out[16])
{
	struct span rest = text;
	size_t count = 0;

	if (text.n == 0)
		return 0;
	while (rest.p != NULL) {
		struct span part = str_split(&rest, ':');

		if (rest.p == NULL && v4_last && count <= V6_GROUPS - 2 &&
		    parse_v4(part, out + 2 * count))
			return (int)count + 2;
		if (count == V6_GROUPS || !parse_group(part, out + 2 * count))
			return -1;
		count++;
	}
	return (int)count;
}

/* RFC 4291 2.2. */
static bool parse_v6(struct span text, uint8_t out[16])
{
	const uint8_t *gap = text.n >= 2 ? memmem(text.p, text.n, "::", 2) : NULL;
	uint8_t tail[16] = {0};
	struct span before, after;
	int head_groups, tail_groups;
	size_t tail_bytes;

	memset(out, 0, 16);
	if (gap == NULL)
		return parse_groups(text, true, out) == V6_GROUPS;
	before = span_of(text.p, (size_t)(gap - text.p));
	after = span_of(gap + 2, text.n - before.n - 2);
	head_groups = parse_groups(before, false, out);
	tail_groups = parse_groups(after, true, tail);
	/* "::" stands for at least one group */
	if (head_groups < 0 || tail_groups < 0 || head_groups + tail_groups >= V6_GROUPS)
		return false;
	tail_bytes = 2 * (size_t)tail_groups;
	memcpy(out + 16 - tail_bytes, tail, tail_bytes);
	return true;
}

enum err ip_parse(struct span text, struct ip *ret_ip)
{
	uint8_t v6[16];
	struct ip ip = {.family = IP_V4};

	if (text.n == 0 || text.n >= IP_TEXT_MAX)
		return ERR_PARSE;
	if (memchr(text.p, ':', text.n) == NULL) {
		if (!parse_v4(text, ip.bytes))
			return ERR_PARSE;
		*ret_ip = ip;
		return ERR_OK;
	}
	if (!parse_v6(text, v6))
		return ERR_PARSE;
	*ret_ip = ip_of_v6(v6);
	return ERR_OK;
}

/* Where the address ends and the port begins; false when there is no such place. */
static bool split_endpoint(struct span text, struct span *ret_ip, struct span *ret_port)
{
	const uint8_t *colon = memrchr(text.p, ':', text.n);
	size_t n;

	if (colon == NULL)
		return false;
	n = (size_t)(colon - text.p);
	*ret_port = span_of(colon + 1, text.n - n - 1);
	*ret_ip = span_of(text.p, n);
	if (text.p[0] != '[')
		return memchr(text.p, ':', n) == NULL; /* IPv6 needs its brackets */
	if (n < 2 || text.p[n - 1] != ']')
		return false;
	*ret_ip = span_of(text.p + 1, n - 2);
	return ret_ip->n > 0 && memchr(ret_ip->p, ':', ret_ip->n) != NULL;
}

enum err endpoint_parse(struct span text, struct endpoint *ret_ep)
{
	struct span ip_text, port_text;
	struct endpoint ep = {.port = 0};
	uint64_t port;

	if (text.n == 0 || text.n >= ENDPOINT_TEXT_MAX ||
	    !split_endpoint(text, &ip_text, &port_text))
		return ERR_PARSE;
	if (str_parse_u64(port_text, UINT16_MAX, &port) != ERR_OK || port == 0)
		return ERR_PARSE;
	if (ip_parse(ip_text, &ep.ip) != ERR_OK)
		return ERR_PARSE;
	ep.port = (uint16_t)port;
	*ret_ep = ep;
	return ERR_OK;
}

static size_t ip_bytes(const struct ip *ip)
{
	return ip->family == IP_V4 ? 4 : 16;
}

static void clear_host_bits(struct prefix *p)
{
	for (size_t i = 0; i < 16; i++) {
		unsigned int bit = (unsigned int)(8 * i);

		if (bit >= p->len)
			p->ip.bytes[i] = 0;
		else if (p->len - bit < 8)
			p->ip.bytes[i] &= (uint8_t)(0xff00U >> (p->len - bit));
	}
}

enum err prefix_parse(struct span text, struct prefix *ret_prefix)
{
	struct span rest = text, ip_text;
	struct prefix p = {.len = 0};
	uint64_t len, full;
	bool mapped;

	if (text.n == 0 || text.n >= PREFIX_TEXT_MAX)
		return ERR_PARSE;
	ip_text = str_split(&rest, '/');
	if (ip_parse(ip_text, &p.ip) != ERR_OK)
		return ERR_PARSE;
	/* "::ffff:10.0.0.0/104" is 10.0.0.0/8: the length was counted in the form it was written in */
	mapped = p.ip.family == IP_V4 && memchr(ip_text.p, ':', ip_text.n) != NULL;
	full = mapped ? 128 : 8 * ip_bytes(&p.ip);
	len = full;
	if (rest.p != NULL && str_parse_u64(rest, full, &len) != ERR_OK)
		return ERR_PARSE;
	if (mapped && len < 96)
		return ERR_PARSE; /* covers more than IPv4: has no meaning here */
	p.len = (uint8_t)(mapped ? len - 96 : len);
	clear_host_bits(&p);
	*ret_prefix = p;
	return ERR_OK;
}

const char *ip_format(const struct ip *ip, char buf[IP_TEXT_MAX])
{
	const char *text = NULL;

	if (ip->family == IP_V4)
		text = inet_ntop(AF_INET, ip->bytes, buf, IP_TEXT_MAX);
	else if (ip->family == IP_V6)
		text = inet_ntop(AF_INET6, ip->bytes, buf, IP_TEXT_MAX);
	if (text == NULL)
		(void)str_copy(buf, IP_TEXT_MAX, span_str("none"));
	return buf;
}

const char *endpoint_format(const struct endpoint *ep, char buf[ENDPOINT_TEXT_MAX])
{
	bool v6 = ep->ip.family == IP_V6;
	char ip[IP_TEXT_MAX];

	(void)snprintf(buf, ENDPOINT_TEXT_MAX, "%s%s%s:%u", v6 ? "[" : "", ip_format(&ep->ip, ip),
	               v6 ? "]" : "", (unsigned int)ep->port);
	return buf;
}

const char *prefix_format(const struct prefix *p, char buf[PREFIX_TEXT_MAX])
{
	char ip[IP_TEXT_MAX];

	(void)snprintf(buf, PREFIX_TEXT_MAX, "%s/%u", ip_format(&p->ip, ip), (unsigned int)p->len);
	return buf;
}

enum err ip_of_bytes(struct span bytes, struct ip *ret_ip)
{
	struct ip ip = {.family = IP_V4};

	if (bytes.n == 16) {
		*ret_ip = ip_of_v6(bytes.p);
		return ERR_OK;
	}
	if (bytes.n != 4)
		return ERR_PARSE;
	memcpy(ip.bytes, bytes.p, 4);
	*ret_ip = ip;
	return ERR_OK;
}

struct endpoint endpoint_of_sockaddr(const struct sockaddr_storage *ss)
{
	struct endpoint ep = {.port = 0};

	if (ss->ss_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, ss, sizeof(in));
		ep.ip.family = IP_V4;
		memcpy(ep.ip.bytes, &in.sin_addr, 4);
		ep.port = ntohs(in.sin_port);
	} else if (ss->ss_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, ss, sizeof(in6));
		ep.ip = ip_of_v6(in6.sin6_addr.s6_addr);
		ep.port = ntohs(in6.sin6_port);
		ep.scope_id = in6.sin6_scope_id;
	}
	return ep;
}

socklen_t endpoint_to_sockaddr(const struct endpoint *ep, bool mapped, struct sockaddr_storage *ss)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(ep->port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(ep->port)};

	CHECK(ep->ip.family == IP_V4 || ep->ip.family == IP_V6);
	memset(ss, 0, sizeof(*ss));
	if (ep->ip.family == IP_V4 && !mapped) {
		memcpy(&in.sin_addr, ep->ip.bytes, 4);
		memcpy(ss, &in, sizeof(in));
		return sizeof(in);
	}
	ip_to_mapped(&ep->ip, in6.sin6_addr.s6_addr);
	in6.sin6_scope_id = ep->scope_id;
	memcpy(ss, &in6, sizeof(in6));
	return sizeof(in6);
}

void ip_to_mapped(const struct ip *ip, uint8_t out[16])
{
	if (ip->family == IP_V4) {
		memcpy(out, mapped_head, sizeof(mapped_head));
		memcpy(out + sizeof(mapped_head), ip->bytes, 4);
		return;
	}
	memcpy(out, ip->bytes, 16);
}

bool ip_eq(const struct ip *a, const struct ip *b)
{
	return ip_cmp(a, b) == 0;
}

int ip_cmp(const struct ip *a, const struct ip *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

bool endpoint_eq(const struct endpoint *a, const struct endpoint *b)
{
	return a->port == b->port && ip_eq(&a->ip, &b->ip);
}

bool prefix_contains(const struct prefix *p, const struct ip *ip)
{
	struct prefix host = {.ip = *ip, .len = p->len};

	if (p->ip.family != ip->family || ip->family == IP_NONE)
		return false;
	clear_host_bits(&host);
	return ip_eq(&host.ip, &p->ip);
}

bool ip_is_loopback(const struct ip *ip)
{
	static const uint8_t v6[16] = {[15] = 1};

	if (ip->family == IP_V4)
		return ip->bytes[0] == 127;
	return ip->family == IP_V6 && memcmp(ip->bytes, v6, 16) == 0;
}

bool ip_is_unspecified(const struct ip *ip)
{
	static const uint8_t zero[16];

	return ip->family != IP_NONE && memcmp(ip->bytes, zero, 16) == 0;
}

bool ip_is_multicast(const struct ip *ip)
{
	if (ip->family == IP_V4)
		return (ip->bytes[0] & 0xf0) == 0xe0;
	return ip->family == IP_V6 && ip->bytes[0] == 0xff;
}

bool ip_is_link_local(const struct ip *ip)
{
	if (ip->family == IP_V4)
		return ip->bytes[0] == 169 && ip->bytes[1] == 254;
	return ip->family == IP_V6 && ip->bytes[0] == 0xfe && (ip->bytes[1] & 0xc0) == 0x80;
}
