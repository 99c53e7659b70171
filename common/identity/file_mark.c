/* SPDX-License-Identifier: Apache-2.0 */
#include "common/identity/file_mark.h"

struct file_mark file_mark_of(const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return (struct file_mark){0};
	return (struct file_mark){
		.dev = st.st_dev,
		.ino = st.st_ino,
		.size = st.st_size,
		.mtime = st.st_mtim,
		.ctime = st.st_ctim,
	};
}

bool file_mark_eq(const struct file_mark *a, const struct file_mark *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	       a->mtime.tv_sec == b->mtime.tv_sec && a->mtime.tv_nsec == b->mtime.tv_nsec &&
	       a->ctime.tv_sec == b->ctime.tv_sec && a->ctime.tv_nsec == b->ctime.tv_nsec;
}
