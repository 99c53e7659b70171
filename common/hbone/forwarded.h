/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forwarded - the header that names the first client and the service it called: for labels, never for policy.
 * Pure. Contract 6.1, 7.5; RFC 7239.
 */
#ifndef COMMON_HBONE_FORWARDED_H
#define COMMON_HBONE_FORWARDED_H

#include "common/base/buf.h"
#include "common/base/netaddr.h"
#include "common/base/span.h"

enum { FORWARDED_TEXT_MAX = 512 };

/* Append for="client" and, when host is not empty, ;host=host. */
void forwarded_build(const struct endpoint *client, struct span host, struct buf *out);
/* The value of the first host parameter, without quotes; empty when there is none or it is not visible ASCII. */
struct span forwarded_host(struct span value);

#endif
