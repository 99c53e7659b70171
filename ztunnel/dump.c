/* SPDX-License-Identifier: Apache-2.0 */
/* The members of /config_dump that are ztunnel's own (contract 11.2). */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/codec/base64_codec.h"
#include "common/codec/json_write.h"
#include "common/daemon/build_info.h"
#include "common/mesh/authz.h"
#include "common/mesh/mesh_dump.h"
#include "common/mesh/mesh_table.h"
#include "ztunnel/app_private.h"

static void write_mesh(void *arg, struct json_write *w)
{
	const struct app *app = arg;

	mesh_dump_members(app->mesh, w);
}

static void write_version(void *arg, struct json_write *w)
{
	const struct app *app = arg;

	json_key(w, "version");
	build_info_json(w, app->settings->istio_version, tls_provider());
}

static void write_config(void *arg, struct json_write *w)
{
	const struct app *app = arg;

	json_key(w, "config");
	settings_json(app->settings, app->args->text, w);
}

enum { PEM_LEN_MAX = 256 * 1024 }; /* a chain in base64, amply */

/* --- certificates ----------------------------------------------------------------------------- */

static void write_time(struct json_write *w, const char *key, int64_t seconds)
{
	time_t t = (time_t)seconds;
	char text[32] = "";
	struct tm tm;

	if (gmtime_r(&t, &tm) != NULL)
		(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	json_kv_str(w, key, text);
}

static void write_cert(struct json_write *w, const struct tls_cert_facts *f)
{
	struct buf b;

	buf_init(&b, PEM_LEN_MAX);
	base64_encode(f->pem, &b);
	json_object_open(w);
	json_key(w, "pem");
	json_span(w, buf_span(&b));
	json_kv_str(w, "serialNumber", f->serial_decimal);
	write_time(w, "validFrom", f->not_before);
	write_time(w, "expirationTime", f->not_after);
	json_object_close(w);
	buf_fini(&b);
}

static void write_certs(struct json_write *w, const char *key, const struct tls_config *c,
                        bool (*at)(const struct tls_config *, unsigned int,
                                   struct tls_cert_facts *))
{
	struct tls_cert_facts f;

	json_key(w, key);
	json_array_open(w);
	for (unsigned int i = 0; c != NULL && at(c, i, &f); i++)
		write_cert(w, &f);
	json_array_close(w);
}

static void write_certificates(void *arg, struct json_write *w)
{
	const struct app *app = arg;
	const struct cert_set *set = cert_table_set(app->certs);
	char state[512];

	json_key(w, "certificates");
	json_array_open(w);
	for (size_t i = 0; i < set->count; i++) {
		const struct cert_entry *e = &set->entries[i];

		json_object_open(w);
		json_kv_str(w, "identity", e->identity);
		json_kv_str(w, "state", cert_entry_state_text(e, state, sizeof(state)));
		write_certs(w, "certChain", e->cfg, tls_config_chain_at);
		write_certs(w, "rootCerts", e->cfg, tls_config_root_at);
		json_object_close(w);
	}
	json_array_close(w);
}

/* --- pods and their connections ----------------------------------------------------------------- */

struct listing {
	struct json_write *w;
	const struct mesh *mesh;
	const struct workload *self; /* the pod's; NULL: unknown to the mesh */
	const char *pod_uid;
	bool inbound;
};

static void write_endpoint(struct json_write *w, const char *key, const struct endpoint *ep)
{
	char text[ENDPOINT_TEXT_MAX];

	json_kv_str(w, key, endpoint_format(ep, text));
}

/* By what an inbound connection is allowed, asked anew: a superset of contract 11.2. */
static void write_authorization(const struct listing *list, const struct live *l)
{
	const struct authz_facts facts = {
		.source_ip = l->src.ip, .destination = l->actual_dst, .identity = l->identity};
	struct authz_answer a;
	char words[AUTHZ_WORDS_MAX];

	authz_check(list->mesh, list->self, &facts, &a);
	json_kv_str(list->w, "authorization", authz_words(&a, words));
}

static void write_live(void *arg, const struct live *l)
{
	static const char *const protocols[] = {
		[LIVE_TCP] = "TCP",
		[LIVE_HBONE] = "HBONE",
		[LIVE_DOUBLE_HBONE] = "DOUBLEHBONE",
	};
	const struct listing *list = arg;

	if (l->inbound != list->inbound || strcmp(l->pod_uid, list->pod_uid) != 0)
		return;
	json_object_open(list->w);
	write_endpoint(list->w, "src", &l->src);
	json_key(list->w, "originalDst");
	if (l->inbound && l->protocol == LIVE_HBONE) {
		if (l->service != NULL)
			json_str(list->w, l->service);
		else
			json_none(list->w);
	} else {
		char text[ENDPOINT_TEXT_MAX];

		json_str(list->w, endpoint_format(&l->original_dst, text));
	}
	write_endpoint(list->w, "actualDst", &l->actual_dst);
	json_kv_str(list->w, "protocol", protocols[l->protocol]);
	if (l->inbound && list->self != NULL)
		write_authorization(list, l);
	json_object_close(list->w);
}

static void write_direction(const struct app *app, struct json_write *w, const struct pod *p,
                            bool inbound)
{
	struct local_workload_key key = {.namespace = p->namespace,
	                                 .name = p->name,
	                                 .service_account = p->service_account,
	                                 .node = app->settings->node_name};
	struct listing list = {.w = w,
	                       .mesh = app->mesh,
	                       .self = mesh_local_workload(app->mesh, &key),
	                       .pod_uid = p->uid,
	                       .inbound = inbound};

	json_key(w, inbound ? "inbound" : "outbound");
	json_array_open(w);
	for (unsigned int i = 0; i < app->worker_count; i++)
		live_each(&app->workers[i]->live, write_live, &list);
	json_array_close(w);
}

static void write_pod(const struct app *app, struct json_write *w, const struct pod *p)
{
	json_key(w, p->uid);
	json_object_open(w);
	json_kv_str(w, "state", "Up");
	json_key(w, "info");
	json_object_open(w);
	json_kv_str(w, "name", p->name);
	json_kv_str(w, "namespace", p->namespace);
	json_kv_str(w, "serviceAccount", p->service_account);
	json_object_close(w);
	json_key(w, "connections");
	json_object_open(w);
	write_direction(app, w, p, true);
	write_direction(app, w, p, false);
	json_object_close(w);
	json_object_close(w);
}

static void write_workload_state(void *arg, struct json_write *w)
{
	const struct app *app = arg;

	json_key(w, "workloadState");
	json_object_open(w);
	pods_table_each(it, pods_static_table(app->pods)) write_pod(app, w, pod_of_link(it));
	json_object_close(w);
}

void dump_register(struct app *app)
{
	admin_section(app->admin, write_mesh, app);
	admin_section(app->admin, write_version, app);
	admin_section(app->admin, write_config, app);
	admin_section(app->admin, write_certificates, app);
	admin_section(app->admin, write_workload_state, app);
}
