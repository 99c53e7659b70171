/* SPDX-License-Identifier: Apache-2.0 */
/*
 * app_private - what app.c and its pages share.
 */
#ifndef ZTUNNEL_APP_PRIVATE_H
#define ZTUNNEL_APP_PRIVATE_H

#include "common/admin/admin_server.h"
#include "common/admin/pprof_server.h"
#include "common/admin/ready.h"
#include "common/daemon/args.h"
#include "common/daemon/drain.h"
#include "common/daemon/settings.h"
#include "common/daemon/signals.h"
#include "common/daemon/worker_count.h"
#include "common/dns/dns_answer.h"
#include "common/identity/cert_table.h"
#include "common/identity/crl_file.h"
#include "common/telemetry/metrics.h"
#include "common/telemetry/process_metrics.h"
#include "ztunnel/local_state.h"
#include "ztunnel/pods/pods_static.h"
#include "ztunnel/proxy/proxy_worker.h"
#include "ztunnel/steward/steward.h"

enum { TRUST_DOMAIN_ALIASES_MAX = 64 }; /* a mesh that was renamed has one or two */

struct mailbox;

/* In the order they are built; torn down in reverse. */
struct app {
	const struct settings *settings;
	const struct args *args;
	struct signals signals;
	struct op signals_op;
	struct loop *loop; /* of the control thread */
	struct metrics *metrics;
	struct metrics_shard *shard; /* of the control thread */
	struct process_metrics process;
	struct ready ready;
	struct local_state state;
	struct mesh *mesh;     /* the good one in force */
	struct tls_policy tls; /* of every handshake */
	char *alias_text;      /* what tls.aliases points into */
	const char *aliases[TRUST_DOMAIN_ALIASES_MAX];
	struct revocation *revocation; /* NULL without CRL_PATH, as is crl */
	struct crl_file *crl;
	uint64_t crl_mismatches; /* as logged last */
	struct ca_client *ca;
	struct snapshot_cell *certs_cell;
	struct cert_table *certs;
	struct snapshot *certs_seen; /* the set that was logged last */
	uint64_t certs_generation;
	struct mailbox *mail; /* what workers tell the control thread */
	bool identity_stopped;
	struct snapshot_cell *resolv_cell;
	struct resolv_watch *resolv;
	struct dns_zone dns_zone;
	char **prefetched; /* identities wanted for the workloads of this node (contract 4.6) */
	size_t prefetched_count;
	struct steward *steward;
	struct proxy_options proxy;
	struct proxy_worker *workers[WORKERS_MAX];
	unsigned int worker_count;
	struct pod *self; /* ztunnel's own pod; NULL: it is none */
	struct pods_static *pods;
	struct admin *admin;
	struct pprof_pages pprof;
	struct metrics_serving metrics_serving;
	struct http1_server *servers[2]; /* admin, metrics */
	struct drain drain;
	struct timer tick; /* readiness, pod counts, the drain's progress */
	bool pages_wait;   /* for a predecessor's ports */
	unsigned int servers_left;
	bool stalled;          /* at the last tick: a worker */
	uint64_t refused_seen; /* of the steward's counts, at the last tick */
	uint64_t applied_ns;   /* when the list of pods was last handed on */
};

/* app.c: begin to end, as SIGTERM asks. arg: struct app */
void app_drain(void *arg);

/*
 * app_pages.c. With CULVERT_TAKE_OVER pages whose port a predecessor still has come later: app_pages_late() tries again.
 * Errs: ERR_SYSTEM
 */
MUST_CHECK enum err app_pages_start(struct app *app);
void app_pages_late(struct app *app);

/* app_self.c: nothing, unless the environment tells who we are. Errs: ERR_SYSTEM, ERR_LIMIT */
MUST_CHECK enum err app_self_start(struct app *app, char why[STEWARD_WHY_MAX]);

/* app_watch.c: what a tick looks at. */
void watch_certificates(struct app *app);
void watch_counts(struct app *app);
void watch_workers(struct app *app);

/* app_identity.c: certificates and revocation. Errs: ERR_CONFIG, ERR_TLS, ... with the why */
MUST_CHECK enum err app_identity_start(struct app *app, char why[STEWARD_WHY_MAX]);
void app_identity_mesh(struct app *app); /* app->mesh is another one */
void watch_revocation(struct app *app);  /* say and count what changed */
/* A connection waits for a certificate; runs on a worker's thread. arg: struct app */
void app_identity_awaited(void *arg, const char *identity);
void app_identity_stop(struct app *app); /* no certificate is fetched any more */
void app_identity_free(struct app *app); /* after the workers; the table was stopped and is idle */

/* dump.c: the members of /config_dump that are ztunnel's. */
void dump_register(struct app *app);

#endif
