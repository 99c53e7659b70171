/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/ztunnel/proxy/proxy_lab.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "tests/unit/common/mesh/mesh_text.h"
#include "tests/unit/common/tls/test_pki.h"
#include "tests/unit/ztunnel/proxy/proxy_gateway.h"
#include "ztunnel/capture/original_dst.h"
#include "ztunnel/proxy/account.h"

#define CLIENT  "spiffe://cluster.local/ns/a/sa/client"
#define SERVER  "spiffe://cluster.local/ns/a/sa/server"
#define GATEWAY "spiffe://cluster.local/ns/a/sa/gateway"

enum {
	MUTE_TURNS = 300,    /* a mute application goes at last */
	STALL_TURNS = 900,   /* turns in which nothing happens: nothing ever will */
	ACTION_BYTES = 5000, /* of one read or write of an application */
	CONNECT_MS = 5000,
};

struct plab plab;
unsigned int plab_safe;

static struct test_pki root;
static struct tls_config *client_config, *server_config, *gateway_config;

int plab_set_up(void **state)
{
	const char *levels = getenv("PROXY_LOG"), *bad;
	size_t bad_len;

	(void)state;
	assert_int_equal(log_filter_set(levels == NULL ? "off" : levels, &bad, &bad_len), ERR_OK);
	assert_int_equal(tls_global_init(), ERR_OK);
	test_pki_init(&root, "root");
	client_config = test_pki_config(&root, CLIENT);
	server_config = test_pki_config(&root, SERVER);
	gateway_config = test_pki_config(&root, GATEWAY);
	return 0;
}

int plab_tear_down(void **state)
{
	(void)state;
	tls_config_unref(client_config);
	tls_config_unref(server_config);
	tls_config_unref(gateway_config);
	test_pki_fini(&root);
	tls_global_fini();
	return 0;
}

/* --- the steward, and what only a kernel knows ------------------------------------------------- */

int steward_pod_take_listener(struct steward_pod *pod, enum steward_listener kind,
                              unsigned int worker)
{
	int *fd = &plab.node[pod->cookie].listeners[kind], taken = *fd;

	assert_int_equal(worker, 0);
	*fd = -1;
	return taken;
}

bool steward_pod_has_dns(const struct steward_pod *pod)
{
	(void)pod;
	return false;
}

int steward_pod_take_socks(struct steward_pod *pod, enum steward_socks which)
{
	(void)pod;
	(void)which;
	return -1;
}

int steward_pod_take_dns(struct steward_pod *pod, enum steward_dns which)
{
	(void)pod;
	(void)which;
	return -1;
}

int steward_resolver_socket(const struct steward *s, const struct steward_pod *pod, int family,
                            int type)
{
	(void)s;
	(void)pod;
	(void)family;
	(void)type;
	return -EMFILE;
}

void steward_pod_fini(struct steward_pod *pod)
{
	(void)pod;
	plab.pods_closed++;
}

static bool happens(unsigned int of_1000)
{
	return rand_below(&plab.dice, 1000) < of_1000;
}

void steward_socket(const struct steward *s, struct loop *loop, struct steward_socket_req *req,
                    op_done_fn *done)
{
	bool spoofed = req->kind == SOCKET_APP && req->client.family != IP_NONE;

	(void)s;
	req->ret_fd = -1;
	req->ret_port = 0;
	req->ret_err = happens(plab.opt.no_socket_of_1000) ? ERR_OVERLOAD : ERR_OK;
	if (req->ret_err == ERR_OK && spoofed)
		req->ret_err =
			spoof_ports_pick(req->ports, &req->client, req->dst.port, &req->ret_port);
	plab_safe++;
	if (req->ret_err == ERR_OK)
		req->ret_fd = sim_socket(loop);
	plab_safe--;
	loop_post(loop, &req->op, 0, done);
}

static struct plab_path *path_of_port(uint16_t port)
{
	for (unsigned int i = 0; i < plab.path_count; i++) {
		if (plab.path[i].port == port)
			return &plab.path[i];
	}
	return NULL;
}

