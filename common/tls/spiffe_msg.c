/* SPDX-License-Identifier: Apache-2.0 */
#include "common/tls/spiffe_msg.h"

#include <stdbool.h>
#include <stdio.h>

#include "common/base/str.h"

static bool is_id_char(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '.' || c == '-' || c == '_';
}

static bool is_trust_domain(struct span s)
{
	if (s.n == 0 || s.n > SPIFFE_TRUST_DOMAIN_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (!is_id_char(s.p[i]))
			return false;
	}
	return true;
}

static bool is_path_part(struct span s)
{
	if (s.n == 0 || s.n > SPIFFE_ID_MAX || span_eq_str(s, ".") || span_eq_str(s, ".."))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (!is_id_char(s.p[i]))
			return false;
	}
	return true;
}

static bool is_valid(const struct spiffe_id *id)
{
	return is_trust_domain(id->trust_domain) && is_path_part(id->namespace) &&
	       is_path_part(id->service_account);
}

enum err spiffe_parse(struct span text, struct spiffe_id *ret_id)
{
	static const char scheme[] = "spiffe://";
	const size_t scheme_len = sizeof(scheme) - 1;
	struct span rest;
	struct spiffe_id id;
	bool ok;

	if (text.n > SPIFFE_ID_MAX)
		return ERR_LIMIT;
	if (text.n < scheme_len || memcmp(text.p, scheme, scheme_len) != 0)
		return ERR_PARSE;
	rest = span_of(text.p + scheme_len, text.n - scheme_len);
	id.trust_domain = str_split(&rest, '/');
	ok = rest.p != NULL && span_eq_str(str_split(&rest, '/'), "ns") && rest.p != NULL;
	id.namespace = str_split(&rest, '/');
	ok = ok && rest.p != NULL && span_eq_str(str_split(&rest, '/'), "sa") && rest.p != NULL;
	id.service_account = rest;
	if (!ok || !is_valid(&id))
		return ERR_PARSE;
	*ret_id = id;
	return ERR_OK;
}

enum err spiffe_format(const struct spiffe_id *id, char *out, size_t out_len, size_t *ret_len)
{
	int n;

	if (!is_valid(id))
		return ERR_PARSE;
	n = snprintf(out, out_len, "spiffe://%.*s/ns/%.*s/sa/%.*s", (int)id->trust_domain.n,
	             (const char *)id->trust_domain.p, (int)id->namespace.n,
	             (const char *)id->namespace.p, (int)id->service_account.n,
	             (const char *)id->service_account.p);
	if (n < 0 || (size_t)n >= out_len || n > SPIFFE_ID_MAX)
		return ERR_LIMIT;
	if (ret_len != NULL)
		*ret_len = (size_t)n;
	return ERR_OK;
}
