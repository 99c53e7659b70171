/* SPDX-License-Identifier: Apache-2.0 */
#include "common/daemon/mesh_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/daemon/proxy_config.h"

static int read_all(int fd, struct buf *text)
{
	enum { PART = 16 * 1024 };

	for (;;) {
		uint8_t *p = buf_reserve(text, PART);
		ssize_t n;

		if (p == NULL)
			return EFBIG;
		n = read(fd, p, PART);
		if (n == 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return errno;
		if (n > 0)
			buf_added(text, (size_t)n);
	}
}

enum err mesh_file_read(struct buf *text, struct buf *errors)
{
	int fd = open(MESH_FILE, O_RDONLY | O_CLOEXEC);
	int res;

	buf_init(text, PROXY_CONFIG_TEXT_MAX + 16 * 1024);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return ERR_OK;
	res = fd < 0 ? errno : read_all(fd, text);
	if (fd >= 0)
		(void)close(fd);
	if (res == 0)
		return ERR_OK;
	buf_printf(errors,
	           MESH_FILE ": cannot be read: %s: let this process read it, or start it in "
	                     "another working directory\n",
	           strerror(res));
	return ERR_CONFIG;
}
