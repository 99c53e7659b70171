/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/base/check.h"
#include "common/base/iobuf.h"

enum { SMALL_BYTES = (int)sizeof(struct iobuf) + IOBUF_SMALL_MEM };

static void a_pool_keeps_to_its_budget(void **state)
{
	struct iobuf_pool *pool = iobuf_pool_new(3 * SMALL_BYTES + 100);
	struct iobuf *b[3];

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		b[i] = iobuf_take(pool, IOBUF_SMALL);
		assert_non_null(b[i]);
		assert_int_equal(b[i]->cap, IOBUF_SMALL_MEM);
		memset(b[i]->mem, 0xff, b[i]->cap);
	}
	assert_null(iobuf_take(pool, IOBUF_SMALL));
	assert_null(iobuf_take(pool, IOBUF_SLOT));
	assert_int_equal(iobuf_pool_bytes_in_use(pool), 3 * SMALL_BYTES);
	iobuf_unref(b[0]);
	assert_int_equal(iobuf_pool_bytes_in_use(pool), 2 * SMALL_BYTES);
	b[0] = iobuf_take(pool, IOBUF_SMALL);
	assert_non_null(b[0]);
	for (size_t i = 0; i < 3; i++)
		iobuf_unref(b[i]);
	assert_int_equal(iobuf_pool_bytes_in_use(pool), 0);
	iobuf_pool_free(pool);
}

static void free_blocks_of_one_class_make_room_for_another(void **state)
{
	struct iobuf_pool *pool = iobuf_pool_new(sizeof(struct iobuf) + IOBUF_LARGE_MEM);
	struct iobuf *small = iobuf_take(pool, IOBUF_SMALL), *large;

	(void)state;
	assert_null(iobuf_take(pool, IOBUF_LARGE));
	iobuf_unref(small);
	large = iobuf_take(pool, IOBUF_LARGE);
	assert_non_null(large);
	assert_null(iobuf_take(pool, IOBUF_SMALL));
	iobuf_unref(large);
	iobuf_pool_free(pool);
}

static void the_last_reference_gives_the_block_back(void **state)
{
	struct iobuf_pool *pool = iobuf_pool_new(1 << 20);
	struct iobuf *b = iobuf_take(pool, IOBUF_SLOT);

	(void)state;
	assert_true(b->cap >= IOBUF_HEAD + IOBUF_SLOT_LEN + IOBUF_TAIL);
	assert_int_equal((uintptr_t)b->mem % 16, 0);
	assert_ptr_equal(iobuf_ref(b), b);
	iobuf_unref(b);
	assert_true(iobuf_pool_bytes_in_use(pool) > 0);
	iobuf_unref(b);
	assert_int_equal(iobuf_pool_bytes_in_use(pool), 0);
	assert_ptr_equal(iobuf_take(pool, IOBUF_SLOT), b); /* the warmest one first */
	iobuf_unref(b);
	iobuf_pool_free(pool);
}

static void trimming_returns_all_but_a_reserve(void **state)
{
	enum { COUNT = 100 };
	struct iobuf_pool *pool = iobuf_pool_new(1 << 24);
	struct iobuf *b[COUNT];
	size_t full;

	(void)state;
	for (size_t i = 0; i < COUNT; i++)
		b[i] = iobuf_take(pool, IOBUF_SLOT);
	full = iobuf_pool_bytes(pool);
	iobuf_pool_trim(pool);
	assert_int_equal(iobuf_pool_bytes(pool), full); /* nothing free yet */
	for (size_t i = 0; i < COUNT; i++)
		iobuf_unref(b[i]);
	assert_int_equal(iobuf_pool_bytes(pool), full);
	iobuf_pool_trim(pool);
	assert_true(iobuf_pool_bytes(pool) > 0 && iobuf_pool_bytes(pool) < full / 4);
	iobuf_pool_free(pool);
}

