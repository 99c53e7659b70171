/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netaddr - IP addresses, endpoints and prefixes as values. Pure.
 * An IPv4-mapped IPv6 address never exists here: every constructor turns it into IPv4 (contract 7.1).
 */
#ifndef COMMON_BASE_NETADDR_H
#define COMMON_BASE_NETADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/base/err.h"
#include "common/base/span.h"

enum ip_family {
	IP_NONE = 0,
	IP_V4 = 4,
	IP_V6 = 6,
};

struct ip {
	uint8_t family;    /* enum ip_family */
	uint8_t bytes[16]; /* network order; v4 uses the first 4, the rest is zero */
};

struct endpoint {
	struct ip ip;
	uint16_t port;     /* host order */
	uint32_t scope_id; /* of a link-local v6 address; not part of equality, never printed */
};

struct prefix {
	struct ip ip;
	uint8_t len; /* bits, 0..32 or 0..128 */
};

enum {
	IP_TEXT_MAX = 46,       /* with the NUL */
	ENDPOINT_TEXT_MAX = 56, /* "[v6]:65535" with the NUL */
	PREFIX_TEXT_MAX = 50,
};

/* Errs: ERR_PARSE. Strict text forms: no octal, no hex parts, no zone, no brackets, no spaces. */
MUST_CHECK enum err ip_parse(struct span text, struct ip *ret_ip);
/* "a.b.c.d:port" or "[v6]:port"; port 1..65535 decimal without sign or leading zeros. */
MUST_CHECK enum err endpoint_parse(struct span text, struct endpoint *ret_ep);
/* "ip/len", or a bare ip meaning the full length. Host bits beyond len are cleared. */
MUST_CHECK enum err prefix_parse(struct span text, struct prefix *ret_prefix);

/* Write text with a NUL; return buf, for use in an argument list. */
const char *ip_format(const struct ip *ip, char buf[IP_TEXT_MAX]);
const char *endpoint_format(const struct endpoint *ep, char buf[ENDPOINT_TEXT_MAX]);
const char *prefix_format(const struct prefix *p, char buf[PREFIX_TEXT_MAX]);

/* 4 or 16 bytes in network order. Errs: ERR_PARSE for another length. */
MUST_CHECK enum err ip_of_bytes(struct span bytes, struct ip *ret_ip);
/* AF_INET or AF_INET6 (v4-mapped is unmapped). Another family gives an IP_NONE endpoint. */
struct endpoint endpoint_of_sockaddr(const struct sockaddr_storage *ss);
/* Fills ss; returns its length. With mapped, IPv4 is written as ::ffff:a.b.c.d in AF_INET6. */
socklen_t endpoint_to_sockaddr(const struct endpoint *ep, bool mapped, struct sockaddr_storage *ss);
/* 16 bytes as the BPF maps hold them: IPv6, or ::ffff:a.b.c.d. */
void ip_to_mapped(const struct ip *ip, uint8_t out[16]);

bool ip_eq(const struct ip *a, const struct ip *b);
int ip_cmp(const struct ip *a, const struct ip *b); /* total order, for sorting */
bool endpoint_eq(const struct endpoint *a, const struct endpoint *b);
bool prefix_contains(const struct prefix *p, const struct ip *ip);
bool ip_is_loopback(const struct ip *ip);
bool ip_is_unspecified(const struct ip *ip);
bool ip_is_multicast(const struct ip *ip);
bool ip_is_link_local(const struct ip *ip);

#endif