static struct endpoint address(uint8_t last, uint16_t port)
{
	return (struct endpoint){.ip = {.family = IP_V4, .bytes = {10, 0, 0, last}}, .port = port};
}

static bool is_closed_kind(const struct plab_path *p)
{
	return p->kind == PATH_HBONE_CLOSED || p->kind == PATH_PLAIN_CLOSED;
}

/* Where the application listens that a path leads to: a port for each, so that the accepting end is known. */
static struct endpoint listener_of(const struct plab_path *p)
{
	bool off = p->kind == PATH_PLAIN_OUT || p->kind == PATH_PLAIN_CLOSED;

	return address(off ? 3 : 2, (uint16_t)(PLAB_APP_PORT + (p - plab.path)));
}

/* Whom the client of a path means to reach. */
static struct endpoint target_of(const struct plab_path *p)
{
	struct endpoint at = listener_of(p);

	return p->kind == PATH_FAR ? address(9, at.port) : at;
}

enum err listener_original_dst(int fd, struct endpoint *ret_src, struct endpoint *ret_dst)
{
	struct endpoint at = sim_local(plab.loop, fd);
	const struct plab_path *p;

	assert_true(sim_peer(plab.loop, fd, ret_src));
	if (happens(plab.opt.gone_of_1000))
		return ERR_RESET;
	*ret_dst = at;
	if (at.port == PORT_HBONE)
		return ERR_OK;
	p = path_of_port(ret_src->port);
	if (p == NULL)
		return ERR_INTERNAL; /* nobody's connection: the books will not balance */
	*ret_dst = target_of(p);
	plab.accepted++;
	plab.accepted_in += at.port == PORT_INPLAIN;
	return ERR_OK;
}

/* No pod of the lab is the proxy's own. */
enum err listener_redirected_dst(int fd, struct endpoint *ret_src, struct endpoint *ret_dst)
{
	return listener_original_dst(fd, ret_src, ret_dst);
}

/* --- what the product tells --------------------------------------------------------------------- */

void __real_account_open(struct account *a, struct metrics_shard *shard,
                         struct account_cache *cache, const struct account_facts *f,
                         uint64_t now_ms);
void __wrap_account_open(struct account *a, struct metrics_shard *shard,
                         struct account_cache *cache, const struct account_facts *f,
                         uint64_t now_ms);
void __real_account_close(struct account *a, const struct account_end *end);
void __wrap_account_close(struct account *a, const struct account_end *end);
void __real_account_refused(struct metrics_shard *shard, enum access_direction direction,
                            const struct endpoint *src, const struct endpoint *dst, enum err cause,
                            const char *words);
void __wrap_account_refused(struct metrics_shard *shard, enum access_direction direction,
                            const struct endpoint *src, const struct endpoint *dst, enum err cause,
                            const char *words);
void __real_metrics_gauge_add(struct metrics_shard *s, enum metric id, int64_t delta);
void __wrap_metrics_gauge_add(struct metrics_shard *s, enum metric id, int64_t delta);
void __real_metrics_gauge_add_for(struct metrics_shard *s, enum metric id,
                                  const char *const values[], int64_t delta);
void __wrap_metrics_gauge_add_for(struct metrics_shard *s, enum metric id,
                                  const char *const values[], int64_t delta);
void __real_metrics_add_for(struct metrics_shard *s, enum metric id, const char *const values[],
                            uint64_t n);
void __wrap_metrics_add_for(struct metrics_shard *s, enum metric id, const char *const values[],
                            uint64_t n);
void __real_spoof_ports_fini(struct spoof_ports *sp);
void __wrap_spoof_ports_fini(struct spoof_ports *sp);

void __wrap_account_open(struct account *a, struct metrics_shard *shard,
                         struct account_cache *cache, const struct account_facts *f,
                         uint64_t now_ms)
{
	plab.opened[f->direction]++;
	__real_account_open(a, shard, cache, f, now_ms);
}

