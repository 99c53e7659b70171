/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/list.h"

static void lists_keep_their_order(void **state)
{
	struct list head, n[4];
	size_t i = 0;

	(void)state;
	list_init(&head);
	assert_true(list_empty(&head));
	assert_null(list_shift(&head));
	for (size_t j = 0; j < 4; j++)
		list_push(&head, &n[j]);
	list_remove(&n[2]);
	list_remove(&n[2]); /* harmless */
	list_for_each (it, &head) {
		assert_ptr_equal(it, &n[i]);
		i += i == 1 ? 2 : 1;
	}
	list_for_each_safe (it, tmp, &head)
		list_remove(it);
	assert_true(list_empty(&head));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_keep_their_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
