/* SPDX-License-Identifier: Apache-2.0 */
#include "ztunnel/capture/capture_link.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

_Static_assert(sizeof(struct program_tag) == BPF_TAG_SIZE, "a tag is a tag");

/* 0 or -errno. */
static int tag_of(int prog_fd, struct program_tag *ret_tag)
{
	struct bpf_prog_info prog = {0};
	uint32_t len = sizeof(prog);

	if (bpf_obj_get_info_by_fd(prog_fd, &prog, &len) != 0)
		return -errno;
	memcpy(ret_tag->bytes, prog.tag, sizeof(ret_tag->bytes));
	return 0;
}

enum err link_program_tag(int prog_fd, struct program_tag *ret_tag, char why[WHY_MAX])
{
	int res = tag_of(prog_fd, ret_tag);

	if (res != 0)
		return why_not(why, ERR_SYSTEM, "cannot read a program's tag: %s", strerror(-res));
	return ERR_OK;
}

static enum link_state look_at(int link_fd, const struct program_tag *tag)
{
	struct bpf_link_info link = {0};
	uint32_t len = sizeof(link);
	struct program_tag running;
	int prog_fd, res;

	if (bpf_obj_get_info_by_fd(link_fd, &link, &len) != 0)
		return LINK_DEAD;
	if (link.type == BPF_LINK_TYPE_NETNS && link.netns.netns_ino == 0)
		return LINK_DEAD;
	if (tag == NULL)
		return LINK_CURRENT;
	prog_fd = bpf_prog_get_fd_by_id(link.prog_id);
	if (prog_fd < 0)
		return LINK_OLD;
	res = tag_of(prog_fd, &running);
	(void)close(prog_fd);
	return res == 0 && memcmp(&running, tag, sizeof(running)) == 0 ? LINK_CURRENT : LINK_OLD;
}

enum link_state link_look(const char *path, const struct program_tag *tag)
{
	int fd = bpf_obj_get(path);
	enum link_state state;

	if (fd < 0)
		return LINK_ABSENT;
	state = look_at(fd, tag);
	(void)close(fd);
	return state;
}

/* By the bare system call: libbpf 1.1 knows neither tcx nor links by device. */
static int create(int prog_fd, const struct link_target *target)
{
	union bpf_attr attr;
	long fd;

	memset(&attr, 0, sizeof(attr));
	attr.link_create.prog_fd = (uint32_t)prog_fd;
	if (target->ifindex != 0)
		attr.link_create.target_ifindex = target->ifindex;
	else
		attr.link_create.target_fd = (uint32_t)target->fd;
	attr.link_create.attach_type = (uint32_t)target->attach_type;
	fd = syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));
	return fd >= 0 ? (int)fd : -errno;
}

int link_put(const char *path, int prog_fd, const struct link_target *target)
{
	int fd = bpf_obj_get(path);
	int res = 0;

	if (fd >= 0 && look_at(fd, NULL) == LINK_DEAD) {
		(void)close(fd);
		link_drop(path);
		fd = -1;
	}
	if (fd >= 0) {
		if (bpf_link_update(fd, prog_fd, NULL) != 0)
			res = -errno;
		(void)close(fd);
		return res;
	}
	fd = create(prog_fd, target);
	if (fd < 0)
		return fd;
	if (bpf_obj_pin(fd, path) != 0)
		res = -errno;
	(void)close(fd);
	return res;
}

void link_drop(const char *path)
{
	int fd = bpf_obj_get(path);

	if (fd >= 0) {
		(void)bpf_link_detach(fd);
		(void)close(fd);
	}
	(void)unlink(path);
}
