/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_mark - what a file looked like, to see that it changed: also by a link that points elsewhere now, as a kubelet
 * swaps mounted files.
 */
#ifndef COMMON_IDENTITY_FILE_MARK_H
#define COMMON_IDENTITY_FILE_MARK_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

/* All zero when it is not there. */
struct file_mark {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime, ctime;
};

struct file_mark file_mark_of(const char *path);
bool file_mark_eq(const struct file_mark *a, const struct file_mark *b);

#endif
