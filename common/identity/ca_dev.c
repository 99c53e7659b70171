/* SPDX-License-Identifier: Apache-2.0 */
#include "common/identity/ca_dev.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/tls/pem_msg.h"
#include "common/tls/tls_csr.h"
#include "common/tls/tls_key.h"
#include "common/tls/x509_msg.h"

enum {
	FILE_MAX = 16 * 1024,
	SERIAL_LEN = 16,
	ROOT_LIFE_S = 10 * 365 * 86400,
	SKEW_S = 120, /* the clocks of a lab's nodes may differ by this */
};

/* What the file holds. */
struct authority {
	struct tls_key *key;
	struct buf root_der;
	struct x509_facts root; /* views into root_der */
	uint8_t key_id[X509_KEY_ID_LEN];
	struct buf roots_pem; /* the root, and whatever other ones the file has behind it */
};

struct ca_dev {
	struct ca_client client;
	char *path;
	struct authority *authority;
	struct file_mark mark; /* of the file when it was read */
};

static void authority_free(struct authority *a)
{
	if (a == NULL)
		return;
	tls_key_free(a->key);
	buf_fini(&a->root_der);
	buf_fini(&a->roots_pem);
	free(a);
}

static void make_serial(uint8_t serial[SERIAL_LEN])
{
	rand_system_bytes(serial, SERIAL_LEN);
	serial[0] = (uint8_t)((serial[0] & 0x7f) | 0x40); /* positive, and of one length */
}

/* A new key and its self-signed certificate as PEM. */
static enum err make_root(struct buf *out)
{
	uint8_t serial[SERIAL_LEN], key_id[X509_KEY_ID_LEN];
	struct x509_spec spec = {
		.serial = span_of(serial, sizeof(serial)),
		.not_before = clock_wall_s() - SKEW_S,
		.not_after = clock_wall_s() + ROOT_LIFE_S,
		.is_ca = true,
	};
	struct buf name, spki, der;
	struct tls_key *key;
	enum err e = tls_key_new(&key);

	if (e != ERR_OK)
		return e;
	make_serial(serial);
	buf_init(&name, X509_DER_MAX);
	buf_init(&spki, X509_DER_MAX);
	buf_init(&der, X509_DER_MAX);
	x509_put_name(&name, "Culvert", "insecure development CA");
	e = tls_key_put_spki(key, &spki);
	if (e == ERR_OK)
		e = buf_status(&name);
	spec.issuer = buf_span(&name);
	spec.subject = buf_span(&name);
	spec.spki = buf_span(&spki);
	if (e == ERR_OK)
		e = x509_key_id(spec.spki, key_id);
	spec.key_id = span_of(key_id, sizeof(key_id));
	if (e == ERR_OK)
		e = tls_key_issue(key, &spec, &der);
	if (e == ERR_OK)
		e = tls_key_put_pem(key, out);
	if (e == ERR_OK) {
		pem_put(out, "CERTIFICATE", buf_span(&der));
		e = buf_status(out);
	}
	tls_key_free(key);
	buf_fini(&name);
	buf_fini(&spki);
	buf_fini(&der);
	return e;
}

static bool write_all(int fd, struct span s)
{
	while (s.n > 0) {
		ssize_t n = write(fd, s.p, s.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		s = span_of(s.p + n, s.n - (size_t)n);
	}
	return true;
}

/*
 * Make the file unless somebody else did: written whole under another name, then linked, which only one of
 * several nodes can do.
 */
static enum err create_file(const char *path, char *why, size_t why_len)
{
	char temp[CA_PATH_MAX];
	uint64_t nonce;
	struct buf pem;
	enum err e;
	int fd;

	rand_system_bytes(&nonce, sizeof(nonce));
	if ((size_t)snprintf(temp, sizeof(temp), "%s.%016llx", path, (unsigned long long)nonce) >=
	    sizeof(temp)) {
		(void)snprintf(why, why_len, "%s: the path is too long", path);
		return ERR_CONFIG;
	}
	buf_init(&pem, FILE_MAX);
	e = make_root(&pem);
	fd = e == ERR_OK ? open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600)
	                 : -1;
	if (fd >= 0) {
		if (!write_all(fd, buf_span(&pem)) || fsync(fd) != 0 ||
		    (link(temp, path) != 0 && errno != EEXIST))
			e = ERR_SYSTEM;
		(void)close(fd);
		(void)unlink(temp);
	} else if (e == ERR_OK) {
		e = ERR_SYSTEM;
	}
	if (e != ERR_OK)
		(void)snprintf(why, why_len, "%s: cannot make the development CA: %s", path,
		               e == ERR_SYSTEM ? strerror(errno) : err_info(e)->words);
	buf_wipe_fini(&pem);
	return e;
}

