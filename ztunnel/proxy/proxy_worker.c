/* SPDX-License-Identifier: Apache-2.0 */
#include "ztunnel/proxy/proxy_worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/admin/admin_server.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "ztunnel/proxy/pod_proxy.h"

const uint16_t proxy_own_ports[PROXY_OWN_PORTS] = {PORT_OUT, PORT_INPLAIN, PORT_HBONE, PORT_SOCKS};

/* One errand for a worker. */
struct errand {
	struct letter letter;
	struct proxy_worker *worker;
	struct mesh *mesh;
	struct pod *pod;
	enum err cause;
};

static struct errand *new_errand(struct proxy_worker *w)
{
	struct errand *e = calloc(1, sizeof(*e));

	CHECK(e != NULL); /* control thread, a few octets: nothing sensible is left without them */
	e->worker = w;
	return e;
}

static void post(struct errand *e, letter_fn *fn)
{
	mailbox_post(worker_mailbox(e->worker->thread), &e->letter, fn);
}

/* A part of the live connections between two turns, so that the others are served meanwhile. */
static void on_judge(struct op *op)
{
	struct proxy_worker *w = container_of(op, struct proxy_worker, judging);
	uint64_t until_ns = loop_now_ns(w->loop) + PROXY_JUDGE_NS;
	bool more;

	do
		more = live_judge_some(&w->live);
	while (more && loop_now_ns(w->loop) < until_ns);
	if (more)
		loop_post(w->loop, &w->judging, 0, on_judge);
}

void proxy_worker_use_mesh(struct proxy_worker *w, struct mesh *mesh)
{
	mesh_unref(w->mesh);
	w->mesh = mesh;
	live_judge_begin(&w->live);
	if (!w->judging.pending)
		loop_post(w->loop, &w->judging, 0, on_judge);
}

static void on_mesh(struct letter *l)
{
	struct errand *e = container_of(l, struct errand, letter);

	proxy_worker_use_mesh(e->worker, e->mesh);
	free(e);
}

void proxy_worker_mesh(struct proxy_worker *w, struct mesh *mesh)
{
	struct errand *e = new_errand(w);

	e->mesh = mesh_ref(mesh);
	post(e, on_mesh);
}

static void on_pod_up(struct letter *l)
{
	struct errand *e = container_of(l, struct errand, letter);

	if (!e->worker->draining && pod_proxy_start(e->worker, e->pod) == NULL)
		log_at(LOG_SCOPE_INPOD, LOG_ERROR, "a pod is not served: out of memory",
		       LOG_S("pod", e->pod->uid));
	pod_unref(e->pod);
	free(e);
}

void proxy_worker_pod_up(struct proxy_worker *w, struct pod *pod)
{
	struct errand *e = new_errand(w);

	e->pod = pod_ref(pod);
	post(e, on_pod_up);
}

static void on_pod_down(struct letter *l)
{
	struct errand *e = container_of(l, struct errand, letter);

	list_for_each (it, &e->worker->pods) {
		struct pod_proxy *p = list_entry(it, struct pod_proxy, link);

		if (p->pod == e->pod)
			pod_proxy_drain(p);
	}
	pod_unref(e->pod);
	free(e);
}

void proxy_worker_pod_down(struct proxy_worker *w, struct pod *pod)
{
	struct errand *e = new_errand(w);

	e->pod = pod_ref(pod);
	post(e, on_pod_down);
}

static void on_pod_cut(struct letter *l)
{
	struct errand *e = container_of(l, struct errand, letter);

	list_for_each (it, &e->worker->pods) {
		struct pod_proxy *p = list_entry(it, struct pod_proxy, link);

		if (p->pod == e->pod)
			pod_proxy_cut(p, e->cause);
	}
	pod_unref(e->pod);
	free(e);
}

void proxy_worker_pod_cut(struct proxy_worker *w, struct pod *pod, enum err cause)
{
	struct errand *e = new_errand(w);

	e->pod = pod_ref(pod);
	e->cause = cause;
	post(e, on_pod_cut);
}

/* Whoever takes over binds the same port. */
static void stop_ready(struct proxy_worker *w)
{
	if (w->ready_server != NULL)
		http1_server_stop(w->ready_server, NULL, NULL);
	w->ready_server = NULL;
}

static void on_drain(struct letter *l)
{
	struct errand *e = container_of(l, struct errand, letter);

	e->worker->draining = true;
	stop_ready(e->worker);
	list_for_each (it, &e->worker->pods)
		pod_proxy_drain(list_entry(it, struct pod_proxy, link));
	free(e);
}

void proxy_worker_drain(struct proxy_worker *w)
{
	post(new_errand(w), on_drain);
}

static void on_recheck(struct letter *l)
{
	struct errand *e = container_of(l, struct errand, letter);

	list_for_each (it, &e->worker->pods)
		pod_proxy_recheck(list_entry(it, struct pod_proxy, link));
	free(e);
}

void proxy_worker_recheck(struct proxy_worker *w)
{
	post(new_errand(w), on_recheck);
}

static void on_cut(struct letter *l)
{
	struct errand *e = container_of(l, struct errand, letter);

	list_for_each (it, &e->worker->pods)
		pod_proxy_cut(list_entry(it, struct pod_proxy, link), e->cause);
	free(e);
}

void proxy_worker_cut(struct proxy_worker *w, enum err cause)
{
	struct errand *e = new_errand(w);

	e->cause = cause;
	post(e, on_cut);
}

uint64_t proxy_worker_open(const struct proxy_worker *w)
{
	return atomic_load_explicit(&w->open, memory_order_relaxed);
}

void proxy_worker_opened(struct proxy_worker *w)
{
	atomic_fetch_add_explicit(&w->open, 1, memory_order_relaxed);
}

