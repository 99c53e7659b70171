/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rtnl - the few rtnetlink requests capture needs: list addresses and links, local routes, rules. Drives.
 *
 * Everything made here carries our own route protocol number, so that it can be found again and removed
 * by a process that did not make it.
 */
#ifndef ZTUNNEL_CAPTURE_RTNL_H
#define ZTUNNEL_CAPTURE_RTNL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/netaddr.h"
#include "ztunnel/capture/why.h"

enum {
	RTNL_PROTOCOL = 199,    /* of /etc/iproute2/rt_protos nobody has it */
	RTNL_ADDRS_MAX = 64,    /* addresses of one namespace we look at */
	RTNL_LINKS_MAX = 64,    /* devices of one namespace we look at */
	RTNL_REPLY_MAX = 32768, /* the largest piece of a dump the kernel sends */
	RTNL_NAME_MAX = 16,     /* of a device, with its NUL: IFNAMSIZ */
};

struct rtnl {
	int fd;       /* belongs to the namespace it was opened in, wherever it is used */
	uint32_t seq; /* private */
};

struct rtnl_addr {
	struct ip ip;
	uint32_t ifindex;
	bool global;    /* not of link or host scope */
	bool tentative; /* IPv6 still asks whether it is unique: not to be routed from yet */
};

struct rtnl_link {
	uint32_t ifindex;
	bool loopback, up;
	char name[RTNL_NAME_MAX];
};

/* A route that delivers everything locally. */
struct rtnl_local_route {
	uint8_t family; /* enum ip_family */
	uint32_t table, ifindex, metric;
	struct ip source; /* preferred source */
	bool optional;    /* fine when the device has the family switched off */
};

/* Who is looked for in another table than usual. */
struct rtnl_rule {
	uint8_t family; /* enum ip_family */
	uint32_t priority, table;
	uint32_t mark, mask; /* mask 0: any mark */
	uint8_t protocol;    /* IPPROTO_*; 0: any */
	uint16_t port;       /* destination; 0: any */
	const char *
		arrived; /* name of the device it came by, "lo" for the namespace's own; NULL: any */
};

/* In the calling thread's namespace. Errs: ERR_SYSTEM */
MUST_CHECK enum err rtnl_open(struct rtnl *r, char why[WHY_MAX]);
/* A socket that becomes readable when an address or a device of this namespace changes. Errs: ERR_SYSTEM */
MUST_CHECK enum err rtnl_watch_open(int *ret_fd, char why[WHY_MAX]);
void rtnl_close(struct rtnl *r);

/* Loopback addresses left out. Errs: ERR_SYSTEM, ERR_LIMIT */
MUST_CHECK enum err rtnl_addrs(struct rtnl *r, struct rtnl_addr out[RTNL_ADDRS_MAX], size_t *ret_n,
                               char why[WHY_MAX]);
/* Errs: ERR_SYSTEM, ERR_LIMIT */
MUST_CHECK enum err rtnl_links(struct rtnl *r, struct rtnl_link out[RTNL_LINKS_MAX], size_t *ret_n,
                               char why[WHY_MAX]);
/* Replaces one that is there. Errs: ERR_SYSTEM */
MUST_CHECK enum err rtnl_add_local_route(struct rtnl *r, const struct rtnl_local_route *route,
                                         char why[WHY_MAX]);
/* One that is there is fine. Errs: ERR_SYSTEM */
MUST_CHECK enum err rtnl_add_rule(struct rtnl *r, const struct rtnl_rule *rule, char why[WHY_MAX]);
/* Remove the rules of ours with this priority, both families. None is fine. Errs: ERR_SYSTEM */
MUST_CHECK enum err rtnl_drop_rules(struct rtnl *r, uint32_t priority, char why[WHY_MAX]);
/* Remove every rule and route of ours, of both families. Errs: ERR_SYSTEM */
MUST_CHECK enum err rtnl_flush(struct rtnl *r, char why[WHY_MAX]);

#endif
