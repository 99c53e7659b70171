/* SPDX-License-Identifier: Apache-2.0 */
#include "ztunnel/app.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/daemon/build_info.h"
#include "common/daemon/process.h"
#include "common/dns/resolv_watch.h"
#include "ztunnel/app_private.h"

enum {
	MMAP_FROM = 128 * 1024, /* glibc's own first value, made to stay */
	TICK_MS = 100,          /* how often readiness and the drain look at the world */
	LAND_MS = 5000,         /* after the drain's deadline: for what was cut to land */
	PING_MS = 10000,        /* contract 6.4: PING after 10 s, then every 10 s */
	PING_TIMEOUT_MS = 20000,
};

/* --- pods ------------------------------------------------------------------------------------ */

static void on_pod_up(void *arg, struct pod *pod)
{
	struct app *app = arg;

	enum err e = cert_table_want(app->certs, pod->identity);

	if (e != ERR_OK)
		log_at(LOG_SCOPE_IDENTITY, LOG_ERROR, "no certificate can be asked for",
		       LOG_S("identity", pod->identity), LOG_S("reason", err_info(e)->words));
	for (unsigned int i = 0; i < app->worker_count; i++)
		proxy_worker_pod_up(app->workers[i], pod);
	metrics_add(app->shard, METRIC_PODS_STARTED, 1);
	metrics_observe(app->shard, METRIC_ENROLL_DURATION, NULL,
	                loop_now_ns(app->loop) - app->applied_ns);
	log_at(LOG_SCOPE_INPOD, LOG_INFO, "pod enrolled", LOG_S("uid", pod->uid),
	       LOG_S("name", pod->name), LOG_S("namespace", pod->namespace),
	       LOG_S("identity", pod->identity));
}

static void on_pod_down(void *arg, struct pod *pod)
{
	struct app *app = arg;

	for (unsigned int i = 0; i < app->worker_count; i++)
		proxy_worker_pod_down(app->workers[i], pod);
	cert_table_forget(app->certs, pod->identity);
	metrics_add(app->shard, METRIC_PODS_STOPPED, 1);
	log_at(LOG_SCOPE_INPOD, LOG_INFO, "pod leaves the mesh", LOG_S("uid", pod->uid),
	       LOG_S("name", pod->name), LOG_S("namespace", pod->namespace));
}

static void on_pod_cut(void *arg, struct pod *pod)
{
	struct app *app = arg;

	log_at(LOG_SCOPE_INPOD, LOG_WARN, "closing what a pod that left still had open",
	       LOG_S("uid", pod->uid), LOG_S("name", pod->name),
	       LOG_S("namespace", pod->namespace));
	for (unsigned int i = 0; i < app->worker_count; i++)
		proxy_worker_pod_cut(app->workers[i], pod, ERR_DRAINED);
}

/* The workloads of the state that ask to be captured on this node. */
static size_t wanted_pods(const struct app *app, struct pod_wanted *out)
{
	const char *node = app->settings->node_name;
	size_t n = 0;

	for (size_t i = 0; i < app->mesh->workload_count; i++) {
		const struct workload *w = app->mesh->workloads[i];

		if (w->netns[0] == '\0')
			continue;
		if (node != NULL && node[0] != '\0' && w->node[0] != '\0' &&
		    strcmp(w->node, node) != 0)
			continue;
		out[n++] = (struct pod_wanted){
			.uid = w->uid,
			.name = w->name,
			.namespace = w->namespace,
			.service_account = w->service_account,
			.trust_domain = w->trust_domain,
			.netns = w->netns,
			.flags = w->dns_capture ? 0 : STEWARD_POD_NO_DNS,
			.virts = w->virtual_interfaces,
		};
	}
	return n;
}

static void apply_pods(struct app *app)
{
	struct pod_wanted *wanted = calloc(app->mesh->workload_count + 1, sizeof(*wanted));
	char why[STEWARD_WHY_MAX] = "";

	if (app->settings->proxy_mode == SETTING_MODE_DEDICATED) {
		free(wanted); /* the namespace it runs in is all it serves */
		return;
	}
	app->applied_ns = loop_now_ns(app->loop);
	if (wanted == NULL ||
	    pods_static_apply(app->pods, wanted, wanted_pods(app, wanted), why) != ERR_OK)
		log_at(LOG_SCOPE_INPOD, LOG_ERROR, "the list of pods is not accepted",
		       LOG_S("reason", why));
	free(wanted);
}

