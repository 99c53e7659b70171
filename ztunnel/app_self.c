/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The namespace this process runs in, as a pod of the mesh: of ztunnel itself, whose metrics are then reached by tunnel
 * (contract 12.6), or in dedicated mode of the one workload that is served (1.4).
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/mesh/mesh_table.h"
#include "ztunnel/app_private.h"

static bool is_given(const char *text)
{
	return text != NULL && text[0] != '\0';
}

static enum err serve(struct app *app, const struct pod_wanted *wanted, char why[STEWARD_WHY_MAX])
{
	struct steward_pod own;
	enum err e = steward_own_pod(app->steward, &own, why);

	if (e == ERR_OK)
		e = pod_new(UINT32_MAX, wanted, &own, &app->self);
	if (e == ERR_OK)
		e = cert_table_want(app->certs, app->self->identity);
	if (e != ERR_OK)
		return e;
	for (unsigned int i = 0; i < app->worker_count; i++)
		proxy_worker_pod_up(app->workers[i], app->self);
	log_at(LOG_SCOPE_INPOD, LOG_INFO, "serving the namespace this runs in",
	       LOG_S("identity", app->self->identity));
	return ERR_OK;
}

/* info was checked: namespace/name/service-account. */
static enum err serve_dedicated(struct app *app, const char *info, char why[STEWARD_WHY_MAX])
{
	char *text = mem_str(span_str(info)), *rest = text;
	const char *namespace = strsep(&rest, "/");
	const char *name = strsep(&rest, "/");
	struct pod_wanted wanted = {
		.uid = info,
		.namespace = namespace,
		.name = name,
		.service_account = rest,
		.trust_domain = app->settings->trust_domain,
		.netns = "",
		.flags = STEWARD_POD_OWN,
	};
	const struct local_workload_key key = {
		.namespace = wanted.namespace,
		.name = wanted.name,
		.service_account = wanted.service_account,
		.node = app->settings->node_name == NULL ? "" : app->settings->node_name,
	};
	const struct workload *known = mesh_local_workload(app->mesh, &key);
	enum err e;

	if (known != NULL && known->trust_domain[0] != '\0')
		wanted.trust_domain = known->trust_domain;
	e = serve(app, &wanted, why);
	free(text);
	return e;
}

enum err app_self_start(struct app *app, char why[STEWARD_WHY_MAX])
{
	const struct settings *s = app->settings;
	const struct pod_wanted wanted = {
		.uid = "",
		.name = s->pod_name,
		.namespace = s->pod_namespace,
		.service_account = s->service_account,
		.trust_domain = s->trust_domain,
		.netns = "",
		.flags = STEWARD_POD_OWN,
	};

	if (s->proxy_mode == SETTING_MODE_DEDICATED)
		return serve_dedicated(app, s->proxy_workload_info, why);
	if (!is_given(s->pod_name) || !is_given(s->pod_namespace) || !is_given(s->service_account))
		return ERR_OK;
	return serve(app, &wanted, why);
}
