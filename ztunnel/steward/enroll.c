/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enroll - the steps that capture a pod, each of which may be repeated over what an earlier process left.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "ztunnel/capture/pod_routing.h"
#include "ztunnel/steward/steward_internal.h"

_Static_assert((int)LISTENER_OUT == (int)CAPTURE_OUT && (int)LISTENER_INPLAIN == CAPTURE_INPLAIN &&
                       (int)LISTENER_HBONE == CAPTURE_HBONE,
               "listener kinds are slots");
_Static_assert((int)GUARD_COUNT == (int)CAPTURE_GUARD_COUNT &&
                       (int)GUARD_ENFORCE == (int)CAPTURE_GUARD_ENFORCE,
               "guard modes agree");
_Static_assert((int)STEWARD_WORKERS_MAX == (int)CAPTURE_WORKERS_MAX, "as many slots as workers");
_Static_assert((int)STEWARD_WHY_MAX == (int)WHY_MAX, "one size of sentence");

struct enrolled *enrolled_find(struct steward *s, uint64_t cookie)
{
	list_for_each (it, &s->enrolled) {
		struct enrolled *e = list_entry(it, struct enrolled, link);

		if (e->maps.cookie == cookie)
			return e;
	}
	return NULL;
}

void enrolled_forget(struct enrolled *e)
{
	list_remove(&e->link);
	held_close(e);
	rtnl_close(&e->rtnl);
	capture_pod_close(&e->maps);
	if (e->netns_fd >= 0)
		(void)close(e->netns_fd);
	free(e);
}

/* One enrollment under way. */
struct enrollment {
	struct steward *s;
	struct enrolled *e;
	struct enrolled *replaced; /* of the same pod, until now */
	struct steward_pod pod;
	uint64_t cookie;
	struct rtnl_addr addrs[RTNL_ADDRS_MAX];
	size_t addr_count;
	struct rtnl_link links[RTNL_LINKS_MAX];
	size_t link_count;
};

static enum err open_netns(struct enrollment *n, const char *netns, char why[WHY_MAX])
{
	struct netns_identity id;
	enum err e = netns_open(netns, &n->e->netns_fd, why);

	if (e == ERR_OK)
		e = netns_identify(n->e->netns_fd, &id, why);
	if (e != ERR_OK)
		return e;
	if (netns_same(&id, &n->s->node))
		return why_not(why, ERR_CONFIG,
		               "netns \"%s\" is the node's own: a pod with hostNetwork cannot be "
		               "enrolled",
		               netns);
	n->pod.netns_dev = id.dev;
	n->pod.netns_ino = id.ino;
	return ERR_OK;
}

static enum err ask_cookie(void *arg, char why[WHY_MAX])
{
	struct enrollment *n = arg;

	return netns_cookie_here(&n->cookie, why);
}

/* Maps, and what an earlier process wrote there. */
static enum err open_maps(struct enrollment *n, const struct steward_enroll_req *req,
                          char why[WHY_MAX])
{
	struct enrolled *e = n->e;
	enum err err;

	n->replaced = enrolled_find(n->s, n->cookie);
	if (n->replaced != NULL && !req->replace)
		return why_not(why, ERR_CONFIG, "netns \"%s\" is already enrolled, as \"%s\"",
		               req->netns, n->replaced->state.netns);
	err = capture_pod_open(n->s->capture, n->cookie, &e->maps, why);
	if (err == ERR_OK)
		err = capture_pod_load_state(&e->maps, &e->state, why);
	if (err != ERR_OK)
		return err;
	e->state.netns_dev = n->pod.netns_dev;
	e->state.netns_ino = n->pod.netns_ino;
	e->state.by_clsact |= n->s->capture->without_tcx;
	(void)snprintf(e->state.netns, sizeof(e->state.netns), "%s", req->netns);
	return ERR_OK;
}

static enum err open_listeners(struct enrollment *n, char why[WHY_MAX])
{
	size_t count = (size_t)LISTENER_KINDS * n->s->opt.workers;

	n->pod.workers = (uint16_t)n->s->opt.workers;
	n->pod.listeners = mem_new(count * sizeof(int));
	memset(n->pod.listeners, 0xff, count * sizeof(int)); /* all -1 */
	for (size_t i = 0; i < count; i++) {
		int fd = prepared_listener_open(n->s,
		                                (enum steward_listener)(i / n->s->opt.workers));

		if (fd < 0)
			return why_not(why, ERR_SYSTEM, "cannot listen inside the pod: %s",
			               strerror(-fd));
		n->pod.listeners[i] = fd;
	}
	return ERR_OK;
}

static bool is_missing_family(int res)
{
	return res == -EAFNOSUPPORT || res == -EADDRNOTAVAIL;
}

