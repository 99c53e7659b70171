/* SPDX-License-Identifier: Apache-2.0 */
/* What the control thread looks at every tick: certificates that changed, what others count by themselves. */
#include "common/base/clock.h"
#include "common/base/log.h"
#include "ztunnel/app_private.h"

enum { NS_PER_S = 1000000000 };

/* A certificate that came into use since the last look. */
static void note_certificate(struct app *app, const struct cert_entry *e)
{
	int64_t not_after = tls_config_not_after(e->cfg);

	metrics_set_for(app->shard, METRIC_CERTIFICATE_EXPIRY, METRIC_LABELS(e->identity),
	                not_after * NS_PER_S);
	metrics_set_for(app->shard, METRIC_CERTIFICATE_ISSUED, METRIC_LABELS(e->identity),
	                tls_config_not_before(e->cfg) * NS_PER_S);
	log_at(LOG_SCOPE_IDENTITY, LOG_INFO, "certificate in use", LOG_S("identity", e->identity),
	       LOG_N("valid_seconds", not_after - clock_wall_s()));
}

void watch_certificates(struct app *app)
{
	struct snapshot *before = app->certs_seen;
	const struct cert_set *now, *was;

	if (before != NULL)
		(void)snapshot_ref(before);
	if (snapshot_refresh(app->certs_cell, &app->certs_generation, &app->certs_seen)) {
		now = container_of(app->certs_seen, struct cert_set, snap);
		was = before == NULL ? NULL : container_of(before, struct cert_set, snap);
		for (size_t i = 0; i < now->count; i++) {
			const struct cert_entry *e = &now->entries[i];
			const struct cert_entry *old =
				was == NULL ? NULL : cert_set_find(was, e->identity);

			if (e->cfg != NULL && (old == NULL || old->cfg != e->cfg))
				note_certificate(app, e);
			else if (e->state == CERT_UNAVAILABLE &&
			         (old == NULL || old->state != e->state))
				log_at(LOG_SCOPE_IDENTITY, LOG_WARN, "no certificate",
				       LOG_S("identity", e->identity), LOG_S("reason", e->why));
		}
	}
	snapshot_unref(before);
}

static void sample_refused(void *arg, const char *request, const char *reason, uint64_t count)
{
	struct app *app = arg;

	metrics_set_for(app->shard, METRIC_STEWARD_REFUSED, METRIC_LABELS(request, reason),
	                (int64_t)count);
}

static void sample_capture(struct app *app, const char *event, uint64_t count)
{
	metrics_set_for(app->shard, METRIC_CAPTURE_EVENTS, METRIC_LABELS(event), (int64_t)count);
}

/* Somebody was refused for want of a listener: is a pod nobody's that was ours? */
static void reclaim(struct app *app)
{
	uint32_t n = app->drain.state == DRAIN_RUNNING ? steward_reclaim(app->steward) : 0;

	if (n > 0)
		log_at(LOG_SCOPE_INPOD, LOG_WARN,
		       "took pods back that another instance had taken over: it is gone",
		       LOG_N("pods", n));
}

void watch_counts(struct app *app)
{
	struct cert_table_stats certs = cert_table_stats(app->certs);
	struct steward_counts c;

	metrics_set_for(app->shard, METRIC_CERTIFICATE_RENEWALS, METRIC_LABELS("ok"),
	                (int64_t)certs.fetched);
	metrics_set_for(app->shard, METRIC_CERTIFICATE_RENEWALS, METRIC_LABELS("failed"),
	                (int64_t)(certs.failed + certs.refused));
	steward_counts(app->steward, &c);
	steward_refused_each(app->steward, sample_refused, app);
	sample_capture(app, "steered", c.steered);
	sample_capture(app, "to_outbound", c.to_out);
	sample_capture(app, "to_plaintext", c.to_inplain);
	sample_capture(app, "to_hbone", c.to_hbone);
	sample_capture(app, "to_dns", c.to_dns);
	sample_capture(app, "passed", c.passed);
	sample_capture(app, "refused", c.refused);
	sample_capture(app, "guarded", c.guard_hits);
	if (c.refused > app->refused_seen)
		reclaim(app);
	app->refused_seen = c.refused;
}

void watch_workers(struct app *app)
{
	uint64_t now_ms = clock_mono_ms();
	unsigned int first = ready_stalled(&app->ready, 0, now_ms);
	int64_t n = 0;

	for (unsigned int i = first; i < READY_WORKERS_MAX;
	     i = ready_stalled(&app->ready, i + 1, now_ms))
		n++;
	metrics_set(app->shard, METRIC_WORKERS_STALLED, n);
	if ((n > 0) == app->stalled)
		return;
	app->stalled = n > 0;
	if (n > 0)
		log_at(LOG_SCOPE_APP, LOG_ERROR, "a worker does not turn: not ready",
		       LOG_N("worker", first), LOG_N("stalled", n));
	else
		log_at(LOG_SCOPE_APP, LOG_INFO, "all workers turn again");
}
