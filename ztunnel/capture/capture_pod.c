/* SPDX-License-Identifier: Apache-2.0 */
#include "ztunnel/capture/capture_pod.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bpf/capture_guard.skel.h"
#include "bpf/capture_ingress.skel.h"
#include "common/base/check.h"

enum {
	GUARD_NAME_MAX = 32,
	GUARD_TC_HANDLE = 1,
	GUARD_TC_PRIORITY = 49151, /* ours on clsact, behind what CNIs use */
};

static const struct pod_map {
	const char *name;
	enum bpf_map_type type;
	uint32_t key_len, value_len, entries;
	size_t at; /* of its descriptor */
} pod_maps[] = {
	{"cfg", BPF_MAP_TYPE_ARRAY, 4, sizeof(struct capture_cfg), 1,
         offsetof(struct capture_pod_maps, cfg)},
	{"own", BPF_MAP_TYPE_HASH, sizeof(struct capture_addr), 4, CAPTURE_OWN_MAX,
         offsetof(struct capture_pod_maps, own)},
	{"virt", BPF_MAP_TYPE_HASH, 4, 4, CAPTURE_VIRT_MAX,
         offsetof(struct capture_pod_maps, virt)},
	{"socks", BPF_MAP_TYPE_SOCKMAP, 4, 8, CAPTURE_SLOTS,
         offsetof(struct capture_pod_maps, socks)},
	{"state", BPF_MAP_TYPE_ARRAY, 4, sizeof(struct capture_state), 1,
         offsetof(struct capture_pod_maps, state)},
};

static int *map_fd(struct capture_pod_maps *m, const struct pod_map *map)
{
	return (int *)(void *)((char *)m + map->at);
}

/* A pinned map of the right shape, or a new one. Descriptor or -errno. */
static int map_find_or_make(const char *path, const struct pod_map *map, bool *made)
{
	struct bpf_map_info shape = {0};
	uint32_t len = sizeof(shape);
	int fd = bpf_obj_get(path);

	if (fd >= 0) {
		if (bpf_obj_get_info_by_fd(fd, &shape, &len) == 0 && shape.type == map->type &&
		    shape.key_size == map->key_len && shape.value_size == map->value_len &&
		    shape.max_entries == map->entries)
			return fd;
		(void)close(fd);
		if (unlink(path) != 0)
			return -errno;
	}
	fd = bpf_map_create(map->type, map->name, map->key_len, map->value_len, map->entries, NULL);
	if (fd < 0)
		return fd;
	*made = true;
	if (bpf_obj_pin(fd, path) != 0) {
		int res = -errno;

		(void)close(fd);
		return res;
	}
	return fd;
}

/* Needs no descriptor, which may be what is short. */
static void unmake(const struct capture *c, uint64_t cookie)
{
	char path[PIN_PATH_MAX];

	for (size_t i = 0; i < ARRAY_LEN(pod_maps); i++)
		(void)unlink(pins_pod_path(c->root, cookie, pod_maps[i].name, path));
	(void)rmdir(pins_pod_path(c->root, cookie, NULL, path));
}

enum err capture_pod_open(const struct capture *c, uint64_t cookie,
                          struct capture_pod_maps *ret_maps, char why[WHY_MAX])
{
	struct capture_pod_maps m = {cookie, -1, -1, -1, -1, -1, false};
	char path[PIN_PATH_MAX];
	bool made = mkdir(pins_pod_path(c->root, cookie, NULL, path), 0700) == 0;
	int fd = 0;

	if (!made && errno != EEXIST)
		return why_not(why, ERR_SYSTEM, "cannot make %s: %s", path, strerror(errno));
	for (size_t i = 0; i < ARRAY_LEN(pod_maps); i++) {
		fd = map_find_or_make(pins_pod_path(c->root, cookie, pod_maps[i].name, path),
		                      &pod_maps[i], &m.fresh);
		if (fd < 0)
			break;
		*map_fd(&m, &pod_maps[i]) = fd;
	}
	if (fd < 0) {
		capture_pod_close(&m);
		if (made)
			unmake(c, cookie);
		return why_not(why, ERR_SYSTEM, "cannot make a map of the pod's: %s",
		               strerror(-fd));
	}
	*ret_maps = m;
	return ERR_OK;
}