/* A pod without IPv6 has half of them. */
static enum err open_dns(struct enrollment *n, char why[WHY_MAX])
{
	if ((n->e->cfg.flags & CAPTURE_POD_DNS) == 0)
		return ERR_OK;
	for (unsigned int i = 0; i < STEWARD_DNS_SOCKETS; i++) {
		bool v6 = i >= STEWARD_DNS_UDP6;
		int fd = v6 && n->s->opt.without_ipv6 ? -EAFNOSUPPORT
		                                      : dns_socket_open(n->s, (enum steward_dns)i);

		if (fd < 0 && !(v6 && is_missing_family(fd)))
			return why_not(why, ERR_SYSTEM,
			               "cannot open the DNS proxy inside the pod: %s",
			               strerror(-fd));
		n->pod.dns[i] = fd < 0 ? -1 : fd;
	}
	return ERR_OK;
}

void open_socks(const struct steward *s, struct steward_pod *pod, const char *netns)
{
	for (unsigned int i = 0; i < STEWARD_SOCKS_LISTENERS && s->opt.socks; i++) {
		bool v6 = i == STEWARD_SOCKS6;
		int fd = v6 && s->opt.without_ipv6 ? -EAFNOSUPPORT
		                                   : socks_listener_open(s, (enum steward_socks)i);

		pod->socks[i] = fd < 0 ? -1 : fd;
		if (fd < 0 && !(v6 && is_missing_family(fd)))
			log_at(LOG_SCOPE_CAPTURE, LOG_WARN,
			       "a pod goes without SOCKS: its port cannot be had",
			       LOG_S("netns", netns), LOG_N("port", PORT_SOCKS),
			       LOG_S("error", strerror(-fd)));
	}
}

static struct pod_steering steering_of(const struct enrolled *e)
{
	return (struct pod_steering){.dns = (e->cfg.flags & CAPTURE_POD_DNS) != 0,
	                             .virts = (const char(*)[RTNL_NAME_MAX])e->virts,
	                             .virt_count = e->virt_count};
}

/* What has to be done by a thread inside the pod's namespace; nothing captures yet. */
static enum err prepare_inside(void *arg, char why[WHY_MAX])
{
	struct enrollment *n = arg;
	struct enrolled *e = n->e;
	const struct pod_steering steering = steering_of(e);
	enum err err = rtnl_open(&e->rtnl, why);

	if (err == ERR_OK)
		err = rtnl_addrs(&e->rtnl, n->addrs, &n->addr_count, why);
	if (err == ERR_OK)
		err = rtnl_links(&e->rtnl, n->links, &n->link_count, why);
	if (err == ERR_OK)
		err = pod_sysctls_remember(&e->state, why);
	if (err == ERR_OK)
		err = capture_pod_save_state(&e->maps, &e->state, why);
	if (err == ERR_OK)
		err = pod_sysctls_set(&e->state, why);
	if (err == ERR_OK)
		err = pod_routes_prune(&e->rtnl, why);
	if (err == ERR_OK)
		err = pod_routes_add(&e->rtnl, n->addrs, n->addr_count, &steering, why);
	if (err == ERR_OK)
		err = open_listeners(n, why);
	if (err == ERR_OK)
		err = open_dns(n, why);
	if (err == ERR_OK)
		open_socks(n->s, &n->pod, e->state.netns);
	return err;
}

static enum err publish_addrs(const struct steward *s, const struct enrolled *e,
                              const struct rtnl_addr *addrs, size_t count, char why[WHY_MAX])
{
	enum err err = capture_pod_set_own(&e->maps, addrs, count, why);

	for (size_t i = 0; i < count && err == ERR_OK; i++)
		err = capture_table_add_addr(&s->capture->table, &addrs[i].ip, e->maps.cookie, why);
	return err;
}

/* Which device is which may change with every device that comes. */
static enum err publish_virts(const struct enrolled *e, const struct rtnl_link *links, size_t n,
                              char why[WHY_MAX])
{
	uint32_t found[STEWARD_VIRTS_MAX];
	size_t count = 0;

	for (size_t i = 0; i < e->virt_count; i++) {
		for (size_t j = 0; j < n; j++) {
			if (strcmp(e->virts[i], links[j].name) == 0)
				found[count++] = links[j].ifindex;
		}
	}
	return capture_pod_set_virts(&e->maps, found, count, why);
}

/* Listeners into their slots, then who may use them. */
static enum err fill_maps(struct enrollment *n, char why[WHY_MAX])
{
	const struct capture_pod_maps *m = &n->e->maps;
	uint32_t workers = n->s->opt.workers;
	enum err err = publish_addrs(n->s, n->e, n->addrs, n->addr_count, why);

