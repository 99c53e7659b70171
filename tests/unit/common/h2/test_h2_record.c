/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/h2/h2_record.h"

struct bench {
	struct iobuf_pool *pool;
	struct iobuf_queue out;
	struct h2_record_writer w;
};

static void bench_init(struct bench *t)
{
	t->pool = iobuf_pool_new(1 << 20);
	iobuf_queue_init(&t->out);
	h2_record_init(&t->w, t->pool);
	t->w.out = &t->out;
	t->w.bytes_max = SIZE_MAX;
}

static void bench_fini(struct bench *t)
{
	h2_record_fini(&t->w);
	iobuf_queue_fini(&t->out);
	iobuf_pool_free(t->pool);
}

static void add(struct bench *t, size_t n)
{
	uint8_t *p = h2_record_reserve(&t->w, n);

	assert_non_null(p);
	memset(p, 'x', n);
	h2_record_added(&t->w, n);
}

static void frames_gather_until_one_does_not_fit(void **state)
{
	struct bench t;

	(void)state;
	bench_init(&t);
	add(&t, 100);
	add(&t, TLS_PLAIN_MAX - 100);
	assert_int_equal(h2_record_room(&t.w), 0);
	assert_int_equal(t.out.count, 0);
	add(&t, 1);
	assert_int_equal(t.out.count, 1);
	assert_int_equal(t.out.bytes, TLS_PLAIN_MAX);
	assert_true(h2_record_flush(&t.w));
	assert_true(h2_record_flush(&t.w));
	assert_int_equal(t.out.count, 2);
	bench_fini(&t);
}

static void order_is_kept_when_a_block_passes(void **state)
{
	struct bench t;
	struct iobuf *b;
	struct iobuf_view v;

	(void)state;
	bench_init(&t);
	add(&t, 10);
	b = iobuf_take(t.pool, IOBUF_SLOT);
	v = (struct iobuf_view){.buf = b, .p = b->mem + IOBUF_HEAD, .len = IOBUF_SLOT_LEN};
	assert_true(h2_record_passable(&v));
	v.p -= H2_FRAME_HEAD;
	v.len += H2_FRAME_HEAD;
	assert_true(h2_record_pass(&t.w, v));
	assert_int_equal(t.out.count, 2);
	assert_int_equal(iobuf_queue_at(&t.out, 0)->len, 10);
	assert_ptr_equal(iobuf_queue_at(&t.out, 1)->buf, b);
	bench_fini(&t);
}

static void only_big_lone_roomy_blocks_pass(void **state)
{
	struct bench t;
	struct iobuf *b;
	struct iobuf_view v;

	(void)state;
	bench_init(&t);
	b = iobuf_take(t.pool, IOBUF_SLOT);
	v = (struct iobuf_view){.buf = b, .p = b->mem + IOBUF_HEAD, .len = H2_PASS_LEN_MIN};
	assert_true(h2_record_passable(&v));
	v.len = H2_PASS_LEN_MIN - 1;
	assert_false(h2_record_passable(&v));
	v.len = H2_PASS_LEN_MIN;
	v.p--; /* no room in front */
	assert_false(h2_record_passable(&v));
	v.p = b->mem + b->cap - IOBUF_TAIL - v.len;
	assert_true(h2_record_passable(&v));
	v.p++; /* none behind */
	assert_false(h2_record_passable(&v));
	v.p = b->mem + IOBUF_HEAD;
	iobuf_ref(b); /* somebody else reads it */
	assert_false(h2_record_passable(&v));
	iobuf_unref(b);
	iobuf_unref(b);
	bench_fini(&t);
}

static void without_an_out_a_record_waits(void **state)
{
	struct bench t;

	(void)state;
	bench_init(&t);
	t.w.out = NULL;
	add(&t, 100);
	assert_false(h2_record_flush(&t.w));
	assert_null(h2_record_reserve(&t.w, TLS_PLAIN_MAX));
	assert_false(h2_record_full(&t.w));
	t.w.out = &t.out;
	t.w.bytes_max = 100;
	assert_true(h2_record_full(&t.w)); /* what waits counts */
	assert_true(h2_record_flush(&t.w));
	assert_int_equal(t.out.bytes, 100);
	bench_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_gather_until_one_does_not_fit),
		cmocka_unit_test(order_is_kept_when_a_block_passes),
		cmocka_unit_test(only_big_lone_roomy_blocks_pass),
		cmocka_unit_test(without_an_out_a_record_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