/* Errs: ERR_EOF when there is no such file. */
static enum err read_file(const char *path, struct buf *out, char *why, size_t why_len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	enum err e = ERR_OK;
	struct stat st;

	if (fd < 0) {
		(void)snprintf(why, why_len, "%s: %s", path, strerror(errno));
		return errno == ENOENT ? ERR_EOF : ERR_SYSTEM;
	}
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_MAX) {
		(void)snprintf(why, why_len, "%s: not a file of at most %d octets", path, FILE_MAX);
		e = ERR_CONFIG;
	} else if ((st.st_mode & 077) != 0 || (st.st_uid != geteuid() && st.st_uid != 0)) {
		(void)snprintf(why, why_len,
		               "%s: others may read this key; remove it, or chown and chmod 600 it",
		               path);
		e = ERR_CONFIG;
	}
	while (e == ERR_OK) {
		uint8_t *p = buf_reserve(out, 1024);
		ssize_t n = p == NULL ? -1 : read(fd, p, 1024);

		if (n <= 0) {
			if (n < 0)
				e = ERR_SYSTEM;
			break;
		}
		buf_added(out, (size_t)n);
	}
	if (e == ERR_SYSTEM)
		(void)snprintf(why, why_len, "%s: cannot be read", path);
	(void)close(fd);
	return e;
}

/* Every certificate of the file is a root to trust; the first is the key's own. */
static enum err read_roots(struct authority *a, struct span text)
{
	struct pem_block block;
	struct buf der;
	enum err e;

	for (;;) {
		e = pem_next(&text, &block);
		if (e == ERR_EOF)
			break;
		if (e != ERR_OK)
			return e;
		if (!span_eq_str(block.label, "CERTIFICATE"))
			continue;
		buf_init(&der, X509_DER_MAX);
		e = pem_decode(&block, &der);
		pem_put(&a->roots_pem, "CERTIFICATE", buf_span(&der));
		if (e == ERR_OK && a->root_der.n == 0)
			buf_put(&a->root_der, buf_span(&der));
		buf_fini(&der);
		if (e != ERR_OK)
			return e;
	}
	return a->root_der.n == 0 ? ERR_PARSE : buf_status(&a->roots_pem);
}

static enum err parse_file(struct authority *a, struct span text)
{
	enum err e = tls_key_parse(text, &a->key);
	struct buf spki;

	if (e == ERR_OK)
		e = read_roots(a, text);
	if (e == ERR_OK)
		e = x509_parse(buf_span(&a->root_der), &a->root);
	if (e != ERR_OK)
		return ERR_PARSE;
	buf_init(&spki, X509_DER_MAX);
	e = tls_key_put_spki(a->key, &spki);
	if (e == ERR_OK && (!span_eq(buf_span(&spki), a->root.spki) || !a->root.is_ca))
		e = ERR_PARSE;
	buf_fini(&spki);
	return e == ERR_OK ? x509_key_id(a->root.spki, a->key_id) : e;
}

/* Read the file, made when there is none and make is true. */
static enum err open_file(const char *path, bool make, struct authority **ret, char *why,
                          size_t why_len)
{
	struct authority *a = mem_new(sizeof(*a));
	struct buf text;
	enum err e;

	buf_init(&a->root_der, X509_DER_MAX);
	buf_init(&a->roots_pem, CA_ROOTS_MAX);
	buf_init(&text, FILE_MAX + 1024);
	e = read_file(path, &text, why, why_len);
	if (e == ERR_EOF && make) {
		e = create_file(path, why, why_len);
		if (e == ERR_OK)
			e = read_file(path, &text, why, why_len);
	}
	if (e == ERR_EOF)
		e = ERR_SYSTEM;
	if (e == ERR_OK && parse_file(a, buf_span(&text)) != ERR_OK) {
		(void)snprintf(why, why_len,
		               "%s: not a development CA (a P-256 key and its own CA certificate); "
		               "remove it to have a new one made",
		               path);
		e = ERR_CONFIG;
	}
	buf_wipe_fini(&text);
	if (e == ERR_OK)
		*ret = a;
	else
		authority_free(a);
	return e;
}

/* Into the past, but not far for a short life: half of it would be over before it begins. */
static int64_t backdate_s(uint64_t ttl_s)
{
	return ttl_s / 10 < SKEW_S ? (int64_t)(ttl_s / 10) : SKEW_S;
}

