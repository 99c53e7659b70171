/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ztunnel/pods/pods_table.h"

/* The steward's part of a pod: only counted here. */
static unsigned int closed;

void steward_pod_fini(struct steward_pod *pod)
{
	assert_int_equal(pod->cookie, 77);
	closed++;
}

static const struct steward_pod enrolled = {.cookie = 77, .netns_fd = -1};

static struct pod_wanted wish(const char *uid)
{
	return (struct pod_wanted){.uid = uid,
	                           .name = "web-0",
	                           .namespace = "shop",
	                           .service_account = "web",
	                           .trust_domain = "cluster.local",
	                           .netns = "pod-web",
	                           .flags = STEWARD_POD_NO_GUARD};
}

static struct pod *new_pod(uint32_t id, const char *uid)
{
	struct pod_wanted w = wish(uid);
	struct pod *pod = NULL;

	assert_int_equal(pod_new(id, &w, &enrolled, &pod), ERR_OK);
	return pod;
}

static void a_pod_keeps_its_own_texts_and_knows_its_identity(void **state)
{
	char uid[] = "uid-1";
	struct pod *pod = new_pod(5, uid);

	(void)state;
	uid[0] = 'X';
	assert_string_equal(pod->uid, "uid-1");
	assert_string_equal(pod->name, "web-0");
	assert_string_equal(pod->namespace, "shop");
	assert_string_equal(pod->service_account, "web");
	assert_string_equal(pod->trust_domain, "cluster.local");
	assert_string_equal(pod->netns, "pod-web");
	assert_string_equal(pod->identity, "spiffe://cluster.local/ns/shop/sa/web");
	assert_int_equal(pod->id, 5);
	assert_int_equal(pod->flags, STEWARD_POD_NO_GUARD);
	assert_int_equal(pod->enrolled.cookie, 77);
	pod_unref(pod);
}

static void the_last_reference_closes_the_namespace_once(void **state)
{
	struct pod *pod = new_pod(1, "a");

	(void)state;
	closed = 0;
	assert_true(pod_is_idle(pod));
	assert_ptr_equal(pod_ref(pod), pod);
	assert_false(pod_is_idle(pod));
	pod_unref(pod);
	assert_true(pod_is_idle(pod));
	assert_int_equal(closed, 0);
	pod_unref(pod);
	assert_int_equal(closed, 1);
	pod_unref(NULL);
}

static void a_text_too_long_is_refused_and_what_was_enrolled_is_closed(void **state)
{
	char text[POD_TEXT_MAX + 1];
	struct pod *pod = NULL;

	(void)state;
	for (size_t len = POD_TEXT_MAX - 1; len <= POD_TEXT_MAX; len++) {
		struct pod_wanted all[6];

		memset(text, 'n', len);
		text[len] = '\0';
		for (size_t i = 0; i < 6; i++)
			all[i] = wish("a");
		all[0].uid = text;
		all[1].name = text;
		all[2].namespace = text;
		all[3].service_account = text;
		all[4].trust_domain = text;
		all[5].netns = text;
		for (size_t i = 0; i < 6; i++) {
			closed = 0;
			if (len < POD_TEXT_MAX) {
				assert_int_equal(pod_new(1, &all[i], &enrolled, &pod), ERR_OK);
				assert_true(pod_matches(pod, &all[i]));
				pod_unref(pod);
			} else {
				assert_int_equal(pod_new(1, &all[i], &enrolled, &pod), ERR_LIMIT);
			}
			assert_int_equal(closed, 1);
		}
	}
	/* the longest texts at once: the identity has room for three of them */
	{
		struct pod_wanted w = wish("a");

		text[POD_TEXT_MAX - 1] = '\0';
		w.namespace = w.service_account = w.trust_domain = text;
		assert_int_equal(pod_new(1, &w, &enrolled, &pod), ERR_OK);
		assert_int_equal(strlen(pod->identity),
		                 strlen("spiffe:///ns//sa/") + 3 * (POD_TEXT_MAX - 1));
		pod_unref(pod);
	}
}

static void any_other_word_or_flag_is_another_wish(void **state)
{
	struct pod *pod = new_pod(1, "a");
	struct pod_wanted all[7];

	(void)state;
	for (size_t i = 0; i < 7; i++) {
		all[i] = wish("a");
		assert_true(pod_matches(pod, &all[i]));
	}
	all[0].uid = "b";
	all[1].name = "b";
	all[2].namespace = "b";
	all[3].service_account = "b";
	all[4].trust_domain = "b";
	all[5].netns = "b";
	all[6].flags = 0;
	for (size_t i = 0; i < 7; i++)
		assert_false(pod_matches(pod, &all[i]));
	pod_unref(pod);
}

static void the_table_finds_by_uid_what_is_in_it_and_gives_its_reference_back(void **state)
{
	struct pod *a = new_pod(1, "a"), *b = new_pod(2, "b");
	struct pods_table t;
	size_t n = 0;

	(void)state;
	closed = 0;
	pods_table_init(&t);
	assert_null(pods_table_find(&t, "a"));
	pods_table_add(&t, a);
	pods_table_add(&t, b);
	assert_int_equal(t.count, 2);
	assert_ptr_equal(pods_table_find(&t, "a"), a);
	assert_ptr_equal(pods_table_find(&t, "b"), b);
	assert_null(pods_table_find(&t, "ab"));
	pods_table_each(it, &t) n += pod_of_link(it)->id;
	assert_int_equal(n, 3);
	pods_table_remove(&t, a);
	assert_int_equal(t.count, 1);
	assert_null(pods_table_find(&t, "a"));
	assert_ptr_equal(pods_table_find(&t, "b"), b);
	assert_int_equal(closed, 0);
	pod_unref(a);
	pods_table_remove(&t, b);
	pod_unref(b);
	assert_int_equal(closed, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pod_keeps_its_own_texts_and_knows_its_identity),
		cmocka_unit_test(the_last_reference_closes_the_namespace_once),
		cmocka_unit_test(a_text_too_long_is_refused_and_what_was_enrolled_is_closed),
		cmocka_unit_test(any_other_word_or_flag_is_another_wish),
		cmocka_unit_test(the_table_finds_by_uid_what_is_in_it_and_gives_its_reference_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
