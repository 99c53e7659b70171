/* SPDX-License-Identifier: Apache-2.0 */
#include "common/k8s/k8s_client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/check.h"
#include "common/base/str.h"

enum {
	H2_CANCEL = 0x8,
	FIELDS_MAX = 8,
	MS_PER_S = 1000,
	PATH_MAX_OCTETS = 16 << 10, /* what a server would take as well */
};

/* Windows that keep a list of many megabytes moving; PING finds a server that is gone. */
static const struct h2_options options = {
	.stream_window = 1024 * 1024,
	.conn_window = 4 * 1024 * 1024,
	.frame_len_max = 16384,
	.header_list_max = 16384,
	.ping_interval_ms = 30000,
	.ping_timeout_ms = 10000,
	.trailers = true, /* allowed, and of no interest */
};

static struct k8s_client *of_conn(struct h2_conn *h2)
{
	return container_of(h2, struct k8s_client, h2);
}

/* Events gathered in one batch may outlive whom they are about, so the id alone is trusted. */
static struct k8s_watch *find_watch(struct k8s_client *c, int32_t id)
{
	list_for_each (it, &c->watches) {
		struct k8s_watch *w = list_entry(it, struct k8s_watch, link);

		if (w->id == id)
			return w;
	}
	return NULL;
}

static struct k8s_call *find_call(struct k8s_client *c, int32_t id)
{
	list_for_each (it, &c->calls) {
		struct k8s_call *a = list_entry(it, struct k8s_call, link);

		if (a->id == id)
			return a;
	}
	return NULL;
}

static void reset_stream(struct k8s_client *c, int32_t id)
{
	if (c->h2.session == NULL)
		return;
	h2_session_reset(c->h2.session, id, H2_CANCEL);
	h2_conn_kick(&c->h2);
}

/* A connection that takes nothing new ends when what is under way is over. */
static void part_if_done(struct k8s_client *c)
{
	if (c->state != K8S_CLIENT_UP || c->over || !c->going || !list_empty(&c->calls))
		return;
	if (c->h2.session == NULL)
		h2_conn_abort(&c->h2, ERR_CANCELLED);
	else
		h2_conn_close(&c->h2, 0);
}

bool k8s_client_ready(const struct k8s_client *c)
{
	return c->state == K8S_CLIENT_UP && !c->going && h2_conn_ready(&c->h2) &&
	       h2_session_can_open(c->h2.session);
}

/* --- asking ----------------------------------------------------------------------------------------- */

static unsigned int add(struct h2_field *to, unsigned int n, const char *name, struct span value)
{
	CHECK(n < FIELDS_MAX);
	to[n] = (struct h2_field){.name = span_str(name), .value = value};
	return n + 1;
}

/* Open a stream with a request's head. why: K8S_CONFIG_WHY_MAX octets. */
static enum err open_stream(struct k8s_client *c, enum k8s_verb verb, struct span path, char *why,
                            int32_t *ret_id)
{
	static const char *const methods[] = {"GET", "PATCH", "POST"};
	struct h2_field f[FIELDS_MAX];
	unsigned int n = 0;
	struct buf bearer;
	enum err e;

	why[0] = '\0';
	if (!k8s_client_ready(c))
		return ERR_H2_STREAM_REFUSED;
	buf_init(&bearer, K8S_TOKEN_MAX + 16);
	buf_put_str(&bearer, "Bearer ");
	e = k8s_config_token(c->config, &bearer, why);
	if (e == ERR_OK) {
		n = add(f, n, ":method", span_str(methods[verb]));
		n = add(f, n, ":scheme", span_str("https"));
		n = add(f, n, ":path", path);
		n = add(f, n, ":authority", span_str(c->config->authority));
		n = add(f, n, "authorization", buf_span(&bearer));
		n = add(f, n, "accept", span_str("application/json"));
		n = add(f, n, "user-agent", span_str("culvert"));
		if (verb != K8S_GET)
			n = add(f, n, "content-type",
			        span_str(verb == K8S_PATCH ? "application/merge-patch+json"
			                                   : "application/json"));
		e = h2_session_request(c->h2.session, f, n, NULL, ret_id);
	}
	buf_wipe_fini(&bearer);
	return e;
}

