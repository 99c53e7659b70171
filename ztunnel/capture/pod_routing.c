/* SPDX-License-Identifier: Apache-2.0 */
#include "ztunnel/capture/pod_routing.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bpf/capture_shared.h"

enum {
	LO_IFINDEX = 1,
	METRIC_LO = 0,
	METRIC_LO_V6 = 1024, /* 0 means the same in IPv6 */
	METRIC_ALIAS = 2000,
	DNS_PORT = 53,
	SYSCTL_TEXT_MAX = 32,
};

static const struct {
	const char *path;
	int value;
	bool optional; /* a kernel without it, or without IPv6, still captures */
} sysctls[POD_SYSCTLS] = {
	[POD_SYSCTL_FWMARK_ACCEPT] = {"/proc/sys/net/ipv4/tcp_fwmark_accept", 1, false},
	[POD_SYSCTL_V4_REFLECT] = {"/proc/sys/net/ipv4/fwmark_reflect", 1, false},
	[POD_SYSCTL_V6_REFLECT] = {"/proc/sys/net/ipv6/fwmark_reflect", 1, true},
	[POD_SYSCTL_TW_REUSE] = {"/proc/sys/net/ipv4/tcp_tw_reuse", 1, true},
	[POD_SYSCTL_LO_ACCEPT_LOCAL] = {"/proc/sys/net/ipv4/conf/lo/accept_local", 1, false},
	[POD_SYSCTL_TW_REUSE_DELAY] = {"/proc/sys/net/ipv4/tcp_tw_reuse_delay", 1, true},
};

_Static_assert(POD_SYSCTLS <= sizeof(((struct capture_state *)0)->sysctl_old) / sizeof(__s32),
               "capture_state has room for every sysctl");

/* 0 or -errno. */
static int sysctl_read(const char *path, int *ret_value)
{
	char text[SYSCTL_TEXT_MAX] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	if (n <= 0)
		return -EIO;
	*ret_value = (int)strtol(text, NULL, 10);
	return 0;
}

static int sysctl_write(const char *path, int value)
{
	char text[SYSCTL_TEXT_MAX];
	int len = snprintf(text, sizeof(text), "%d\n", value);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int res = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, (size_t)len) != len)
		res = -errno;
	(void)close(fd);
	return res;
}

enum err pod_sysctls_remember(struct capture_state *state, char why[WHY_MAX])
{
	for (size_t i = 0; i < POD_SYSCTLS; i++) {
		int old = 0, res;

		if ((state->sysctl_saved & 1u << i) != 0)
			continue;
		res = sysctl_read(sysctls[i].path, &old);
		if (res != 0 && !sysctls[i].optional)
			return why_not(why, ERR_SYSTEM, "cannot read %s: %s", sysctls[i].path,
			               strerror(-res));
		if (res != 0 || old == sysctls[i].value)
			continue;
		state->sysctl_old[i] = old;
		state->sysctl_saved |= 1u << i;
	}
	return ERR_OK;
}

enum err pod_sysctls_set(const struct capture_state *state, char why[WHY_MAX])
{
	for (size_t i = 0; i < POD_SYSCTLS; i++) {
		int res;

		if ((state->sysctl_saved & 1u << i) == 0)
			continue;
		res = sysctl_write(sysctls[i].path, sysctls[i].value);
		if (res != 0 && !sysctls[i].optional)
			return why_not(why, ERR_SYSTEM,
			               "cannot set %s to %d: %s (is /proc/sys writable?)",
			               sysctls[i].path, sysctls[i].value, strerror(-res));
	}
	return ERR_OK;
}

enum err pod_sysctls_restore(struct capture_state *state, char why[WHY_MAX])
{
	enum err e = ERR_OK;

	for (size_t i = 0; i < POD_SYSCTLS; i++) {
		int res;

		if ((state->sysctl_saved & 1u << i) == 0)
			continue;
		res = sysctl_write(sysctls[i].path, state->sysctl_old[i]);
		if (res == 0)
			state->sysctl_saved &= ~(1u << i);
		else
			e = why_not(why, ERR_SYSTEM, "cannot restore %s to %d: %s", sysctls[i].path,
			            state->sysctl_old[i], strerror(-res));
	}
	return e;
}

