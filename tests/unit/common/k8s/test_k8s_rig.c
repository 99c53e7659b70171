/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/common/k8s/test_k8s_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/dns/dns_msg.h"

struct test_pki rig_root, rig_stranger;
struct tls_config *rig_server_tls, *rig_stranger_tls, *rig_misnamed_tls;
const struct endpoint rig_where = {.ip = {.family = IP_V4, .bytes = {10, 96, 0, 1}}, .port = 443};
static char folder[64];

void rig_put_file(const char *name, struct span text)
{
	char path[128];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text.p, 1, text.n, f), text.n);
	assert_int_equal(fclose(f), 0);
}

/* --- the server ------------------------------------------------------------------------------------- */

static struct request *find_request(struct conn *c, int32_t id)
{
	for (unsigned int i = c->f->requests; i-- > 0;) {
		if (c->f->request[i].conn == c && c->f->request[i].id == id)
			return &c->f->request[i];
	}
	return NULL;
}

static void copy_field(const struct h2_head *head, const char *name, char *out, size_t out_len)
{
	const struct h2_field *field = h2_head_find(head, name);

	if (field)
		(void)snprintf(out, out_len, "%.*s", (int)field->value.n,
		               (const char *)field->value.p);
}

static void take_request(struct conn *c, const struct h2_event *ev)
{
	struct fixture *f = c->f;
	struct request *r = &f->request[f->requests++];

	assert_true(f->requests < REQUESTS_MAX);
	*r = (struct request){.conn = c, .id = ev->stream_id, .at_ms = loop_now_ms(f->loop)};
	copy_field(ev->head, ":method", r->method, sizeof(r->method));
	copy_field(ev->head, ":path", r->path, sizeof(r->path));
	copy_field(ev->head, "authorization", r->token, sizeof(r->token));
	copy_field(ev->head, "content-type", r->type, sizeof(r->type));
	assert_true(span_eq_str(h2_head_find(ev->head, ":authority")->value, "10.96.0.1:443"));
	assert_true(span_eq_str(h2_head_find(ev->head, ":scheme")->value, "https"));
}

static void take_body(struct request *r, struct span data)
{
	struct fixture *f = r->conn->f;

	if (r->body_n + data.n <= BIG)
		memcpy(f->body + r->body_n, data.p, data.n);
	r->body_n += data.n;
	h2_session_consumed_stream(r->conn->h2.session, r->id, data.n);
	h2_session_consumed_conn(r->conn->h2.session, data.n);
	h2_conn_kick(&r->conn->h2);
}

static void on_server_event(struct h2_conn *h2, const struct h2_event *ev, struct iobuf *buf)
{
	struct conn *c = container_of(h2, struct conn, h2);
	struct request *r = find_request(c, ev->stream_id);

	(void)buf;
	if (ev->kind == H2_EV_REQUEST) {
		take_request(c, ev);
		h2_head_free(ev->head);
	} else if (ev->kind == H2_EV_DATA) {
		take_body(r, ev->data);
	} else if (ev->kind == H2_EV_END) {
		r->whole = true;
		c->f->script(c->f, r);
	} else if (ev->kind == H2_EV_RESET) {
		r->reset = true;
	}
}

static void on_server_ready(struct h2_conn *h2)
{
	container_of(h2, struct conn, h2)->up = true;
}

static void on_server_ended(struct h2_conn *h2, enum err cause)
{
	(void)cause;
	container_of(h2, struct conn, h2)->up = false;
	container_of(h2, struct conn, h2)->f->live--;
}

static void on_server_landed(struct h2_conn *h2)
{
	container_of(h2, struct conn, h2)->landed = true;
	h2_conn_fini(h2);
}

static const struct h2_conn_owner server_owner = {.ready = on_server_ready,
                                                  .event = on_server_event,
                                                  .ended = on_server_ended,
                                                  .landed = on_server_landed};

