/* SPDX-License-Identifier: Apache-2.0 */
#include "common/hbone/hbone_pool.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/check.h"
#include "common/base/rand.h"
#include "common/hbone/hbone_msg.h"

enum {
	CALL_MOVES_MAX = 3, /* tunnels an ask may lose before it was sent */
	/* Octets of a key: two addresses, a port and identities of at most SPIFFE_ID_MAX each would be far more than
	 * any real service has; what does not fit is refused. */
	HBONE_KEY_LEN_MAX = 32 * 1024,
	GOAWAY_LOOK_MS =
		1000, /* how often a tunnel its peer gave up is looked at for being empty */
};

enum tunnel_state {
	TUNNEL_DIAL,      /* waiting for the owner's TCP connection */
	TUNNEL_HANDSHAKE, /* TLS */
	TUNNEL_OPEN,
	TUNNEL_ENDED, /* no new streams; landing */
};

struct hbone_tunnel {
	struct hbone_conn conn;
	struct hbone_pool *pool;
	struct map_node node;       /* in the pool's table while it is the one to ask */
	struct hbone_tunnel *older; /* same key, full at the time */
	struct list link;
	struct list waiting; /* asks for a stream on it */
	unsigned int waiting_count;
	struct hbone_dial dial;
	enum tunnel_state state;
	bool goaway;
	bool reported_open;
	uint64_t started_ms, asked_ms;
	struct tls_config *config;
	struct timer idle;
	struct loop_retired retired;
	/* the key: see pack_key() */
	uint8_t *key;
	size_t key_len;
	const char **identities; /* into key */
	unsigned int identity_count;
};

static const struct h2_conn_owner conn_owner;
static void move_waiting(struct hbone_tunnel *t, enum err otherwise);
static const struct hbone_stream_owner call_stream_owner;

/* --- keys --------------------------------------------------------------------------------- */

/* One string of octets per (identity, source, next hop, expected identities). Identities keep their NULs. */
static bool pack_key(const struct hbone_key *k, struct buf *out)
{
	char text[ENDPOINT_TEXT_MAX];

	buf_init(out, HBONE_KEY_LEN_MAX);
	buf_put_str(out, tls_config_identity(k->config));
	buf_put_u8(out, 0);
	buf_put_str(out, ip_format(&k->source_ip, text));
	buf_put_u8(out, 0);
	buf_put_str(out, endpoint_format(&k->to, text));
	buf_put_u8(out, 0);
	for (unsigned int i = 0; i < k->identity_count; i++) {
		buf_put_str(out, k->identities[i]);
		buf_put_u8(out, 0);
	}
	return buf_status(out) == ERR_OK;
}

/* Point the expected identities into the packed key: they follow its first three texts. */
static bool unpack_identities(struct hbone_tunnel *t, unsigned int count)
{
	const char *p = (const char *)t->key;

	t->identities = calloc(count == 0 ? 1 : count, sizeof(*t->identities));
	if (t->identities == NULL)
		return false;
	for (unsigned int skip = 0; skip < 3; skip++)
		p += strlen(p) + 1;
	for (unsigned int i = 0; i < count; i++) {
		t->identities[i] = p;
		p += strlen(p) + 1;
	}
	t->identity_count = count;
	return true;
}

/* --- a tunnel's life ---------------------------------------------------------------------- */

static void free_tunnel(struct loop_retired *r)
{
	struct hbone_tunnel *t = container_of(r, struct hbone_tunnel, retired);

	tls_config_unref(t->config);
	free(t->identities);
	free(t->key);
	free(t);
}

/* No longer the one to ask for its key; the next older that can still take streams steps forward. */
static void withdraw(struct hbone_tunnel *t)
{
	struct hbone_pool *p = t->pool;
	struct span key = span_of(t->key, t->key_len);
	struct map_node *n = map_get(&p->tunnels, key);
	struct hbone_tunnel *newest = n == NULL ? NULL : map_entry(n, struct hbone_tunnel, node);

	if (newest == t) {
		(void)map_remove(&p->tunnels, key);
		if (t->older != NULL)
			(void)map_put(&p->tunnels, &t->older->node,
			              span_of(t->older->key, t->older->key_len));
	}
	for (struct hbone_tunnel *it = newest; it != NULL; it = it->older) {
		if (it->older == t)
			it->older = t->older;
	}
	t->older = NULL;
}