	for (uint32_t i = 0; i < LISTENER_KINDS * workers && err == ERR_OK; i++)
		err = capture_pod_set_listener(m, (enum capture_kind)(i / workers), i % workers,
		                               n->pod.listeners[i], why);
	if (err == ERR_OK)
		err = dns_slots_fill(m, &n->pod, why);
	if (err == ERR_OK)
		err = publish_virts(n->e, n->links, n->link_count, why);
	if (err == ERR_OK)
		err = capture_pod_configure(m, &n->e->cfg, why);
	for (uint32_t kind = 0; kind < LISTENER_KINDS; kind++)
		capture_pod_clear_listeners(m, (enum capture_kind)kind, workers);
	return err;
}

/* The guard also turns questions to resolvers, so it is there for them alone, too. */
static bool is_guarded(const struct enrolled *e)
{
	return e->cfg.guard != CAPTURE_GUARD_OFF || (e->cfg.flags & CAPTURE_POD_DNS) != 0;
}

struct guarding {
	const struct steward *s;
	struct enrolled *e;
	const struct rtnl_link *links;
	size_t link_count;
};

static enum err guard_inside(void *arg, char why[WHY_MAX])
{
	struct guarding *g = arg;
	enum err err = capture_pod_guard(g->s->capture, &g->e->maps, g->links, g->link_count, why);

	if (err == ERR_OK)
		g->e->maps.fresh = false; /* from here on only devices that come need it */
	return err;
}

static enum err guard_devices(const struct steward *s, struct enrolled *e,
                              const struct rtnl_link *links, size_t n, char why[WHY_MAX])
{
	struct guarding g = {s, e, links, n};

	return is_guarded(e) ? netns_visit(s->home, e->netns_fd, guard_inside, &g, why) : ERR_OK;
}

static enum err configure(struct enrollment *n, const struct steward_enroll_req *req,
                          char why[WHY_MAX])
{
	uint32_t flags = req->flags;
	bool guarded = (flags & STEWARD_POD_NO_GUARD) == 0;
	bool dns = n->s->opt.dns && (flags & STEWARD_POD_NO_DNS) == 0;

	n->pod.flags = flags;
	n->pod.cookie = n->cookie;
	n->e->cfg = (struct capture_cfg){
		.flags = CAPTURE_POD_OUT | (dns ? CAPTURE_POD_DNS : 0) |
	                 ((flags & STEWARD_POD_NO_INBOUND) != 0 ? 0 : CAPTURE_POD_INBOUND),
		.id = capture_id(n->cookie),
		.workers = n->s->opt.workers,
		.guard = guarded ? (uint32_t)n->s->opt.guard : CAPTURE_GUARD_OFF,
	};
	for (size_t i = 0; i < req->virt_count; i++) {
		if (i == STEWARD_VIRTS_MAX || req->virts[i][0] == '\0' ||
		    strlen(req->virts[i]) >= RTNL_NAME_MAX)
			return why_not(why, ERR_CONFIG,
			               "inner device \"%.40s\": at most %d, each of 1 to %d octets",
			               req->virts[i], (int)STEWARD_VIRTS_MAX, RTNL_NAME_MAX - 1);
		(void)snprintf(n->e->virts[i], RTNL_NAME_MAX, "%s", req->virts[i]);
		n->e->virt_count = i + 1;
	}
	return ERR_OK;
}

/* Global addresses first: the first of a family is what the pod is known by. */
static void note_addrs(struct enrollment *n)
{
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < n->addr_count; i++) {
			if (n->addrs[i].global == (pass == 0) &&
			    n->pod.addr_count < STEWARD_ADDRS_MAX)
				n->pod.addrs[n->pod.addr_count++] = n->addrs[i].ip;
		}
	}
}

/* Inbound capture first, outbound second, so that a pod is never asked to answer what it cannot hear. */
static enum err capture_steps(struct enrollment *n, char why[WHY_MAX])
{
	struct steward *s = n->s;
	struct enrolled *e = n->e;
	enum err err = netns_visit(s->home, e->netns_fd, prepare_inside, n, why);

	if (err == ERR_OK)
		err = fill_maps(n, why);
	if (err == ERR_OK)
		err = capture_pod_attach(s->capture, &e->maps, e->netns_fd, why);
	if (err == ERR_OK)
		err = capture_table_add_pod(&s->capture->table, n->cookie, e->cfg.flags, why);
	if (err == ERR_OK)
		err = guard_devices(s, e, n->links, n->link_count, why);
	if (err == ERR_OK)
		n->pod.netns_fd = fcntl(e->netns_fd, F_DUPFD_CLOEXEC, 0);
	if (err == ERR_OK && n->pod.netns_fd < 0)
		err = why_not(why, ERR_SYSTEM, "cannot hold the pod's netns: %s", strerror(errno));
	if (err == ERR_OK)
		note_addrs(n);
	return err;
}

