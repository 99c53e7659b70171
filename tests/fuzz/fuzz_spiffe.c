/* SPDX-License-Identifier: Apache-2.0 */
/* Identities and certificates from anybody: what parses is written back as it was, or lies inside the input. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/tls/spiffe_msg.h"
#include "common/tls/tls_verify.h"
#include "common/tls/x509_msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void identity(struct span text)
{
	static char out[SPIFFE_ID_MAX + 1];
	struct spiffe_id id;
	size_t len = 0;

	if (spiffe_parse(text, &id) != ERR_OK)
		return;
	must(spiffe_format(&id, out, sizeof(out), &len) == ERR_OK);
	must(span_eq(span_of(out, len), text));
}

static bool inside(struct span part, struct span whole)
{
	return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

static void certificate(struct span der)
{
	static const char *const ids[] = {"spiffe://cluster.local/ns/demo/sa/bob"};
	const struct tls_expect expect = {.identities = ids, .identity_count = 1};
	struct tls_verify_rule rule = {.role = TLS_CLIENT, .now_s = 1700000000, .expect = &expect};
	struct span chain[2] = {der, der}, who = {0};
	struct x509_facts f;
	char decimal[64];

	if (x509_parse(der, &f) != ERR_OK)
		return;
	must(inside(f.tbs, der) && inside(f.serial, der) && inside(f.issuer, der) &&
	     inside(f.subject, der) && inside(f.spki, der) && inside(f.signature, der) &&
	     inside(f.uri, der));
	must((f.uri_count > 0) == (f.uri.p != NULL));
	x509_serial_decimal(f.serial, decimal, sizeof(decimal));
	rule.roots = &f.issuer;
	rule.root_count = 1;
	if (tls_verify_chain(&rule, chain, 1, &who) == ERR_OK)
		must(span_eq_str(who, ids[0]) && !f.is_ca && f.uri_count == 1);
	rule.role = TLS_SERVER;
	rule.trust_domain = span_str("cluster.local");
	(void)tls_verify_chain(&rule, chain, 2, &who);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	identity(span_of(p, n));
	certificate(span_of(p, n));
	return 0;
}
