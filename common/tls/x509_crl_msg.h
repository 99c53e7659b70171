/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x509_crl_msg - a certificate revocation list read from DER. Pure; its signature is not checked here. RFC 5280
 * section 5.
 *
 * Only complete lists of their own issuer are read: a delta list is no use without its base, an indirect one speaks
 * for others; both are refused, as is any critical extension we do not know.
 */
#ifndef COMMON_TLS_X509_CRL_MSG_H
#define COMMON_TLS_X509_CRL_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/rd.h"
#include "common/base/span.h"

enum {
	CRL_DER_MAX = 12 * 1024 * 1024, /* octets of one list: some 300,000 serial numbers */
};

/* Spans are views into the list. */
struct x509_crl {
	struct span tbs;                  /* what the signature is over */
	struct span algorithm;            /* whole AlgorithmIdentifier of the signature */
	struct span signature;            /* of the BIT STRING, without its first octet */
	struct span issuer;               /* whole Name */
	int64_t this_update, next_update; /* next_update: 0 when there is none */
	struct span entries;              /* for x509_crl_next */
	size_t count;                     /* of entries */
};

/*
 * Every entry is looked at, so that x509_crl_next cannot fail afterwards.
 * Errs: ERR_PARSE, ERR_LIMIT (longer than CRL_DER_MAX), ERR_UNSUPPORTED (delta, indirect, unknown critical
 *       extension); ret_why then says what, for people
 */
MUST_CHECK enum err x509_crl_parse(struct span der, struct x509_crl *ret, const char **ret_why);

/* The next entry's serial number without leading zeroes; false at the end. rest: starts as rd_of(crl->entries). */
bool x509_crl_next(struct rd *rest, struct span *ret_serial);
/* The same form of a certificate's serial number. */
struct span x509_serial_plain(struct span serial);

#endif
