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

struct ca_dev {
	struct ca_client client;
	struct tls_key *key;
	struct buf root_der;
	struct x509_facts root; /* views into root_der */
	struct buf root_pem;
};

static void make_serial(uint8_t serial[SERIAL_LEN])
{
	rand_system_bytes(serial, SERIAL_LEN);
	serial[0] = (uint8_t)((serial[0] & 0x7f) | 0x40); /* positive, and of one length */
}

/* A new key and its self-signed certificate as PEM. */
static enum err make_root(struct buf *out)
{
	uint8_t serial[SERIAL_LEN];
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

static enum err parse_file(struct ca_dev *ca, struct span text)
{
	enum err e = tls_key_parse(text, &ca->key);
	struct buf spki;

	while (e == ERR_OK) {
		struct pem_block block;

		e = pem_next(&text, &block);
		if (e != ERR_OK || !span_eq_str(block.label, "CERTIFICATE"))
			continue;
		e = pem_decode(&block, &ca->root_der);
		break;
	}
	if (e == ERR_OK)
		e = x509_parse(buf_span(&ca->root_der), &ca->root);
	if (e != ERR_OK)
		return ERR_PARSE;
	buf_init(&spki, X509_DER_MAX);
	e = tls_key_put_spki(ca->key, &spki);
	if (e == ERR_OK && (!span_eq(buf_span(&spki), ca->root.spki) || !ca->root.is_ca))
		e = ERR_PARSE;
	buf_fini(&spki);
	pem_put(&ca->root_pem, "CERTIFICATE", buf_span(&ca->root_der));
	return e == ERR_OK ? buf_status(&ca->root_pem) : e;
}

static enum err open_file(struct ca_dev *ca, const char *path, char *why, size_t why_len)
{
	struct buf text;
	enum err e;

	buf_init(&text, FILE_MAX + 1024);
	e = read_file(path, &text, why, why_len);
	if (e == ERR_EOF) {
		e = create_file(path, why, why_len);
		if (e == ERR_OK)
			e = read_file(path, &text, why, why_len);
		if (e == ERR_EOF)
			e = ERR_SYSTEM;
	}
	if (e == ERR_OK && parse_file(ca, buf_span(&text)) != ERR_OK) {
		(void)snprintf(why, why_len,
		               "%s: not a development CA (a P-256 key and its own CA certificate); "
		               "remove it to have a new one made",
		               path);
		e = ERR_CONFIG;
	}
	buf_wipe_fini(&text);
	return e;
}

/* Into the past, but not far for a short life: half of it would be over before it begins. */
static int64_t backdate_s(uint64_t ttl_s)
{
	return ttl_s / 10 < SKEW_S ? (int64_t)(ttl_s / 10) : SKEW_S;
}

/* What a CA does with a request. */
static enum err sign(struct ca_dev *ca, struct span csr_pem, uint64_t ttl_s, struct buf *chain_pem)
{
	uint8_t serial[SERIAL_LEN];
	const int64_t now = clock_wall_s();
	struct x509_spec spec = {
		.serial = span_of(serial, sizeof(serial)),
		.issuer = ca->root.subject,
		.not_before = now - backdate_s(ttl_s),
		.not_after = now + (int64_t)ttl_s,
		.ext_server = true,
		.ext_client = true,
		.uri_count = 1,
	};
	struct buf csr, name, der;
	struct span identity;
	enum err e;

	make_serial(serial);
	if (spec.not_after > ca->root.not_after)
		spec.not_after = ca->root.not_after;
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
		e = tls_key_issue(ca->key, &spec, &der);
	if (e == ERR_OK) {
		pem_put(chain_pem, "CERTIFICATE", buf_span(&der));
		e = buf_status(chain_pem);
	}
	buf_fini(&csr);
	buf_fini(&name);
	buf_fini(&der);
	return e;
}

static void dev_fetch(struct ca_client *client, struct ca_request *r)
{
	struct ca_dev *ca = container_of(client, struct ca_dev, client);
	struct buf csr;
	enum err e;

	buf_init(&csr, CA_CHAIN_MAX);
	e = tls_csr_new(r->identity, &r->key_pem, &csr);
	if (e == ERR_OK)
		e = sign(ca, buf_span(&csr), r->ttl_s, &r->chain_pem);
	if (e == ERR_OK) {
		buf_put(&r->roots_pem, buf_span(&ca->root_pem));
		e = buf_status(&r->roots_pem);
	}
	buf_fini(&csr);
	if (e != ERR_OK)
		(void)snprintf(r->why, sizeof(r->why), "the development CA cannot sign: %s",
		               err_info(e)->words);
	ca_request_finish(client, r, e == ERR_OK ? ERR_OK : ERR_CA);
}

static void dev_cancel(struct ca_client *client, struct ca_request *r)
{
	(void)client;
	r->err = ERR_CANCELLED; /* it was posted already */
}

static void dev_free(struct ca_client *client)
{
	struct ca_dev *ca = container_of(client, struct ca_dev, client);

	tls_key_free(ca->key);
	buf_fini(&ca->root_der);
	buf_fini(&ca->root_pem);
	free(ca);
}

static const struct ca_client_ops dev_ops = {
	.name = "dev",
	.fetch = dev_fetch,
	.cancel = dev_cancel,
	.free = dev_free,
};

enum err ca_dev_new(struct loop *loop, const char *path, struct ca_client **ret_ca, char *why,
                    size_t why_len)
{
	struct ca_dev *ca = mem_new(sizeof(*ca));
	enum err e;

	ca->client = (struct ca_client){.ops = &dev_ops, .loop = loop};
	buf_init(&ca->root_der, X509_DER_MAX);
	buf_init(&ca->root_pem, CA_ROOTS_MAX);
	e = open_file(ca, path, why, why_len);
	if (e != ERR_OK) {
		dev_free(&ca->client);
		return e;
	}
	*ret_ca = &ca->client;
	return ERR_OK;
}