void capture_pod_close(struct capture_pod_maps *m)
{
	for (size_t i = 0; i < ARRAY_LEN(pod_maps); i++) {
		int *fd = map_fd(m, &pod_maps[i]);

		if (*fd >= 0)
			(void)close(*fd);
		*fd = -1;
	}
}

static enum err put(int fd, const char *name, const void *key, const void *value, char why[WHY_MAX])
{
	if (bpf_map_update_elem(fd, key, value, BPF_ANY) != 0)
		return why_not(why, ERR_SYSTEM, "cannot write a pod's map %s: %s", name,
		               strerror(errno));
	return ERR_OK;
}

enum err capture_pod_load_state(const struct capture_pod_maps *m, struct capture_state *ret_state,
                                char why[WHY_MAX])
{
	uint32_t zero = 0;

	if (bpf_map_lookup_elem(m->state, &zero, ret_state) != 0)
		return why_not(why, ERR_SYSTEM, "cannot read a pod's map state: %s",
		               strerror(errno));
	if (ret_state->layout != CAPTURE_LAYOUT)
		*ret_state = (struct capture_state){.layout = CAPTURE_LAYOUT};
	return ERR_OK;
}

enum err capture_pod_save_state(const struct capture_pod_maps *m, const struct capture_state *state,
                                char why[WHY_MAX])
{
	uint32_t zero = 0;

	return put(m->state, "state", &zero, state, why);
}

enum err capture_pod_configure(const struct capture_pod_maps *m, const struct capture_cfg *cfg,
                               char why[WHY_MAX])
{
	uint32_t zero = 0;

	return put(m->cfg, "cfg", &zero, cfg, why);
}

static bool is_among(const struct capture_addr *key, const struct rtnl_addr *addrs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct capture_addr a = capture_addr_of(&addrs[i].ip);

		if (memcmp(&a, key, sizeof(a)) == 0)
			return true;
	}
	return false;
}

enum err capture_pod_set_own(const struct capture_pod_maps *m, const struct rtnl_addr *addrs,
                             size_t n, char why[WHY_MAX])
{
	struct capture_addr old[CAPTURE_OWN_MAX];
	struct capture_addr *prev = NULL;
	uint32_t one = 1;
	size_t old_n = 0;
	enum err e = ERR_OK;

	while (old_n < CAPTURE_OWN_MAX && bpf_map_get_next_key(m->own, prev, &old[old_n]) == 0)
		prev = &old[old_n++];
	for (size_t i = 0; i < old_n; i++) {
		if (!is_among(&old[i], addrs, n))
			(void)bpf_map_delete_elem(m->own, &old[i]);
	}
	for (size_t i = 0; i < n && e == ERR_OK; i++) {
		struct capture_addr a = capture_addr_of(&addrs[i].ip);

		e = put(m->own, "own", &a, &one, why);
	}
	return e;
}

static bool is_ifindex_among(uint32_t ifindex, const uint32_t *all, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (all[i] == ifindex)
			return true;
	}
	return false;
}

enum err capture_pod_set_virts(const struct capture_pod_maps *m, const uint32_t *ifindexes,
                               size_t n, char why[WHY_MAX])
{
	uint32_t old[CAPTURE_VIRT_MAX];
	uint32_t *prev = NULL, one = 1;
	size_t old_n = 0;
	enum err e = ERR_OK;

	while (old_n < CAPTURE_VIRT_MAX && bpf_map_get_next_key(m->virt, prev, &old[old_n]) == 0)
		prev = &old[old_n++];
	for (size_t i = 0; i < old_n; i++) {
		if (!is_ifindex_among(old[i], ifindexes, n))
			(void)bpf_map_delete_elem(m->virt, &old[i]);
	}
	for (size_t i = 0; i < n && e == ERR_OK; i++)
		e = put(m->virt, "virt", &ifindexes[i], &one, why);
	return e;
}

enum err capture_pod_set_listener(const struct capture_pod_maps *m, enum capture_kind kind,
                                  uint32_t worker, int fd, char why[WHY_MAX])
{
	uint32_t slot = (uint32_t)kind * CAPTURE_WORKERS_MAX + worker;
	uint64_t value = (uint64_t)fd;

	return put(m->socks, "socks", &slot, &value, why);
}

