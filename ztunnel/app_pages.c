/* SPDX-License-Identifier: Apache-2.0 */
/* The admin and metrics pages: at the start, or once a predecessor lets go of their ports. */
#include <errno.h>

#include "common/base/log.h"
#include "ztunnel/app_private.h"

enum { ADMIN, METRICS }; /* places in app->servers */

/* Those that are not there yet. Errs: ERR_SYSTEM with errno */
static enum err open_pages(struct app *app)
{
	const struct settings *s = app->settings;
	struct endpoint stats = admin_wildcard(s->stats_port, s->ipv6_enabled);
	enum err e = ERR_OK;

	if (app->servers[ADMIN] == NULL)
		e = admin_start(app->admin, app->loop, s->admin_port, s->ipv6_enabled,
		                &app->servers[ADMIN]);
	if (e == ERR_OK && app->servers[METRICS] == NULL)
		e = metrics_server_start(app->loop, &stats, &app->metrics_serving,
		                         &app->servers[METRICS]);
	return e;
}

enum err app_pages_start(struct app *app)
{
	const struct settings *s = app->settings;
	struct admin_options opt = {
		.product = "Culvert ztunnel",
		.log_filter_default = s->log_filter,
		.quit = app_drain,
		.quit_arg = app,
		.shard = app->shard,
		.may_be_taken = s->take_over,
	};
	enum err e;

	app->metrics_serving = (struct metrics_serving){
		.metrics = app->metrics,
		.shard = app->shard,
		.may_be_taken = s->take_over,
	};
	app->admin = admin_new(&opt);
	dump_register(app);
	pprof_pages_add(app->admin, &app->pprof);
	e = open_pages(app);
	if (e == ERR_OK || !s->take_over || errno != EADDRINUSE)
		return e;
	app->pages_wait = true;
	log_at(LOG_SCOPE_APP, LOG_INFO,
	       "taking over: admin and metrics pages come when the predecessor lets go of their ports");
	return ERR_OK;
}

void app_pages_late(struct app *app)
{
	if (!app->pages_wait || app->drain.state != DRAIN_RUNNING || open_pages(app) != ERR_OK)
		return;
	app->pages_wait = false;
	log_at(LOG_SCOPE_APP, LOG_INFO, "admin and metrics pages are there");
}
