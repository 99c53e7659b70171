/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "common/base/map.h"
#include "common/base/rand.h"

static const uint8_t seed[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

struct item {
	struct map_node node;
	char key[16];
	bool in;
};

static void hashes_depend_on_the_seed_and_every_octet(void **state)
{
	uint64_t a[2] = {1, 2}, b[2] = {1, 3};
	uint8_t bytes[20] = {0};
	uint64_t h = map_hash(a, span_of(bytes, sizeof(bytes)));

	(void)state;
	assert_true(h == map_hash(a, span_of(bytes, sizeof(bytes))));
	assert_true(h != map_hash(b, span_of(bytes, sizeof(bytes))));
	for (size_t i = 0; i < sizeof(bytes); i++) {
		bytes[i] = 1;
		assert_true(h != map_hash(a, span_of(bytes, sizeof(bytes))));
		bytes[i] = 0;
		assert_true(h != map_hash(a, span_of(bytes, i)));
	}
}

static void a_map_agrees_with_an_array(void **state)
{
	enum { ITEMS = 500 };
	static struct item items[ITEMS];
	struct rand dice;
	struct map m;
	size_t in = 0;

	(void)state;
	rand_init(&dice, 5);
	map_init(&m, seed);
	for (size_t i = 0; i < ITEMS; i++)
		(void)snprintf(items[i].key, sizeof(items[i].key), "key-%zu", i);
	for (unsigned int round = 0; round < 20000; round++) {
		struct item *it = &items[rand_below(&dice, ITEMS)];
		struct map_node *old;

		assert_ptr_equal(map_get(&m, span_str(it->key)), it->in ? &it->node : NULL);
		if (rand_below(&dice, 3) == 0) {
			old = map_remove(&m, span_str(it->key));
			assert_ptr_equal(old, it->in ? &it->node : NULL);
			in -= it->in;
			it->in = false;
		} else {
			old = map_put(&m, &it->node, span_str(it->key));
			assert_ptr_equal(old, it->in ? &it->node : NULL);
			in += !it->in;
			it->in = true;
		}
		assert_int_equal(m.count, in);
	}
	map_for_each (n, &m) {
		assert_true(map_entry(n, struct item, node)->in);
		in--;
	}
	assert_int_equal(in, 0);
	map_fini(&m);
}

static void putting_an_equal_key_gives_the_old_node_back(void **state)
{
	struct item a = {.key = "k"}, b = {.key = "k"};
	struct map m;

	(void)state;
	map_init(&m, seed);
	assert_null(map_put(&m, &a.node, span_str(a.key)));
	assert_ptr_equal(map_put(&m, &b.node, span_str(b.key)), &a.node);
	assert_int_equal(m.count, 1);
	assert_ptr_equal(map_get(&m, span_str("k")), &b.node);
	assert_null(map_get(&m, span_of(NULL, 0)));
	map_fini(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hashes_depend_on_the_seed_and_every_octet),
		cmocka_unit_test(a_map_agrees_with_an_array),
		cmocka_unit_test(putting_an_equal_key_gives_the_old_node_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
