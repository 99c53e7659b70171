/* SPDX-License-Identifier: Apache-2.0 */
/* Revocation lists from anybody: what parses lies inside the input, and every serial it names is found again. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/tls/crl_set.h"
#include "common/tls/x509_crl_msg.h"
#include "common/tls/x509_msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static bool inside(struct span part, struct span whole)
{
	return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

static void one_list(struct span der)
{
	struct x509_crl crl;
	const char *why = NULL;
	struct span serial;
	struct rd rest;
	size_t count = 0;

	if (x509_crl_parse(der, &crl, &why) != ERR_OK) {
		must(why != NULL && why[0] != '\0');
		return;
	}
	must(inside(crl.tbs, der) && inside(crl.algorithm, der) && inside(crl.signature, der) &&
	     inside(crl.issuer, crl.tbs) && inside(crl.entries, crl.tbs));
	rest = rd_of(crl.entries);
	while (x509_crl_next(&rest, &serial)) {
		must(serial.n > 0 && serial.n <= X509_SERIAL_MAX + 1 &&
		     inside(serial, crl.entries));
		count++;
	}
	must(count == crl.count);
}

static void a_file(struct span text)
{
	static const uint8_t name[] = {0x30, 0};
	const struct crl_query q = {.issuer = span_of(name, sizeof(name)),
	                            .issuer_spki = span_of(name, sizeof(name)),
	                            .serial = span_of("\x01", 1)};
	struct crl_set *set = NULL;
	char why[200] = "";

	if (crl_set_new(text, &set, why, sizeof(why)) == ERR_OK)
		must(!crl_set_revokes(set, &q)); /* nobody holds that key */
	else
		must(why[0] != '\0');
	crl_set_unref(set);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	one_list(span_of(p, n));
	a_file(span_of(p, n));
	return 0;
}