/* The address to answer from, of one family on one device (0: any); global ones are better. */
static const struct rtnl_addr *address_of(const struct rtnl_addr *addrs, size_t n, uint8_t family,
                                          uint32_t ifindex)
{
	const struct rtnl_addr *found = NULL;

	for (size_t i = 0; i < n; i++) {
		if (addrs[i].tentative || addrs[i].ip.family != family ||
		    (ifindex != 0 && addrs[i].ifindex != ifindex))
			continue;
		if (found == NULL || (addrs[i].global && !found->global))
			found = &addrs[i];
	}
	return found;
}

/*
 * A local route through lo does not match a lookup bound to a device (SO_BINDTODEVICE, a scope id), so each device
 * gets an alias; packets still travel through loopback.
 */
static enum err add_aliases(struct rtnl *r, const struct rtnl_addr *addrs, size_t n, uint8_t family,
                            char why[WHY_MAX])
{
	enum err e = ERR_OK;

	for (size_t i = 0; i < n && e == ERR_OK; i++) {
		const struct rtnl_addr *a = address_of(addrs, n, family, addrs[i].ifindex);

		if (a == NULL || a->ifindex == LO_IFINDEX)
			continue;
		e = rtnl_add_local_route(
			r,
			&(struct rtnl_local_route){.family = family,
		                                   .table = POD_ROUTING_TABLE,
		                                   .ifindex = a->ifindex,
		                                   .metric = METRIC_ALIAS + a->ifindex,
		                                   .source = a->ip},
			why);
	}
	return e;
}

static enum err add_routes(struct rtnl *r, const struct rtnl_addr *addrs, size_t n, uint8_t family,
                           char why[WHY_MAX])
{
	struct rtnl_local_route through_lo = {
		.family = family,
		.table = POD_ROUTING_TABLE,
		.ifindex = LO_IFINDEX,
		.metric = family == IP_V4 ? METRIC_LO : METRIC_LO_V6,
		.source = address_of(addrs, n, family, 0)->ip,
		/* Without IPv6 on lo nothing of it can be delivered to us: by the aliases it is refused, not let out. */
		.optional = true,
	};
	enum err e = rtnl_add_local_route(r, &through_lo, why);

	return e == ERR_OK ? add_aliases(r, addrs, n, family, why) : e;
}

static enum err add_virt_rules(struct rtnl *r, uint8_t family, const struct pod_steering *steering,
                               char why[WHY_MAX])
{
	enum err e = ERR_OK;

	for (size_t i = 0; i < steering->virt_count && e == ERR_OK; i++) {
		struct rtnl_rule rule = {.family = family,
		                         .priority = POD_ROUTING_PRIORITY_VIRT,
		                         .table = POD_ROUTING_TABLE,
		                         .protocol = IPPROTO_TCP,
		                         .arrived = steering->virts[i]};

		e = rtnl_add_rule(r, &rule, why);
		rule.protocol = IPPROTO_UDP;
		rule.port = DNS_PORT;
		if (e == ERR_OK && steering->dns)
			e = rtnl_add_rule(r, &rule, why);
	}
	return e;
}

static enum err add_family(struct rtnl *r, const struct rtnl_addr *addrs, size_t n, uint8_t family,
                           const struct pod_steering *steering, char why[WHY_MAX])
{
	const struct rtnl_addr *a = address_of(addrs, n, family, 0);
	const struct rtnl_rule marked = {.family = family,
	                                 .priority = POD_ROUTING_PRIORITY,
	                                 .table = POD_ROUTING_TABLE,
	                                 .mark = CAPTURE_MARK,
	                                 .mask = CAPTURE_MARK_MASK};
	enum err e;

	if (a == NULL || !a->global)
		return ERR_OK;
	e = add_routes(r, addrs, n, family, why);
	if (e == ERR_OK)
		e = rtnl_add_rule(r, &marked, why);
	if (e == ERR_OK)
		e = add_virt_rules(r, family, steering, why);
	return e;
}

enum err pod_routes_add(struct rtnl *r, const struct rtnl_addr *addrs, size_t addr_count,
                        const struct pod_steering *steering, char why[WHY_MAX])
{
	enum err e = add_family(r, addrs, addr_count, IP_V4, steering, why);

	if (e == ERR_OK)
		e = add_family(r, addrs, addr_count, IP_V6, steering, why);
	return e;
}

enum err pod_routes_prune(struct rtnl *r, char why[WHY_MAX])
{
	return rtnl_drop_rules(r, POD_ROUTING_PRIORITY_VIRT, why);
}
