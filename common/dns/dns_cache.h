/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_cache - answers of nameservers for as long as their TTLs allow, within a budget of octets. Pure. RFC 1035 7.4, RFC 2308.
 */
#ifndef COMMON_DNS_DNS_CACHE_H
#define COMMON_DNS_DNS_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/span.h"

struct dns_cache;

enum { DNS_CACHE_TTL_MAX_S = 3600 }; /* nobody waits longer for a change, whatever the TTL says */

struct dns_cache *dns_cache_new(size_t bytes_max);
void dns_cache_free(struct dns_cache *c);

/* The answer to query as if it had just come: its id, its case of letters, TTLs counted down. out is empty. */
bool dns_cache_get(struct dns_cache *c, struct span query, uint64_t now_ms, struct buf *out);
/* Keep answer, if it is one that may be kept; the least recently used go when there is no room. */
void dns_cache_put(struct dns_cache *c, struct span query, struct span answer, uint64_t now_ms);
size_t dns_cache_bytes(const struct dns_cache *c);

#endif
