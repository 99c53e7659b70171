/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crl_file - the file of revocation lists, read at the start and again when it changes: CRL_PATH. Control thread only;
 * what was read goes to a struct revocation, which sessions ask. Contract 4.7.
 *
 * The file is looked at twice a second and read when two looks in a row saw it the same. A file that cannot be used
 * leaves the lists that were read before in force, or none at the start; it is tried again when it changes, and every
 * half minute.
 */
#ifndef COMMON_IDENTITY_CRL_FILE_H
#define COMMON_IDENTITY_CRL_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/io/loop.h"
#include "common/tls/revocation.h"

enum {
	CRL_LOOK_MS = 500, /* a change is in force within two looks */
	CRL_RETRY_MS =
		30000,     /* of a file that could not be read: its mark need not change for that */
	CRL_WHY_MAX = 256, /* octets of a reason, with the NUL */
};

struct crl_file;

/* How an attempt to read ended. */
struct crl_news {
	enum err err;          /* ERR_EOF: there is no such file */
	const char *why;       /* when err: a sentence for people */
	bool in_force;         /* some lists were read, now or before */
	size_t lists, serials; /* when read */
	bool changed;          /* new lists are in force: live sessions are to be looked at again */
};

struct crl_file_owner {
	void (*news)(void *arg, const struct crl_news *news);
	void *arg;
};

/* Counts since the start, for metrics. */
struct crl_file_stats {
	uint64_t loaded, failed, forged;
	size_t lists, serials; /* in force */
	int64_t loaded_wall_s; /* when those were read; 0: never */
};

/* Reads at once: news() is called before it returns. path and revocation are borrowed and outlive it. */
struct crl_file *crl_file_new(struct loop *loop, const char *path, struct revocation *revocation,
                              const struct crl_file_owner *owner);
void crl_file_free(struct crl_file *f); /* NULL is allowed */
struct crl_file_stats crl_file_stats(const struct crl_file *f);

#endif