static void answer(struct hbone_call *a, enum err cause)
{
	if (a->answered)
		return;
	a->answered = true;
	timer_disarm(&a->deadline);
	loop_hook_cancel(&a->hook);
	list_remove(&a->link);
	if (a->tunnel != NULL)
		a->tunnel->waiting_count--;
	a->tunnel = NULL;
	a->owner->answered(a, cause);
}

static void fail_waiting(struct hbone_tunnel *t, enum err cause)
{
	while (!list_empty(&t->waiting))
		answer(list_entry(t->waiting.next, struct hbone_call, link), cause);
}

static void gone(struct hbone_tunnel *t)
{
	struct hbone_pool *p = t->pool;

	list_remove(&t->link);
	p->count--;
	timer_disarm(&t->idle);
	loop_retire(p->loop, &t->retired, free_tunnel);
	if (p->stopping)
		loop_at_turn_end(p->loop, &p->hook);
}

/* The tunnel takes no more streams. Who waited for it to open hears why; who came later asks another. */
static void tunnel_over(struct hbone_tunnel *t, enum err cause)
{
	if (t->state == TUNNEL_ENDED)
		return;
	t->state = TUNNEL_ENDED;
	withdraw(t);
	if (t->reported_open)
		move_waiting(t, cause == ERR_OK ? ERR_EOF : cause);
	if (t->reported_open)
		t->pool->owner->closed(t->pool, cause);
	else
		t->pool->owner->opened(t->pool, cause == ERR_OK ? ERR_EOF : cause, 0);
	fail_waiting(t, cause == ERR_OK ? ERR_EOF : cause);
}

static bool can_open(const struct hbone_tunnel *t)
{
	return h2_conn_ready(&t->conn.h2) && h2_session_can_open(t->conn.h2.session);
}

static bool has_room(const struct hbone_tunnel *t)
{
	if (t->state == TUNNEL_ENDED || t->goaway)
		return false;
	if (t->conn.carrier.count + t->waiting_count >= t->pool->options.streams_max)
		return false;
	return t->state != TUNNEL_OPEN || can_open(t);
}

/*
 * Every idle_ms (or GOAWAY_LOOK_MS once the peer is going away) a look at the tunnel: not asked for since, and no
 * stream on it, it closes.
 */
static void arm_idle(struct hbone_tunnel *t)
{
	timer_arm(t->pool->loop, &t->idle, t->goaway ? GOAWAY_LOOK_MS : t->pool->options.idle_ms);
}

static void on_idle(struct timer *timer)
{
	struct hbone_tunnel *t = container_of(timer, struct hbone_tunnel, idle);
	uint64_t unused_ms = loop_now_ms(t->pool->loop) - t->asked_ms;
	bool busy = t->conn.carrier.count > 0 || t->waiting_count > 0;

	if (t->state != TUNNEL_OPEN)
		return;
	busy |= h2_session_streams(t->conn.h2.session) > 0; /* ends that have not left */
	if (busy || (!t->goaway && unused_ms < t->pool->options.idle_ms)) {
		arm_idle(t);
		return;
	}
	withdraw(t);
	t->goaway = true;
	h2_conn_close(&t->conn.h2, err_info(ERR_OK)->h2_code);
}

/* Open a's stream on an open tunnel. */
static void open_stream(struct hbone_tunnel *t, struct hbone_call *a)
{
	int32_t id = 0;
	enum err e = h2_session_request(t->conn.h2.session, a->fields, a->field_count, NULL, &id);

	if (e != ERR_OK) {
		answer(a, e);
		return;
	}
	t->asked_ms = loop_now_ms(t->pool->loop);
	list_remove(&a->link);
	t->waiting_count--;
	a->tunnel = NULL;
	hbone_stream_attach(&a->stream, &t->conn.carrier, id, &call_stream_owner);
	h2_conn_kick(&t->conn.h2);
	timer_arm(t->pool->loop, &a->deadline, t->pool->options.answer_ms);
}