static const struct h2_options server_options = {
	.stream_window = 65536,
	.conn_window = 1 << 20,
	.frame_len_max = 16384,
	.header_list_max = 16384,
	.streams_max = 100,
	.ping_interval_ms = 3600000, /* a server's own PING would be one more voice in the tests */
	.ping_timeout_ms = 20000,
	.trailers = true,
};

static void accept_one(struct fixture *f)
{
	const struct h2_conn_setup setup = {.owner = &server_owner,
	                                    .options = &server_options,
	                                    .scratch = &f->scratch,
	                                    .handshake_ms = HANDSHAKE_MS,
	                                    .role = H2_SERVER};
	const struct tls_expect any = {0};
	struct conn *c = &f->conn[f->conns];
	int fd = f->listener < 0 ? -1 : sim_accept(f->loop, f->listener);

	if (fd < 0)
		return;
	assert_true(++f->conns < CONNS_MAX);
	assert_int_equal(f->live++, 0); /* never two connections at once */
	c->f = f;
	h2_conn_start(&c->h2, f->loop, fd, tls_session_new(f->tls, TLS_SERVER, &any), &setup);
}

void rig_say(struct request *r, const char *text)
{
	struct span rest = span_str(text);

	while (rest.n > 0) {
		struct iobuf *b = iobuf_take(loop_iobufs(r->conn->f->loop), IOBUF_SLOT);
		size_t n = rest.n < 1000 ? rest.n : 1000;

		assert_non_null(b);
		memcpy(b->mem + IOBUF_HEAD, rest.p, n);
		assert_int_equal(h2_session_put(r->conn->h2.session, r->id,
		                                (struct iobuf_view){.buf = b,
		                                                    .p = b->mem + IOBUF_HEAD,
		                                                    .len = (uint32_t)n}),
		                 ERR_OK);
		rest = span_of(rest.p + n, rest.n - n);
	}
	h2_conn_kick(&r->conn->h2);
}

void rig_begin(struct request *r, const char *status, const char *retry_after)
{
	const struct h2_field f[] = {
		{span_str(":status"), span_str(status)},
		{span_str("content-type"), span_str("application/json")},
		{span_str("retry-after"), span_str(retry_after ? retry_after : "")}};

	assert_int_equal(
		h2_session_respond(r->conn->h2.session, r->id, f, retry_after ? 3 : 2, false),
		ERR_OK);
	h2_conn_kick(&r->conn->h2);
}

void rig_end(struct request *r)
{
	h2_session_end(r->conn->h2.session, r->id);
	h2_conn_kick(&r->conn->h2);
}

void rig_reply(struct request *r, const char *status, const char *retry_after, const char *body)
{
	rig_begin(r, status, retry_after);
	rig_say(r, body);
	rig_end(r);
}

bool rig_is_watch(const struct request *r)
{
	return strstr(r->path, "watch=1") != NULL;
}

/* A list of one, then a watch that stays. */
void rig_well_behaved(struct fixture *f, struct request *r)
{
	if (rig_is_watch(r)) {
		f->watched = true;
		rig_begin(r, "200", NULL);
	} else if (strstr(r->path, "/api/v1/pods?")) {
		rig_reply(r, "200", NULL, LIST("10", "", POD("a", "3")));
	} else {
		rig_reply(r, "200", NULL, "{\"kind\":\"Pod\"}");
	}
}

/* --- the client ------------------------------------------------------------------------------------- */

static struct fixture *of_client(struct k8s_client *c)
{
	return container_of(c, struct fixture, client);
}

static void on_connected(struct k8s_client *c)
{
	of_client(c)->connected++;
	assert_true(k8s_client_ready(c));
}

static void on_disconnected(struct k8s_client *c, enum err cause, const char *why)
{
	struct fixture *f = of_client(c);

	f->disconnected++;
	f->cause = cause;
	assert_int_not_equal(cause, ERR_OK);
	assert_true(why[0] != '\0');
	(void)snprintf(f->why, sizeof(f->why), "%s", why);
}

static void on_watch_failed(struct k8s_client *c, struct k8s_watch *w)
{
	struct fixture *f = of_client(c);

	f->failed++;
	(void)snprintf(f->failure, sizeof(f->failure), "%s", w->session.why);
}

