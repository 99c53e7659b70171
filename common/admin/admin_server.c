/* SPDX-License-Identifier: Apache-2.0 */
#include "common/admin/admin_server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/admin/logging_page.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/codec/brotli_codec.h"
#include "common/codec/gzip_codec.h"
#include "common/codec/zstd_codec.h"
#include "common/io/listener.h"
#include "common/telemetry/prometheus_codec.h"

enum { BIND_TRIES = 40, BIND_PAUSE_MS = 50 }; /* two seconds: rings were seen to take some 20 ms */

struct admin_entry {
	const char *path;
	const char *what; /* for the index */
	enum admin_method method;
	admin_page_fn *fn;
	void *arg;
};

struct admin_part {
	admin_section_fn *fn;
	void *arg;
};

struct admin {
	struct admin_options opt;
	struct admin_entry pages[ADMIN_PAGES_MAX];
	size_t page_count;
	struct admin_part sections[ADMIN_SECTIONS_MAX];
	size_t section_count;
};

/* ---- pages that are always there ---- */

static void page_index(void *arg, const struct h1_request *req, struct http1_response *res)
{
	const struct admin *a = arg;

	(void)req;
	res->content_type = "text/html; charset=utf-8";
	buf_printf(&res->body,
	           "<!DOCTYPE html>\n<html lang=\"en\">\n<head><title>%s</title></head>\n<body>\n"
	           "<h1>%s</h1>\n<table>\n",
	           a->opt.product, a->opt.product);
	for (size_t i = 0; i < a->page_count; i++) {
		const struct admin_entry *p = &a->pages[i];

		if (p->method == ADMIN_ANY)
			buf_printf(&res->body,
			           "<tr><td><a href=\"%s\">%s</a></td><td>%s</td></tr>\n", p->path,
			           p->path, p->what);
		else
			buf_printf(&res->body, "<tr><td>POST %s</td><td>%s</td></tr>\n", p->path,
			           p->what);
	}
	buf_put_str(&res->body, "</table>\n</body>\n</html>\n");
}

static void page_config_dump(void *arg, const struct h1_request *req, struct http1_response *res)
{
	const struct admin *a = arg;
	struct json_write w;

	(void)req;
	res->content_type = "application/json";
	json_write_init(&w, &res->body, true);
	json_object_open(&w);
	for (size_t i = 0; i < a->section_count; i++)
		a->sections[i].fn(a->sections[i].arg, &w);
	json_object_close(&w);
	CHECK(json_write_complete(&w));
	buf_put_u8(&res->body, '\n');
}

static void page_logging(void *arg, const struct h1_request *req, struct http1_response *res)
{
	const struct admin *a = arg;

	logging_page(a->opt.log_filter_default, req, res);
}

static void page_quit(void *arg, const struct h1_request *req, struct http1_response *res)
{
	const struct admin *a = arg;

	(void)req;
	log_at(LOG_SCOPE_ADMIN, LOG_INFO, "shutdown asked for by an admin request");
	buf_put_str(&res->body, "shutdown now\n");
	if (a->opt.quit != NULL)
		a->opt.quit(a->opt.quit_arg);
}

/* ---- the table ---- */

struct admin *admin_new(const struct admin_options *opt)
{
	struct admin *a = mem_new(sizeof(*a));

	a->opt = *opt;
	admin_page(a, ADMIN_ANY, "/", "this index", page_index, a);
	admin_page(a, ADMIN_ANY, "/config_dump",
	           "what the proxy knows: workloads, services, policies, certificates, settings",
	           page_config_dump, a);
	admin_page(a, ADMIN_POST, "/logging", "show or change log levels: ?level=info,proxy=debug",
	           page_logging, a);
	admin_page(a, ADMIN_POST, "/quitquitquit", "shut down gracefully", page_quit, a);
	return a;
}

void admin_free(struct admin *a)
{
	free(a);
}

void admin_page(struct admin *a, enum admin_method method, const char *path, const char *what,
                admin_page_fn *fn, void *arg)
{
	CHECK(a->page_count < ADMIN_PAGES_MAX);
	a->pages[a->page_count++] = (struct admin_entry){
		.path = path,
		.what = what,
		.method = method,
		.fn = fn,
		.arg = arg,
	};
}

void admin_section(struct admin *a, admin_section_fn *fn, void *arg)
{
	CHECK(a->section_count < ADMIN_SECTIONS_MAX);
	a->sections[a->section_count++] = (struct admin_part){.fn = fn, .arg = arg};
}

