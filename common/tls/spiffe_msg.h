/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spiffe_msg - the text form of a workload identity, "spiffe://<td>/ns/<ns>/sa/<sa>". Pure. Contract 5.3.
 */
#ifndef COMMON_TLS_SPIFFE_MSG_H
#define COMMON_TLS_SPIFFE_MSG_H

#include <stddef.h>

#include "common/base/err.h"
#include "common/base/span.h"

enum {
	SPIFFE_ID_MAX = 2048,          /* octets of an identity, SPIFFE-ID 2.3 */
	SPIFFE_TRUST_DOMAIN_MAX = 255, /* SPIFFE-ID 2.3 */
};

/* All borrowed from the text that was parsed. */
struct spiffe_id {
	struct span trust_domain;
	struct span namespace;
	struct span service_account;
};

/*
 * Exactly the form above: four non-empty parts of ASCII letters, digits, '.', '-' and '_' (SPIFFE-ID 2.1,
 * 2.2), a path part neither "." nor "..". Case is kept and significant.
 * Errs: ERR_PARSE, ERR_LIMIT (longer than SPIFFE_ID_MAX).
 */
MUST_CHECK enum err spiffe_parse(struct span text, struct spiffe_id *ret_id);

/*
 * Write the text and a NUL; ret_len does not count it and may be NULL.
 * Errs: ERR_PARSE when a part may not stand in an identity, ERR_LIMIT when out is too small.
 */
MUST_CHECK enum err spiffe_format(const struct spiffe_id *id, char *out, size_t out_len,
                                  size_t *ret_len);

#endif
