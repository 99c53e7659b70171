/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_handshake - a TLS 1.3 handshake by wolfSSL over memory: bytes in and out, then two traffic secrets and the
 * peer's verified identity. Pure but for the wall clock, which certificates are judged by.
 */
#ifndef COMMON_TLS_TLS_HANDSHAKE_H
#define COMMON_TLS_TLS_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/span.h"
#include "common/tls/tls_record.h"
#include "common/tls/tls_session.h"

struct tls_handshake;

struct tls_traffic {
	/* secrets; of TLS 1.2 the keys, and behind each its salt */
	uint8_t client[TLS_SECRET_MAX], server[TLS_SECRET_MAX];
	size_t len; /* of each, the salt not counted */
	bool v12;
};

/* cfg outlives the handshake. NULL when out of memory. */
struct tls_handshake *tls_handshake_new(struct tls_config *cfg, enum tls_role role,
                                        const struct tls_expect *expect);
void tls_handshake_free(struct tls_handshake *h); /* wipes; NULL is allowed */

/* As tls_session_handshake; ret_done: it is over and the peer is who it must be. */
MUST_CHECK enum err tls_handshake_step(struct tls_handshake *h, struct span in, size_t *ret_used,
                                       struct buf *out, bool *ret_done);

/* After the end. Borrowed. */
const struct tls_traffic *tls_handshake_traffic(const struct tls_handshake *h);
/* The peer's identity, now the caller's to free. */
char *tls_handshake_take_peer(struct tls_handshake *h);
/* What is kept of the peer's chain, now the caller's; NULL when nothing is. */
struct peer_chain *tls_handshake_take_chain(struct tls_handshake *h);

#endif