/* What a CA does with a request. */
static enum err sign(struct authority *a, struct span csr_pem, uint64_t ttl_s,
                     struct buf *chain_pem)
{
	uint8_t serial[SERIAL_LEN];
	const int64_t now = clock_wall_s();
	struct x509_spec spec = {
		.serial = span_of(serial, sizeof(serial)),
		.issuer = a->root.subject,
		.not_before = now - backdate_s(ttl_s),
		.not_after = now + (int64_t)ttl_s,
		.ext_server = true,
		.ext_client = true,
		.uri_count = 1,
		.issuer_key_id = span_of(a->key_id, sizeof(a->key_id)),
	};
	struct buf csr, name, der;
	struct span identity;
	enum err e;

	make_serial(serial);
	if (a->root.has_key_id)
		spec.issuer_key_id = a->root.key_id;
	if (spec.not_after > a->root.not_after)
		spec.not_after = a->root.not_after;
	buf_init(&csr, X509_DER_MAX);
	buf_init(&name, X509_DER_MAX);
	buf_init(&der, X509_DER_MAX);
	e = tls_csr_read(csr_pem, &csr, &spec.spki, &identity);
	x509_put_name(&name, NULL, NULL);
	if (e == ERR_OK)
		e = buf_status(&name);
	spec.subject = buf_span(&name);
	spec.uris = &identity;
	if (e == ERR_OK)
		e = tls_key_issue(a->key, &spec, &der);
	if (e == ERR_OK) {
		pem_put(chain_pem, "CERTIFICATE", buf_span(&der));
		e = buf_status(chain_pem);
	}
	buf_fini(&csr);
	buf_fini(&name);
	buf_fini(&der);
	return e;
}

/* A file that is gone has not changed: what was read serves on. */
static bool has_changed(const struct ca_dev *ca, const struct file_mark *since)
{
	const struct file_mark now = file_mark_of(ca->path);

	return now.ino != 0 && !file_mark_eq(&now, since);
}

/* The file changed, as in the rotation of a root: use what it holds now. What cannot be used is an error. */
static enum err look_again(struct ca_dev *ca, char *why, size_t why_len)
{
	const struct file_mark now = file_mark_of(ca->path);
	struct authority *fresh = NULL;
	enum err e;

	if (!has_changed(ca, &ca->mark))
		return ERR_OK;
	e = open_file(ca->path, false, &fresh, why, why_len);
	if (e != ERR_OK)
		return e;
	authority_free(ca->authority);
	ca->authority = fresh;
	ca->mark = now;
	return ERR_OK;
}

static void dev_fetch(struct ca_client *client, struct ca_request *r)
{
	struct ca_dev *ca = container_of(client, struct ca_dev, client);
	struct buf csr;
	enum err e;

	buf_init(&csr, CA_CHAIN_MAX);
	r->marks[0] = file_mark_of(ca->path);
	r->marked = true;
	e = look_again(ca, r->why, sizeof(r->why));
	if (e == ERR_OK)
		e = tls_csr_new(r->identity, &r->key_pem, &csr);
	if (e == ERR_OK)
		e = sign(ca->authority, buf_span(&csr), r->ttl_s, &r->chain_pem);
	if (e == ERR_OK) {
		buf_put(&r->roots_pem, buf_span(&ca->authority->roots_pem));
		e = buf_status(&r->roots_pem);
	}
	buf_fini(&csr);
	if (e != ERR_OK && r->why[0] == '\0')
		(void)snprintf(r->why, sizeof(r->why), "the development CA cannot sign: %s",
		               err_info(e)->words);
	ca_request_finish(client, r, e == ERR_OK ? ERR_OK : ERR_CA);
}

static bool dev_changed(struct ca_client *client, const struct ca_request *last)
{
	return has_changed(container_of(client, struct ca_dev, client), &last->marks[0]);
}

static void dev_cancel(struct ca_client *client, struct ca_request *r)
{
	(void)client;
	r->err = ERR_CANCELLED; /* it was posted already */
}

static void dev_free(struct ca_client *client)
{
	struct ca_dev *ca = container_of(client, struct ca_dev, client);

	authority_free(ca->authority);
	free(ca->path);
	free(ca);
}

static const struct ca_client_ops dev_ops = {
	.name = "dev",
	.fetch = dev_fetch,
	.cancel = dev_cancel,
	.changed = dev_changed,
	.free = dev_free,
};

enum err ca_dev_new(struct loop *loop, const char *path, struct ca_client **ret_ca, char *why,
                    size_t why_len)
{
	struct ca_dev *ca = mem_new(sizeof(*ca));
	enum err e;

	ca->client = (struct ca_client){.ops = &dev_ops, .loop = loop};
	ca->path = mem_str(span_str(path));
	ca->mark = file_mark_of(path);
	e = open_file(path, true, &ca->authority, why, why_len);
	if (e != ERR_OK) {
		dev_free(&ca->client);
		return e;
	}
	*ret_ca = &ca->client;
	return ERR_OK;
}
