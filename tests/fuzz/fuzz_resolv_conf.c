/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "common/base/check.h"
#include "common/dns/resolv_conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void on_bad(void *arg, unsigned int line, const char *why)
{
	(void)arg;
	CHECK(line <= RESOLV_TEXT_MAX + 1 && strlen(why) < RESOLV_WHY_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct resolv_conf c;

	resolv_conf_parse(span_of(p, n), &c, on_bad, NULL);
	CHECK(c.server_count <= RESOLV_SERVERS_MAX && c.search_count <= DNS_SEARCH_MAX);
	CHECK(c.timeout_ms >= 1000 && c.tries >= 1);
	for (size_t i = 0; i < c.search_count; i++)
		CHECK(strlen(c.search[i].text) < DNS_DOMAIN_MAX);
	return 0;
}
