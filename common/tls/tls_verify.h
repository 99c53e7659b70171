/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_verify - our own judgement of a peer's chain, on top of the library's check of its signatures: who the
 * peer is and whether we may accept it. Pure: the time is an argument. Contract 5.3 to 5.5.
 */
#ifndef COMMON_TLS_TLS_VERIFY_H
#define COMMON_TLS_TLS_VERIFY_H

#include <stdint.h>

#include "common/base/err.h"
#include "common/base/span.h"
#include "common/tls/tls_session.h"

/* All borrowed for the call. */
struct tls_verify_rule {
	enum tls_role role; /* ours */
	int64_t now_s;
	const struct tls_expect *expect; /* client role */
	struct span trust_domain;        /* that of our own leaf */
	/* Trust domains that stand for our own, too, in both roles: TRUST_DOMAIN_ALIASES. None by default. */
	const char *const *aliases;
	unsigned int alias_count;
	const struct span *roots; /* whole subject Names of what we trust */
	unsigned int root_count;
};

/*
 * chain: certificates as presented, leaf first
 * ret_identity: the peer's SPIFFE id, a view into the leaf; or of expect->hosts the one it is
 * Errs: ERR_TLS_* with the reason, ERR_PARSE for a certificate that is not well-formed
 */
MUST_CHECK enum err tls_verify_chain(const struct tls_verify_rule *rule, const struct span *chain,
                                     unsigned int chain_len, struct span *ret_identity);

#endif