static void answer_not_found(struct http1_response *res)
{
	res->status = 404;
	buf_put_str(&res->body, "not found\n");
}

static void answer_method(struct http1_response *res, const char *allow, const char *usage)
{
	res->status = 405;
	res->allow = allow;
	buf_put_str(&res->body, usage);
}

void admin_handle(void *arg, const struct h1_request *req, struct http1_response *res)
{
	const struct admin *a = arg;

	for (size_t i = 0; i < a->page_count; i++) {
		const struct admin_entry *p = &a->pages[i];

		if (!span_eq_str(req->path, p->path))
			continue;
		if (p->method == ADMIN_POST && req->method != H1_POST)
			answer_method(res, "POST",
			              strcmp(p->path, "/logging") == 0 ? logging_usage
			                                               : "use POST\n");
		else
			p->fn(p->arg, req, res);
		return;
	}
	answer_not_found(res);
}

/* The best of equals first: least time for the size. */
static const struct coding {
	const char *name; /* in Accept-Encoding and Content-Encoding */
	enum err (*encode)(struct span in, struct buf *out);
} codings[] = {
	{"zstd", zstd_encode},
	{"gzip", gzip_encode},
	{"br", brotli_encode},
	{"deflate", zlib_encode},
};

static const struct coding *choose_coding(const struct h1_request *req)
{
	const struct coding *best = NULL;
	unsigned int best_weight = 0;

	for (size_t i = 0; i < ARRAY_LEN(codings); i++) {
		unsigned int weight = h1_request_coding_weight(req, codings[i].name);

		if (weight <= best_weight)
			continue;
		best = &codings[i];
		best_weight = weight;
	}
	return best;
}

void metrics_handle(void *arg, const struct h1_request *req, struct http1_response *res)
{
	const struct coding *coding = choose_coding(req);
	const struct metrics_serving *m = arg;
	struct buf packed;

	if (!span_eq_str(req->path, "/metrics") && !span_eq_str(req->path, "/stats/prometheus")) {
		answer_not_found(res);
		return;
	}
	res->content_type = prometheus_content_type(
		h1_request_mentions(req, "accept", "application/openmetrics-text"));
	if (prometheus_write(m->metrics, &res->body) != ERR_OK || coding == NULL)
		return; /* a body that failed is answered with 500 */
	buf_init(&packed, HTTP1_BODY_LEN_MAX);
	if (coding->encode(buf_span(&res->body), &packed) != ERR_OK) {
		buf_fini(&packed); /* then as it is */
		return;
	}
	buf_fini(&res->body);
	res->body = packed;
	res->encoding = coding->name;
}

void ready_handle(void *arg, const struct h1_request *req, struct http1_response *res)
{
	const struct ready *r = arg;

	if (!span_eq_str(req->path, "/healthz/ready"))
		answer_not_found(res);
	else if (req->method != H1_GET)
		answer_method(res, "GET", "use GET\n");
	else
		res->status = ready_text(r, clock_mono_ms(), &res->body);
}

/* ---- listening ---- */

struct listening {
	const char *server; /* for the log */
	struct listener_options opt;
	bool may_be_taken;
};

/*
 * Open a listener, waiting a while for its port: what a killed process had in flight on its ring, the kernel
 * ends some moments after the process. Only at the start, before anything is served.
 */
static enum err open_patiently(const struct endpoint *ep, const struct listening *how, int *ret_fd)
{
	const struct timespec pause = {.tv_nsec = BIND_PAUSE_MS * 1000000L};
	unsigned int tries = how->may_be_taken ? 0 : BIND_TRIES;
	const struct listener_options *opt = &how->opt;
	enum err e = listener_open(ep, opt, ret_fd);

	for (unsigned int i = 0; e != ERR_OK && errno == EADDRINUSE && i < tries; i++) {
		(void)nanosleep(&pause, NULL);
		e = listener_open(ep, opt, ret_fd);
	}
	return e;
}

static enum err listen_on(const struct endpoint *ep, const struct listening *how, int *ret_fd)
{
	char text[ENDPOINT_TEXT_MAX];
	int saved;

	if (open_patiently(ep, how, ret_fd) == ERR_OK)
		return ERR_OK;
	saved = errno;
	if (saved != EADDRINUSE || !how->may_be_taken)
		log_at(LOG_SCOPE_ADMIN, LOG_ERROR, "cannot listen", LOG_S("server", how->server),
		       LOG_A("addr", ep->ip.family == IP_NONE ? "*" : endpoint_format(ep, text)),
		       LOG_N("port", ep->port), LOG_S("error", strerror(saved)));
	errno = saved;
	return ERR_SYSTEM;
}