static enum err put_body(struct k8s_client *c, int32_t id, struct span body)
{
	enum err e = ERR_OK;

	while (e == ERR_OK && body.n > 0) {
		struct iobuf *b = iobuf_take(loop_iobufs(c->loop), IOBUF_SLOT);
		size_t n = body.n < IOBUF_SLOT_LEN ? body.n : IOBUF_SLOT_LEN;
		struct iobuf_view v = {.buf = b, .len = (uint32_t)n};

		if (b == NULL)
			return ERR_MEMORY;
		v.p = b->mem + IOBUF_HEAD;
		memcpy(v.p, body.p, n);
		body = span_of(body.p + n, body.n - n);
		e = h2_session_put(c->h2.session, id, v);
	}
	return e;
}

/* --- watches ---------------------------------------------------------------------------------------- */

static void ask_later(struct k8s_watch *w)
{
	uint64_t wait = backoff_next_ms(&w->backoff, rand_u64(&w->client->dice));

	if (wait < w->retry_after_ms)
		wait = w->retry_after_ms;
	w->retry_after_ms = 0;
	timer_arm(w->client->loop, &w->tick, wait);
	w->client->owner->watch_failed(w->client, w);
}

static void ask(struct k8s_watch *w)
{
	struct k8s_client *c = w->client;
	char why[K8S_CONFIG_WHY_MAX] = "";
	struct buf path;
	enum err e;

	if (!k8s_client_ready(c) && (c->going || !h2_conn_ready(&c->h2)))
		return; /* asked when there is a connection */
	buf_init(&path, PATH_MAX_OCTETS);
	k8s_session_request(&w->session, rand_u64(&c->dice), &path);
	e = buf_status(&path);
	if (e == ERR_OK)
		e = open_stream(c, K8S_GET, buf_span(&path), why, &w->id);
	buf_fini(&path);
	if (e != ERR_OK) {
		w->id = 0;
		(void)str_copy(w->session.why, sizeof(w->session.why),
		               span_str(why[0] ? why : err_info(e)->words));
		ask_later(w);
		return;
	}
	w->asked_at_ms = loop_now_ms(c->loop);
	w->retry_after_ms = 0;
	h2_session_end(c->h2.session, w->id);
	h2_conn_kick(&c->h2);
	timer_arm(c->loop, &w->tick, K8S_HEAD_MS);
}

/*
 * A server whose watches end as soon as they begin is asked at once only now and then, whatever its answers mean.
 */
static bool hasty(struct k8s_watch *w, bool was_watch)
{
	uint64_t now = loop_now_ms(w->client->loop);

	if (!was_watch || now - w->asked_at_ms >= K8S_RETRY_MS_MIN)
		return false;
	if (w->hasty_at_ms == 0 || now - w->hasty_at_ms >= K8S_CALM_MS) {
		w->hasty_at_ms = now;
		return false;
	}
	return true;
}

/* The answer is over. */
static void watch_end(struct k8s_watch *w, enum err cause)
{
	bool was_watch = w->session.state == K8S_WATCHING;
	bool again;

	timer_disarm(&w->tick);
	w->id = 0;
	w->telling = true;
	again = k8s_session_end(&w->session, cause);
	w->telling = false;
	if (!again || hasty(w, was_watch)) {
		ask_later(w);
		return;
	}
	backoff_reset(&w->backoff);
	ask(w);
}

static void on_watch_tick(struct timer *t)
{
	struct k8s_watch *w = container_of(t, struct k8s_watch, tick);

	if (w->id == 0) {
		ask(w);
		return;
	}
	reset_stream(w->client, w->id);
	watch_end(w, ERR_ANSWER_TIMEOUT);
}

/* Its connection is no longer its own: where it was it goes on with the next. Tells nobody anything. */
static void watch_leave(struct k8s_watch *w, enum err cause)
{
	if (w->id == 0)
		return;
	timer_disarm(&w->tick);
	w->id = 0;
	(void)k8s_session_end(&w->session, cause);
}

static void watches_leave(struct k8s_client *c, enum err cause, bool reset)
{
	list_for_each (it, &c->watches) {
		struct k8s_watch *w = list_entry(it, struct k8s_watch, link);

		if (reset && w->id != 0)
			reset_stream(c, w->id);
		watch_leave(w, cause);
	}
}

