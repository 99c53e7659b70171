/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_server - the three HTTP servers of a proxy: admin (15000, this machine only), metrics (15020) and
 * readiness (15021). Contract 11.1, 10.2, 11.4.
 *
 * How to use it, on the thread that is not a worker:
 *   admin = admin_new(&options);
 *   admin_page(admin, ADMIN_ANY, "/debug/connections", "open connections", write_connections, app);
 *   admin_section(admin, write_certificates, app);         // members of /config_dump
 *   admin_start(admin, loop, port, true, &server);
 *   metrics_server_start(loop, &any_15020, &metrics_serving, &server);
 * and on each worker (or one):
 *   ready_server_start(loop, &any_15021, &app->ready, &server);
 * Callbacks run on the server's thread and answer at once.
 */
#ifndef COMMON_ADMIN_ADMIN_SERVER_H
#define COMMON_ADMIN_ADMIN_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/admin/http1_server.h"
#include "common/admin/ready.h"
#include "common/base/err.h"
#include "common/base/netaddr.h"
#include "common/codec/json_write.h"
#include "common/io/loop.h"
#include "common/telemetry/metrics.h"

enum { ADMIN_PAGES_MAX = 32, ADMIN_SECTIONS_MAX = 16 };

enum admin_method {
	ADMIN_ANY,  /* reading: every method, as the reference does */
	ADMIN_POST, /* changing something: POST only, everything else is 405 */
};

struct admin;

/* Fill res->body. The request is there for its query. */
typedef void admin_page_fn(void *arg, const struct h1_request *req, struct http1_response *res);
/* Write members (key and value) of the top-level object of /config_dump. */
typedef void admin_section_fn(void *arg, struct json_write *w);

struct admin_options {
	const char *product; /* heading of the index; borrowed for good */
	const char
		*log_filter_default; /* what "reset" of /logging goes back to; borrowed for good */
	void (*quit)(void *arg);     /* /quitquitquit: begin the same drain as SIGTERM */
	void *quit_arg;
	struct metrics_shard *shard; /* of the thread that will serve; NULL: count nothing */
	bool may_be_taken; /* a taken port is no error to log, nor to wait for: the caller tries again */
};

/* "/", "/config_dump", "/logging" and "/quitquitquit" are there from the start. */
struct admin *admin_new(const struct admin_options *opt);
void admin_free(struct admin *a); /* after its server ended */
/* Strings are literals. Before admin_start. */
void admin_page(struct admin *a, enum admin_method method, const char *path, const char *what,
                admin_page_fn *fn, void *arg);
void admin_section(struct admin *a, admin_section_fn *fn, void *arg);

/* Answer one request: the table of pages. What admin_start gives to http1_server. */
http1_handler_fn admin_handle;

/*
 * Listen on 127.0.0.1:port and, with ipv6, on [::1]:port unless this machine has none.
 * Errs: ERR_SYSTEM, errno tells: the address was logged
 */
MUST_CHECK enum err admin_start(struct admin *a, struct loop *loop, uint16_t port, bool ipv6,
                                struct http1_server **ret_server);

/* What the metrics server shows; lent until the server ended. */
struct metrics_serving {
	struct metrics *metrics;
	struct metrics_shard *shard; /* of the serving thread; NULL: count nothing */
	bool may_be_taken;           /* as of admin_options */
};
/* /metrics and /stats/prometheus. Errs: ERR_SYSTEM */
MUST_CHECK enum err metrics_server_start(struct loop *loop, const struct endpoint *ep,
                                         struct metrics_serving *m,
                                         struct http1_server **ret_server);
http1_handler_fn metrics_handle; /* arg: struct metrics_serving */

/* /healthz/ready. The port is shared, so that every worker may have one. Errs: ERR_SYSTEM */
MUST_CHECK enum err ready_server_start(struct loop *loop, const struct endpoint *ep,
                                       struct ready *ready, struct http1_server **ret_server);
http1_handler_fn ready_handle; /* arg: struct ready */

/* Every address of this machine, IPv6 too with ipv6 where there is any (contract 1.1); for the two above. */
struct endpoint admin_wildcard(uint16_t port, bool ipv6);

#endif
