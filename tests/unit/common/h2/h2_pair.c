/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/common/h2/h2_pair.h"

#include <stdio.h>
#include <string.h>

const struct h2_options pair_options = {
	.stream_window = 4 << 20,
	.conn_window = 16 << 20,
	.frame_len_max = 1 << 20,
	.header_list_max = 65536,
	.streams_max = 200,
	.ping_interval_ms = 10000,
	.ping_timeout_ms = 20000,
};

uint64_t pair_random(struct pair *p, uint64_t below)
{
	p->rng ^= p->rng << 13;
	p->rng ^= p->rng >> 7;
	p->rng ^= p->rng << 17;
	return p->rng % below;
}

uint64_t hash_add(uint64_t hash, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		hash = (hash ^ p[i]) * 1099511628211ULL;
	return hash;
}

void side_init(struct side *x, enum h2_role role, const struct h2_options *opt)
{
	memset(x, 0, sizeof(*x));
	x->pool = iobuf_pool_new(256 << 20);
	x->s = h2_session_new(role, opt, x->pool, 0);
	assert_non_null(x->s);
	h2_events_init(&x->ev);
}

void side_fini(struct side *x)
{
	h2_session_free(x->s);
	h2_events_fini(&x->ev);
	assert_int_equal(iobuf_pool_bytes_in_use(x->pool), 0);
	iobuf_pool_free(x->pool);
}

void pair_init(struct pair *p, const struct h2_options *client, const struct h2_options *server)
{
	memset(p, 0, sizeof(*p));
	p->rng = 88172645463325252ULL;
	side_init(&p->c, H2_CLIENT, client ? client : &pair_options);
	side_init(&p->s, H2_SERVER, server ? server : &pair_options);
}

void pair_fini(struct pair *p)
{
	side_fini(&p->c);
	side_fini(&p->s);
}

struct seen *side_seen(struct side *x, int32_t id)
{
	for (unsigned int i = 0; i < x->seen_count; i++)
		if (x->seen[i].id == id)
			return &x->seen[i];
	assert_true(x->seen_count < PAIR_STREAMS_MAX);
	x->seen[x->seen_count] = (struct seen){.id = id, .hash = HASH_START};
	return &x->seen[x->seen_count++];
}

static void take_trailers(struct seen *w, const struct h2_head *head)
{
	const struct h2_field *f;

	assert_false(w->trailers);
	assert_false(w->ended);
	w->trailers = true;
	if (head->count == 0)
		return;
	f = &head->fields[head->count - 1];
	snprintf(w->last_field, sizeof(w->last_field), "%.*s=%.*s", (int)f->name.n,
	         (const char *)f->name.p, (int)f->value.n, (const char *)f->value.p);
}

static void take_event(struct side *x, const struct h2_event *ev)
{
	struct seen *w = ev->stream_id ? side_seen(x, ev->stream_id) : NULL;

	if (w) {
		assert_false(w->reset);
		assert_false(w->closed);
	}
	switch (ev->kind) {
	case H2_EV_REQUEST: w->request = true; break;
	case H2_EV_RESPONSE: {
		const struct h2_field *f = h2_head_find(ev->head, ":status");

		w->response = true;
		memcpy(w->status, f->value.p, 3);
		break;
	}
	case H2_EV_DATA:
		assert_false(w->ended);
		assert_true(w->request || w->response);
		w->bytes += ev->data.n;
		w->hash = hash_add(w->hash, ev->data.p, ev->data.n);
		w->unread += ev->data.n;
		if (!x->hold) {
			h2_session_consumed_stream(x->s, ev->stream_id, w->unread);
			h2_session_consumed_conn(x->s, w->unread);
			w->unread = 0;
		}
		break;
	case H2_EV_TRAILERS: take_trailers(w, ev->head); break;
	case H2_EV_END:
		assert_false(w->ended);
		w->ended = true;
		break;
	case H2_EV_RESET:
		w->reset = true;
		w->code = ev->code;
		break;
	case H2_EV_CLOSED: w->closed = true; break;
	case H2_EV_SENT: w->sent += ev->sent; break;
	case H2_EV_GOAWAY:
		x->goaways++;
		x->goaway_last = ev->last_id;
		break;
	case H2_EV_SETTINGS: x->settings++; break;
	}
}