static void watch_head(struct k8s_watch *w, unsigned int status, uint64_t retry_after_ms)
{
	w->retry_after_ms = retry_after_ms;
	if (w->session.state == K8S_WATCHING)
		timer_arm(w->client->loop, &w->tick, K8S_WATCH_MS_MAX);
	w->telling = true;
	k8s_session_status(&w->session, status);
	w->telling = false;
}

static void watch_data(struct k8s_watch *w, struct span data)
{
	enum err e;

	w->telling = true;
	e = k8s_session_body(&w->session, data);
	w->telling = false;
	if (e == ERR_OK)
		return;
	reset_stream(w->client, w->id);
	watch_end(w, e);
}

void k8s_watch_start(struct k8s_watch *w, struct k8s_client *c, const char *path,
                     const char *selector, k8s_event_fn *event)
{
	*w = (struct k8s_watch){.client = c};
	k8s_session_init(&w->session, path, selector, event);
	timer_init(&w->tick, on_watch_tick);
	backoff_init(&w->backoff, K8S_RETRY_MS_MIN, K8S_RETRY_MS_MAX);
	list_push(&c->watches, &w->link);
	timer_arm(c->loop, &w->tick, 0);
}

void k8s_watch_stop(struct k8s_watch *w)
{
	CHECK(!w->telling);
	if (w->id != 0)
		reset_stream(w->client, w->id);
	timer_disarm(&w->tick);
	list_remove(&w->link);
	k8s_session_fini(&w->session);
}

/* --- calls ------------------------------------------------------------------------------------------ */

static void forget(struct k8s_call *a)
{
	timer_disarm(&a->deadline);
	list_remove(&a->link);
	a->client = NULL;
}

static void finish(struct k8s_call *a, enum err cause)
{
	struct k8s_client *c = a->client;
	struct buf body = a->body; /* a may be gone when its owner returns */
	struct k8s_answer answer = a->answer;

	answer.cause = cause;
	if (cause == ERR_OK)
		answer.body = buf_span(&body);
	forget(a);
	a->answered(a, &answer);
	buf_wipe_fini(&body); /* of a TokenReview, say */
	part_if_done(c);
}

static void give_up(struct k8s_call *a, enum err cause)
{
	reset_stream(a->client, a->id);
	finish(a, cause);
}

static void on_call_deadline(struct timer *t)
{
	give_up(container_of(t, struct k8s_call, deadline), ERR_ANSWER_TIMEOUT);
}

static void call_data(struct k8s_call *a, struct span data)
{
	buf_put(&a->body, data);
	if (a->body.failed)
		give_up(a, ERR_LIMIT);
}

enum err k8s_call_start(struct k8s_call *a, struct k8s_client *c, const struct k8s_request *req,
                        k8s_answered_fn *answered)
{
	char why[K8S_CONFIG_WHY_MAX];
	int32_t id;
	enum err e;

	CHECK(req->timeout_ms > 0 && req->answer_max <= K8S_ANSWER_MAX);
	CHECK(req->body.n <= K8S_BODY_MAX && (req->verb != K8S_GET || req->body.n == 0));
	*a = (struct k8s_call){.answered = answered};
	e = open_stream(c, req->verb, span_str(req->path), why, &id);
	if (e == ERR_OK) {
		e = put_body(c, id, req->body);
		if (e != ERR_OK)
			reset_stream(c, id);
	}
	if (e != ERR_OK)
		return e;
	h2_session_end(c->h2.session, id);
	h2_conn_kick(&c->h2);
	a->client = c;
	a->id = id;
	buf_init(&a->body, req->answer_max);
	list_push(&c->calls, &a->link);
	timer_init(&a->deadline, on_call_deadline);
	timer_arm(c->loop, &a->deadline, req->timeout_ms);
	return ERR_OK;
}

void k8s_call_cancel(struct k8s_call *a)
{
	struct k8s_client *c = a->client;

	if (c == NULL)
		return;
	reset_stream(c, a->id);
	forget(a);
	buf_wipe_fini(&a->body);
	part_if_done(c);
}

/* --- the connection --------------------------------------------------------------------------------- */