static void serve_waiting(struct hbone_tunnel *t)
{
	while (t->state == TUNNEL_OPEN && !list_empty(&t->waiting) && can_open(t))
		open_stream(t, list_entry(t->waiting.next, struct hbone_call, link));
	if (t->state == TUNNEL_OPEN)
		move_waiting(t, ERR_H2_STREAM_REFUSED); /* more than the peer allows */
}

/* --- HTTP/2 connection events -------------------------------------------------------------- */

static struct hbone_tunnel *of_conn(struct h2_conn *c)
{
	return container_of(c, struct hbone_tunnel, conn.h2);
}

static void on_ready(struct h2_conn *c)
{
	struct hbone_tunnel *t = of_conn(c);

	t->state = TUNNEL_OPEN;
	t->reported_open = true;
	t->pool->owner->opened(t->pool, ERR_OK, loop_now_ms(t->pool->loop) - t->started_ms);
	if (h2_conn_untracked(c) && t->pool->owner->untracked != NULL)
		t->pool->owner->untracked(t->pool);
	if (t->pool->stopping) {
		h2_conn_close(c, err_info(ERR_OK)->h2_code);
		return;
	}
	serve_waiting(t);
	arm_idle(t);
}

static void on_event(struct h2_conn *c, const struct h2_event *ev, struct iobuf *buf)
{
	struct hbone_tunnel *t = of_conn(c);

	if (ev->kind == H2_EV_GOAWAY) {
		t->goaway = true;
		withdraw(t);
		move_waiting(t, ERR_H2_GOAWAY);
		arm_idle(t);
	} else if (ev->kind == H2_EV_REQUEST) {
		h2_head_free(ev->head); /* nghttp2 refuses requests to a client; never comes */
	} else {
		hbone_carrier_event(&t->conn.carrier, ev, buf);
	}
}

static void on_ended(struct h2_conn *c, enum err cause)
{
	struct hbone_tunnel *t = of_conn(c);

	tunnel_over(t, cause);
	hbone_carrier_ended(&t->conn.carrier, cause);
}

static void on_landed(struct h2_conn *c)
{
	struct hbone_tunnel *t = of_conn(c);

	h2_conn_fini(c);
	gone(t);
}

static const struct h2_conn_owner conn_owner = {
	.ready = on_ready,
	.event = on_event,
	.ended = on_ended,
	.landed = on_landed,
};

void hbone_dial_done(struct hbone_pool *p, struct hbone_dial *d, int fd, enum err cause)
{
	struct hbone_tunnel *t = container_of(d, struct hbone_tunnel, dial);
	struct tls_expect expect = {.identities = t->identities,
	                            .identity_count = t->identity_count};
	struct h2_conn_setup h2 = {.owner = &conn_owner,
	                           .options = &p->options.h2,
	                           .scratch = p->scratch,
	                           .handshake_ms = p->options.handshake_ms,
	                           .role = H2_CLIENT};
	struct tls_session *tls = NULL;

	if (cause == ERR_OK && p->stopping) {
		loop_close(p->loop, fd);
		cause = ERR_CANCELLED;
	}
	if (cause == ERR_OK) {
		tls = tls_session_new(t->config, TLS_CLIENT, &expect);
		if (tls == NULL) {
			loop_close(p->loop, fd);
			cause = ERR_MEMORY;
		}
	}
	if (cause != ERR_OK) {
		if (cause == ERR_DIAL_TIMEOUT && d->to.port == p->options.own_port)
			cause = ERR_DIAL_HBONE_TIMEOUT;
		tunnel_over(t, cause);
		gone(t);
		return;
	}
	t->state = TUNNEL_HANDSHAKE;
	h2_conn_start(&t->conn.h2, p->loop, fd, tls, &h2);
}

/* --- asking ------------------------------------------------------------------------------- */

/* k: its identities are read from key, in which they are packed. */
static struct hbone_tunnel *new_tunnel(struct hbone_pool *p, const struct hbone_key *k,
                                       struct span key)
{
	struct hbone_tunnel *t = calloc(1, sizeof(*t));
	struct map_node *older;