/* Each account ends once; and one that ended well has every octet both applications sent. */
void __wrap_account_close(struct account *a, const struct account_end *end)
{
	const struct plab_path *p = path_of_port(end->src.port);

	assert_non_null(a->series);
	plab.closed[a->direction]++;
	if (end->cause == ERR_OK && p != NULL) {
		assert_int_equal(a->received, p->app[0].sent);
		assert_int_equal(a->sent, p->app[1].sent);
	}
	__real_account_close(a, end);
	a->series = NULL;
}

void __wrap_account_refused(struct metrics_shard *shard, enum access_direction direction,
                            const struct endpoint *src, const struct endpoint *dst, enum err cause,
                            const char *words)
{
	assert_int_not_equal(cause, ERR_OK);
	plab.turned_away[direction]++;
	__real_account_refused(shard, direction, src, dst, cause, words);
}

void __wrap_metrics_gauge_add(struct metrics_shard *s, enum metric id, int64_t delta)
{
	plab.gauges[id] += delta;
	__real_metrics_gauge_add(s, id, delta);
}

void __wrap_metrics_gauge_add_for(struct metrics_shard *s, enum metric id,
                                  const char *const values[], int64_t delta)
{
	plab.gauges[id] += delta;
	__real_metrics_gauge_add_for(s, id, values, delta);
}

void __wrap_metrics_add_for(struct metrics_shard *s, enum metric id, const char *const values[],
                            uint64_t n)
{
	plab.accept_errors += id == METRIC_ACCEPT_ERRORS;
	__real_metrics_add_for(s, id, values, n);
}

void __wrap_spoof_ports_fini(struct spoof_ports *sp)
{
	assert_int_equal(sp->live, 0);
	__real_spoof_ports_fini(sp);
}

/* --- the two nodes -------------------------------------------------------------------------------- */

static const char world[] =
	"workloads:\n"
	"- {uid: c//Pod/a/client, name: client, namespace: a, serviceAccount: client, "
	"workloadIps: [10.0.0.1], protocol: HBONE, services: {}}\n"
	"- {uid: c//Pod/a/server, name: server, namespace: a, serviceAccount: server, "
	"workloadIps: [10.0.0.2], protocol: HBONE, services: {}}\n"
	"- {uid: c//Pod/a/plain, name: plain, namespace: a, workloadIps: [10.0.0.3], services: {}}\n"
	"- {uid: far, namespace: a, network: net2, workloadIps: [], protocol: HBONE, networkGateway: "
	"{destination: net2/10.0.0.4}, services: {a/far.svc: {}}}\n"
	"- {uid: gateway, namespace: a, serviceAccount: gateway, network: net2, workloadIps: "
	"[10.0.0.4], services: {}}\n"
	"services:\n"
	"- {name: far, namespace: a, hostname: far.svc, vips: [/10.0.0.9], subjectAltNames: [" SERVER
	"], ports: {8080: 8080, 8081: 8081, 8082: 8082, 8083: 8083, 8084: 8084, 8085: 8085, 8086: "
	"8086, 8087: 8087}}\n";
static const char closed_world[] = "policies:\n"
				   "- {name: nobody, namespace: a, scope: Namespace, action: Deny, "
				   "rules: [[[{notDestinationPorts: [1]}]]]}\n";

static struct mesh *make_mesh(bool deny, bool stranger)
{
	char text[sizeof(world) + sizeof(closed_world)];
	char *name;

	(void)snprintf(text, sizeof(text), "%s%s", world, deny ? closed_world : "policies: []\n");
	name = strstr(text, "name: server,");
	if (stranger)
		memcpy(name, "name: nobody,", strlen("name: nobody,"));
	return mesh_of(text);
}

static void free_certs(struct snapshot *s)
{
	free(container_of(s, struct cert_set, snap));
}

void plab_new_certs(enum cert_state state)
{
	struct cert_set *set = mem_new(sizeof(*set) + 2 * sizeof(set->entries[0]));
	static char client[] = CLIENT, server[] = SERVER, why[] = "the lab says so";
	const bool have = state == CERT_AVAILABLE;

	snapshot_init(&set->snap, free_certs);
	set->count = 2;
	set->entries[0] = (struct cert_entry){client, state, have ? client_config : NULL, why};
	set->entries[1] = (struct cert_entry){server, state, have ? server_config : NULL, why};
	snapshot_publish(plab.certs, &set->snap);
}