static struct iobuf_view view_of(struct iobuf_pool *pool, uint8_t first, uint32_t len)
{
	struct iobuf *b = iobuf_take(pool, IOBUF_SMALL);

	assert_non_null(b);
	for (uint32_t i = 0; i < len; i++)
		b->mem[i] = (uint8_t)(first + i);
	return (struct iobuf_view){.buf = b, .p = b->mem, .len = len};
}

static void an_empty_queue_holds_no_memory(void **state)
{
	struct iobuf_pool *pool = iobuf_pool_new(1 << 20);
	struct iobuf_queue q;

	(void)state;
	iobuf_queue_init(&q);
	assert_null(q.ring);
	assert_true(iobuf_queue_push(&q, view_of(pool, 0, 10)));
	assert_non_null(q.ring);
	iobuf_queue_consume(&q, 10);
	assert_null(q.ring);
	assert_true(iobuf_queue_push(&q, view_of(pool, 0, 10)));
	iobuf_unref(iobuf_queue_pop(&q).buf);
	assert_null(q.ring);
	iobuf_queue_fini(&q);
	assert_int_equal(iobuf_pool_bytes_in_use(pool), 0);
	iobuf_pool_free(pool);
}

/* Push and consume in uneven steps: the stream of octets must come out as it went in. */
static void a_queue_is_a_stream_of_octets(void **state)
{
	struct iobuf_pool *pool = iobuf_pool_new(1 << 22);
	struct iobuf_queue q;
	uint8_t in = 0, out = 0;

	(void)state;
	iobuf_queue_init(&q);
	for (unsigned int round = 0; round < 2000; round++) {
		uint32_t len = round * 7 % 40;
		size_t n;

		assert_true(iobuf_queue_push(&q, view_of(pool, in, len)));
		in = (uint8_t)(in + len);
		n = round % 3 == 0 ? 0 : q.bytes * (round % 5) / 4;
		while (n > 0) {
			struct iobuf_view *v = iobuf_queue_at(&q, 0);
			size_t part = n < v->len ? n : v->len;

			for (size_t i = 0; i < part; i++)
				assert_int_equal(v->p[i], out++);
			iobuf_queue_consume(&q, part);
			n -= part;
		}
	}
	assert_int_equal((uint8_t)(in - out), (uint8_t)q.bytes);
	iobuf_queue_fini(&q);
	assert_int_equal(q.count, 0);
	assert_int_equal(iobuf_pool_bytes_in_use(pool), 0);
	iobuf_pool_free(pool);
}

static void consume_spans_views_and_splits_one(void **state)
{
	struct iobuf_pool *pool = iobuf_pool_new(1 << 20);
	struct iobuf_queue q;

	(void)state;
	iobuf_queue_init(&q);
	for (uint8_t i = 0; i < 6; i++)
		assert_true(iobuf_queue_push(&q, view_of(pool, (uint8_t)(10 * i), 10)));
	assert_int_equal(q.bytes, 60);
	iobuf_queue_consume(&q, 35);
	assert_int_equal(q.count, 3);
	assert_int_equal(q.bytes, 25);
	assert_int_equal(iobuf_queue_at(&q, 0)->p[0], 35);
	assert_int_equal(iobuf_queue_at(&q, 2)->p[0], 50);
	assert_int_equal(iobuf_pool_bytes_in_use(pool), 3 * SMALL_BYTES);
	iobuf_queue_consume(&q, 25);
	assert_int_equal(q.count, 0);
	iobuf_queue_fini(&q);
	iobuf_pool_free(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pool_keeps_to_its_budget),
		cmocka_unit_test(free_blocks_of_one_class_make_room_for_another),
		cmocka_unit_test(the_last_reference_gives_the_block_back),
		cmocka_unit_test(trimming_returns_all_but_a_reserve),
		cmocka_unit_test(an_empty_queue_holds_no_memory),
		cmocka_unit_test(a_queue_is_a_stream_of_octets),
		cmocka_unit_test(consume_spans_views_and_splits_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