static void on_landed(struct k8s_client *c)
{
	of_client(c)->landed++;
}

static const struct k8s_client_owner client_owner = {.connected = on_connected,
                                                     .disconnected = on_disconnected,
                                                     .watch_failed = on_watch_failed,
                                                     .landed = on_landed};

static void on_pod(struct k8s_session *s, enum k8s_event kind, const json_t *object)
{
	static const char *const marks[] = {"relist", "+", "-", "synced"};
	struct fixture *f = container_of(k8s_watch_of(s), struct fixture, pods);
	size_t n = strlen(f->told);

	(void)snprintf(f->told + n, sizeof(f->told) - n, "%s%s%s", n ? " " : "", marks[kind],
	               object ? k8s_json_text(object, "metadata.name") : "");
}

static void on_answered(struct k8s_call *a, const struct k8s_answer *answer)
{
	struct call *x = container_of(a, struct call, call);

	x->answered++;
	x->answer = *answer;
	(void)snprintf(x->body, sizeof(x->body), "%.*s", (int)answer->body.n,
	               answer->body.n ? (const char *)answer->body.p : "");
}

enum err rig_call(struct fixture *f, struct call *x, enum k8s_verb verb, const char *body)
{
	const struct k8s_request req = {.verb = verb,
	                                .path = "/api/v1/namespaces/x/pods/y",
	                                .body = span_str(body),
	                                .answer_max = 200,
	                                .timeout_ms = 5000};

	memset(x, 0, sizeof(*x));
	return k8s_call_start(&x->call, &f->client, &req, on_answered);
}

/* --- fixture ---------------------------------------------------------------------------------------- */

/* Whatever name is asked for is the server's. */
static void on_ask(struct dns_forwarder *n, struct dns_ask *a)
{
	struct fixture *f = container_of(n, struct fixture, nameserver);

	a->ret_err = ERR_OK;
	f->asked++;
	list_push(&f->asks, &a->link);
}

static void on_ask_cancel(struct dns_forwarder *n, struct dns_ask *a)
{
	(void)n;
	a->ret_err = ERR_CANCELLED;
}

static void answer_asks(struct fixture *f)
{
	struct list *n;

	while ((n = list_shift(&f->asks)) != NULL) {
		struct dns_ask *a = list_entry(n, struct dns_ask, link);
		struct dns_reply r = {.addrs = &rig_where.ip, .addr_count = 1};
		struct dns_query q;
		struct buf out;

		buf_init(&out, DNS_MSG_MAX);
		assert_int_equal(dns_query_read(a->query, &q), DNS_ASK);
		assert_int_equal(q.type, DNS_TYPE_A);
		assert_int_equal(dns_reply_write(&q, &r, DNS_UDP_LEN, &out), ERR_OK);
		if (a->ret_err == ERR_OK && f->nameless)
			a->ret_err = ERR_DNS;
		a->ret_answer = a->ret_err == ERR_OK ? buf_span(&out) : span_of(NULL, 0);
		a->done(a);
		buf_fini(&out);
	}
}

static int open_sim(struct k8s_client *c, int family)
{
	assert_int_equal(family, AF_INET);
	of_client(c)->opened++;
	return sim_socket(of_client(c)->loop);
}

void rig_step(struct fixture *f)
{
	(void)sim_turn(f->loop);
	accept_one(f);
	answer_asks(f);
}

void rig_run_ms(struct fixture *f, uint64_t ms)
{
	uint64_t until = loop_now_ms(f->loop) + ms;

	UNTIL(f, loop_now_ms(f->loop) >= until);
}

void rig_listen(struct fixture *f)
{
	f->listener = sim_listen(f->loop, &rig_where, 0);
}

void rig_by_name(struct fixture *f)
{
	(void)snprintf(f->config.name, sizeof(f->config.name), "%s", HOST);
	f->config.server.ip = (struct ip){.family = IP_NONE};
}