bool capture_pod_refill_listener(const struct capture_pod_maps *m, enum capture_kind kind,
                                 uint32_t worker, int fd)
{
	uint32_t slot = (uint32_t)kind * CAPTURE_WORKERS_MAX + worker;
	uint64_t value = (uint64_t)fd;

	return fd >= 0 && bpf_map_update_elem(m->socks, &slot, &value, BPF_NOEXIST) == 0;
}

void capture_pod_clear_listeners(const struct capture_pod_maps *m, enum capture_kind kind,
                                 uint32_t from_worker)
{
	for (uint32_t w = from_worker; w < CAPTURE_WORKERS_MAX; w++) {
		uint32_t slot = (uint32_t)kind * CAPTURE_WORKERS_MAX + w;

		(void)bpf_map_delete_elem(m->socks, &slot);
	}
}

/* Let a program use a map that exists. */
static int reuse(struct bpf_map *map, int fd)
{
	return fd >= 0 ? bpf_map__reuse_fd(map, fd) : 0;
}

/* m NULL: over maps of its own, to see whether it loads. 0 or -errno. */
static int load_ingress(const struct capture *c, const struct capture_pod_maps *m,
                        struct capture_ingress **ret)
{
	struct capture_ingress *o = capture_ingress__open();
	int res;

	if (o == NULL)
		return -errno;
	res = reuse(o->maps.passconn, c->table.passconn);
	if (res == 0)
		res = reuse(o->maps.stats, c->table.stats);
	if (res == 0 && m != NULL)
		res = reuse(o->maps.cfg, m->cfg);
	if (res == 0 && m != NULL)
		res = reuse(o->maps.own, m->own);
	if (res == 0 && m != NULL)
		res = reuse(o->maps.virt, m->virt);
	if (res == 0 && m != NULL)
		res = reuse(o->maps.socks, m->socks);
	if (res == 0)
		res = capture_ingress__load(o);
	if (res != 0) {
		capture_ingress__destroy(o);
		return res;
	}
	*ret = o;
	return 0;
}

static int load_guard(const struct capture *c, const struct capture_pod_maps *m,
                      struct capture_guard **ret)
{
	struct capture_guard *o = capture_guard__open();
	int res;

	if (o == NULL)
		return -errno;
	res = reuse(o->maps.ztsock, c->table.ztsock);
	if (res == 0)
		res = reuse(o->maps.stats, c->table.stats);
	if (res == 0 && m != NULL)
		res = reuse(o->maps.cfg, m->cfg);
	if (res == 0)
		res = capture_guard__load(o);
	if (res != 0) {
		capture_guard__destroy(o);
		return res;
	}
	*ret = o;
	return 0;
}

static enum err refused(const char *what, int res, char why[WHY_MAX])
{
	return why_not(why, ERR_SYSTEM, "the kernel refused the %s program: %s", what,
	               strerror(-res));
}

enum err capture_pod_probe(struct capture *c, char why[WHY_MAX])
{
	const struct link_target nowhere = {.attach_type = LINK_TCX_EGRESS, .ifindex = INT_MAX};
	struct capture_ingress *ingress = NULL;
	struct capture_guard *guard = NULL;
	int res = load_ingress(c, NULL, &ingress);
	enum err e;

	if (res != 0)
		return refused("inbound capture", res, why);
	e = link_program_tag(bpf_program__fd(ingress->progs.capture_ingress), &c->ingress, why);
	capture_ingress__destroy(ingress);
	if (e != ERR_OK)
		return e;
	res = load_guard(c, NULL, &guard);
	if (res != 0)
		return refused("leak guard", res, why);
	e = link_program_tag(bpf_program__fd(guard->progs.capture_guard), &c->guard, why);
	if (link_put("", bpf_program__fd(guard->progs.capture_guard), &nowhere) != -ENODEV)
		c->without_tcx = true; /* a kernel that knows tcx looks for the device */
	capture_guard__destroy(guard);
	return e;
}

bool capture_pod_is_attached(const struct capture *c, uint64_t cookie)
{
	char path[PIN_PATH_MAX];
	enum link_state state = link_look(pins_pod_path(c->root, cookie, "link", path), NULL);

	return state == LINK_CURRENT;
}