static void on_state_changed(struct local_state *s, struct mesh *mesh)
{
	struct app *app = container_of(s, struct app, state);

	mesh_unref(app->mesh);
	app->mesh = mesh_ref(mesh);
	for (unsigned int i = 0; i < app->worker_count; i++)
		proxy_worker_mesh(app->workers[i], mesh);
	app_identity_mesh(app);
	if (app->drain.state == DRAIN_RUNNING)
		apply_pods(app);
}

/* --- the data plane ---------------------------------------------------------------------------- */

static struct h2_options h2_options_of(const struct settings *s, bool server)
{
	return (struct h2_options){
		.stream_window = s->h2_stream_window,
		.conn_window = s->h2_connection_window,
		.frame_len_max = s->h2_frame_size,
		.header_list_max = server ? 65536 : 16384, /* contract 6.4 */
		.streams_max = server ? 200 : 0,
		.ping_interval_ms = PING_MS,
		.ping_timeout_ms = PING_TIMEOUT_MS,
	};
}

static void fill_proxy_options(struct app *app)
{
	const struct settings *s = app->settings;

	app->proxy = (struct proxy_options){
		.ready = &app->ready,
		.ready_at = admin_wildcard(s->ready_port, s->ipv6_enabled),
		.steward = app->steward,
		.metrics = app->metrics,
		.certs = app->certs_cell,
		.resolv = app->resolv_cell,
		.ipv6 = s->ipv6_enabled,
		.cert_awaited = app_identity_awaited,
		.cert_awaited_arg = app,
		.dns_zone = &app->dns_zone,
		.network = s->network,
		.node = s->node_name == NULL ? "" : s->node_name,
		.pool =
			{
				.h2 = h2_options_of(s, false),
				.streams_max = s->pool_max_streams,
				.idle_ms = s->pool_unused_release_ms,
				.handshake_ms = s->handshake_timeout_ms,
				.answer_ms = s->connect_answer_timeout_ms,
				.own_port = PORT_HBONE,
			},
		.server_h2 = h2_options_of(s, true),
		.loop = {.iobuf_bytes_max = s->iobuf_bytes},
		.connect_ms = s->connect_timeout_ms,
		.spoof_source = !s->is_set[SETTING_OF_orig_src] || s->orig_src,
		.response_baggage = s->response_baggage,
		.localhost_app_tunnel = s->localhost_app_tunnel,
		.socks = s->socks5,
		.authz_info = s->authz_info,
		.workers = s->workers,
	};
}

static enum err start_steward(struct app *app, char *why)
{
	const struct settings *s = app->settings;
	struct steward_options opt = {
		.pin_root = s->bpf_root,
		.cgroup_root = s->cgroup_root,
		.workers = s->workers,
		.without_ipv6 = !s->ipv6_enabled,
		.without_port_reuse = !s->inpod_port_reuse,
		.without_capture = s->proxy_mode == SETTING_MODE_DEDICATED,
		.mark = s->proxy_mode == SETTING_MODE_SHARED || s->given[SETTING_OF_packet_mark]
	                        ? s->packet_mark
	                        : 0,
		.dns = s->dns,
		.dns_at4 = s->dns_at4,
		.dns_at6 = s->dns_at6,
		.socks = s->socks5,
		.keepalive =
			{
				.enabled = s->keepalive_enabled,
				.idle_s = (uint32_t)(s->keepalive_time_ms / 1000),
				.interval_s = (uint32_t)(s->keepalive_interval_ms / 1000),
				.probes = s->keepalive_retries,
				.user_timeout = s->user_timeout_enabled,
			},
	};

	switch ((enum setting_guard)s->leak_guard) {
	case SETTING_GUARD_OFF: opt.guard = GUARD_OFF; break;
	case SETTING_GUARD_COUNT: opt.guard = GUARD_COUNT; break;
	case SETTING_GUARD_ENFORCE: opt.guard = GUARD_ENFORCE; break;
	}
	return steward_start(&opt, &app->steward, why);
}

