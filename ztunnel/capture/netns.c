/* SPDX-License-Identifier: Apache-2.0 */
#include "ztunnel/capture/netns.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/check.h"

enum { PATH_LEN_MAX = 512 };

enum err netns_open(const char *spec, int *ret_fd, char why[WHY_MAX])
{
	char path[PATH_LEN_MAX];
	int n, fd;

	if (spec[0] == '/')
		n = snprintf(path, sizeof(path), "%s", spec);
	else
		n = snprintf(path, sizeof(path), "/run/netns/%s", spec);
	if (n < 0 || (size_t)n >= sizeof(path) || spec[0] == '\0')
		return why_not(why, ERR_CONFIG, "netns \"%.60s\": not a usable name", spec);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return why_not(why, ERR_CONFIG, "netns \"%s\": cannot open %s: %s", spec, path,
		               strerror(errno));
	if (ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET) {
		(void)close(fd);
		return why_not(why, ERR_CONFIG, "netns \"%s\": %s is not a network namespace", spec,
		               path);
	}
	*ret_fd = fd;
	return ERR_OK;
}

static bool is_at(const char *path, const struct netns_identity *id)
{
	struct stat st;

	return stat(path, &st) == 0 && st.st_dev == id->dev && st.st_ino == id->ino;
}

/* Look at dir/<entry><suffix> for every entry. */
static bool find_among(const char *dir, const char *suffix, const struct netns_identity *id,
                       char path[PATH_LEN_MAX])
{
	DIR *d = opendir(dir);
	bool found = false;

	if (d == NULL)
		return false;
	for (struct dirent *e = readdir(d); e != NULL && !found; e = readdir(d)) {
		int n;

		if (e->d_name[0] == '.')
			continue;
		n = snprintf(path, PATH_LEN_MAX, "%s/%s%s", dir, e->d_name, suffix);
		found = n > 0 && n < PATH_LEN_MAX && is_at(path, id);
	}
	(void)closedir(d);
	return found;
}

enum err netns_find(const struct netns_identity *id, int *ret_fd, char why[WHY_MAX])
{
	char path[PATH_LEN_MAX];

	if (!find_among("/run/netns", "", id, path) && !find_among("/proc", "/ns/net", id, path))
		return why_not(why, ERR_CONFIG, "no process and no name is left of netns %llu",
		               (unsigned long long)id->ino);
	return netns_open(path, ret_fd, why);
}

enum err netns_own(int *ret_fd, char why[WHY_MAX])
{
	int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return why_not(why, ERR_SYSTEM, "cannot open /proc/thread-self/ns/net: %s",
		               strerror(errno));
	*ret_fd = fd;
	return ERR_OK;
}

enum err netns_identify(int fd, struct netns_identity *ret_id, char why[WHY_MAX])
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return why_not(why, ERR_SYSTEM, "cannot stat a network namespace: %s",
		               strerror(errno));
	*ret_id = (struct netns_identity){.dev = st.st_dev, .ino = st.st_ino};
	return ERR_OK;
}

bool netns_same(const struct netns_identity *a, const struct netns_identity *b)
{
	return a->dev == b->dev && a->ino == b->ino;
}

int netns_enter(int fd)
{
	return setns(fd, CLONE_NEWNET) == 0 ? 0 : -errno;
}

void netns_leave(int home)
{
	CHECK(setns(home, CLONE_NEWNET) == 0);
}

enum err netns_visit(int home, int fd, netns_act_fn *act, void *arg, char why[WHY_MAX])
{
	int res = netns_enter(fd);
	enum err e;

	if (res < 0)
		return why_not(why, ERR_SYSTEM,
		               "cannot enter a network namespace: %s (CAP_SYS_ADMIN is needed)",
		               strerror(-res));
	e = act(arg, why);
	netns_leave(home);
	return e;
}

enum err netns_cookie_here(uint64_t *ret_cookie, char why[WHY_MAX])
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint64_t cookie;
	socklen_t len = sizeof(cookie);
	int res;

	if (fd < 0)
		return why_not(why, ERR_SYSTEM, "socket: %s", strerror(errno));
	res = getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len) == 0 ? 0 : -errno;
	(void)close(fd);
	if (res < 0)
		return why_not(why, ERR_SYSTEM, "SO_NETNS_COOKIE: %s (Linux 5.15 is needed)",
		               strerror(-res));
	*ret_cookie = cookie;
	return ERR_OK;
}