static void undo(struct enrollment *n)
{
	char why[WHY_MAX];

	if (release_enrolled(n->s, n->e, why) != ERR_OK)
		log_at(LOG_SCOPE_CAPTURE, LOG_WARN, "a failed enrollment left something behind",
		       LOG_S("error", why));
	n->e = NULL;
}

static enum err enroll_steps(struct enrollment *n, const struct steward_enroll_req *req,
                             char why[WHY_MAX])
{
	enum err err = open_netns(n, req->netns, why);
	bool captured_before;

	if (err == ERR_OK)
		err = netns_visit(n->s->home, n->e->netns_fd, ask_cookie, n, why);
	if (err != ERR_OK)
		return err;
	captured_before = capture_pod_is_attached(n->s->capture, n->cookie);
	err = open_maps(n, req, why);
	if (err != ERR_OK)
		return err;
	err = configure(n, req, why);
	if (err == ERR_OK)
		err = capture_steps(n, why);
	if (err != ERR_OK && !captured_before && n->replaced == NULL)
		undo(n);
	return err;
}

enum err enroll_now(struct steward *s, struct steward_enroll_req *req)
{
	struct enrollment *n = mem_new(sizeof(*n));
	enum err err;

	n->s = s;
	n->pod.netns_fd = -1;
	memset(n->pod.dns, 0xff, sizeof(n->pod.dns)); /* all -1 */
	memset(n->pod.socks, 0xff, sizeof(n->pod.socks));
	n->e = mem_new(sizeof(*n->e));
	n->e->netns_fd = -1;
	n->e->rtnl.fd = -1;
	n->e->maps = (struct capture_pod_maps){0, -1, -1, -1, -1, -1, false};
	list_init(&n->e->link);
	err = enroll_steps(n, req, req->ret_why);
	if (err == ERR_OK) {
		if (n->replaced != NULL)
			enrolled_forget(n->replaced);
		held_keep(n->e, &n->pod);
		list_push(&s->enrolled, &n->e->link);
		req->ret_pod = n->pod;
	} else {
		steward_pod_fini(&n->pod);
		if (n->e != NULL)
			enrolled_forget(n->e);
	}
	free(n);
	return err;
}

enum err enrolled_refresh(struct steward *s, struct enrolled *e, char why[WHY_MAX])
{
	const struct pod_steering steering = steering_of(e);
	struct rtnl_addr addrs[RTNL_ADDRS_MAX];
	struct rtnl_link links[RTNL_LINKS_MAX];
	size_t count = 0, link_count = 0;
	enum err err = rtnl_addrs(&e->rtnl, addrs, &count, why);

	if (err == ERR_OK)
		err = rtnl_links(&e->rtnl, links, &link_count, why);
	if (err == ERR_OK)
		err = publish_addrs(s, e, addrs, count, why);
	if (err == ERR_OK)
		err = publish_virts(e, links, link_count, why);
	if (err == ERR_OK)
		err = pod_routes_add(&e->rtnl, addrs, count, &steering, why);
	if (err == ERR_OK)
		err = guard_devices(s, e, links, link_count, why);
	return err;
}

int steward_pod_take_listener(struct steward_pod *pod, enum steward_listener kind,
                              unsigned int worker)
{
	size_t at = (size_t)kind * pod->workers + worker;
	int fd;

	CHECK((unsigned int)kind < LISTENER_KINDS && worker < pod->workers);
	fd = pod->listeners[at];
	pod->listeners[at] = -1;
	return fd;
}

int steward_pod_take_dns(struct steward_pod *pod, enum steward_dns which)
{
	int fd = pod->dns[which];

	pod->dns[which] = -1;
	return fd;
}

int steward_pod_take_socks(struct steward_pod *pod, enum steward_socks which)
{
	int fd = pod->socks[which];

	pod->socks[which] = -1;
	return fd;
}

bool steward_pod_has_dns(const struct steward_pod *pod)
{
	return pod->dns[STEWARD_DNS_UDP4] >= 0;
}

void steward_pod_fini(struct steward_pod *pod)
{
	size_t count = pod->listeners == NULL ? 0 : (size_t)LISTENER_KINDS * pod->workers;

	for (size_t i = 0; i < count; i++) {
		if (pod->listeners[i] >= 0)
			(void)close(pod->listeners[i]);
	}
	for (size_t i = 0; i < STEWARD_DNS_SOCKETS; i++) {
		if (pod->dns[i] >= 0)
			(void)close(pod->dns[i]);
		pod->dns[i] = -1;
	}
	for (size_t i = 0; i < STEWARD_SOCKS_LISTENERS; i++) {
		if (pod->socks[i] >= 0)
			(void)close(pod->socks[i]);
		pod->socks[i] = -1;
	}
	free(pod->listeners);
	pod->listeners = NULL;
	if (pod->netns_fd >= 0)
		(void)close(pod->netns_fd);
	pod->netns_fd = -1;
}