void side_take_events(struct side *x)
{
	for (uint32_t i = 0; i < x->ev.count; i++)
		take_event(x, &x->ev.ev[i]);
	h2_events_clear(&x->ev);
}

enum err side_feed(struct side *x, const void *bytes, size_t n, uint64_t now_ms)
{
	enum err e = h2_session_recv(x->s, span_of(bytes, n), now_ms, &x->ev);

	side_take_events(x);
	if (x->err == ERR_OK)
		x->err = e;
	return e;
}

static void check_record(const struct iobuf_view *v)
{
	assert_true(v->len > 0);
	assert_true(v->len <= TLS_PLAIN_MAX);
	assert_true(iobuf_exclusive(v->buf));
	assert_true(v->p - v->buf->mem >= 5);
	assert_true(v->buf->mem + v->buf->cap - (v->p + v->len) >= IOBUF_TAIL);
}

static void deliver(struct pair *p, struct side *to, const struct iobuf_view *v)
{
	size_t at = 0;

	while (at < v->len) {
		size_t n = v->len - at;

		if (p->chop)
			n = 1 + pair_random(p, n < 3000 ? n : 3000);
		(void)side_feed(to, v->p + at, n, p->now_ms);
		at += n;
	}
}

size_t pair_move(struct pair *p, struct side *from, struct side *to, size_t bytes_max)
{
	struct iobuf_queue out;
	size_t moved;
	enum err e;

	iobuf_queue_init(&out);
	e = h2_session_send(from->s, &out, bytes_max, &from->ev);
	if (from->err == ERR_OK && e != ERR_MEMORY)
		from->err = e;
	side_take_events(from);
	moved = out.bytes;
	while (out.count > 0) {
		struct iobuf_view v = iobuf_queue_pop(&out);

		check_record(&v);
		from->records++;
		from->record_bytes += v.len;
		if (to)
			deliver(p, to, &v);
		iobuf_unref(v.buf);
	}
	return moved;
}

void pair_settle(struct pair *p)
{
	size_t moved;

	do {
		moved = pair_move(p, &p->c, &p->s, 1 << 20);
		moved += pair_move(p, &p->s, &p->c, 1 << 20);
	} while (moved > 0);
	assert_false(h2_session_wants_send(p->c.s));
	assert_false(h2_session_wants_send(p->s.s));
}

int32_t pair_connect(struct pair *p, const char *authority)
{
	const struct h2_field fields[] = {
		{span_str(":method"), span_str("CONNECT")},
		{span_str(":authority"), span_str(authority)},
		{span_str("baggage"), span_str("")},
	};
	int32_t id = -1;

	assert_int_equal(h2_session_request(p->c.s, fields, 3, NULL, &id), ERR_OK);
	return id;
}

enum err side_respond(struct side *x, int32_t id, const char *status, bool end)
{
	const struct h2_field fields[] = {{span_str(":status"), span_str(status)}};

	return h2_session_respond(x->s, id, fields, 1, end);
}

int32_t pair_open(struct pair *p)
{
	int32_t id = pair_connect(p, "10.0.0.1:80");

	pair_settle(p);
	assert_true(side_seen(&p->s, id)->request);
	assert_int_equal(side_respond(&p->s, id, "200", false), ERR_OK);
	pair_settle(p);
	assert_string_equal(side_seen(&p->c, id)->status, "200");
	return id;
}

struct iobuf_view side_slot(struct side *x, size_t n, uint8_t fill)
{
	struct iobuf *b = iobuf_take(x->pool, IOBUF_SLOT);

	assert_non_null(b);
	memset(b->mem + IOBUF_HEAD, fill, n);
	return (struct iobuf_view){.buf = b, .p = b->mem + IOBUF_HEAD, .len = (uint32_t)n};
}

void side_put(struct side *x, int32_t id, size_t n, struct pair *p, uint64_t *hash)
{
	while (n > 0) {
		size_t len = n < IOBUF_SLOT_LEN ? n : IOBUF_SLOT_LEN;
		struct iobuf_view v = side_slot(x, len, 0);

		for (size_t i = 0; i < len; i++)
			v.p[i] = (uint8_t)pair_random(p, 256);
		if (hash)
			*hash = hash_add(*hash, v.p, len);
		assert_int_equal(h2_session_put(x->s, id, v), ERR_OK);
		n -= len;
	}
}