struct fixture *rig_start(uint64_t seed, script_fn *script, bool listening)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const struct sim_options opt = {
		.seed = seed, .socket_bytes = seed % 3 == 0 ? 3000 : 65536, .connect_ms_max = 20};
	struct k8s_client_setup setup = {.owner = &client_owner,
	                                 .config = &f->config,
	                                 .scratch = &f->scratch,
	                                 .open_socket = open_sim};
	const struct k8s_config_source from = {
		.host = "10.96.0.1", .port = "443", .tls_name = HOST, .folder = folder};

	rig_put_file("token", span_str("first\n"));
	rig_put_file("ca.crt", buf_span(&rig_root.pem));
	assert_int_equal(k8s_config_load(&from, &f->config, f->why), ERR_OK);
	f->loop = sim_new(&opt);
	list_init(&f->asks);
	f->nameserver = (struct dns_forwarder){.ask = on_ask, .cancel = on_ask_cancel};
	f->resolver = dns_resolver_new(f->loop,
	                               &(struct dns_resolver_options){.forwarder = &f->nameserver});
	setup.resolver = f->resolver;
	f->script = script;
	f->tls = rig_server_tls;
	f->listener = -1;
	if (listening)
		rig_listen(f);
	h2_events_init(&f->scratch);
	k8s_client_start(&f->client, f->loop, &setup);
	k8s_watch_start(&f->pods, &f->client, "/api/v1/pods", SELECTOR, on_pod);
	return f;
}

void rig_finish(struct fixture *f)
{
	k8s_client_stop(&f->client, 0);
	UNTIL(f, f->landed);
	UNTIL(f, f->live == 0);
	k8s_watch_stop(&f->pods);
	k8s_client_fini(&f->client);
	dns_resolver_free(f->resolver);
	if (f->listener >= 0)
		loop_close(f->loop, f->listener);
	assert_true(sim_settle(f->loop, TURNS_MAX));
	assert_int_equal(f->landed, 1);
	h2_events_fini(&f->scratch);
	assert_int_equal(sim_open_sockets(f->loop), 0);
	assert_int_equal(iobuf_pool_bytes_in_use(loop_iobufs(f->loop)), 0);
	loop_free(f->loop);
	free(f);
}

struct request *rig_last(struct fixture *f)
{
	assert_true(f->requests > 0);
	return &f->request[f->requests - 1];
}

/* --- certificates ------------------------------------------------------------------------------------ */

static struct tls_config *server_config(struct test_pki *pki, const char *name)
{
	struct tls_material m = {.kind = TLS_HOST_SERVER};
	struct test_material leaf;
	struct tls_config *c = NULL;
	char why[200];

	test_pki_issue(pki, &(struct test_leaf){.dns = name}, &leaf);
	m.chain_pem = buf_span(&leaf.chain);
	m.key_pem = buf_span(&leaf.key);
	if (tls_config_new(&m, &c, why, sizeof(why)) != ERR_OK)
		fail_msg("%s", why);
	test_material_fini(&leaf);
	return c;
}

int rig_set_up(void **state)
{
	(void)state;
	(void)snprintf(folder, sizeof(folder), "/tmp/k8s-client-XXXXXX");
	if (mkdtemp(folder) == NULL || tls_global_init() != ERR_OK)
		return -1;
	test_pki_init(&rig_root, "root");
	test_pki_init(&rig_stranger, "stranger");
	rig_server_tls = server_config(&rig_root, HOST);
	rig_stranger_tls = server_config(&rig_stranger, HOST);
	rig_misnamed_tls = server_config(&rig_root, "other.default.svc");
	return 0;
}

int rig_tear_down(void **state)
{
	char path[128];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/token", folder);
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/ca.crt", folder);
	(void)unlink(path);
	tls_config_unref(rig_server_tls);
	tls_config_unref(rig_stranger_tls);
	tls_config_unref(rig_misnamed_tls);
	test_pki_fini(&rig_root);
	test_pki_fini(&rig_stranger);
	tls_global_fini();
	return rmdir(folder);
}