static void take_head(struct k8s_client *c, int32_t id, const struct h2_head *head)
{
	const struct h2_field *status = h2_head_find(head, ":status");
	const struct h2_field *after = h2_head_find(head, "retry-after");
	struct k8s_watch *w = find_watch(c, id);
	struct k8s_call *a = find_call(c, id);
	uint64_t code = 0, wait_s = 0;

	/* a date is no less a wish, but one nobody sends here */
	if (after && str_parse_u64(after->value, UINT32_MAX, &wait_s) == ERR_OK &&
	    wait_s > K8S_RETRY_AFTER_S_MAX)
		wait_s = K8S_RETRY_AFTER_S_MAX;
	if (status)
		(void)!str_parse_u64(status->value, 999, &code); /* h2_head has seen to it */
	if (w)
		watch_head(w, (unsigned int)code, wait_s * MS_PER_S);
	if (a) {
		a->answer.status = (unsigned int)code;
		a->answer.retry_after_ms = wait_s * MS_PER_S;
	}
}

static void take_data(struct k8s_client *c, int32_t id, struct span data)
{
	struct k8s_watch *w = find_watch(c, id);
	struct k8s_call *a = find_call(c, id);

	h2_session_consumed_stream(c->h2.session, id, data.n);
	h2_session_consumed_conn(c->h2.session, data.n);
	h2_conn_kick(&c->h2);
	if (w)
		watch_data(w, data);
	else if (a)
		call_data(a, data);
}

/* The server said all it has to say of this stream. */
static void take_end(struct k8s_client *c, int32_t id, enum err cause)
{
	struct k8s_watch *w = find_watch(c, id);
	struct k8s_call *a = find_call(c, id);

	if (cause == ERR_OK && h2_session_queued(c->h2.session, id) > 0)
		reset_stream(c, id); /* it has heard enough of our body */
	if (w)
		watch_end(w, cause);
	else if (a)
		finish(a, cause);
}

static void take_goaway(struct k8s_client *c)
{
	if (c->going)
		return;
	c->going = true;
	watches_leave(c, ERR_H2_GOAWAY, true);
	part_if_done(c);
}

static void on_event(struct h2_conn *h2, const struct h2_event *ev, struct iobuf *buf)
{
	struct k8s_client *c = of_conn(h2);

	(void)buf;
	switch (ev->kind) {
	case H2_EV_RESPONSE:
		take_head(c, ev->stream_id, ev->head);
		h2_head_free(ev->head);
		break;
	case H2_EV_DATA: take_data(c, ev->stream_id, ev->data); break;
	case H2_EV_TRAILERS: h2_head_free(ev->head); break;
	case H2_EV_END: take_end(c, ev->stream_id, ERR_OK); break;
	case H2_EV_RESET: take_end(c, ev->stream_id, ERR_H2_STREAM_RESET); break;
	case H2_EV_GOAWAY: take_goaway(c); break;
	case H2_EV_REQUEST:
	case H2_EV_CLOSED:
	case H2_EV_SENT:
	case H2_EV_SETTINGS: break;
	}
}

static void on_stop_hook(struct loop_hook *h);

/* Back to where an attempt may begin, or has no need to. */
static void settle(struct k8s_client *c)
{
	c->state = K8S_CLIENT_WAITING;
	c->going = false;
	if (c->stopping)
		loop_at_turn_end(c->loop, &c->stop);
	else
		timer_arm(c->loop, &c->tick, backoff_next_ms(&c->backoff, rand_u64(&c->dice)));
}

static void on_ready(struct h2_conn *h2)
{
	struct k8s_client *c = of_conn(h2);

	c->ready_at_ms = loop_now_ms(c->loop);
	if (c->stopping)
		return; /* its end is on its way */
	/* each in a callback of its own; those that wait for better times go on waiting */
	list_for_each (it, &c->watches) {
		struct k8s_watch *w = list_entry(it, struct k8s_watch, link);

		if (!timer_armed(&w->tick))
			timer_arm(c->loop, &w->tick, 0);
	}
	c->owner->connected(c);
}

static void on_ended(struct h2_conn *h2, enum err cause)
{
	struct k8s_client *c = of_conn(h2);
	enum err why = cause == ERR_OK ? ERR_EOF : cause; /* in order or not, it is over */

	c->going = true;
	c->over = true;
	timer_disarm(&c->tick);
	watches_leave(c, why, false);
	while (!list_empty(&c->calls))
		finish(list_entry(c->calls.next, struct k8s_call, link), why);
	if (c->ready_at_ms != 0 && loop_now_ms(c->loop) - c->ready_at_ms >= K8S_CALM_MS)
		backoff_reset(&c->backoff);
	c->owner->disconnected(c, why, err_info(why)->words);
}

