/* SPDX-License-Identifier: Apache-2.0 */
#include "common/identity/ca_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/tls/spiffe_msg.h"

enum { FILES = 3 }; /* chain, key, roots */

/* What a file looked like; all zero when it is not there. */
struct mark {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime, ctime;
};

/* What an identity's files looked like when they were last read. */
struct seen {
	struct map_node node;
	char *identity;
	struct mark marks[FILES];
};

struct ca_files {
	struct ca_client client;
	char *dir;           /* or NULL */
	char *single[FILES]; /* when dir is NULL */
	struct map seen;
};

static const char *const names[FILES] = {"cert-chain.pem", "key.pem", "root-cert.pem"};

/* Errs: ERR_PARSE, ERR_LIMIT. */
static enum err path_of(const struct ca_files *ca, const char *identity, unsigned int i,
                        char path[CA_PATH_MAX])
{
	struct spiffe_id id;
	enum err e = spiffe_parse(span_str(identity), &id);
	int n;

	if (e != ERR_OK)
		return e;
	if (ca->dir == NULL)
		n = snprintf(path, CA_PATH_MAX, "%s", ca->single[i]);
	else
		n = snprintf(path, CA_PATH_MAX, "%s/%.*s/%.*s/%s", ca->dir, (int)id.namespace.n,
		             (const char *)id.namespace.p, (int)id.service_account.n,
		             (const char *)id.service_account.p, names[i]);
	return n >= 0 && n < CA_PATH_MAX ? ERR_OK : ERR_LIMIT;
}

static void mark_of(const char *path, struct mark *ret)
{
	struct stat st;

	memset(ret, 0, sizeof(*ret));
	if (stat(path, &st) != 0)
		return;
	ret->dev = st.st_dev;
	ret->ino = st.st_ino;
	ret->size = st.st_size;
	ret->mtime = st.st_mtim;
	ret->ctime = st.st_ctim;
}

static bool mark_eq(const struct mark *a, const struct mark *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	       a->mtime.tv_sec == b->mtime.tv_sec && a->mtime.tv_nsec == b->mtime.tv_nsec &&
	       a->ctime.tv_sec == b->ctime.tv_sec && a->ctime.tv_nsec == b->ctime.tv_nsec;
}

static struct seen *seen_of(struct ca_files *ca, const char *identity)
{
	struct map_node *node = map_get(&ca->seen, span_str(identity));
	struct seen *s;

	if (node != NULL)
		return map_entry(node, struct seen, node);
	s = mem_new(sizeof(*s));
	s->identity = mem_str(span_str(identity));
	(void)map_put(&ca->seen, &s->node, span_str(s->identity));
	return s;
}

static enum err read_file(const char *path, struct buf *out, char *why, size_t why_len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	enum err e = ERR_OK;
	ssize_t n = -1;

	if (fd < 0) {
		(void)snprintf(why, why_len, "%.120s: %s", path, strerror(errno));
		return ERR_IDENTITY;
	}
	do {
		uint8_t *p = buf_reserve(out, 4096);

		if (p == NULL) {
			(void)snprintf(why, why_len, "%.120s: longer than %zu octets", path,
			               out->max);
			e = ERR_IDENTITY;
			break;
		}
		n = read(fd, p, 4096);
		if (n > 0)
			buf_added(out, (size_t)n);
	} while (n > 0);
	if (e == ERR_OK && n < 0) {
		(void)snprintf(why, why_len, "%.120s: %s", path, strerror(errno));
		e = ERR_IDENTITY;
	}
	(void)close(fd);
	return e;
}

static void files_fetch(struct ca_client *client, struct ca_request *r)
{
	struct ca_files *ca = container_of(client, struct ca_files, client);
	struct buf *const to[FILES] = {&r->chain_pem, &r->key_pem, &r->roots_pem};
	struct seen *s = seen_of(ca, r->identity);
	char path[CA_PATH_MAX];
	enum err e = ERR_OK;

	for (unsigned int i = 0; i < FILES && e == ERR_OK; i++) {
		e = path_of(ca, r->identity, i, path);
		if (e != ERR_OK) {
			(void)snprintf(r->why, sizeof(r->why),
			               "no file can belong to this identity");
			break;
		}
		mark_of(path, &s->marks[i]); /* before reading: a change in between is seen later */
		e = read_file(path, to[i], r->why, sizeof(r->why));
	}
	ca_request_finish(client, r, e == ERR_OK ? ERR_OK : ERR_IDENTITY);
}

static void files_cancel(struct ca_client *client, struct ca_request *r)
{
	(void)client;
	r->err = ERR_CANCELLED; /* it was posted already */
}

static bool files_changed(struct ca_client *client, const char *identity)
{
	struct ca_files *ca = container_of(client, struct ca_files, client);
	struct map_node *node = map_get(&ca->seen, span_str(identity));
	const struct seen *s;
	char path[CA_PATH_MAX];
	struct mark now;

	if (node == NULL)
		return false;
	s = map_entry(node, struct seen, node);
	for (unsigned int i = 0; i < FILES; i++) {
		if (path_of(ca, identity, i, path) != ERR_OK)
			return false;
		mark_of(path, &now);
		if (!mark_eq(&now, &s->marks[i]))
			return true;
	}
	return false;
}

static void files_free(struct ca_client *client)
{
	struct ca_files *ca = container_of(client, struct ca_files, client);
	struct map_node *it = map_next(&ca->seen, NULL);

	while (it != NULL) {
		struct seen *s = map_entry(it, struct seen, node);

		it = map_next(&ca->seen, it);
		(void)map_remove(&ca->seen, span_str(s->identity));
		free(s->identity);
		free(s);
	}
	map_fini(&ca->seen);
	for (unsigned int i = 0; i < FILES; i++)
		free(ca->single[i]);
	free(ca->dir);
	free(ca);
}

static const struct ca_client_ops files_ops = {
	.name = "files",
	.fetch = files_fetch,
	.cancel = files_cancel,
	.changed = files_changed,
	.free = files_free,
};

enum err ca_files_new(struct loop *loop, const struct ca_files_options *opt,
                      struct ca_client **ret_ca, char *why, size_t why_len)
{
	const char *const single[FILES] = {opt->chain, opt->key, opt->roots};
	const bool all = opt->chain != NULL && opt->key != NULL && opt->roots != NULL;
	const bool none = opt->chain == NULL && opt->key == NULL && opt->roots == NULL;
	struct ca_files *ca;
	uint8_t seed[16];

	if (opt->dir != NULL ? !none : !all) {
		(void)snprintf(why, why_len,
		               "certificate files: name either one directory, or a chain, a "
		               "key and a root file");
		return ERR_CONFIG;
	}
	ca = mem_new(sizeof(*ca));
	ca->client = (struct ca_client){.ops = &files_ops, .loop = loop};
	rand_system_bytes(seed, sizeof(seed));
	map_init(&ca->seen, seed);
	if (opt->dir != NULL)
		ca->dir = mem_str(span_str(opt->dir));
	for (unsigned int i = 0; i < FILES && all; i++)
		ca->single[i] = mem_str(span_str(single[i]));
	*ret_ca = &ca->client;
	return ERR_OK;
}
