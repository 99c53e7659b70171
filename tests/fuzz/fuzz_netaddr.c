/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses are what inet_pton takes them for, neither more nor less; all that parses prints as what parses to it. */
#include <arpa/inet.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/netaddr.h"
#include "common/base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void compare_with_libc(struct span text, bool parsed, const struct ip *ip)
{
	char z[64];
	uint8_t v4[4], v6[16], mine[16];

	if (text.n >= sizeof(z) || (text.n > 0 && memchr(text.p, 0, text.n) != NULL))
		return;
	(void)str_copy(z, sizeof(z), text);
	if (inet_pton(AF_INET, z, v4) == 1) {
		CHECK(parsed && ip->family == IP_V4 && memcmp(ip->bytes, v4, 4) == 0);
	} else if (inet_pton(AF_INET6, z, v6) == 1) {
		CHECK(parsed);
		ip_to_mapped(ip, mine);
		CHECK(memcmp(mine, v6, 16) == 0);
	} else {
		CHECK(!parsed);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	char text[ENDPOINT_TEXT_MAX];
	struct ip ip = {.family = IP_NONE}, ip2;
	struct endpoint ep, ep2;
	struct prefix prefix, prefix2;
	bool parsed = ip_parse(span_of(p, n), &ip) == ERR_OK;

	compare_with_libc(span_of(p, n), parsed, &ip);
	if (parsed) {
		CHECK(ip_parse(span_str(ip_format(&ip, text)), &ip2) == ERR_OK);
		CHECK(ip_eq(&ip, &ip2));
	}
	if (endpoint_parse(span_of(p, n), &ep) == ERR_OK) {
		CHECK(endpoint_parse(span_str(endpoint_format(&ep, text)), &ep2) == ERR_OK);
		CHECK(endpoint_eq(&ep, &ep2) && ep.port != 0);
	}
	if (prefix_parse(span_of(p, n), &prefix) == ERR_OK) {
		CHECK(prefix_parse(span_str(prefix_format(&prefix, text)), &prefix2) == ERR_OK);
		CHECK(ip_eq(&prefix.ip, &prefix2.ip) && prefix.len == prefix2.len);
		CHECK(prefix_contains(&prefix, &prefix.ip));
	}
	return 0;
}