/* What the DNS proxies of all pods share. */
static enum err start_dns(struct app *app, char *why)
{
	const struct settings *s = app->settings;
	enum err e = dns_zone_init(&app->dns_zone, s->cluster_domain);

	if (e != ERR_OK) {
		(void)snprintf(why, STEWARD_WHY_MAX, "CLUSTER_DOMAIN \"%.100s\" is no domain name",
		               s->cluster_domain);
		return e;
	}
	app->dns_zone.prefered_namespace = s->prefered_service_namespace;
	app->dns_zone.ipv6 = s->ipv6_enabled;
	return ERR_OK;
}

static enum err start_workers(struct app *app)
{
	app->resolv_cell = snapshot_cell_new();
	app->resolv = resolv_watch_new(app->loop, app->settings->resolv_conf, app->resolv_cell);
	fill_proxy_options(app);
	for (unsigned int i = 0; i < app->settings->workers; i++) {
		enum err e = proxy_worker_start(&app->proxy, i, app->mesh, &app->workers[i]);

		if (e != ERR_OK)
			return e;
		app->worker_count++;
	}
	return ERR_OK;
}

static enum err start_pods(struct app *app)
{
	struct pods_static_options opt = {
		.events = {.pod_up = on_pod_up,
	                   .pod_down = on_pod_down,
	                   .pod_cut = on_pod_cut,
	                   .arg = app},
		.drain_ms = (uint32_t)app->settings->drain_grace_ms,
	};
	enum err e = pods_static_new(app->steward, app->loop, &opt, &app->pods);

	if (e == ERR_OK)
		apply_pods(app);
	return e;
}

/* --- drain --------------------------------------------------------------------------------------- */

static uint64_t open_count(const struct app *app)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < app->worker_count; i++)
		n += proxy_worker_open(app->workers[i]);
	return n;
}

void app_drain(void *arg)
{
	struct app *app = arg;

	if (!drain_start(&app->drain, loop_now_ms(app->loop), app->settings->drain_grace_ms))
		return;
	log_at(LOG_SCOPE_APP, LOG_INFO, "shutting down: no new connections, open ones may finish",
	       LOG_N("open", open_count(app)), LOG_N("grace_ms", app->settings->drain_grace_ms));
	local_state_stop(&app->state);
	pods_static_stop(app->pods);
	steward_let_go(app->steward);
	for (unsigned int i = 0; i < app->worker_count; i++)
		proxy_worker_drain(app->workers[i]);
}

static void count_down(void *arg)
{
	unsigned int *left = arg;

	(*left)--;
}

/* The host's ports are free for a successor from here on (contract 12.3). */
static void stop_servers(struct app *app)
{
	for (size_t i = 0; i < ARRAY_LEN(app->servers); i++) {
		if (app->servers[i] == NULL)
			continue;
		app->servers_left++;
		http1_server_stop(app->servers[i], count_down, &app->servers_left);
		app->servers[i] = NULL;
	}
}

/* Past the deadline whatever is left is cut, and given a moment to land. */
static void step_drain(struct app *app)
{
	uint64_t now = loop_now_ms(app->loop);
	uint64_t open = open_count(app);
	enum drain_state before = app->drain.state;

	if (before == DRAIN_RUNNING)
		return;
	stop_servers(app); /* not in app_drain: /quitquitquit still has its answer to send */
	if (drain_step(&app->drain, now, open) != DRAIN_DONE)
		return;
	if (before != DRAIN_DONE && open > 0) {
		log_at(LOG_SCOPE_APP, LOG_WARN, "the drain's deadline passed: closing what is open",
		       LOG_N("open", open));
		for (unsigned int i = 0; i < app->worker_count; i++)
			proxy_worker_cut(app->workers[i], ERR_DRAINED);
	}
	if (open == 0 || now >= app->drain.deadline_ms + LAND_MS)
		loop_stop(app->loop);
}

