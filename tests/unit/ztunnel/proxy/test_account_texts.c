/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ztunnel/proxy/account_texts.h"

static void absent_and_empty_texts_are_not_there(void **state)
{
	struct account_cache cache = {0};
	const char *texts[ACCOUNT_TEXTS] = {[0] = "client", [3] = "", [9] = "Kubernetes"};
	struct account_texts *t = account_texts_get(&cache, texts);

	(void)state;
	assert_string_equal(account_text(t, 0), "client");
	assert_string_equal(account_text(t, 9), "Kubernetes");
	for (unsigned int i = 1; i < 9; i++)
		assert_null(account_text(t, i));
	assert_null(account_text(NULL, 0));
	account_texts_unref(t);
	account_cache_fini(&cache);
}

static void equal_texts_share_one_block(void **state)
{
	struct account_cache cache = {0};
	const char *texts[ACCOUNT_TEXTS] = {"a", "b", "c"};
	struct account_texts *first = account_texts_get(&cache, texts);
	struct account_texts *second = account_texts_get(&cache, texts);

	(void)state;
	assert_ptr_equal(first, second);
	account_texts_unref(first);
	assert_string_equal(account_text(second, 2), "c");
	account_texts_unref(second);
	account_cache_fini(&cache);
}

static void the_same_bytes_in_other_places_are_not_equal(void **state)
{
	struct account_cache cache = {0};
	const char *one[ACCOUNT_TEXTS] = {[0] = "x"}, *two[ACCOUNT_TEXTS] = {[1] = "x"};
	struct account_texts *a = account_texts_get(&cache, one);
	struct account_texts *b = account_texts_get(&cache, two);

	(void)state;
	assert_ptr_not_equal(a, b);
	assert_null(account_text(b, 0));
	assert_string_equal(account_text(b, 1), "x");
	account_texts_unref(a);
	account_texts_unref(b);
	account_cache_fini(&cache);
}

static void more_pairs_than_the_cache_holds_stay_whole(void **state)
{
	enum { PAIRS = 4 * ACCOUNT_CACHE_SLOTS };
	struct account_texts *all[PAIRS];
	struct account_cache cache = {0};
	char text[32];

	(void)state;
	for (unsigned int i = 0; i < PAIRS; i++) {
		const char *texts[ACCOUNT_TEXTS] = {[4] = text};

		(void)snprintf(text, sizeof(text), "10.0.0.%u:80", i);
		all[i] = account_texts_get(&cache, texts);
	}
	for (unsigned int i = 0; i < PAIRS; i++) {
		(void)snprintf(text, sizeof(text), "10.0.0.%u:80", i);
		assert_string_equal(account_text(all[i], 4), text);
		account_texts_unref(all[i]);
	}
	account_cache_fini(&cache);
}

static void texts_beyond_the_limit_are_left_out(void **state)
{
	static char text[ACCOUNT_TEXT_LEN_MAX];
	struct account_cache cache = {0};
	const char *texts[ACCOUNT_TEXTS] = {text, "b"};

	(void)state;
	memset(text, 'a', sizeof(text) - 1);
	assert_null(account_texts_get(&cache, texts));
	account_cache_fini(&cache);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(absent_and_empty_texts_are_not_there),
		cmocka_unit_test(equal_texts_share_one_block),
		cmocka_unit_test(the_same_bytes_in_other_places_are_not_equal),
		cmocka_unit_test(more_pairs_than_the_cache_holds_stay_whole),
		cmocka_unit_test(texts_beyond_the_limit_are_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