	if (t == NULL)
		return NULL;
	t->pool = p;
	t->key = malloc(key.n);
	t->key_len = key.n;
	if (t->key != NULL)
		memcpy(t->key, key.p, key.n);
	if (t->key == NULL || !unpack_identities(t, k->identity_count)) {
		free(t->key);
		free(t);
		return NULL;
	}
	t->config = tls_config_ref(k->config);
	hbone_conn_init(&t->conn);
	list_init(&t->link);
	list_init(&t->waiting);
	timer_init(&t->idle, on_idle);
	t->dial.to = k->to;
	t->started_ms = loop_now_ms(p->loop);
	if (!p->owner->dial(p, &t->dial)) {
		free_tunnel(&t->retired);
		return NULL;
	}
	list_push(&p->all, &t->link);
	p->count++;
	older = map_put(&p->tunnels, &t->node, span_of(t->key, t->key_len));
	t->older = older == NULL ? NULL : map_entry(older, struct hbone_tunnel, node);
	return t;
}

static struct hbone_tunnel *find_tunnel(struct hbone_pool *p, struct span key)
{
	struct map_node *n = map_get(&p->tunnels, key);
	struct hbone_tunnel *t = n == NULL ? NULL : map_entry(n, struct hbone_tunnel, node);

	while (t != NULL && !has_room(t))
		t = t->older;
	return t;
}

static void wait_on(struct hbone_call *a, struct hbone_tunnel *t)
{
	a->tunnel = t;
	list_push(&t->waiting, &a->link);
	t->waiting_count++;
	if (t->state == TUNNEL_OPEN)
		loop_at_turn_end(t->pool->loop, &a->hook);
}

/* Asks that were not sent yet go to another tunnel for the same key; one that was moved too often hears why. */
static void move_waiting(struct hbone_tunnel *t, enum err otherwise)
{
	struct hbone_key k = {
		.config = t->config, .to = t->dial.to, .identity_count = t->identity_count};
	struct span key = span_of(t->key, t->key_len);

	while (!list_empty(&t->waiting)) {
		struct hbone_call *a = list_entry(t->waiting.next, struct hbone_call, link);
		struct hbone_tunnel *next = NULL;

		if (!t->pool->stopping && a->moves++ < CALL_MOVES_MAX) {
			next = find_tunnel(t->pool, key);
			if (next == NULL)
				next = new_tunnel(t->pool, &k, key);
		}
		if (next == NULL) {
			answer(a, otherwise);
			continue;
		}
		list_remove(&a->link);
		t->waiting_count--;
		wait_on(a, next);
	}
}

/* Answers that are known at once are given at the end of the turn, never inside the call. */
static void on_call_hook(struct loop_hook *h)
{
	struct hbone_call *a = container_of(h, struct hbone_call, hook);

	if (a->cause != ERR_OK)
		answer(a, a->cause);
	else if (a->tunnel != NULL)
		serve_waiting(a->tunnel);
}

static void on_answer_late(struct timer *timer)
{
	struct hbone_call *a = container_of(timer, struct hbone_call, deadline);

	hbone_stream_reset(&a->stream, err_info(ERR_CANCELLED)->h2_code);
	answer(a, ERR_HBONE_TIMEOUT);
}

void hbone_call_start(struct hbone_call *a, struct hbone_pool *p, const struct hbone_key *key,
                      const struct h2_field *fields, unsigned int field_count,
                      const struct hbone_call_owner *owner)
{
	struct hbone_tunnel *t = NULL;
	struct buf packed;

	*a = (struct hbone_call){
		.owner = owner, .pool = p, .fields = fields, .field_count = field_count};
	list_init(&a->link);
	timer_init(&a->deadline, on_answer_late);
	loop_hook_init(&a->hook, on_call_hook);
	if (p->stopping || key->identity_count > HBONE_KEY_IDENTITIES_MAX) {
		a->cause = p->stopping ? ERR_CANCELLED : ERR_LIMIT;
	} else {
		if (pack_key(key, &packed)) {
			t = find_tunnel(p, buf_span(&packed));
			if (t == NULL)
				t = new_tunnel(p, key, buf_span(&packed));
		}
		buf_fini(&packed);
		if (t == NULL)
			a->cause = ERR_MEMORY;
	}
	if (t != NULL)
		wait_on(a, t);
	else
		loop_at_turn_end(p->loop, &a->hook);
}