enum err capture_pod_attach(const struct capture *c, const struct capture_pod_maps *m, int netns_fd,
                            char why[WHY_MAX])
{
	struct link_target target = {.attach_type = BPF_SK_LOOKUP, .fd = netns_fd};
	struct capture_ingress *o = NULL;
	char path[PIN_PATH_MAX];
	int res;

	(void)pins_pod_path(c->root, m->cookie, "link", path);
	if (!m->fresh && link_look(path, &c->ingress) == LINK_CURRENT)
		return ERR_OK;
	res = load_ingress(c, m, &o);
	if (res != 0)
		return refused("inbound capture", res, why);
	res = link_put(path, bpf_program__fd(o->progs.capture_ingress), &target);
	capture_ingress__destroy(o);
	if (res != 0)
		return why_not(why, ERR_SYSTEM, "cannot attach inbound capture to the pod: %s",
		               strerror(-res));
	return ERR_OK;
}

void capture_pod_detach(const struct capture *c, uint64_t cookie)
{
	char path[PIN_PATH_MAX];

	link_drop(pins_pod_path(c->root, cookie, "link", path));
}

static const char *guard_path(const struct capture *c, uint64_t cookie, uint32_t ifindex,
                              char path[PIN_PATH_MAX])
{
	char name[GUARD_NAME_MAX];

	(void)snprintf(name, sizeof(name), "guard-%u", ifindex);
	return pins_pod_path(c->root, cookie, name, path);
}

/* Before Linux 6.6. 0 or -errno. */
static int guard_by_clsact(int prog_fd, uint32_t ifindex)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_EGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = GUARD_TC_HANDLE, .priority = GUARD_TC_PRIORITY,
	            .prog_fd = prog_fd, .flags = BPF_TC_F_REPLACE);
	int res = bpf_tc_hook_create(&hook);

	if (res != 0 && res != -EEXIST)
		return res;
	return bpf_tc_attach(&hook, &opts);
}

static int guard_one(const struct capture *c, const struct capture_pod_maps *m, int prog_fd,
                     uint32_t ifindex)
{
	struct link_target target = {.attach_type = LINK_TCX_EGRESS, .ifindex = ifindex};
	char path[PIN_PATH_MAX];

	if (c->without_tcx)
		return guard_by_clsact(prog_fd, ifindex);
	return link_put(guard_path(c, m->cookie, ifindex, path), prog_fd, &target);
}

static bool guards_all(const struct capture *c, const struct capture_pod_maps *m,
                       const struct rtnl_link *links, size_t n)
{
	char path[PIN_PATH_MAX];

	for (size_t i = 0; i < n; i++) {
		if (!links[i].loopback &&
		    link_look(guard_path(c, m->cookie, links[i].ifindex, path), &c->guard) !=
		            LINK_CURRENT)
			return false;
	}
	return true;
}

enum err capture_pod_guard(const struct capture *c, const struct capture_pod_maps *m,
                           const struct rtnl_link *links, size_t n, char why[WHY_MAX])
{
	struct capture_guard *o = NULL;
	int res;

	if (!m->fresh && guards_all(c, m, links, n))
		return ERR_OK;
	res = load_guard(c, m, &o);
	if (res != 0)
		return refused("leak guard", res, why);
	for (size_t i = 0; i < n && res == 0; i++) {
		if (!links[i].loopback)
			res = guard_one(c, m, bpf_program__fd(o->progs.capture_guard),
			                links[i].ifindex);
	}
	capture_guard__destroy(o);
	if (res != 0)
		return why_not(why, ERR_SYSTEM, "cannot attach the leak guard to the pod: %s",
		               strerror(-res));
	return ERR_OK;
}

void capture_pod_unguard(const struct rtnl_link *links, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)links[i].ifindex,
		            .attach_point = BPF_TC_EGRESS);
		LIBBPF_OPTS(bpf_tc_opts, opts, .handle = GUARD_TC_HANDLE,
		            .priority = GUARD_TC_PRIORITY);

		if (!links[i].loopback)
			(void)bpf_tc_detach(&hook, &opts);
	}
}
