/* SPDX-License-Identifier: Apache-2.0 */
#include "common/identity/crl_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/identity/file_mark.h"
#include "common/io/timer.h"

struct crl_file {
	struct loop *loop;
	const char *path;
	struct revocation *revocation;
	struct crl_file_owner owner;
	struct timer look;
	struct file_mark seen; /* at the last look */
	bool settled;          /* what was seen then has been read */
	enum err last;         /* of the last attempt */
	uint64_t retry_at_ms;
	struct crl_set *set; /* in force; NULL: none yet */
	struct crl_file_stats stats;
	char why[CRL_WHY_MAX];
};

static enum err fail(struct crl_file *f, enum err e, const char *what)
{
	(void)snprintf(f->why, sizeof(f->why), "%.160s: %s", f->path, what);
	return e;
}

/* Errs: ERR_EOF when there is no such file, ERR_SYSTEM, ERR_LIMIT. */
static enum err read_file(struct crl_file *f, struct buf *out)
{
	int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hold us */
	enum err e = ERR_OK;
	struct stat st;
	ssize_t n = 1;

	if (fd < 0)
		return fail(f, errno == ENOENT || errno == ENOTDIR ? ERR_EOF : ERR_SYSTEM,
		            strerror(errno));
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		e = fail(f, ERR_SYSTEM, "not a regular file");
	else if (st.st_size > CRL_FILE_MAX)
		e = fail(f, ERR_LIMIT, "longer than 16 MiB");
	while (e == ERR_OK && n > 0) {
		uint8_t *p = buf_reserve(out, 65536);

		if (p == NULL) {
			e = fail(f, ERR_LIMIT, "longer than 16 MiB");
			break;
		}
		n = read(fd, p, 65536);
		if (n > 0)
			buf_added(out, (size_t)n);
		else if (n < 0)
			e = fail(f, ERR_SYSTEM, strerror(errno));
	}
	(void)close(fd);
	return e;
}

static enum err load(struct crl_file *f, struct crl_set **ret_set)
{
	char why[CRL_WHY_MAX / 2] = "";
	struct buf text;
	enum err e;

	buf_init(&text, CRL_FILE_MAX + 65536);
	e = read_file(f, &text);
	if (e == ERR_OK) {
		e = crl_set_new(buf_span(&text), ret_set, why, sizeof(why));
		if (e != ERR_OK)
			(void)fail(f, e, why);
	}
	buf_fini(&text);
	return e;
}

static void publish(struct crl_file *f, struct crl_set *set)
{
	if (f->set != NULL)
		f->stats.forged += crl_set_forged(f->set);
	crl_set_unref(f->set);
	f->set = set;
	(void)snapshot_ref(crl_set_snapshot(set));
	revocation_publish(f->revocation, set);
	f->stats.loaded++;
	f->stats.lists = crl_set_lists(set);
	f->stats.serials = crl_set_serials(set);
	f->stats.loaded_wall_s = clock_wall_s();
}

/* Read it now, and say how that went. again: a retry, which is news only when it went otherwise than before. */
static void try_load(struct crl_file *f, bool again)
{
	struct crl_set *set = NULL;
	enum err before = f->last;
	struct crl_news news;

	f->why[0] = '\0';
	f->last = load(f, &set);
	f->retry_at_ms = loop_now_ms(f->loop) + CRL_RETRY_MS;
	if (f->last == ERR_OK)
		publish(f, set);
	else
		f->stats.failed++;
	if (again && f->last != ERR_OK && f->last == before)
		return;
	news = (struct crl_news){
		.err = f->last,
		.why = f->why,
		.in_force = f->set != NULL,
		.lists = f->stats.lists,
		.serials = f->stats.serials,
		.changed = f->last == ERR_OK,
	};
	f->owner.news(f->owner.arg, &news);
}

static void on_look(struct timer *t)
{
	struct crl_file *f = container_of(t, struct crl_file, look);
	const struct file_mark now = file_mark_of(f->path);

	if (!file_mark_eq(&now, &f->seen)) {
		f->seen = now;
		f->settled = false; /* it may still be being written */
	} else if (!f->settled) {
		f->settled = true;
		try_load(f, false);
	} else if (f->last != ERR_OK && loop_now_ms(f->loop) >= f->retry_at_ms) {
		try_load(f, true);
	}
	timer_arm(f->loop, t, CRL_LOOK_MS);
}

struct crl_file *crl_file_new(struct loop *loop, const char *path, struct revocation *revocation,
                              const struct crl_file_owner *owner)
{
	struct crl_file *f = mem_new(sizeof(*f));

	f->loop = loop;
	f->path = path;
	f->revocation = revocation;
	f->owner = *owner;
	f->seen = file_mark_of(path); /* before reading: a change in between is seen later */
	f->settled = true;
	timer_init(&f->look, on_look);
	timer_arm(loop, &f->look, CRL_LOOK_MS);
	try_load(f, false);
	return f;
}

void crl_file_free(struct crl_file *f)
{
	if (f == NULL)
		return;
	timer_disarm(&f->look);
	crl_set_unref(f->set);
	free(f);
}

struct crl_file_stats crl_file_stats(const struct crl_file *f)
{
	struct crl_file_stats s = f->stats;

	if (f->set != NULL)
		s.forged += crl_set_forged(f->set);
	return s;
}
