/* SPDX-License-Identifier: Apache-2.0 */
#include "ztunnel/capture/rtnl.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/mem.h"

enum {
	REQUEST_MAX = 512,    /* a header and a dozen small attributes */
	REPLY_TIMEOUT_S = 5,  /* the kernel answers within the call; this is for a lost reply */
	FLUSH_ROUNDS_MAX = 4, /* a dump may be incomplete while things change */
	FLUSH_BYTES_MAX = 65536,
};

struct request {
	struct nlmsghdr head;
	uint8_t body[REQUEST_MAX];
};

static void *request_begin(struct request *q, uint16_t type, uint16_t flags, size_t head_len)
{
	memset(q, 0, sizeof(*q));
	q->head.nlmsg_len = (uint32_t)NLMSG_LENGTH(head_len);
	q->head.nlmsg_type = type;
	q->head.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	return q->body;
}

static void request_put(struct request *q, uint16_t type, const void *p, size_t n)
{
	size_t at = NLMSG_ALIGN(q->head.nlmsg_len);
	struct rtattr attr = {.rta_len = (uint16_t)RTA_LENGTH(n), .rta_type = type};

	CHECK(at + RTA_SPACE(n) <= sizeof(*q));
	memcpy((uint8_t *)q + at, &attr, sizeof(attr));
	memcpy((uint8_t *)q + at + sizeof(attr), p, n);
	q->head.nlmsg_len = (uint32_t)(at + RTA_LENGTH(n));
}

static void request_put_u32(struct request *q, uint16_t type, uint32_t v)
{
	request_put(q, type, &v, sizeof(v));
}

static uint8_t family_of(uint8_t ip_family)
{
	return ip_family == IP_V4 ? AF_INET : AF_INET6;
}

static size_t ip_len(uint8_t ip_family)
{
	return ip_family == IP_V4 ? 4 : 16;
}

static enum err open_socket(uint32_t groups, int flags, int *ret_fd, char why[WHY_MAX])
{
	struct sockaddr_nl addr = {.nl_family = AF_NETLINK, .nl_groups = groups};
	struct timeval timeout = {.tv_sec = REPLY_TIMEOUT_S};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | flags, NETLINK_ROUTE);

	if (fd < 0)
		return why_not(why, ERR_SYSTEM, "rtnetlink socket: %s", strerror(errno));
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) != 0) {
		why_not(why, ERR_SYSTEM, "rtnetlink socket: %s", strerror(errno));
		(void)close(fd);
		return ERR_SYSTEM;
	}
	*ret_fd = fd;
	return ERR_OK;
}

enum err rtnl_open(struct rtnl *r, char why[WHY_MAX])
{
	*r = (struct rtnl){.fd = -1};
	return open_socket(0, 0, &r->fd, why);
}

enum err rtnl_watch_open(int *ret_fd, char why[WHY_MAX])
{
	return open_socket(RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_LINK, SOCK_NONBLOCK,
	                   ret_fd, why);
}

void rtnl_close(struct rtnl *r)
{
	if (r->fd >= 0)
		(void)close(r->fd);
	r->fd = -1;
}

/* Takes each message of an answer; false ends the reading. */
typedef bool reply_fn(const struct nlmsghdr *m, void *arg);

/* NLMSG_DATA drops const. */
static const void *payload_of(const struct nlmsghdr *m)
{
	return (const uint8_t *)m + NLMSG_HDRLEN;
}

/* 0, or -errno of the kernel's answer. */
static int reply_code(const struct nlmsghdr *m)
{
	int code;

	if (m->nlmsg_len < NLMSG_LENGTH(sizeof(code)))
		return -EPROTO;
	memcpy(&code, payload_of(m), sizeof(code));
	return code;
}

/* Walk one datagram; 1: more to come, else 0 or -errno. */
static int walk(const uint8_t *p, size_t n, uint32_t seq, reply_fn *fn, void *arg)
{
	while (n >= sizeof(struct nlmsghdr)) {
		const struct nlmsghdr *m = (const struct nlmsghdr *)(const void *)p;
		size_t step;

		if (m->nlmsg_len < sizeof(*m) || m->nlmsg_len > n)
			return -EPROTO;
		step = NLMSG_ALIGN(m->nlmsg_len);
		if (m->nlmsg_seq == seq) {
			if (m->nlmsg_type == NLMSG_ERROR || m->nlmsg_type == NLMSG_DONE)
				return reply_code(m);
			if (fn != NULL && !fn(m, arg))
				return -E2BIG;
		}
		if (step >= n)
			break;
		p += step;
		n -= step;
	}
	return 1;
}

