/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolv_conf - what /etc/resolv.conf says, resolv.conf(5). Pure.
 */
#ifndef COMMON_DNS_RESOLV_CONF_H
#define COMMON_DNS_RESOLV_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/netaddr.h"
#include "common/base/snapshot.h"
#include "common/base/span.h"
#include "common/dns/dns_answer.h"

enum {
	RESOLV_SERVERS_MAX = 8,
	RESOLV_TEXT_MAX = 64 * 1024, /* of the file: anything longer is not one */
	RESOLV_WHY_MAX = 160,
};

struct resolv_conf {
	struct snapshot snapshot; /* for who publishes it, see resolv_watch */
	struct ip servers[RESOLV_SERVERS_MAX];
	size_t server_count; /* none is possible: then every question fails */
	struct dns_domain search[DNS_SEARCH_MAX];
	size_t search_count;
	uint32_t timeout_ms; /* of one try */
	uint32_t tries;      /* of each server */
	bool rotate;
};

/* A line that means nothing to us; the others still count. */
typedef void resolv_bad_fn(void *arg, unsigned int line, const char *why);

/* ret_conf's snapshot stays zero. bad may be NULL. */
void resolv_conf_parse(struct span text, struct resolv_conf *ret_conf, resolv_bad_fn *bad,
                       void *arg);

#endif