static void on_landed(struct h2_conn *h2)
{
	struct k8s_client *c = of_conn(h2);

	h2_conn_fini(h2);
	settle(c);
}

static const struct h2_conn_owner conn_owner = {
	.ready = on_ready, .event = on_event, .ended = on_ended, .landed = on_landed};

static void attempt_failed(struct k8s_client *c, enum err cause, const char *why)
{
	c->owner->disconnected(c, cause, why[0] ? why : err_info(cause)->words);
	settle(c);
}

static void connected(struct k8s_client *c)
{
	const struct tls_expect expect = {.hosts = c->hosts, .host_count = 1};
	const struct h2_conn_setup setup = {
		.owner = &conn_owner,
		.options = &options,
		.scratch = c->scratch,
		.handshake_ms = K8S_DIAL_MS,
		.role = H2_CLIENT,
	};
	struct tls_session *tls = tls_session_new(c->tls, TLS_CLIENT, &expect);

	if (tls == NULL) {
		loop_close(c->loop, c->fd);
		attempt_failed(c, ERR_MEMORY, "");
		return;
	}
	c->state = K8S_CLIENT_UP;
	c->going = false;
	c->over = false;
	c->ready_at_ms = 0;
	h2_conn_start(&c->h2, c->loop, c->fd, tls, &setup);
}

static void on_connected(struct op *op)
{
	struct k8s_client *c = container_of(op, struct k8s_client, connect);

	timer_disarm(&c->tick);
	if (op->res == 0 && !c->stopping) {
		connected(c);
		return;
	}
	loop_close(c->loop, c->fd);
	if (c->stopping)
		settle(c);
	else
		attempt_failed(c, c->expired ? ERR_DIAL_TIMEOUT : err_of_connect(-op->res), "");
}

/* The authorities' file is small and attempts are rare, so it is read for each, and compared. */
static enum err refresh_trust(struct k8s_client *c, char *why)
{
	struct tls_material m = {.kind = TLS_HOST_CLIENT};
	struct tls_config *fresh = NULL;
	struct buf ca;
	enum err e;

	buf_init(&ca, K8S_CA_MAX + 8192);
	e = k8s_config_ca(c->config, &ca, why);
	if (e == ERR_OK && (c->tls == NULL || !span_eq(buf_span(&ca), buf_span(&c->ca)))) {
		char what[K8S_CONFIG_WHY_MAX / 2] = "";

		m.roots_pem = buf_span(&ca);
		e = tls_config_new(&m, &fresh, what, sizeof(what));
		if (e != ERR_OK)
			(void)snprintf(why, K8S_CONFIG_WHY_MAX, "%s/ca.crt: %s", c->config->folder,
			               what[0] ? what : err_info(e)->words);
	}
	if (fresh != NULL) {
		tls_config_unref(c->tls);
		c->tls = fresh;
		buf_fini(&c->ca);
		c->ca = ca;
		return ERR_OK;
	}
	buf_fini(&ca);
	return e;
}

static int open_tcp(struct k8s_client *c, int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);

	(void)c;
	if (fd < 0)
		return -errno;
	return fd;
}

static void dial(struct k8s_client *c)
{
	char why[K8S_CONFIG_WHY_MAX] = "";
	struct sockaddr_storage ss;
	socklen_t len = endpoint_to_sockaddr(&c->to, false, &ss);

	c->fd = c->open_socket(c, ss.ss_family);
	if (c->fd < 0) {
		(void)snprintf(why, sizeof(why), "no socket: %s", strerror(-c->fd));
		attempt_failed(c, ERR_SYSTEM, why);
		return;
	}
	c->state = K8S_CLIENT_DIALING;
	c->expired = false;
	timer_arm(c->loop, &c->tick, K8S_DIAL_MS);
	loop_connect(c->loop, &c->connect, c->fd, (struct sockaddr *)&ss, len, on_connected);
}

