/* SPDX-License-Identifier: Apache-2.0 */
/* What the grammar takes has one canonical text, which it takes again to mean the same. */
#include "common/base/check.h"
#include "common/http/http_authority.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct http_authority a, b;
	char text[HTTP_AUTHORITY_TEXT_MAX], again[HTTP_AUTHORITY_TEXT_MAX];

	if (http_authority_parse(span_of(p, n), &a) != ERR_OK)
		return 0;
	CHECK(a.port != 0);
	CHECK(a.is_name == (a.ip.family == IP_NONE));
	CHECK(a.is_name == (a.host[0] != '\0'));
	(void)http_authority_format(&a, text);
	CHECK(http_authority_parse(span_str(text), &b) == ERR_OK);
	CHECK(a.is_name == b.is_name && a.port == b.port && strcmp(a.host, b.host) == 0);
	CHECK(a.is_name || ip_eq(&a.ip, &b.ip));
	CHECK(strcmp(text, http_authority_format(&b, again)) == 0);
	return 0;
}
