/* SPDX-License-Identifier: Apache-2.0 */
/*
 * revocation - the revocation lists in force, for every session of the process, and what a session keeps of its
 * peer's chain to be found revoked later. Contract 4.7.
 *
 * One writer publishes; any thread asks. The issuers of live chains are kept once for all sessions, so that a chain
 * costs some 40 octets.
 */
#ifndef COMMON_TLS_REVOCATION_H
#define COMMON_TLS_REVOCATION_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/span.h"
#include "common/tls/crl_set.h"

struct revocation;

struct revocation *revocation_new(void);
void revocation_free(struct revocation *r); /* no chain may be left; NULL is allowed */
/* Takes the caller's reference of set. */
void revocation_publish(struct revocation *r, struct crl_set *set);

/* A peer's chain as presented, and what we trust. All borrowed for the call. */
struct revocation_chain {
	const struct span *certs; /* DER, leaf first; verified */
	unsigned int cert_count;
	const struct span *roots; /* DER */
	unsigned int root_count;
};

/* What is kept of it. */
struct peer_chain;

/* NULL without memory: the peer cannot be found revoked later. */
struct peer_chain *peer_chain_new(struct revocation *r, const struct revocation_chain *chain);
void peer_chain_free(struct peer_chain *c); /* NULL is allowed */
/* Is any certificate of the chain revoked now? */
bool peer_chain_revoked(const struct peer_chain *c);
size_t peer_chain_bytes(const struct peer_chain *c);
/* The same question of a chain that is not kept. */
bool revocation_revokes(struct revocation *r, const struct revocation_chain *chain);

#endif
