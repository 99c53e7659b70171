/* SPDX-License-Identifier: Apache-2.0 */
/* ztunnel as a pod of the mesh: who asks its metrics port by tunnel is identified and judged. Contract 12.6. */
#include "common/base/log.h"
#include "ztunnel/app_private.h"

static bool is_given(const char *text)
{
	return text != NULL && text[0] != '\0';
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
	struct steward_pod own;
	enum err e;

	if (!is_given(s->pod_name) || !is_given(s->pod_namespace) || !is_given(s->service_account))
		return ERR_OK;
	e = steward_own_pod(app->steward, &own, why);
	if (e == ERR_OK)
		e = pod_new(UINT32_MAX, &wanted, &own, &app->self);
	if (e == ERR_OK)
		e = cert_table_want(app->certs, app->self->identity);
	if (e != ERR_OK)
		return e;
	for (unsigned int i = 0; i < app->worker_count; i++)
		proxy_worker_pod_up(app->workers[i], app->self);
	log_at(LOG_SCOPE_INPOD, LOG_INFO, "serving tunnels to ztunnel itself",
	       LOG_S("identity", app->self->identity));
	return ERR_OK;
}
