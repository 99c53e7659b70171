/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/common/hbone/hbone_talk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 131 + i / 251);
}

static void on_head(struct hbone_stream *s, const struct h2_head *head)
{
	(void)s;
	(void)head;
	fail_msg("a second answer");
}

static void on_data(struct hbone_stream *s, struct iobuf *buf, struct span bytes)
{
	struct heard *h = container_of(s, struct heard, s);

	assert_int_equal(h->end, 0);
	assert_int_equal(h->broken, 0);
	assert_true(bytes.p >= buf->mem && bytes.p + bytes.n <= buf->mem + buf->cap);
	for (size_t i = 0; i < bytes.n; i++)
		assert_int_equal(bytes.p[i], pattern(h->got + i));
	h->got += bytes.n;
	h->untaken += bytes.n;
	if (!h->hold)
		heard_take(h);
}

static void on_end(struct hbone_stream *s)
{
	struct heard *h = container_of(s, struct heard, s);

	assert_int_equal(h->end++, 0);
	assert_int_equal(h->broken, 0);
}

static void on_sent(struct hbone_stream *s, size_t n)
{
	struct heard *h = container_of(s, struct heard, s);

	h->sent += n;
	assert_true(h->sent <= h->put);
}

static void on_broken(struct hbone_stream *s, enum err cause)
{
	struct heard *h = container_of(s, struct heard, s);

	assert_int_equal(h->broken++, 0);
	assert_null(s->carrier);
	assert_int_not_equal(cause, ERR_OK);
	h->cause = cause;
}

static const struct hbone_stream_owner heard_owner = {
	.head = on_head,
	.data = on_data,
	.end = on_end,
	.sent = on_sent,
	.broken = on_broken,
};

void heard_take(struct heard *h)
{
	size_t n = h->untaken;

	h->untaken = 0;
	hbone_stream_taken(&h->s, n);
}

void heard_put(struct lab *l, struct heard *h, size_t n)
{
	while (n > 0) {
		struct iobuf *b = iobuf_take(loop_iobufs(l->loop), IOBUF_SLOT);
		size_t part = n < IOBUF_SLOT_LEN ? n : IOBUF_SLOT_LEN;
		struct iobuf_view v;

		assert_non_null(b);
		v = (struct iobuf_view){.buf = b, .p = b->mem + IOBUF_HEAD, .len = (uint32_t)part};
		for (size_t i = 0; i < part; i++)
			v.p[i] = pattern(h->put + i);
		h->put += part;
		n -= part;
		(void)hbone_stream_put(&h->s, v);
	}
}

static void on_request(struct lab_peer *p, int32_t id, const struct hbone_request *req)
{
	struct talk *t = p->lab->arg;
	struct heard *h;

	assert_int_equal(req->authority.port, 8080);
	if (t->mode == TALK_401 || t->mode == TALK_503) {
		hbone_server_refuse_id(&p->server, id,
		                       t->mode == TALK_401 ? ERR_POLICY_DENY : ERR_DIAL_REFUSED);
		return;
	}
	assert_in_range(t->far_count, 0, TALK_MAX - 1);
	h = &t->far[t->far_count++];
	h->hold = t->hold;
	hbone_stream_attach(&h->s, &p->server.conn.carrier, id, &heard_owner);
	if (t->mode != TALK_SILENT)
		assert_int_equal(hbone_server_grant(&h->s, NULL), ERR_OK);
	if (t->mode == TALK_BANNER)
		heard_put(p->lab, h, TALK_BANNER_LEN);
}

static void on_answered(struct hbone_call *c, enum err cause)
{
	struct near_end *n = container_of(c, struct near_end, call);
	struct lab *l = container_of(c->pool, struct lab, pool);
	struct talk *t = l->arg;

	assert_false(n->cancelled);
	assert_int_equal(n->answered++, 0);
	n->cause = cause;
	t->answered++;
	if (cause == ERR_OK) {
		t->ok++;
		hbone_stream_move(&c->stream, &n->h.s, &heard_owner);
	}
}

static const struct hbone_call_owner call_owner = {.answered = on_answered};

void talk_init(struct talk *t, const struct lab_options *opt)
{
	static const struct lab_options plain;

	memset(t, 0, sizeof(*t));
	lab_init(&t->lab, opt != NULL ? opt : &plain, on_request);
	t->lab.arg = t;
}

void talk_call(struct talk *t, unsigned int i)
{
	lab_call(&t->lab, &t->near[i].call, &call_owner);
}

void talk_reset_all(struct talk *t)
{
	for (unsigned int i = 0; i < TALK_MAX; i++)
		hbone_stream_reset(&t->near[i].h.s, 0x8);
}

void talk_fini(struct talk *t)
{
	talk_reset_all(t);
	lab_stop(&t->lab);
	for (unsigned int i = 0; i < TALK_MAX; i++) {
		struct near_end *n = &t->near[i];

		if (n->call.pool != NULL)
			assert_int_equal(n->answered, n->cancelled ? 0 : 1);
	}
	lab_fini(&t->lab);
}