static void on_looked_up(struct dns_lookup *l)
{
	struct k8s_client *c = container_of(l, struct k8s_client, lookup);
	char why[K8S_CONFIG_WHY_MAX];

	if (c->stopping) {
		settle(c);
	} else if (l->ret_err != ERR_OK) {
		(void)snprintf(why, sizeof(why), "%s: %s", c->config->name,
		               err_info(l->ret_err)->words);
		attempt_failed(c, l->ret_err, why);
	} else {
		c->to = c->config->server;
		c->to.ip = l->ret_addrs[c->turn++ % l->ret_count];
		dial(c);
	}
}

static void attempt(struct k8s_client *c)
{
	char why[K8S_CONFIG_WHY_MAX] = "";
	enum err e = refresh_trust(c, why);

	if (e != ERR_OK) {
		attempt_failed(c, e, why);
	} else if (c->config->name[0] == '\0') {
		c->to = c->config->server;
		dial(c);
	} else if (c->resolver == NULL) {
		attempt_failed(c, ERR_CONFIG,
		               "the API server has a name, and nobody to look it up");
	} else {
		c->state = K8S_CLIENT_RESOLVING;
		dns_lookup_start(&c->lookup, c->resolver, c->config->name, on_looked_up);
	}
}

static void on_tick(struct timer *t)
{
	struct k8s_client *c = container_of(t, struct k8s_client, tick);

	switch (c->state) {
	case K8S_CLIENT_WAITING: attempt(c); break;
	case K8S_CLIENT_RESOLVING: break; /* has a deadline of its own */
	case K8S_CLIENT_DIALING:
		c->expired = true;
		loop_cancel(c->loop, &c->connect);
		break;
	case K8S_CLIENT_UP: /* the drain is over; the last of them closes the connection */
		while (!list_empty(&c->calls))
			give_up(list_entry(c->calls.next, struct k8s_call, link), ERR_DRAINED);
		break;
	case K8S_CLIENT_LANDED: break;
	}
}

/* --- beginning and end ------------------------------------------------------------------------------ */

void k8s_client_start(struct k8s_client *c, struct loop *loop, const struct k8s_client_setup *setup)
{
	*c = (struct k8s_client){
		.loop = loop,
		.owner = setup->owner,
		.config = setup->config,
		.scratch = setup->scratch,
		.open_socket = setup->open_socket ? setup->open_socket : open_tcp,
		.hosts = {setup->config->host},
		.resolver = setup->resolver,
	};
	timer_init(&c->tick, on_tick);
	loop_hook_init(&c->stop, on_stop_hook);
	backoff_init(&c->backoff, K8S_RETRY_MS_MIN, K8S_RETRY_MS_MAX);
	rand_init_system(&c->dice);
	buf_init(&c->ca, K8S_CA_MAX);
	list_init(&c->watches);
	list_init(&c->calls);
	timer_arm(loop, &c->tick, 0);
}

/* Not inside k8s_client_stop: that may run while a watch is telling. */
static void on_stop_hook(struct loop_hook *h)
{
	struct k8s_client *c = container_of(h, struct k8s_client, stop);

	switch (c->state) {
	case K8S_CLIENT_WAITING:
		timer_disarm(&c->tick);
		c->state = K8S_CLIENT_LANDED;
		c->owner->landed(c);
		break;
	case K8S_CLIENT_RESOLVING: dns_lookup_cancel(&c->lookup); break;
	case K8S_CLIENT_DIALING: loop_cancel(c->loop, &c->connect); break;
	case K8S_CLIENT_UP:
		if (!c->going)
			watches_leave(c, ERR_CANCELLED, true);
		c->going = true;
		timer_arm(c->loop, &c->tick, c->drain_ms);
		part_if_done(c);
		break;
	case K8S_CLIENT_LANDED: break;
	}
}

void k8s_client_stop(struct k8s_client *c, uint64_t drain_ms)
{
	if (c->stopping)
		return;
	c->stopping = true;
	c->drain_ms = drain_ms;
	loop_at_turn_end(c->loop, &c->stop);
}

void k8s_client_fini(struct k8s_client *c)
{
	CHECK(c->state == K8S_CLIENT_LANDED && list_empty(&c->watches) && list_empty(&c->calls));
	buf_fini(&c->ca);
	tls_config_unref(c->tls);
	c->tls = NULL;
}
