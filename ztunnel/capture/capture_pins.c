/* SPDX-License-Identifier: Apache-2.0 */
#include "ztunnel/capture/capture_pins.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "common/base/check.h"

#define BPFFS_DIR "/sys/fs/bpf"

static bool is_bpffs(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && (unsigned long)fs.f_type == BPF_FS_MAGIC;
}

/* mkdir -p of all before the last slash, or of everything. 0 or -errno. */
static int make_dirs(const char *path, bool with_last)
{
	char part[PIN_PATH_MAX];
	size_t len = strlen(path);

	for (size_t i = 1; i <= len; i++) {
		if (path[i] != '/' && !(path[i] == '\0' && with_last))
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (mkdir(part, 0700) != 0 && errno != EEXIST)
			return -errno;
	}
	return 0;
}

static enum err mount_bpffs(const char *where, char why[WHY_MAX])
{
	/* two ztunnels may start at once; mounted twice, the first one's pins would be hidden */
	int lock = open("/proc/sys/fs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum err e = ERR_OK;

	if (lock >= 0)
		(void)flock(lock, LOCK_EX);
	if (!is_bpffs(where) && mount("bpffs", where, "bpf", 0, "mode=0700") != 0)
		e = why_not(why, ERR_SYSTEM,
		            "cannot mount a bpffs on %s: %s (mount the host's bpffs there)", where,
		            strerror(errno));
	if (lock >= 0)
		(void)close(lock);
	return e;
}

enum err pins_prepare(const char *root, char why[WHY_MAX])
{
	bool under_sys = strncmp(root, BPFFS_DIR "/", strlen(BPFFS_DIR "/")) == 0;
	char pods[PIN_PATH_MAX];
	enum err e = ERR_OK;
	int res;

	if (root[0] != '/' || strlen(root) > PIN_ROOT_MAX)
		return why_not(why, ERR_CONFIG,
		               "pin root \"%.80s\" must be an absolute path of at most %d octets",
		               root, (int)PIN_ROOT_MAX);
	if (under_sys)
		e = mount_bpffs(BPFFS_DIR, why);
	res = e == ERR_OK ? make_dirs(root, true) : 0;
	if (e == ERR_OK && res == 0 && !is_bpffs(root))
		e = mount_bpffs(root, why);
	if (e != ERR_OK)
		return e;
	if (res == 0)
		res = make_dirs(pins_path(root, "pods", pods), true);
	if (res != 0)
		return why_not(why, ERR_SYSTEM, "cannot make the pin root %s: %s", root,
		               strerror(-res));
	return ERR_OK;
}

const char *pins_path(const char *root, const char *name, char path[PIN_PATH_MAX])
{
	int n = snprintf(path, PIN_PATH_MAX, "%s/%s", root, name);

	CHECK(n > 0 && n < PIN_PATH_MAX);
	return path;
}

const char *pins_pod_path(const char *root, uint64_t cookie, const char *name,
                          char path[PIN_PATH_MAX])
{
	int n = snprintf(path, PIN_PATH_MAX, "%s/pods/%016" PRIx64 "%s%s", root, cookie,
	                 name == NULL ? "" : "/", name == NULL ? "" : name);

	CHECK(n > 0 && n < PIN_PATH_MAX);
	return path;
}

bool pins_cookie_of(const char *entry, uint64_t *ret_cookie)
{
	char *end;
	unsigned long long cookie;

	if (strlen(entry) != 16)
		return false;
	cookie = strtoull(entry, &end, 16);
	if (*end != '\0')
		return false;
	*ret_cookie = cookie;
	return true;
}

enum err pins_remove_pod(const char *root, uint64_t cookie, char why[WHY_MAX])
{
	char dir[PIN_PATH_MAX];
	DIR *d = opendir(pins_pod_path(root, cookie, NULL, dir));

	if (d == NULL)
		return errno == ENOENT ? ERR_OK
		                       : why_not(why, ERR_SYSTEM, "cannot open %s: %s", dir,
		                                 strerror(errno));
	for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
		if (e->d_name[0] != '.')
			(void)unlinkat(dirfd(d), e->d_name, 0);
	}
	(void)closedir(d);
	if (rmdir(dir) != 0 && errno != ENOENT)
		return why_not(why, ERR_SYSTEM, "cannot remove %s: %s", dir, strerror(errno));
	return ERR_OK;
}

/*
 * The mount point of a cgroup v2 whose root is visible, of a line of mountinfo (proc_pid_mountinfo(5)): "36 35 98:0 root
 * point options ... - type source options". Points into line.
 */
static const char *mountinfo_cgroup2(char *line)
{
	bool is_cgroup2 = strstr(line, " - cgroup2 ") != NULL;
	char *rest = line;
	char *word[5] = {NULL};

	for (size_t i = 0; i < ARRAY_LEN(word); i++)
		word[i] = strsep(&rest, " ");
	if (!is_cgroup2 || word[4] == NULL || strcmp(word[3], "/") != 0)
		return NULL;
	return word[4];
}

static int cgroup_root_mounted(void)
{
	char line[2048];
	FILE *f = fopen("/proc/self/mountinfo", "re");
	int fd = -ENOENT;

	if (f == NULL)
		return -errno;
	while (fd < 0 && fgets(line, sizeof(line), f) != NULL) {
		const char *path = mountinfo_cgroup2(line);

		if (path != NULL)
			fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	(void)fclose(f);
	return fd;
}

/* A mount nobody sees: it lives as long as its descriptor. */
static int cgroup_root_private(void)
{
	int fs = fsopen("cgroup2", FSOPEN_CLOEXEC);
	int fd = -1;

	if (fs < 0)
		return -errno;
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
		fd = fsmount(fs, FSMOUNT_CLOEXEC, 0);
	if (fd < 0)
		fd = -errno;
	(void)close(fs);
	return fd;
}

enum err cgroup_root_open(const char *path, int *ret_fd, char why[WHY_MAX])
{
	int fd;

	if (path != NULL) {
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			return why_not(why, ERR_CONFIG, "cannot open the cgroup v2 root %s: %s",
			               path, strerror(errno));
		*ret_fd = fd;
		return ERR_OK;
	}
	fd = cgroup_root_mounted();
	if (fd < 0)
		fd = cgroup_root_private();
	if (fd < 0)
		return why_not(why, ERR_SYSTEM,
		               "no cgroup v2 is mounted and none can be: %s (mount the host's)",
		               strerror(-fd));
	*ret_fd = fd;
	return ERR_OK;
}
