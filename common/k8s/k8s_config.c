/* SPDX-License-Identifier: Apache-2.0 */
#include "common/k8s/k8s_config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/str.h"

enum { READ_AT_ONCE = 4096, PORT_MAX = 65535, FILE_PATH_MAX = K8S_FOLDER_MAX + 16 };

static enum err fail(char *why, enum err e, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static enum err fail(char *why, enum err e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, K8S_CONFIG_WHY_MAX, fmt, ap);
	va_end(ap);
	return e;
}

/* What from says, else the environment, else "". */
static const char *choose(const char *said, const char *variable)
{
	const char *v = said && said[0] ? said : getenv(variable);

	return v ? v : "";
}

/* --- files ------------------------------------------------------------------------------------------ */

static enum err read_open(int fd, const char *path, size_t max, struct buf *out, char *why)
{
	size_t before = out->n;
	struct stat st;
	ssize_t n = 1;

	/* a FIFO or a device would never end */
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return fail(why, ERR_SYSTEM, "%s: not a regular file", path);
	while (n > 0) {
		uint8_t *p = buf_reserve(out, READ_AT_ONCE);

		if (p == NULL)
			return fail(why, ERR_LIMIT, "%s: longer than %zu octets", path, max);
		n = read(fd, p, READ_AT_ONCE);
		if (n < 0)
			return fail(why, ERR_SYSTEM, "%s: %s", path, strerror(errno));
		buf_added(out, (size_t)n);
		if (out->n - before > max)
			return fail(why, ERR_LIMIT, "%s: longer than %zu octets", path, max);
	}
	return ERR_OK;
}

/* Append a file of the folder, max octets at most. Errs: ERR_EOF when it is not there. */
static enum err read_file(const struct k8s_config *c, const char *name, size_t max, struct buf *out,
                          char *why)
{
	char path[FILE_PATH_MAX];
	enum err e;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", c->folder, name);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return fail(why, errno == ENOENT || errno == ENOTDIR ? ERR_EOF : ERR_SYSTEM,
		            "%s: %s", path, strerror(errno));
	e = read_open(fd, path, max, out, why);
	(void)close(fd);
	return e;
}

static struct span trim(struct span s)
{
	while (s.n > 0 && strchr(" \t\r\n", s.p[s.n - 1]) && s.p[s.n - 1])
		s.n--;
	while (s.n > 0 && strchr(" \t\r\n", s.p[0]) && s.p[0])
		s = span_of(s.p + 1, s.n - 1);
	return s;
}

/* RFC 6750 2.1 has fewer; what matters is that none ends or breaks the field. */
static bool fit_for_a_head(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] <= ' ' || s.p[i] > '~')
			return false;
	}
	return true;
}

enum err k8s_config_token(const struct k8s_config *c, struct buf *out, char *why)
{
	struct span token;
	struct buf text;
	enum err e;

	buf_init(&text, K8S_TOKEN_MAX + READ_AT_ONCE);
	e = read_file(c, "token", K8S_TOKEN_MAX, &text, why);
	token = trim(buf_span(&text));
	if (e == ERR_EOF)
		e = ERR_CONFIG;
	else if (e == ERR_OK && token.n == 0)
		e = fail(why, ERR_CONFIG, "%s/token: empty", c->folder);
	else if (e == ERR_OK && !fit_for_a_head(token))
		e = fail(why, ERR_CONFIG, "%s/token: has characters that no token has", c->folder);
	if (e == ERR_OK)
		buf_put(out, token);
	buf_wipe_fini(&text);
	return e == ERR_OK ? buf_status(out) : e;
}

enum err k8s_config_ca(const struct k8s_config *c, struct buf *out, char *why)
{
	size_t before = out->n;
	enum err e = read_file(c, "ca.crt", K8S_CA_MAX, out, why);

	if (e == ERR_EOF)
		return ERR_CONFIG;
	if (e == ERR_OK && out->n == before)
		return fail(why, ERR_CONFIG, "%s/ca.crt: empty", c->folder);
	return e;
}

/* --- where ------------------------------------------------------------------------------------------ */

/* The namespace is a convenience: without the file there is none, and whoever needs it says so. */
static enum err load_namespace(struct k8s_config *c, char *why)
{
	struct buf text;
	enum err e;

	buf_init(&text, READ_AT_ONCE + K8S_NAMESPACE_MAX + 2);
	e = read_file(c, "namespace", K8S_NAMESPACE_MAX + 1, &text, why);
	if (e == ERR_EOF)
		e = ERR_OK;
	else if (e != ERR_OK)
		e = ERR_CONFIG;
	else if (!fit_for_a_head(trim(buf_span(&text))) ||
	         !str_copy(c->space, sizeof(c->space), trim(buf_span(&text))))
		e = fail(why, ERR_CONFIG, "%s/namespace: holds no namespace's name", c->folder);
	buf_fini(&text);
	return e;
}

/* Enough to tell a name from a mistyped address; whoever looks it up judges the rest. */
static bool host_name(const char *host)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.";
	size_t n = strlen(host);
	const char *dot = strrchr(host, '.');
	const char *last = dot ? dot + 1 : host;

	return n < K8S_HOST_MAX && strspn(host, allowed) == n && host[0] != '.' &&
	       last[strspn(last, "0123456789")] != '\0';
}

static enum err load_server(struct k8s_config *c, const char *host, const char *port, char *why)
{
	uint64_t number;

	if (host[0] == '\0')
		return fail(
			why, ERR_CONFIG,
			"KUBERNETES_SERVICE_HOST is not set: not in a pod? Name the API server");
	if (ip_parse(span_str(host), &c->server.ip) != ERR_OK && !host_name(host))
		return fail(why, ERR_CONFIG,
		            "KUBERNETES_SERVICE_HOST=%.100s: neither an address nor a host name",
		            host);
	if (port[0] == '\0')
		return fail(why, ERR_CONFIG, "KUBERNETES_SERVICE_PORT is not set");
	if (str_parse_u64(span_str(port), PORT_MAX, &number) != ERR_OK || number == 0)
		return fail(why, ERR_CONFIG, "KUBERNETES_SERVICE_PORT=%.100s: not a port", port);
	c->server.port = (uint16_t)number;
	if (c->server.ip.family != IP_NONE) {
		(void)endpoint_format(&c->server, c->authority);
		return ERR_OK;
	}
	(void)snprintf(c->name, sizeof(c->name), "%s", host);
	(void)snprintf(c->authority, sizeof(c->authority), "%s:%u", c->name, c->server.port);
	return ERR_OK;
}

enum err k8s_config_load(const struct k8s_config_source *from, struct k8s_config *ret, char *why)
{
	const char *host = choose(from->host, "KUBERNETES_SERVICE_HOST");
	const char *name = from->tls_name && from->tls_name[0] ? from->tls_name : host;
	const char *folder = from->folder && from->folder[0] ? from->folder : K8S_FOLDER;
	enum err e;

	*ret = (struct k8s_config){.space = ""};
	e = load_server(ret, host, choose(from->port, "KUBERNETES_SERVICE_PORT"), why);
	if (e != ERR_OK)
		return e;
	if (!str_copy(ret->host, sizeof(ret->host), span_str(name)))
		return fail(why, ERR_CONFIG, "the API server's name has more than %d octets",
		            K8S_HOST_MAX - 1);
	if (!str_copy(ret->folder, sizeof(ret->folder), span_str(folder)))
		return fail(why, ERR_CONFIG, "the folder's path has more than %d octets",
		            K8S_FOLDER_MAX - 1);
	return load_namespace(ret, why);
}
