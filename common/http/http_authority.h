/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_authority - host and port of a CONNECT request, by a strict grammar. Pure. RFC 3986 3.2 cut down to what
 * contract 6.1 allows: a.b.c.d:port, [v6]:port, name:port. The port is never left out.
 *
 * Refused: userinfo, zones, octal, hex, short or IPv4-mapped IPv4, a trailing dot, port 0, signs and leading zeros.
 */
#ifndef COMMON_HTTP_HTTP_AUTHORITY_H
#define COMMON_HTTP_HTTP_AUTHORITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/netaddr.h"
#include "common/base/span.h"

enum {
	HTTP_HOST_MAX = 255,                         /* octets of a name, RFC 1035 2.3.4 */
	HTTP_LABEL_MAX = 63,                         /* octets between two dots */
	HTTP_AUTHORITY_TEXT_MAX = HTTP_HOST_MAX + 7, /* with ":65535" and the NUL */
};

struct http_authority {
	bool is_name;
	struct ip ip;                 /* of an IP */
	char host[HTTP_HOST_MAX + 1]; /* of a name, lower-case; else "" */
	uint16_t port;
};

/* Errs: ERR_PARSE */
MUST_CHECK enum err http_authority_parse(struct span text, struct http_authority *ret_authority);
/* Write text with a NUL; return buf, for use in an argument list. */
const char *http_authority_format(const struct http_authority *a,
                                  char buf[HTTP_AUTHORITY_TEXT_MAX]);
/* A name our grammar takes: letters, digits, '-', '_' in labels of 1..63 octets, dots between, not all numeric. */
bool http_host_valid(struct span host);

#endif