void proxy_worker_closed(struct proxy_worker *w)
{
	atomic_fetch_sub_explicit(&w->open, 1, memory_order_relaxed);
}

/* FNV-1a: for a table in which a collision does no harm. */
static uint64_t hash_of(const char *text)
{
	uint64_t h = 0xcbf29ce484222325;

	for (; *text != '\0'; text++)
		h = (h ^ (uint8_t)*text) * 0x100000001b3;
	return h | 1;
}

/* Tell once, until certificates change. */
static void tell_awaited(struct proxy_worker *w, const char *identity)
{
	const uint64_t hash = hash_of(identity);
	uint64_t *slot = &w->awaited[hash / 2 % PROXY_AWAITED_SLOTS];

	if (*slot == hash || w->options->cert_awaited == NULL)
		return;
	*slot = hash;
	w->options->cert_awaited(w->options->cert_awaited_arg, identity);
}

struct tls_config *proxy_worker_config(struct proxy_worker *w, const char *identity)
{
	const struct cert_entry *entry = NULL;
	struct tls_config *config = NULL;

	if (snapshot_refresh(w->options->certs, &w->certs_generation, &w->certs))
		memset(w->awaited, 0, sizeof(w->awaited));
	if (w->certs != NULL && cert_set_config(container_of(w->certs, struct cert_set, snap),
	                                        identity, &config, &entry) == ERR_OK)
		return config;
	if (entry == NULL || entry->state == CERT_INITIALIZING)
		tell_awaited(w, identity);
	return NULL;
}

bool proxy_worker_cert_failed(const struct proxy_worker *w, const char *identity)
{
	const struct cert_entry *entry =
		w->certs == NULL
			? NULL
			: cert_set_find(container_of(w->certs, struct cert_set, snap), identity);

	return entry != NULL && entry->state == CERT_UNAVAILABLE;
}

static void on_tidy(struct timer *t)
{
	struct proxy_worker *w = container_of(t, struct proxy_worker, tidy);
	struct iobuf_pool *pool = loop_iobufs(w->loop);

	ready_beat(w->options->ready, w->index, clock_mono_ms());
	iobuf_pool_trim(pool);
	if (w->handshakes.refused > 0)
		log_at(LOG_SCOPE_PROXY, LOG_WARN,
		       "inbound connections turned away: too many unfinished handshakes",
		       LOG_N("count", w->handshakes.refused),
		       LOG_N("unfinished", w->handshakes.count));
	w->handshakes.refused = 0;
	metrics_set(w->shard, METRIC_IOBUF_BYTES, (int64_t)iobuf_pool_bytes(pool));
	metrics_set(w->shard, METRIC_IOBUF_BYTES_IN_USE, (int64_t)iobuf_pool_bytes_in_use(pool));
	timer_arm(w->loop, t, PROXY_TIDY_MS);
}

static void start_resolver(struct proxy_worker *w)
{
	struct dns_upstream_options upstream = {.sockets = &dns_sockets_here,
	                                        .config = w->options->resolv};
	struct dns_resolver_options opt = {.ipv6 = w->options->ipv6};

	w->upstream = dns_upstream_new(w->loop, &upstream);
	opt.forwarder = dns_upstream_forwarder(w->upstream);
	w->resolver = dns_resolver_new(w->loop, &opt);
}

static enum err init_worker(struct worker *thread, void *arg)
{
	struct proxy_worker *w = arg;

	w->loop = worker_loop(thread);
	tls_gate_init(&w->gate, w->loop);
	metrics_add_for(w->shard, METRIC_WORKERS, METRIC_LABELS(loop_backend(w->loop)), 1);
	start_resolver(w);
	timer_init(&w->tidy, on_tidy);
	timer_arm(w->loop, &w->tidy, 0);
	return ready_server_start(w->loop, &w->options->ready_at, w->options->ready,
	                          &w->ready_server);
}

static void on_halt(struct letter *l)
{
	struct errand *e = container_of(l, struct errand, letter);

	timer_disarm(&e->worker->tidy);
	stop_ready(e->worker);
	dns_resolver_free(e->worker->resolver);
	dns_upstream_free(e->worker->upstream);
	free(e);
}

enum err proxy_worker_start(const struct proxy_options *options, unsigned int index,
                            struct mesh *mesh, struct proxy_worker **ret_worker)
{
	struct proxy_worker *w = calloc(1, sizeof(*w));
	char name[16];
	enum err e;

	if (w == NULL)
		return ERR_MEMORY;
	w->options = options;
	w->index = index;
	w->mesh = mesh_ref(mesh);
	w->shard = metrics_shard_new(options->metrics);
	h2_events_init(&w->scratch);
	h2_events_init(&w->inner_scratch);
	rand_init_system(&w->dice);
	list_init(&w->pods);
	live_table_init(&w->live);
	handshakes_init(&w->handshakes);
	(void)snprintf(name, sizeof(name), "ztunnel-%u", index % 1000000);
	e = worker_start(name, &options->loop, init_worker, w, &w->thread);
	if (e != ERR_OK) {
		handshakes_fini(&w->handshakes);
		live_table_fini(&w->live);
		mesh_unref(w->mesh);
		free(w);
		return e;
	}
	*ret_worker = w;
	return ERR_OK;
}

void proxy_worker_stop(struct proxy_worker *w)
{
	post(new_errand(w), on_halt);
	worker_join(w->thread);
	h2_events_fini(&w->scratch);
	h2_events_fini(&w->inner_scratch);
	snapshot_unref(w->certs);
	mesh_unref(w->mesh);
	tls_gate_fini(&w->gate);
	handshakes_fini(&w->handshakes);
	live_table_fini(&w->live);
	account_cache_fini(&w->account_cache);
	free(w);
}
