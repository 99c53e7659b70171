/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every allocation of a conversation fails once, ours and nghttp2's alike. A session may die of it, cleanly; one that
 * does not die has lost nothing.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/h2/h2_private.h"
#include "tests/unit/common/h2/h2_pair.h"

static struct {
	unsigned long count; /* allocations seen while armed */
	unsigned long fail;  /* which one fails; 0: none */
	bool armed;
} heap;

static bool fails(void)
{
	return heap.armed && ++heap.count == heap.fail;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

void *__wrap_malloc(size_t n)
{
	return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
	return fails() ? NULL : __real_realloc(p, n);
}

static void *ng_malloc(size_t n, void *user)
{
	(void)user;
	return malloc(n);
}

static void ng_free(void *p, void *user)
{
	(void)user;
	free(p);
}

static void *ng_calloc(size_t n, size_t size, void *user)
{
	(void)user;
	return calloc(n, size);
}

static void *ng_realloc(void *p, size_t n, void *user)
{
	(void)user;
	return realloc(p, n);
}

static nghttp2_mem ng_mem = {NULL, ng_malloc, ng_free, ng_calloc, ng_realloc};

static bool alive(const struct pair *p)
{
	return p->c.err == ERR_OK && p->s.err == ERR_OK;
}

/* Until nothing moves; a turn that moved nothing for want of memory is followed by another. */
static void run(struct pair *p)
{
	for (unsigned int quiet = 0; quiet < 4;) {
		size_t moved = pair_move(p, &p->c, &p->s, 1 << 20);

		moved += pair_move(p, &p->s, &p->c, 1 << 20);
		quiet = moved ? 0 : quiet + 1;
	}
}

static bool put(struct side *x, int32_t id, size_t n)
{
	while (n > 0) {
		size_t len = n < IOBUF_SLOT_LEN ? n : IOBUF_SLOT_LEN;
		struct iobuf *b = iobuf_take(x->pool, IOBUF_SLOT);
		enum err e;

		if (!b)
			b = iobuf_take(x->pool, IOBUF_SLOT);
		memset(b->mem + IOBUF_HEAD, 'x', len);
		e = h2_session_put(x->s, id,
		                   (struct iobuf_view){.buf = b,
		                                       .p = b->mem + IOBUF_HEAD,
		                                       .len = (uint32_t)len});
		if (e == ERR_MEMORY && x->s->cause != ERR_OK)
			x->err = e;
		if (e == ERR_H2_STREAM_RESET || x->err != ERR_OK)
			return false;
		if (e == ERR_OK)
			n -= len;
	}
	return true;
}

static int32_t ask(struct pair *p)
{
	const struct h2_field fields[] = {
		{span_str(":method"), span_str("CONNECT")},
		{span_str(":authority"), span_str("10.0.0.1:80")},
	};
	int32_t id = -1;

	for (unsigned int i = 0; i < 2 && id < 0; i++)
		if (h2_session_request(p->c.s, fields, 2, NULL, &id) == ERR_H2_STREAM_REFUSED)
			p->c.err = ERR_H2_STREAM_REFUSED;
	return id;
}

static void respond(struct pair *p, int32_t id, const char *status, bool end)
{
	for (unsigned int i = 0; i < 2; i++)
		if (side_respond(&p->s, id, status, end) != ERR_MEMORY)
			return;
}

/* Returns false when a session died on the way. */
static bool converse(struct pair *p)
{
	int32_t a = ask(p), b = ask(p), c = ask(p);
	uint64_t next;

	run(p);
	if (!alive(p))
		return false;
	/* a stream refused for want of memory was reset with REFUSED_STREAM: no loss, but nothing to say on it */
	if (side_seen(&p->c, a)->reset || side_seen(&p->c, b)->reset || side_seen(&p->c, c)->reset)
		return false;
	respond(p, a, "200", false);
	respond(p, b, "401", true);
	respond(p, c, "200", false);
	run(p);
	if (!alive(p) || !put(&p->c, a, 70000) || !put(&p->s, a, 50000) || !put(&p->c, c, 100))
		return false;
	run(p);
	if (!alive(p))
		return false;
	assert_int_equal(h2_session_queued(p->c.s, a), 0);
	h2_session_end(p->c.s, a);
	h2_session_reset(p->s.s, c, 8);
	(void)!h2_session_tick(p->c.s, 10000, &next);
	h2_session_shutdown(p->s.s);
	run(p);
	if (!alive(p))
		return false;
	h2_session_end(p->s.s, a);
	run(p);
	if (!alive(p) || side_seen(&p->c, a)->reset)
		return false;
	assert_int_equal(side_seen(&p->s, a)->bytes, 70000);
	assert_int_equal(side_seen(&p->c, a)->bytes, 50000);
	assert_int_equal(side_seen(&p->c, a)->sent, 70000);
	assert_true(side_seen(&p->c, a)->closed && side_seen(&p->s, a)->closed);
	assert_true(side_seen(&p->c, c)->reset);
	assert_int_equal(h2_session_streams(p->c.s), 0);
	assert_int_equal(h2_session_streams(p->s.s), 0);
	return true;
}

static bool open_side(struct side *x, enum h2_role role)
{
	memset(x, 0, sizeof(*x));
	heap.armed = false;
	x->pool = iobuf_pool_new(64 << 20); /* does not fail: set-up of a worker */
	heap.armed = true;
	x->s = h2_session_new_mem(role, &pair_options, x->pool, 0, &ng_mem);
	h2_events_init(&x->ev);
	return x->s != NULL;
}

static void every_allocation_may_fail(void **state)
{
	unsigned long n, died = 0, survived = 0;

	(void)state;
	for (n = 1;; n++) {
		static struct pair p;
		bool whole;

		memset(&p, 0, sizeof(p));
		heap.count = 0;
		heap.fail = n;
		heap.armed = true;
		whole = open_side(&p.c, H2_CLIENT);
		whole = open_side(&p.s, H2_SERVER) && whole;
		whole = whole && converse(&p);
		heap.armed = false;
		pair_fini(&p);
		if (heap.count < n) {
			assert_true(whole);
			break;
		}
		died += !whole;
		survived += whole;
	}
	assert_true(n > 100);
	print_message(
		"%lu allocations failed one by one: %lu ended a session or a stream, %lu were got over\n",
		n - 1, died, survived);
}

static size_t heap_in_use(void)
{
	return mallinfo2().uordblks;
}

static void idle_sessions_and_streams_are_small(void **state)
{
	static struct pair p;
	size_t before, session, streams;

	(void)state;
	if (heap_in_use() == 0)
		return; /* a sanitizer's allocator does not count */
	memset(&p, 0, sizeof(p));
	p.c.pool = iobuf_pool_new(64 << 20);
	p.s.pool = iobuf_pool_new(64 << 20);
	before = heap_in_use();
	p.c.s = h2_session_new(H2_CLIENT, &pair_options, p.c.pool, 0);
	p.s.s = h2_session_new(H2_SERVER, &pair_options, p.s.pool, 0);
	pair_settle(&p);
	h2_events_fini(&p.c.ev);
	h2_events_fini(&p.s.ev);
	iobuf_pool_trim(p.c.pool);
	iobuf_pool_trim(p.s.pool);
	session =
		(heap_in_use() - before - iobuf_pool_bytes(p.c.pool) - iobuf_pool_bytes(p.s.pool)) /
		2;
	assert_true(session < 24 * 1024);
	for (unsigned int i = 0; i < 200; i++)
		(void)pair_open(&p);
	h2_events_fini(&p.c.ev);
	h2_events_fini(&p.s.ev);
	streams = heap_in_use() - before - 2 * session - iobuf_pool_bytes(p.c.pool) -
	          iobuf_pool_bytes(p.s.pool);
	assert_true(streams / 400 < 768);
	print_message(
		"a session takes %zu octets, a stream %zu at each end (ours %zu, the rest nghttp2's)\n",
		session, streams / 400, sizeof(struct h2_stream));
	pair_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_allocation_may_fail),
		cmocka_unit_test(idle_sessions_and_streams_are_small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