static void on_cert_awaited(void *arg, const char *identity)
{
	(void)arg;
	assert_true(strcmp(identity, CLIENT) == 0 || strcmp(identity, SERVER) == 0);
	plab.awaited++;
}

static struct h2_options h2_options_of(const struct plab_options *opt, bool server)
{
	return (struct h2_options){
		.stream_window = opt->stream_window != 0 ? opt->stream_window : 1024 * 1024,
		.conn_window = 4 * 1024 * 1024,
		.frame_len_max = 1024 * 1024,
		.header_list_max = 16384,
		.streams_max = server ? 200 : 0,
		.ping_interval_ms = 10000,
		.ping_timeout_ms = 20000,
	};
}

static struct pod *make_pod(unsigned int node)
{
	const char *name = node == 0 ? "client" : "server";
	struct pod_wanted wanted = {.uid = name,
	                            .name = name,
	                            .namespace = "a",
	                            .service_account = name,
	                            .trust_domain = "cluster.local",
	                            .netns = name};
	struct steward_pod enrolled = {.cookie = node, .netns_fd = -1, .workers = 1};
	struct pod *pod = NULL;

	assert_int_equal(pod_new(node, &wanted, &enrolled, &pod), ERR_OK);
	return pod;
}

static void start_node(unsigned int i)
{
	static const uint16_t ports[LISTENER_KINDS] = {
		[LISTENER_OUT] = PORT_OUT,
		[LISTENER_INPLAIN] = PORT_INPLAIN,
		[LISTENER_HBONE] = PORT_HBONE,
	};
	struct plab_node *n = &plab.node[i];
	struct proxy_worker *w = &n->worker;

	n->options = (struct proxy_options){
		.metrics = plab.metrics,
		.certs = plab.certs,
		.cert_awaited = on_cert_awaited,
		.network = "",
		.pool = {.h2 = h2_options_of(&plab.opt, false),
	                 .streams_max = 100,
	                 .idle_ms = 60000,
	                 .handshake_ms = 10000,
	                 .answer_ms = 20000,
	                 .own_port = PORT_HBONE},
		.server_h2 = h2_options_of(&plab.opt, true),
		.connect_ms = CONNECT_MS,
		.spoof_source = true,
		.response_baggage = true,
		.workers = 1,
	};
	w->options = &n->options;
	w->loop = plab.loop;
	w->mesh = mesh_ref(plab.mesh);
	w->shard = metrics_shard_new(plab.metrics);
	h2_events_init(&w->scratch);
	h2_events_init(&w->inner_scratch);
	rand_init(&w->dice, plab.opt.sim.seed + i);
	list_init(&w->pods);
	live_table_init(&w->live);
	tls_gate_init(&w->gate, plab.loop);
	handshakes_init(&w->handshakes);
	for (unsigned int k = 0; k < LISTENER_KINDS; k++) {
		struct endpoint at = address((uint8_t)(i + 1), ports[k]);

		if (plab.opt.black_hole && i == 1 && k == LISTENER_HBONE) {
			sim_black_hole(plab.loop, &at);
			n->listeners[k] = -1;
		} else {
			n->listeners[k] = sim_listen(plab.loop, &at, 0);
		}
	}
	n->pod = make_pod(i);
	n->proxy = pod_proxy_start(w, n->pod);
	assert_non_null(n->proxy);
}

