/* SPDX-License-Identifier: Apache-2.0 */
/* Who this node is: where its certificates come from, what holds for every handshake, which peers are revoked. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/identity/ca_dev.h"
#include "common/identity/ca_files.h"
#include "common/io/mailbox.h"
#include "ztunnel/app_private.h"

enum {
	NS_PER_S = 1000000000,
	MAIL_TURNS = 3, /* a mailbox lands within two */
};

/* --- revocation lists -------------------------------------------------------------------------- */

void watch_revocation(struct app *app)
{
	struct crl_file_stats s;

	if (app->crl == NULL)
		return;
	s = crl_file_stats(app->crl);
	if (s.forged > app->crl_mismatches)
		log_at(LOG_SCOPE_IDENTITY, LOG_WARN,
		       "a revocation list was passed over: it is not signed by the key of the issuer "
		       "it names",
		       LOG_S("path", app->settings->crl_path));
	app->crl_mismatches = s.forged;
	metrics_set(app->shard, METRIC_CRL_LISTS, (int64_t)s.lists);
	metrics_set(app->shard, METRIC_CRL_SERIALS, (int64_t)s.serials);
	metrics_set(app->shard, METRIC_CRL_LOADED, s.loaded_wall_s * NS_PER_S);
	metrics_set_for(app->shard, METRIC_CRL_LOADS, METRIC_LABELS("ok"), (int64_t)s.loaded);
	metrics_set_for(app->shard, METRIC_CRL_LOADS, METRIC_LABELS("failed"), (int64_t)s.failed);
	metrics_set(app->shard, METRIC_CRL_MISMATCHES, (int64_t)s.forged);
}

static void on_crl_news(void *arg, const struct crl_news *news)
{
	struct app *app = arg;

	if (news->err == ERR_OK)
		log_at(LOG_SCOPE_IDENTITY, LOG_INFO, "revocation lists in force",
		       LOG_S("path", app->settings->crl_path), LOG_N("lists", news->lists),
		       LOG_N("revoked", news->serials));
	else
		log_at(LOG_SCOPE_IDENTITY, LOG_WARN,
		       news->in_force ? "revocation lists cannot be read: those read before stay "
		                        "in force"
		                      : "revocation lists cannot be read: NO peer is refused as "
		                        "revoked until they can",
		       LOG_S("reason", news->why));
	for (unsigned int i = 0; i < app->worker_count && news->changed; i++)
		proxy_worker_recheck(app->workers[i]);
}

static void start_revocation(struct app *app)
{
	const struct crl_file_owner owner = {.news = on_crl_news, .arg = app};
	const char *path = app->settings->crl_path;

	if (path == NULL || path[0] == '\0')
		return;
	app->revocation = revocation_new();
	app->tls.revocation = app->revocation;
	app->crl = crl_file_new(app->loop, path, app->revocation, &owner);
}

/* --- trust-domain aliases ---------------------------------------------------------------------- */

static bool is_trust_domain(const char *text)
{
	const struct spiffe_id id = {.trust_domain = span_str(text),
	                             .namespace = span_str("x"),
	                             .service_account = span_str("x")};
	char out[SPIFFE_ID_MAX + 1];

	return spiffe_format(&id, out, sizeof(out), NULL) == ERR_OK;
}

/* "a.example, b.example" */
static enum err read_aliases(struct app *app, char why[STEWARD_WHY_MAX])
{
	const char *text = app->settings->trust_domain_aliases;
	char *rest, *one;

	if (text == NULL || text[0] == '\0')
		return ERR_OK;
	app->alias_text = mem_str(span_str(text));
	rest = app->alias_text;
	while ((one = strsep(&rest, ",")) != NULL) {
		one += strspn(one, " \t");
		one[strcspn(one, " \t")] = '\0';
		if (app->tls.alias_count == TRUST_DOMAIN_ALIASES_MAX) {
			(void)snprintf(why, STEWARD_WHY_MAX,
			               "TRUST_DOMAIN_ALIASES: more than %d trust domains",
			               TRUST_DOMAIN_ALIASES_MAX);
			return ERR_CONFIG;
		}
		if (!is_trust_domain(one)) {
			(void)snprintf(why, STEWARD_WHY_MAX,
			               "TRUST_DOMAIN_ALIASES: \"%.100s\" is not a trust domain; "
			               "name them with commas between, like a.example,b.example",
			               one);
			return ERR_CONFIG;
		}
		app->aliases[app->tls.alias_count++] = one;
	}
	app->tls.aliases = app->aliases;
	return ERR_OK;
}

/* --- certificates ------------------------------------------------------------------------------ */

