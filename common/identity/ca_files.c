/* SPDX-License-Identifier: Apache-2.0 */
#include "common/identity/ca_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/tls/spiffe_msg.h"

enum { FILES = CA_MARKS }; /* chain, key, roots */

struct ca_files {
	struct ca_client client;
	char *dir;           /* or NULL */
	char *single[FILES]; /* when dir is NULL */
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
	char path[CA_PATH_MAX];
	enum err e = ERR_OK;

	for (unsigned int i = 0; i < FILES && e == ERR_OK; i++) {
		e = path_of(ca, r->identity, i, path);
		if (e != ERR_OK) {
			(void)snprintf(r->why, sizeof(r->why),
			               "no file can belong to this identity");
			break;
		}
		/* before reading: a change in between is seen later */
		r->marks[i] = file_mark_of(path);
		e = read_file(path, to[i], r->why, sizeof(r->why));
	}
	r->marked = true;
	ca_request_finish(client, r, e == ERR_OK ? ERR_OK : ERR_IDENTITY);
}

static void files_cancel(struct ca_client *client, struct ca_request *r)
{
	(void)client;
	r->err = ERR_CANCELLED; /* it was posted already */
}

static bool files_changed(struct ca_client *client, const struct ca_request *last)
{
	struct ca_files *ca = container_of(client, struct ca_files, client);
	char path[CA_PATH_MAX];

	for (unsigned int i = 0; i < FILES; i++) {
		struct file_mark now;

		if (path_of(ca, last->identity, i, path) != ERR_OK)
			return false;
		now = file_mark_of(path);
		if (!file_mark_eq(&now, &last->marks[i]))
			return true;
	}
	return false;
}

static void files_free(struct ca_client *client)
{
	struct ca_files *ca = container_of(client, struct ca_files, client);

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

	if (opt->dir != NULL ? !none : !all) {
		(void)snprintf(why, why_len,
		               "certificate files: name either one directory, or a chain, a "
		               "key and a root file");
		return ERR_CONFIG;
	}
	ca = mem_new(sizeof(*ca));
	ca->client = (struct ca_client){.ops = &files_ops, .loop = loop};
	if (opt->dir != NULL)
		ca->dir = mem_str(span_str(opt->dir));
	for (unsigned int i = 0; i < FILES && all; i++)
		ca->single[i] = mem_str(span_str(single[i]));
	*ret_ca = &ca->client;
	return ERR_OK;
}