static void count_refused(struct metrics_shard *shard, const char *server)
{
	if (shard != NULL)
		metrics_add_for(shard, METRIC_ADMIN_REFUSED, METRIC_LABELS(server), 1);
}

static void admin_refused(void *arg)
{
	const struct admin *a = arg;

	count_refused(a->opt.shard, "admin");
}

static void metrics_refused(void *arg)
{
	const struct metrics_serving *m = arg;

	count_refused(m->shard, "metrics");
}

/* A machine without IPv6 on its loopback is no reason to fail (contract 1.1). */
static enum err listen_on_loopback6(uint16_t port, const struct listening *how, int *ret_fd)
{
	const struct endpoint ep = {
		.ip = {.family = IP_V6, .bytes = {[15] = 1}},
		.port = port,
	};
	struct listening how6 = *how;
	int saved;

	how6.opt.v6_only = true;
	*ret_fd = -1;
	if (open_patiently(&ep, &how6, ret_fd) == ERR_OK)
		return ERR_OK;
	saved = errno;
	if (saved == EADDRNOTAVAIL || saved == EAFNOSUPPORT) {
		log_at(LOG_SCOPE_ADMIN, LOG_INFO, "no IPv6 loopback: admin is on 127.0.0.1 only");
		return ERR_OK;
	}
	if (saved != EADDRINUSE || !how->may_be_taken)
		log_at(LOG_SCOPE_ADMIN, LOG_ERROR, "cannot listen", LOG_S("server", how->server),
		       LOG_A("addr", "::1"), LOG_N("port", port), LOG_S("error", strerror(saved)));
	errno = saved;
	return ERR_SYSTEM;
}

enum err admin_start(struct admin *a, struct loop *loop, uint16_t port, bool ipv6,
                     struct http1_server **ret_server)
{
	const struct http1_server_options opt = {
		.name = "admin",
		.handler = admin_handle,
		.arg = a,
		.local_host_only = true,
		.on_refused = admin_refused,
	};
	const struct endpoint v4 = {.ip = {.family = IP_V4, .bytes = {127, 0, 0, 1}}, .port = port};
	const struct listening how = {.server = opt.name, .may_be_taken = a->opt.may_be_taken};
	int fd4, fd6 = -1;
	enum err err = listen_on(&v4, &how, &fd4);

	if (err != ERR_OK)
		return err;
	if (ipv6)
		err = listen_on_loopback6(port, &how, &fd6);
	if (err != ERR_OK) {
		int saved = errno;

		loop_close(loop, fd4);
		errno = saved;
		return err;
	}
	*ret_server = http1_server_new(loop, &opt);
	http1_server_start(*ret_server, fd4);
	if (fd6 >= 0)
		http1_server_start(*ret_server, fd6);
	return ERR_OK;
}

static enum err start_one(struct loop *loop, const struct endpoint *ep,
                          const struct http1_server_options *opt, const struct listening *how,
                          struct http1_server **ret_server)
{
	int fd;
	enum err err = listen_on(ep, how, &fd);

	if (err != ERR_OK)
		return err;
	*ret_server = http1_server_new(loop, opt);
	http1_server_start(*ret_server, fd);
	return ERR_OK;
}

enum err metrics_server_start(struct loop *loop, const struct endpoint *ep,
                              struct metrics_serving *m, struct http1_server **ret_server)
{
	const struct http1_server_options opt = {
		.name = "metrics",
		.handler = metrics_handle,
		.arg = m,
		.on_refused = metrics_refused,
	};
	const struct listening how = {.server = opt.name, .may_be_taken = m->may_be_taken};

	return start_one(loop, ep, &opt, &how, ret_server);
}

enum err ready_server_start(struct loop *loop, const struct endpoint *ep, struct ready *ready,
                            struct http1_server **ret_server)
{
	const struct http1_server_options opt = {
		.name = "readiness",
		.handler = ready_handle,
		.arg = ready,
	};
	const struct listening how = {.server = opt.name, .opt = {.reuse_port = true}};

	return start_one(loop, ep, &opt, &how, ret_server);
}

struct endpoint admin_wildcard(uint16_t port, bool ipv6)
{
	return (struct endpoint){.ip = {.family = ipv6 ? IP_NONE : IP_V4}, .port = port};
}
