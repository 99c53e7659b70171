/* SPDX-License-Identifier: Apache-2.0 */
#include "ztunnel/capture/capture.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bpf/capture_egress.skel.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "ztunnel/capture/capture_pod.h"

enum { LIBBPF_LINE_MAX = 512 };

/* What libbpf has to say, most of all the verifier's reasons, goes to our log. */
__attribute__((format(printf, 2, 0))) static int on_libbpf(enum libbpf_print_level level,
                                                           const char *fmt, va_list args)
{
	enum log_level as = level == LIBBPF_WARN ? LOG_WARN : LOG_TRACE;
	char line[LIBBPF_LINE_MAX];

	if (!log_enabled(LOG_SCOPE_CAPTURE, as))
		return 0;
	(void)vsnprintf(line, sizeof(line), fmt, args);
	line[strcspn(line, "\n")] = '\0';
	log_at(LOG_SCOPE_CAPTURE, as, "libbpf", LOG_S("text", line));
	return 0;
}

static enum err set_pin_paths(struct capture *c, char why[WHY_MAX])
{
	const struct {
		struct bpf_map *map;
		const char *name;
	} maps[] = {
		{c->egress->maps.pods, "pods_map"}, {c->egress->maps.hostns, "hostns"},
		{c->egress->maps.podip, "podip"},   {c->egress->maps.passconn, "passconn"},
		{c->egress->maps.ztsock, "ztsock"}, {c->egress->maps.stats, "stats"},
	};
	char path[PIN_PATH_MAX];

	for (size_t i = 0; i < ARRAY_LEN(maps); i++) {
		int res =
			bpf_map__set_pin_path(maps[i].map, pins_path(c->root, maps[i].name, path));

		if (res != 0)
			return why_not(why, ERR_SYSTEM, "pin path of map %s: %s", maps[i].name,
			               strerror(-res));
	}
	return ERR_OK;
}

static enum err load(struct capture *c, char why[WHY_MAX])
{
	enum err e;
	int res;

	c->egress = capture_egress__open();
	if (c->egress == NULL)
		return why_not(why, ERR_SYSTEM, "cannot open the capture program: %s",
		               strerror(errno));
	e = set_pin_paths(c, why);
	if (e != ERR_OK)
		return e;
	res = capture_egress__load(c->egress);
	if (res != 0)
		return why_not(
			why, ERR_SYSTEM,
			"the kernel refused the capture program or a map pinned under %s: %s "
			"(Linux 5.15 with BTF and CAP_BPF, CAP_NET_ADMIN are needed; pins of an "
			"incompatible version must be removed)",
			c->root, strerror(-res));
	c->table = (struct capture_table){
		.pods = bpf_map__fd(c->egress->maps.pods),
		.hostns = bpf_map__fd(c->egress->maps.hostns),
		.podip = bpf_map__fd(c->egress->maps.podip),
		.passconn = bpf_map__fd(c->egress->maps.passconn),
		.ztsock = bpf_map__fd(c->egress->maps.ztsock),
		.stats = bpf_map__fd(c->egress->maps.stats),
	};
	return ERR_OK;
}

static enum err attach(struct capture *c, const char *cgroup_root, char why[WHY_MAX])
{
	int prog_fd = bpf_program__fd(c->egress->progs.capture_egress);
	struct link_target target = {.attach_type = BPF_CGROUP_SOCK_OPS, .fd = -1};
	struct program_tag tag;
	char path[PIN_PATH_MAX];
	enum err e = link_program_tag(prog_fd, &tag, why);
	int res;

	(void)pins_path(c->root, "link_sockops", path);
	if (e != ERR_OK || link_look(path, &tag) == LINK_CURRENT)
		return e;
	e = cgroup_root_open(cgroup_root, &target.fd, why);
	if (e != ERR_OK)
		return e;
	res = link_put(path, prog_fd, &target);
	(void)close(target.fd);
	if (res != 0)
		return why_not(why, ERR_SYSTEM,
		               "cannot attach the capture program to the root of cgroup v2: %s%s",
		               strerror(-res),
		               res == -EBADF || res == -EINVAL ? " (is it a cgroup v2 directory?)"
		                                               : "");
	return ERR_OK;
}

enum err capture_start(const char *root, const char *cgroup_root, uint64_t node_cookie,
                       struct capture **ret_capture, char why[WHY_MAX])
{
	struct capture *c;
	enum err e = pins_prepare(root, why);

	if (e != ERR_OK)
		return e;
	(void)libbpf_set_print(on_libbpf);
	c = mem_new(sizeof(*c));
	(void)snprintf(c->root, sizeof(c->root), "%s", root);
	e = load(c, why);
	if (e == ERR_OK)
		e = capture_table_set_node(&c->table, node_cookie, why);
	if (e == ERR_OK)
		e = capture_pod_probe(c, why);
	if (e == ERR_OK)
		e = attach(c, cgroup_root, why);
	if (e != ERR_OK) {
		capture_stop(c);
		return e;
	}
	*ret_capture = c;
	return ERR_OK;
}

void capture_stop(struct capture *c)
{
	capture_egress__destroy(c->egress);
	free(c);
}

size_t capture_pinned(const struct capture *c, uint64_t *out, size_t max)
{
	char path[PIN_PATH_MAX];
	DIR *d = opendir(pins_path(c->root, "pods", path));
	size_t n = 0;

	if (d == NULL)
		return 0;
	for (struct dirent *e = readdir(d); e != NULL && n < max; e = readdir(d)) {
		if (pins_cookie_of(e->d_name, &out[n]))
			n++;
	}
	(void)closedir(d);
	return n;
}
