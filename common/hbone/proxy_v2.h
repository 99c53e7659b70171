/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_v2 - the PROXY protocol header, version 2 binary, that an application tunnel may ask for in front of its
 * bytes. Pure. Contract 6.9.
 */
#ifndef COMMON_HBONE_PROXY_V2_H
#define COMMON_HBONE_PROXY_V2_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/netaddr.h"
#include "common/base/span.h"

enum {
	PROXY_V2_HEAD = 16,           /* signature, version and command, family, length */
	PROXY_V2_TLV_IDENTITY = 0xd0, /* the client's SPIFFE id */
	PROXY_V2_IDENTITY_MAX = 2048, /* longest SPIFFE id */
	PROXY_V2_LEN_MAX = PROXY_V2_HEAD + 36 + 3 + PROXY_V2_IDENTITY_MAX,
};

struct proxy_v2 {
	struct endpoint source;      /* the HBONE client at TCP level */
	struct endpoint destination; /* the HBONE target */
	struct span identity;        /* borrowed; empty: no TLV */
};

/*
 * Write the header; when the two families differ IPv4 is written as mapped IPv6. Returns its length.
 * Errs: ERR_LIMIT for an identity past PROXY_V2_IDENTITY_MAX
 */
MUST_CHECK enum err proxy_v2_build(const struct proxy_v2 *h, uint8_t out[PROXY_V2_LEN_MAX],
                                   size_t *ret_len);
/*
 * Read a header at the front of in; identity borrows from in. Unknown TLVs are skipped.
 * Errs: ERR_EOF when in is shorter than the header; ERR_PARSE; ERR_UNSUPPORTED: LOCAL, or not TCP over IP
 */
MUST_CHECK enum err proxy_v2_parse(struct span in, struct proxy_v2 *ret_header, size_t *ret_len);

#endif
