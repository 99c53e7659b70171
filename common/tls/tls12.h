/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls12 - what our record layer needs of a TLS 1.2 handshake: what its hellos agreed on, and the keys of its key
 * block. Pure. RFC 5246 section 6.3, RFC 5288, RFC 7627.
 */
#ifndef COMMON_TLS_TLS12_H
#define COMMON_TLS_TLS12_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/span.h"
#include "common/tls/tls_handshake.h"

enum {
	TLS12_FLIGHT_MAX =
		4096, /* octets of a first flight that hold its hello; real ones take some 300 */
	TLS12_RANDOM = 32,
	TLS12_MASTER = 48,
};

struct tls12_hello {
	uint8_t random[TLS12_RANDOM];
	uint16_t suite;         /* of a server's */
	bool has_master_secret; /* extended_master_secret is there */
};

/*
 * The hello at the front of a peer's first flight, in one record.
 *
 * Errs: ERR_TLS when it is no whole hello of that kind
 */
MUST_CHECK enum err tls12_read_hello(struct span flight, bool server, struct tls12_hello *ret);

/*
 * The two keys and salts.
 *
 * Errs: ERR_TLS when the suite is not one of ours, or the extended master secret was not agreed on (RFC 7627 5.2)
 */
MUST_CHECK enum err tls12_keys(const struct tls12_hello *client, const struct tls12_hello *server,
                               const uint8_t master[TLS12_MASTER], struct tls_traffic *ret);

#endif
