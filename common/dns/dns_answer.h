/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_answer - what the mesh itself knows about a name: addresses, that there are none, or nothing. Pure. Contract 9.2 to 9.4.
 */
#ifndef COMMON_DNS_DNS_ANSWER_H
#define COMMON_DNS_DNS_ANSWER_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"
#include "common/base/netaddr.h"
#include "common/base/rand.h"
#include "common/base/span.h"
#include "common/dns/dns_name.h"
#include "common/mesh/mesh.h"

enum {
	DNS_DOMAIN_MAX = 254, /* with the NUL: the longest name in characters, RFC 1035 2.3.4 */
	DNS_SEARCH_MAX = 8,   /* search domains: glibc's own limit was 6 for decades */
	DNS_ADDRS_MAX =
		1024, /* of one answer: a headless service with more answers with so many, by lot */
};

/* A domain as mesh and settings write it: lower case, no dot at the end; "" is none. */
struct dns_domain {
	char text[DNS_DOMAIN_MAX];
};

/* Errs: ERR_PARSE: no domain name, or the root */
MUST_CHECK enum err dns_domain_parse(struct span text, struct dns_domain *ret_domain);

/* Settings, the same for every pod. */
struct dns_zone {
	struct dns_domain cluster_domain; /* CLUSTER_DOMAIN */
	const char *prefered_namespace;   /* PREFERED_SERVICE_NAMESPACE; NULL or "": none */
	bool ipv6;                        /* IPV6_ENABLED */
	/* Dedicated mode: those of resolv.conf. Count 0: ns.svc.domain, svc.domain, domain. */
	struct dns_domain search[DNS_SEARCH_MAX];
	size_t search_count;
};

/* Errs: ERR_PARSE: no domain name; everything else is left zero */
MUST_CHECK enum err dns_zone_init(struct dns_zone *z, const char *cluster_domain);

/* Who asks. */
struct dns_asker {
	const struct mesh *mesh;
	const char *namespace;
	const char *network;
};

enum dns_outcome {
	DNS_LOCAL,   /* answer; no address at all is NODATA */
	DNS_FORWARD, /* the mesh knows nothing: ask a nameserver */
};

struct dns_answer {
	const struct service *service; /* of DNS_LOCAL; borrowed from the mesh */
	struct dns_name alias;         /* len 0: none, see dns_reply */
	struct ip *addrs; /* the caller's: room for DNS_ADDRS_MAX, set before the call */
	size_t addr_count;
};

/*
 * name:   as asked, any case
 * type:   DNS_TYPE_A or DNS_TYPE_AAAA; anything else is forwarded
 * dice:   shuffles the addresses
 * answer: its addrs are set; the rest is filled in for DNS_LOCAL
 */
enum dns_outcome dns_answer(const struct dns_zone *z, const struct dns_asker *asker,
                            const struct dns_name *name, uint16_t type, struct rand *dice,
                            struct dns_answer *answer);

#endif
