/* SPDX-License-Identifier: Apache-2.0 */
#include "common/tls/tls_host.h"

#include <string.h>

#include "common/base/netaddr.h"
#include "common/base/rd.h"
#include "common/base/str.h"
#include "common/tls/der_msg.h"

enum {
	SAN_DNS = DER_CONTEXT + 2,
	SAN_IP = DER_CONTEXT + 7,
};

static bool ip_named(struct span octets, const struct ip *ip)
{
	return octets.n == (ip->family == IP_V4 ? 4 : 16) &&
	       memcmp(octets.p, ip->bytes, octets.n) == 0;
}

/* "*.example.org" names one label more, and no top of the tree ("*.org"). */
static bool wildcard_named(struct span pattern, const char *host)
{
	const char *dot = strchr(host, '.');

	if (pattern.n < 3 || memcmp(pattern.p, "*.", 2) != 0 || dot == NULL || dot == host)
		return false;
	return strchr(dot + 1, '.') != NULL &&
	       str_eq_nocase(span_of(pattern.p + 1, pattern.n - 1), dot);
}

static bool dns_named(struct span name, const char *host)
{
	if (memchr(name.p, 0, name.n) != NULL)
		return false;
	return str_eq_nocase(name, host) || wildcard_named(name, host);
}

bool tls_host_named(struct span alt_names, const char *host)
{
	struct rd names = rd_of(alt_names);
	struct ip ip;
	bool is_ip = ip_parse(span_str(host), &ip) == ERR_OK;

	while (host[0] && rd_left(&names) > 0) {
		uint8_t tag = 0;
		struct span name = der_any(&names, &tag);

		if (rd_failed(&names) || name.n == 0)
			continue;
		if (is_ip ? tag == SAN_IP && ip_named(name, &ip)
		          : tag == SAN_DNS && dns_named(name, host))
			return true;
	}
	return false;
}