void plab_init(const struct plab_options *opt)
{
	memset(&plab, 0, sizeof(plab));
	plab_safe++;
	plab.opt = *opt;
	rand_init(&plab.dice, opt->sim.seed);
	plab.loop = sim_new(&opt->sim);
	plab.metrics = metrics_new(0);
	plab.certs = snapshot_cell_new();
	plab_new_certs(CERT_AVAILABLE);
	plab.mesh = make_mesh(opt->deny, opt->stranger);
	for (unsigned int i = 0; i < PLAB_PATHS_MAX; i++)
		plab.listener[i] = -1;
	start_node(0);
	start_node(1);
	gateway_start(&(struct gateway_options){.loop = plab.loop,
	                                        .config = gateway_config,
	                                        .at = address(4, PORT_HBONE),
	                                        .to = address(2, PORT_HBONE),
	                                        .h2 = h2_options_of(opt, true)});
	plab_safe--;
}

void plab_new_mesh(bool deny)
{
	struct mesh *fresh = make_mesh(deny, false);

	for (unsigned int i = 0; i < 2; i++)
		proxy_worker_use_mesh(&plab.node[i].worker, mesh_ref(fresh));
	mesh_unref(plab.mesh);
	plab.mesh = fresh;
}

void plab_drain(unsigned int node)
{
	struct plab_node *n = &plab.node[node];

	if (n->proxy != NULL)
		pod_proxy_drain(n->proxy);
	n->proxy = NULL;
}

static void stop_node(struct plab_node *n)
{
	struct proxy_worker *w = &n->worker;

	assert_int_equal(proxy_worker_open(w), 0);
	h2_events_fini(&w->scratch);
	h2_events_fini(&w->inner_scratch);
	snapshot_unref(w->certs);
	mesh_unref(w->mesh);
	live_table_fini(&w->live); /* checks that it is empty, as the next two do */
	tls_gate_fini(&w->gate);
	handshakes_fini(&w->handshakes);
	account_cache_fini(&w->account_cache);
	assert_true(pod_is_idle(n->pod));
	pod_unref(n->pod);
}

static bool drained(void)
{
	return list_empty(&plab.node[0].worker.pods) && list_empty(&plab.node[1].worker.pods);
}

static void assert_books_balance(void)
{
	for (unsigned int d = 0; d < 2; d++)
		assert_int_equal(plab.opened[d], plab.closed[d]);
	/* every connection that was looked at is in the books of its side; inbound there are streams, too */
	assert_int_equal(plab.opened[ACCESS_OUTBOUND] + plab.turned_away[ACCESS_OUTBOUND] +
	                         plab.accepted_in,
	                 plab.accepted);
	for (unsigned int i = 0; i < METRIC_COUNT; i++)
		assert_int_equal(plab.gauges[i], 0);
}

void plab_fini(void)
{
	plab_close_apps();
	plab_drain(0);
	plab_drain(1);
	gateway_stop();
	for (unsigned int t = 0; t < PLAB_TURNS_MAX && !(drained() && gateway_idle()); t++) {
		plab_turn();
		plab_close_apps(); /* what was only now accepted */
	}
	assert_true(drained() && gateway_idle());
	gateway_fini();
	for (unsigned int i = 0; i < plab.path_count; i++) {
		assert_false(plab.path[i].connecting);
		if (plab.listener[i] >= 0)
			loop_close(plab.loop, plab.listener[i]);
	}
	assert_true(sim_settle(plab.loop, PLAB_TURNS_MAX));
	stop_node(&plab.node[0]);
	stop_node(&plab.node[1]);
	assert_int_equal(plab.pods_closed, 2);
	assert_books_balance();
	assert_int_equal(sim_open_sockets(plab.loop), 0);
	assert_int_equal(loop_pending(plab.loop), 0);
	assert_int_equal(iobuf_pool_bytes_in_use(loop_iobufs(plab.loop)), 0);
	loop_free(plab.loop);
	mesh_unref(plab.mesh);
	snapshot_cell_free(plab.certs);
	metrics_free(plab.metrics);
}

/* --- applications ------------------------------------------------------------------------------- */

static void on_connected(struct op *op)
{
	struct plab_path *p = container_of(op, struct plab_path, connect);

	p->connecting = false;
	if (op->res == 0)
		return;
	loop_close(plab.loop, p->app[0].fd); /* a listener that is gone */
	p->app[0].fd = -1;
	p->app[0].closed = true;
	p->refused = true;
}