static void on_tick(struct timer *t)
{
	struct app *app = container_of(t, struct app, tick);
	size_t pending = pods_static_pending(app->pods, NULL);

	if (pods_static_synced(app->pods))
		ready_done(&app->ready, READY_WORKLOAD_PROXY_MANAGER);
	metrics_set(app->shard, METRIC_PODS_PENDING, (int64_t)pending);
	metrics_set(app->shard, METRIC_PODS_ACTIVE, (int64_t)pods_static_table(app->pods)->count);
	watch_certificates(app);
	watch_revocation(app);
	watch_counts(app);
	watch_workers(app);
	app_pages_late(app);
	step_drain(app);
	timer_arm(app->loop, t, TICK_MS);
}

/* --- signals -------------------------------------------------------------------------------------- */

static void on_signal(struct op *op)
{
	struct app *app = container_of(op, struct app, signals_op);
	enum signal_ask ask;

	while ((ask = signals_next(&app->signals)) != SIGNAL_NONE) {
		switch (ask) {
		case SIGNAL_DRAIN: app_drain(app); break;
		case SIGNAL_RELOAD: local_state_reload(&app->state); break;
		case SIGNAL_EXIT_NOW: log_stop(); _exit(0);
		case SIGNAL_NONE: break;
		}
	}
	if (op->res != -ECANCELED)
		loop_poll(app->loop, op, app->signals.fd, POLLIN, on_signal);
}

/* --- life ------------------------------------------------------------------------------------------ */

static enum err start_basics(struct app *app, char why[STEWARD_WHY_MAX])
{
	const struct settings *s = app->settings;
	const char *bad = NULL;
	size_t bad_len = 0;
	uint64_t nofile = 0;
	enum err e;

	e = log_filter_set(s->log_filter, &bad, &bad_len);
	if (e != ERR_OK) {
		(void)snprintf(why, STEWARD_WHY_MAX,
		               "RUST_LOG: \"%.*s\" is not a level or scope=level",
		               (int)(bad_len < 100 ? bad_len : 100), bad);
		return e;
	}
	e = signals_init(&app->signals);
	if (e == ERR_OK)
		e = log_start(STDOUT_FILENO, s->log_json);
	if (e == ERR_OK)
		e = tls_global_init();
	if (e != ERR_OK)
		return e;
	log_at(LOG_SCOPE_APP, LOG_INFO, "culvert ztunnel starts",
	       LOG_S("version", build_info()->version),
	       LOG_S("revision", build_info()->git_revision), LOG_S("crypto", tls_provider()),
	       LOG_N("workers", s->workers));
	/* A busy tunnel's large buffers go back to the system when it cools: glibc must not learn to keep them. */
	(void)mallopt(M_MMAP_THRESHOLD, MMAP_FROM);
	if (process_raise_nofile(&nofile) != ERR_OK || process_forbid_dumps() != ERR_OK)
		log_at(LOG_SCOPE_APP, LOG_WARN, "could not set the process's limits",
		       LOG_S("reason", strerror(errno)));
	return tls_self_test(why, STEWARD_WHY_MAX);
}

static enum err start_all(struct app *app, const char **ret_what, char why[STEWARD_WHY_MAX])
{
	const struct settings *s = app->settings;
	enum err e;

	*ret_what = "basics";
	e = start_basics(app, why);
	if (e == ERR_OK) {
		*ret_what = "event loop";
		e = loop_uring_new(NULL, &app->loop);
	}
	if (e == ERR_OK) {
		app->metrics = metrics_new(0);
		app->shard = metrics_shard_new(app->metrics);
		process_metrics_init(&app->process, app->metrics, "ztunnel", s->istio_version);
		app->state.changed = on_state_changed;
		*ret_what = "local state";
		e = local_state_start(&app->state, app->loop, app->shard, s->local_xds_path,
		                      s->local_xds, &app->mesh);
	}
	if (e == ERR_OK) {
		*ret_what = "certificates";
		e = app_identity_start(app, why);
	}
	if (e == ERR_OK) {
		/* Before anything is captured: a second instance ends here, where the first one's ports are. */
		*ret_what = "admin and metrics servers";
		e = app_pages_start(app);
	}
	if (e == ERR_OK) {
		*ret_what = "DNS proxy";
		e = start_dns(app, why);
	}
	if (e == ERR_OK) {
		*ret_what = "capture";
		e = start_steward(app, why);
	}
	if (e == ERR_OK) {
		*ret_what = "workers";
		e = start_workers(app);
	}
	if (e == ERR_OK) {
		*ret_what = "own pod";
		e = app_self_start(app, why);
	}
	if (e == ERR_OK) {
		*ret_what = "pods";
		e = start_pods(app);
	}
	return e;
}