void hbone_call_cancel(struct hbone_call *a)
{
	if (a->answered)
		return;
	a->answered = true;
	timer_disarm(&a->deadline);
	loop_hook_cancel(&a->hook);
	list_remove(&a->link);
	if (a->tunnel != NULL) {
		a->tunnel->waiting_count--;
		a->tunnel = NULL;
	}
	hbone_stream_reset(&a->stream, err_info(ERR_CANCELLED)->h2_code);
}

/* --- a stream before its answer ------------------------------------------------------------ */

static struct hbone_call *of_stream(struct hbone_stream *s)
{
	return container_of(s, struct hbone_call, stream);
}

static void on_head(struct hbone_stream *s, const struct h2_head *head)
{
	struct hbone_call *a = of_stream(s);
	enum err e = hbone_response_parse(head, &a->status);

	if (e != ERR_OK)
		hbone_stream_reset(s, err_info(ERR_CANCELLED)->h2_code);
	answer(a, e);
}

static void on_early_break(struct hbone_stream *s, enum err cause)
{
	answer(of_stream(s), cause);
}

static const struct hbone_stream_owner call_stream_owner = {
	.head = on_head,
	.data = hbone_stream_early_data,
	.end = hbone_stream_early_end,
	.sent = hbone_stream_early_sent,
	.broken = on_early_break,
};

/* --- the pool ------------------------------------------------------------------------------ */

static void on_pool_hook(struct loop_hook *h)
{
	struct hbone_pool *p = container_of(h, struct hbone_pool, hook);

	if (p->stopping && p->count == 0 && !p->stop_told) {
		p->stop_told = true;
		p->owner->stopped(p);
	}
}

void hbone_pool_init(struct hbone_pool *p, struct loop *loop, struct h2_events *scratch,
                     const struct hbone_pool_options *options, const struct hbone_pool_owner *owner)
{
	uint8_t seed[16];

	*p = (struct hbone_pool){
		.loop = loop, .scratch = scratch, .owner = owner, .options = *options};
	rand_system_bytes(seed, sizeof(seed));
	map_init(&p->tunnels, seed);
	list_init(&p->all);
	loop_hook_init(&p->hook, on_pool_hook);
}

void hbone_pool_stop(struct hbone_pool *p)
{
	p->stopping = true;
	list_for_each (it, &p->all) {
		struct hbone_tunnel *t = list_entry(it, struct hbone_tunnel, link);

		switch (t->state) {
		case TUNNEL_DIAL: p->owner->dial_cancel(p, &t->dial); break;
		case TUNNEL_HANDSHAKE: h2_conn_abort(&t->conn.h2, ERR_CANCELLED); break;
		case TUNNEL_OPEN: h2_conn_close(&t->conn.h2, err_info(ERR_OK)->h2_code); break;
		case TUNNEL_ENDED: break;
		}
	}
	loop_at_turn_end(p->loop, &p->hook);
}

unsigned int hbone_pool_recheck(struct hbone_pool *p)
{
	unsigned int dropped = 0;

	list_for_each (it, &p->all) {
		struct hbone_tunnel *t = list_entry(it, struct hbone_tunnel, link);

		if (t->state != TUNNEL_OPEN || h2_conn_recheck(&t->conn.h2) == ERR_OK)
			continue;
		withdraw(t);
		t->goaway = true; /* takes nothing more; its end is heard when the turn ends */
		h2_conn_abort(&t->conn.h2, ERR_TLS_REVOKED);
		dropped++;
	}
	return dropped;
}

void hbone_pool_fini(struct hbone_pool *p)
{
	CHECK(p->count == 0);
	loop_hook_cancel(&p->hook);
	map_fini(&p->tunnels);
}

unsigned int hbone_pool_tunnels(const struct hbone_pool *p)
{
	return p->count;
}