struct plab_path *plab_open(enum path_kind kind)
{
	unsigned int i = plab.path_count++;
	struct plab_path *p = &plab.path[i];
	bool in = kind == PATH_PLAIN_IN;
	struct endpoint to = address(in ? 2 : 1, in ? PORT_INPLAIN : PORT_OUT), target;
	struct sockaddr_storage ss;
	socklen_t len = endpoint_to_sockaddr(&to, false, &ss);

	assert_true(i < PLAB_PATHS_MAX);
	*p = (struct plab_path){.kind = kind, .app = {{.fd = -1}, {.fd = -1}}};
	p->app[0].read_max = SIZE_MAX;
	p->app[1].read_max = SIZE_MAX;
	plab_safe++;
	target = listener_of(p);
	if (!is_closed_kind(p))
		plab.listener[i] = sim_listen(plab.loop, &target, 0);
	p->app[0].fd = sim_socket(plab.loop);
	p->port = sim_local(plab.loop, p->app[0].fd).port;
	p->connecting = true;
	loop_connect(plab.loop, &p->connect, p->app[0].fd, (struct sockaddr *)&ss, len,
	             on_connected);
	plab_safe--;
	return p;
}

static uint8_t pattern(const struct plab_path *p, int side, size_t i)
{
	return (uint8_t)(i * 131 + i / 251 + (size_t)(p - plab.path) * 29 + (size_t)side * 101);
}

static void app_close(struct plab_app *a, bool reset)
{
	if (a->fd < 0)
		return;
	if (reset)
		loop_reset_close(plab.loop, a->fd);
	else
		loop_close(plab.loop, a->fd);
	a->reset |= reset;
	a->finned |= !reset;
	a->closed = true;
	a->fd = -1;
}

static void app_fin(struct plab_app *a)
{
	if (a->finned)
		return;
	a->finned = true;
	loop_shutdown(plab.loop, a->fd, SHUT_WR);
}

/* Write what the socket takes; true when all is written, or will never be. */
static bool push(struct plab_path *p, int side)
{
	struct plab_app *a = &p->app[side];
	uint8_t chunk[ACTION_BYTES];
	size_t n = a->total - a->sent < sizeof(chunk) ? a->total - a->sent : sizeof(chunk);
	ssize_t put;

	if (a->finned || n == 0)
		return true;
	for (size_t k = 0; k < n; k++)
		chunk[k] = pattern(p, side, a->sent + k);
	put = sim_write(plab.loop, a->fd, chunk, n);
	if (put > 0)
		a->sent += (size_t)put;
	else if (put == -ECONNRESET)
		a->seen = SEEN_RESET; /* it is told once */
	return put < 0 && put != -EAGAIN ? true : a->sent == a->total;
}

static void show_paths(void)
{
	print_error("seed %llu\n", (unsigned long long)plab.opt.sim.seed);
	for (unsigned int i = 0; i < plab.path_count; i++) {
		const struct plab_path *p = &plab.path[i];

		print_error("path %u: kind %d%s\n", i, (int)p->kind,
		            p->connecting ? ", connecting" : "");
		for (unsigned int side = 0; side < 2; side++) {
			const struct plab_app *a = &p->app[side];

			print_error("  %s: ending %d, sent %zu of %zu, got %zu, seen %d%s%s%s\n",
			            side == 0 ? "client" : "server", (int)a->ending, a->sent,
			            a->total, a->got, (int)a->seen, a->finned ? ", finned" : "",
			            a->closed ? ", closed" : "", a->fd < 0 ? ", no socket" : "");
		}
	}
}

/* The one truth of this file: a FIN is seen only when the peer ended in order and behind its last octet. */
static void assert_fin_is_true(const struct plab_path *p, int side)
{
	if (p->app[1 - side].finned && p->app[side].got == p->app[1 - side].sent)
		return;
	show_paths();
	fail_msg("the %s of path %zu saw a FIN that is not true", side == 0 ? "client" : "server",
	         (size_t)(p - plab.path));
}