/* --- the way down, in reverse; each part may be missing -------------------------------------------- */

/* Turn the control loop until what was asked to stop has stopped, or a while has passed. */
static void turn_until(struct app *app, bool (*stopped)(const struct app *))
{
	uint64_t give_up_ms = loop_now_ms(app->loop) + LAND_MS;

	while (!stopped(app) && loop_now_ms(app->loop) < give_up_ms)
		loop_turn(app->loop, TICK_MS);
}

static bool all_stopped(const struct app *app)
{
	return app->servers_left == 0 && (app->pods == NULL || pods_static_stopped(app->pods)) &&
	       (app->certs == NULL || cert_table_idle(app->certs)) && !app->signals_op.pending;
}

static bool steward_done(const struct app *app)
{
	return steward_stopped(app->steward);
}

static void stop_parts(struct app *app)
{
	timer_disarm(&app->tick);
	local_state_stop(&app->state);
	stop_servers(app);
	if (app->pods != NULL)
		pods_static_stop(app->pods);
	app_identity_stop(app);
	loop_cancel(app->loop, &app->signals_op);
	turn_until(app, all_stopped);
}

static void free_parts(struct app *app)
{
	for (unsigned int i = 0; i < app->worker_count; i++)
		proxy_worker_stop(app->workers[i]);
	if (app->pods != NULL)
		pods_static_free(app->pods);
	if (app->self != NULL)
		pod_unref(app->self);
	if (app->steward != NULL) {
		steward_stop(app->steward);
		turn_until(app, steward_done);
		steward_free(app->steward);
	}
	if (app->resolv != NULL)
		resolv_watch_free(app->resolv);
	if (app->resolv_cell != NULL)
		snapshot_cell_free(app->resolv_cell);
	app_identity_free(app);
	mesh_unref(app->mesh);
	if (app->admin != NULL)
		admin_free(app->admin);
	metrics_free(app->metrics);
	loop_free(app->loop);
	signals_fini(&app->signals);
	tls_global_fini();
}

int app_run(const struct settings *settings, const struct args *args)
{
	struct app *app = calloc(1, sizeof(*app));
	char why[STEWARD_WHY_MAX] = "";
	const char *what = "";
	int status = 0;
	enum err e;

	CHECK(app != NULL);
	app->settings = settings;
	app->args = args;
	ready_init(&app->ready, settings->stall_timeout_ms);
	if (settings->proxy_mode == SETTING_MODE_SHARED)
		ready_expect(&app->ready, READY_WORKLOAD_PROXY_MANAGER);
	drain_init(&app->drain);
	e = start_all(app, &what, why);
	if (e == ERR_OK) {
		timer_init(&app->tick, on_tick);
		timer_arm(app->loop, &app->tick, 0);
		loop_poll(app->loop, &app->signals_op, app->signals.fd, POLLIN, on_signal);
		log_at(LOG_SCOPE_APP, LOG_INFO, "serving", LOG_S("io", loop_backend(app->loop)));
		loop_run(app->loop);
		log_at(LOG_SCOPE_APP, LOG_INFO, "stopped", LOG_N("cut", open_count(app)));
		/* What did not land in time is the kernel's to clean up: freeing under it is not safe. */
		if (open_count(app) == 0) {
			stop_parts(app);
			free_parts(app);
			free(app);
		}
	} else {
		log_at(LOG_SCOPE_APP, LOG_ERROR, "cannot start", LOG_S("part", what),
		       LOG_S("error", err_info(e)->words), LOG_S("reason", why));
		status = 1; /* the process ends: the kernel takes back what was built */
	}
	log_stop();
	return status;
}