/* Contract 4.6: whatever workload of this node will be reached through a tunnel. */
static bool is_ours(const struct app *app, const struct workload *w)
{
	const char *node = app->settings->node_name;

	if (node == NULL || node[0] == '\0' || strcmp(w->node, node) != 0)
		return false;
	return w->native_tunnel || w->protocol == TUNNEL_HBONE;
}

static void forget(struct app *app, char **identities, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		cert_table_forget(app->certs, identities[i]);
		free(identities[i]);
	}
	free(identities);
}

void app_identity_mesh(struct app *app)
{
	const struct mesh *mesh = app->mesh;
	char **wanted = mem_new((mesh->workload_count + 1) * sizeof(*wanted));
	size_t n = 0;

	for (size_t i = 0; i < mesh->workload_count; i++) {
		const struct workload *w = mesh->workloads[i];

		if (app->settings->proxy_mode == SETTING_MODE_DEDICATED)
			break; /* contract 1.4: no certificate but its one workload's */
		if (is_ours(app, w) && cert_table_want(app->certs, w->identity) == ERR_OK)
			wanted[n++] = mem_str(span_str(w->identity));
	}
	/* After the new ones, so that what is wanted before and now is not forgotten in between. */
	forget(app, app->prefetched, app->prefetched_count);
	app->prefetched = wanted;
	app->prefetched_count = n;
}

/* An identity somebody waits for, on its way from a worker. */
struct awaited {
	struct letter letter;
	struct app *app;
	char identity[];
};

static void on_awaited(struct letter *l)
{
	struct awaited *a = container_of(l, struct awaited, letter);

	if (!a->app->identity_stopped)
		cert_table_hurry(a->app->certs, a->identity);
	free(a);
}

void app_identity_awaited(void *arg, const char *identity)
{
	const size_t len = strlen(identity) + 1;
	struct awaited *a = malloc(sizeof(*a) + len);

	if (a == NULL)
		return; /* it comes in its turn */
	a->app = arg;
	memcpy(a->identity, identity, len);
	mailbox_post(a->app->mail, &a->letter, on_awaited);
}

enum err app_identity_start(struct app *app, char why[STEWARD_WHY_MAX])
{
	const struct settings *s = app->settings;
	struct cert_table_options opt = {.ttl_s = s->secret_ttl_ms / 1000, .tls = &app->tls};
	struct ca_files_options files = {.dir = s->cert_dir};
	enum err e = read_aliases(app, why);

	app->tls.pqc_only =
		s->compliance_policy != NULL && strcmp(s->compliance_policy, "pqc") == 0;
	app->tls.tls12 = s->tls12_enabled != NULL && strcmp(s->tls12_enabled, "true") == 0;
	if (e == ERR_OK)
		e = tls_policy_check(&app->tls, why, STEWARD_WHY_MAX);
	if (e != ERR_OK)
		return e;
	if (s->ca == SETTING_CA_FILES)
		e = ca_files_new(app->loop, &files, &app->ca, why, STEWARD_WHY_MAX);
	else
		e = ca_dev_new(app->loop, s->ca_dev_key, &app->ca, why, STEWARD_WHY_MAX);
	if (e != ERR_OK)
		return e;
	e = mailbox_new(app->loop, &app->mail);
	if (e != ERR_OK)
		return e;
	start_revocation(app);
	app->certs_cell = snapshot_cell_new();
	app->certs = cert_table_new(app->loop, app->ca, app->certs_cell, &opt);
	if (app->certs == NULL)
		return ERR_MEMORY;
	app_identity_mesh(app);
	return ERR_OK;
}

void app_identity_stop(struct app *app)
{
	app->identity_stopped = true;
	if (app->certs != NULL)
		cert_table_stop(app->certs);
}

/* The last of the workers is gone: deliver what they said, and take the mailbox down. */
static void close_mail(struct app *app)
{
	if (app->mail == NULL)
		return;
	mailbox_stop(app->mail);
	for (int i = 0; i < MAIL_TURNS; i++)
		loop_turn(app->loop, 1);
	mailbox_free(app->mail);
}

void app_identity_free(struct app *app)
{
	close_mail(app);
	if (app->certs != NULL)
		cert_table_free(app->certs);
	for (size_t i = 0; i < app->prefetched_count; i++)
		free(app->prefetched[i]);
	free(app->prefetched);
	snapshot_unref(app->certs_seen);
	if (app->certs_cell != NULL)
		snapshot_cell_free(app->certs_cell);
	if (app->ca != NULL)
		ca_client_free(app->ca);
	crl_file_free(app->crl);
	revocation_free(app->revocation);
	free(app->alias_text);
}