/* Send, then read until the acknowledgement or the end of the dump. 0 or -errno. */
static int exchange(struct rtnl *r, struct nlmsghdr *head, reply_fn *fn, void *arg)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	uint8_t *reply;
	int res = 1;

	head->nlmsg_seq = ++r->seq;
	head->nlmsg_pid = 0;
	if (sendto(r->fd, head, head->nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return -errno;
	reply = mem_new(RTNL_REPLY_MAX);
	while (res == 1) {
		ssize_t n = recv(r->fd, reply, RTNL_REPLY_MAX, 0);

		if (n < 0 && errno == EINTR)
			continue;
		res = n < 0 ? -errno : walk(reply, (size_t)n, r->seq, fn, arg);
	}
	free(reply);
	return res;
}

static const void *attr_find(const struct nlmsghdr *m, size_t head_len, uint16_t type,
                             size_t len_min)
{
	const uint8_t *p = (const uint8_t *)m;
	size_t at = NLMSG_ALIGN(NLMSG_LENGTH(head_len));
	size_t end = m->nlmsg_len;

	while (at + sizeof(struct rtattr) <= end) {
		struct rtattr attr;

		memcpy(&attr, p + at, sizeof(attr));
		if (attr.rta_len < sizeof(attr) || at + attr.rta_len > end)
			return NULL;
		if ((attr.rta_type & NLA_TYPE_MASK) == type && attr.rta_len >= RTA_LENGTH(len_min))
			return p + at + RTA_LENGTH(0);
		at += RTA_ALIGN(attr.rta_len);
	}
	return NULL;
}

struct addr_list {
	struct rtnl_addr *v;
	size_t n;
};

static bool on_addr(const struct nlmsghdr *m, void *arg)
{
	struct addr_list *list = arg;
	struct ifaddrmsg head;
	const uint32_t *flags32;
	uint32_t flags;
	const void *bytes;
	struct ip ip;
	size_t len;

	if (m->nlmsg_type != RTM_NEWADDR || m->nlmsg_len < NLMSG_LENGTH(sizeof(head)))
		return true;
	memcpy(&head, payload_of(m), sizeof(head));
	if (head.ifa_family != AF_INET && head.ifa_family != AF_INET6)
		return true;
	len = head.ifa_family == AF_INET ? 4 : 16;
	/* of a point-to-point link IFA_ADDRESS is the other end; IPv6 has only IFA_ADDRESS */
	bytes = attr_find(m, sizeof(head), IFA_LOCAL, len);
	if (bytes == NULL)
		bytes = attr_find(m, sizeof(head), IFA_ADDRESS, len);
	flags32 = attr_find(m, sizeof(head), IFA_FLAGS, sizeof(*flags32));
	flags = head.ifa_flags;
	if (flags32 != NULL)
		memcpy(&flags, flags32, sizeof(flags));
	if (bytes == NULL || (flags & IFA_F_DADFAILED) != 0)
		return true;
	if (ip_of_bytes(span_of(bytes, len), &ip) != ERR_OK || ip_is_loopback(&ip))
		return true;
	if (list->n == RTNL_ADDRS_MAX)
		return false;
	list->v[list->n++] = (struct rtnl_addr){
		.ip = ip,
		.ifindex = head.ifa_index,
		.global = head.ifa_scope < RT_SCOPE_LINK,
		.tentative = (flags & (IFA_F_TENTATIVE | IFA_F_OPTIMISTIC)) == IFA_F_TENTATIVE};
	return true;
}

static enum err list_failed(int res, const char *what, char why[WHY_MAX])
{
	if (res == 0)
		return ERR_OK;
	if (res == -E2BIG)
		return why_not(why, ERR_LIMIT, "more than %d %s in a pod's netns",
		               (int)RTNL_ADDRS_MAX, what);
	return why_not(why, ERR_SYSTEM, "cannot list the %s of a pod: %s", what, strerror(-res));
}

enum err rtnl_addrs(struct rtnl *r, struct rtnl_addr out[RTNL_ADDRS_MAX], size_t *ret_n,
                    char why[WHY_MAX])
{
	struct addr_list list = {.v = out};
	struct request q;
	enum err e;

	(void)request_begin(&q, RTM_GETADDR, NLM_F_DUMP, sizeof(struct ifaddrmsg));
	e = list_failed(exchange(r, &q.head, on_addr, &list), "addresses", why);
	if (e == ERR_OK)
		*ret_n = list.n;
	return e;
}

struct link_list {
	struct rtnl_link *v;
	size_t n;
};

static bool on_link(const struct nlmsghdr *m, void *arg)
{
	struct link_list *list = arg;
	struct rtnl_link *link;
	struct ifinfomsg head;
	const char *name;

	if (m->nlmsg_type != RTM_NEWLINK || m->nlmsg_len < NLMSG_LENGTH(sizeof(head)))
		return true;
	memcpy(&head, payload_of(m), sizeof(head));
	if (list->n == RTNL_LINKS_MAX)
		return false;
	link = &list->v[list->n++];
	*link = (struct rtnl_link){.ifindex = (uint32_t)head.ifi_index,
	                           .loopback = (head.ifi_flags & IFF_LOOPBACK) != 0,
	                           .up = (head.ifi_flags & IFF_UP) != 0};
	name = attr_find(m, sizeof(head), IFLA_IFNAME, 1);
	if (name != NULL)
		(void)snprintf(link->name, sizeof(link->name), "%.*s", RTNL_NAME_MAX - 1, name);
	return true;
}

enum err rtnl_links(struct rtnl *r, struct rtnl_link out[RTNL_LINKS_MAX], size_t *ret_n,
                    char why[WHY_MAX])
{
	struct link_list list = {.v = out};
	struct request q;
	enum err e;

	(void)request_begin(&q, RTM_GETLINK, NLM_F_DUMP, sizeof(struct ifinfomsg));
	e = list_failed(exchange(r, &q.head, on_link, &list), "devices", why);
	if (e == ERR_OK)
		*ret_n = list.n;
	return e;
}

enum err rtnl_add_local_route(struct rtnl *r, const struct rtnl_local_route *route,
                              char why[WHY_MAX])
{
	struct request q;
	struct rtmsg *head = request_begin(&q, RTM_NEWROUTE,
	                                   NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, sizeof(*head));
	int res;

	head->rtm_family = family_of(route->family);
	head->rtm_protocol = RTNL_PROTOCOL;
	head->rtm_scope = RT_SCOPE_HOST;
	head->rtm_type = RTN_LOCAL;
	head->rtm_table = route->table < 256 ? (uint8_t)route->table : RT_TABLE_UNSPEC;
	request_put_u32(&q, RTA_TABLE, route->table);
	request_put_u32(&q, RTA_OIF, route->ifindex);
	request_put_u32(&q, RTA_PRIORITY, route->metric);
	request_put(&q, RTA_PREFSRC, route->source.bytes, ip_len(route->family));
	res = exchange(r, &q.head, NULL, NULL);
	if (res == -EACCES && route->optional)
		return ERR_OK;
	if (res != 0 && res != -EEXIST)
		return why_not(why, ERR_SYSTEM,
		               "cannot add the IPv%d local route of table %u (device %u): %s",
		               route->family, route->table, route->ifindex, strerror(-res));
	return ERR_OK;
}

static void put_selectors(struct request *q, const struct rtnl_rule *rule)
{
	struct fib_rule_port_range ports = {.start = rule->port, .end = rule->port};

	if (rule->mask != 0) {
		request_put_u32(q, FRA_FWMARK, rule->mark);
		request_put_u32(q, FRA_FWMASK, rule->mask);
	}
	if (rule->protocol != 0)
		request_put(q, FRA_IP_PROTO, &rule->protocol, sizeof(rule->protocol));
	if (rule->port != 0)
		request_put(q, FRA_DPORT_RANGE, &ports, sizeof(ports));
	if (rule->arrived != NULL)
		request_put(q, FRA_IIFNAME, rule->arrived, strlen(rule->arrived) + 1);
}

enum err rtnl_add_rule(struct rtnl *r, const struct rtnl_rule *rule, char why[WHY_MAX])
{
	struct request q;
	struct fib_rule_hdr *head = request_begin(
		&q, RTM_NEWRULE, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, sizeof(*head));
	uint8_t protocol = RTNL_PROTOCOL;
	int res;

	head->family = family_of(rule->family);
	head->action = FR_ACT_TO_TBL;
	head->table = rule->table < 256 ? (uint8_t)rule->table : RT_TABLE_UNSPEC;
	request_put_u32(&q, FRA_TABLE, rule->table);
	request_put_u32(&q, FRA_PRIORITY, rule->priority);
	put_selectors(&q, rule);
	request_put(&q, FRA_PROTOCOL, &protocol, sizeof(protocol));
	res = exchange(r, &q.head, NULL, NULL);
	if (res != 0 && res != -EEXIST)
		return why_not(why, ERR_SYSTEM, "cannot add the IPv%d rule of priority %u: %s",
		               rule->family, rule->priority, strerror(-res));
	return ERR_OK;
}

/* Messages of a dump, kept one behind the other to be sent back as deletions. */
struct ours {
	uint8_t *p;
	size_t n;
	bool cut;
	uint32_t priority; /* only rules of this one; 0: all */
};

static bool is_our_rule(const struct nlmsghdr *m, uint32_t only_priority)
{
	const uint8_t *protocol = attr_find(m, sizeof(struct fib_rule_hdr), FRA_PROTOCOL, 1);
	const void *at = attr_find(m, sizeof(struct fib_rule_hdr), FRA_PRIORITY, sizeof(uint32_t));
	uint32_t priority = 0;

	if (at != NULL)
		memcpy(&priority, at, sizeof(priority));
	return protocol != NULL && *protocol == RTNL_PROTOCOL &&
	       (only_priority == 0 || priority == only_priority);
}

static bool is_ours(const struct nlmsghdr *m, uint32_t only_priority)
{

	if (m->nlmsg_type == RTM_NEWROUTE && m->nlmsg_len >= NLMSG_LENGTH(sizeof(struct rtmsg))) {
		const struct rtmsg *head = payload_of(m);

		return head->rtm_protocol == RTNL_PROTOCOL && head->rtm_type == RTN_LOCAL;
	}
	return m->nlmsg_type == RTM_NEWRULE &&
	       m->nlmsg_len >= NLMSG_LENGTH(sizeof(struct fib_rule_hdr)) &&
	       is_our_rule(m, only_priority);
}

static bool on_mine(const struct nlmsghdr *m, void *arg)
{
	struct ours *o = arg;

	if (!is_ours(m, o->priority))
		return true;
	if (o->n + NLMSG_ALIGN(m->nlmsg_len) > FLUSH_BYTES_MAX) {
		o->cut = true;
		return true;
	}
	memcpy(o->p + o->n, m, m->nlmsg_len);
	o->n += NLMSG_ALIGN(m->nlmsg_len);
	return true;
}

static int delete_all(struct rtnl *r, struct ours *o)
{
	for (size_t at = 0; at < o->n;) {
		struct nlmsghdr *m = (struct nlmsghdr *)(void *)(o->p + at);
		int res;

		at += NLMSG_ALIGN(m->nlmsg_len);
		m->nlmsg_type = m->nlmsg_type == RTM_NEWROUTE ? RTM_DELROUTE : RTM_DELRULE;
		m->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
		res = exchange(r, m, NULL, NULL);
		if (res != 0 && res != -ENOENT && res != -ESRCH)
			return res;
	}
	return 0;
}

/* One family's rules or routes: list, delete, list again. 0 or -errno. */
static int flush_kind(struct rtnl *r, uint16_t type, uint8_t family, struct ours *o)
{
	int res = 0;

	for (int round = 0; round < FLUSH_ROUNDS_MAX; round++) {
		struct request q;
		struct rtmsg *head = request_begin(&q, type, NLM_F_DUMP, sizeof(*head));

		head->rtm_family = family; /* the first octet of struct fib_rule_hdr too */
		o->n = 0;
		o->cut = false;
		res = exchange(r, &q.head, on_mine, o);
		if (res != 0 || o->n == 0)
			return res;
		res = delete_all(r, o);
		if (res != 0)
			return res;
	}
	return o->cut ? -E2BIG : 0;
}

/* Remove what is ours of both families; priority as in struct ours, which also spares the routes. 0 or -errno. */
static int flush(struct rtnl *r, uint32_t priority)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	struct ours o = {.p = mem_new(FLUSH_BYTES_MAX), .priority = priority};
	int res = 0;

	for (size_t i = 0; i < ARRAY_LEN(families) && res == 0; i++) {
		res = flush_kind(r, RTM_GETRULE, families[i], &o);
		if (res == 0 && priority == 0)
			res = flush_kind(r, RTM_GETROUTE, families[i], &o);
		if (res == -EAFNOSUPPORT || res == -EOPNOTSUPP)
			res = 0; /* no IPv6 in this kernel */
	}
	free(o.p);
	return res;
}

enum err rtnl_flush(struct rtnl *r, char why[WHY_MAX])
{
	int res = flush(r, 0);

	if (res != 0)
		return why_not(why, ERR_SYSTEM, "cannot remove rules and routes of a pod: %s",
		               strerror(-res));
	return ERR_OK;
}

enum err rtnl_drop_rules(struct rtnl *r, uint32_t priority, char why[WHY_MAX])
{
	int res = flush(r, priority);

	if (res != 0)
		return why_not(why, ERR_SYSTEM,
		               "cannot remove the rules of priority %u of a pod: %s", priority,
		               strerror(-res));
	return ERR_OK;
}
