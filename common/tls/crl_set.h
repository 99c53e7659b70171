/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crl_set - the revocation lists of one file, as one immutable snapshot: is this certificate of that issuer revoked?
 * Contract 4.7.
 *
 * A list counts only for the issuer whose name it bears and whose key made its signature: a forged one neither
 * revokes nor un-revokes. Signatures are checked when an issuer is first asked about, once per key. Several lists of
 * one issuer count together. A list past its nextUpdate still counts; what no list speaks of is not revoked.
 */
#ifndef COMMON_TLS_CRL_SET_H
#define COMMON_TLS_CRL_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/snapshot.h"
#include "common/base/span.h"

enum {
	CRL_FILE_MAX = 16 * 1024 * 1024, /* octets of the file; a ConfigMap holds one MiB */
	CRL_LISTS_MAX = 256,             /* issuers of a mesh, with room for a rotation */
};

struct crl_set; /* starts with a struct snapshot */

/*
 * text: PEM when it begins with "-----BEGIN" (blocks but X509 CRL are skipped; none: nothing is revoked), empty, or
 * one list in DER. One bad list refuses all.
 *
 * why: receives a sentence for people
 * Errs: ERR_PARSE, ERR_LIMIT, ERR_UNSUPPORTED, ERR_MEMORY
 */
MUST_CHECK enum err crl_set_new(struct span text, struct crl_set **ret_set, char *why,
                                size_t why_len);
void crl_set_unref(struct crl_set *s); /* NULL is allowed */
struct snapshot *crl_set_snapshot(struct crl_set *s);
struct crl_set *crl_set_of(struct snapshot *s); /* NULL gives NULL */

size_t crl_set_lists(const struct crl_set *s);
size_t crl_set_serials(const struct crl_set *s);
/* How often a list turned out not to be signed by the issuer it names, since the set was made. */
uint64_t crl_set_forged(const struct crl_set *s);

/* A certificate, as far as revocation goes. All borrowed. */
struct crl_query {
	struct span issuer;      /* whole Name */
	struct span issuer_spki; /* the issuer's key: whole SubjectPublicKeyInfo */
	struct span serial;      /* contents of the INTEGER */
};
/* Any thread. */
bool crl_set_revokes(struct crl_set *s, const struct crl_query *q);

#endif