static void pull(struct plab_path *p, int side)
{
	struct plab_app *a = &p->app[side];
	uint8_t chunk[ACTION_BYTES];
	size_t left = a->read_max - a->got;
	ssize_t n;

	if (a->seen != SEEN_NOTHING || left == 0)
		return;
	n = sim_read(plab.loop, a->fd, chunk, left < sizeof(chunk) ? left : sizeof(chunk));
	for (ssize_t k = 0; k < n; k++)
		assert_int_equal(chunk[k], pattern(p, 1 - side, a->got + (size_t)k));
	if (n > 0) {
		a->got += (size_t)n;
	} else if (n == 0) {
		a->seen = SEEN_FIN;
		assert_fin_is_true(p, side);
	} else if (n == -ECONNRESET) {
		a->seen = SEEN_RESET;
	}
}

static void act_orderly(struct plab_path *p, int side)
{
	struct plab_app *a = &p->app[side];

	pull(p, side);
	if (a->got == a->read_max) {
		app_close(a, false); /* perhaps with something unread, or unsent */
		return;
	}
	if (a->ending == END_AFTER_FIN && a->seen == SEEN_NOTHING)
		return;
	if (push(p, side))
		app_fin(a);
	if (a->seen != SEEN_NOTHING && a->finned)
		app_close(a, false);
}

static void act(struct plab_path *p, int side)
{
	struct plab_app *a = &p->app[side];

	if (a->fd < 0 || (side == 0 && p->connecting))
		return;
	if (a->delay > 0) {
		a->delay--;
		return;
	}
	switch (a->ending) {
	case END_ORDERLY:
	case END_AFTER_FIN: act_orderly(p, side); break;
	case END_CLOSE:
	case END_RESET:
		if ((rand_below(&plab.dice, 2)) != 0)
			pull(p, side);
		if (push(p, side))
			app_close(a, a->ending == END_RESET);
		break;
	case END_FIN_RESET:
		pull(p, side);
		if (a->finned) {
			app_close(a, true);
		} else if (push(p, side)) {
			app_fin(a);
			a->delay = (unsigned int)rand_below(&plab.dice, 20);
		}
		break;
	case END_MUTE:
		if (a->muted++ == MUTE_TURNS)
			app_close(a, true);
		break;
	case END_KINDS: break;
	}
}

static void accept_apps(void)
{
	for (unsigned int i = 0; i < plab.path_count; i++) {
		int fd = plab.listener[i] < 0 ? -1 : sim_accept(plab.loop, plab.listener[i]);

		if (fd < 0)
			continue;
		assert_int_equal(plab.path[i].app[1].fd, -1); /* one connect, one connection */
		assert_false(plab.path[i].app[1].closed);
		plab.path[i].app[1].fd = fd;
	}
}

void plab_turn(void)
{
	plab_safe++;
	accept_apps();
	for (unsigned int i = 0; i < plab.path_count; i++) {
		act(&plab.path[i], 0);
		act(&plab.path[i], 1);
	}
	plab_safe--;
	plab.idle_turns = sim_turn(plab.loop) ? 0 : plab.idle_turns + 1;
}

bool plab_over(const struct plab_path *p)
{
	const struct plab_app *a = &p->app[0], *b = &p->app[1];

	return a->closed && (b->fd < 0 || b->closed);
}

void plab_run(void)
{
	bool all = false;

	for (unsigned int t = 0; t < PLAB_TURNS_MAX && !all; t++) {
		plab_turn();
		if (plab.idle_turns >= STALL_TURNS) {
			show_paths();
			fail_msg("connections that never end");
		}
		all = true;
		for (unsigned int i = 0; i < plab.path_count; i++)
			all = all && plab_over(&plab.path[i]);
	}
	assert_true(all);
}

void plab_close_apps(void)
{
	for (unsigned int i = 0; i < plab.path_count; i++) {
		if (!plab.path[i].connecting)
			app_close(&plab.path[i].app[0], true);
		app_close(&plab.path[i].app[1], true);
	}
}
