/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Enrollment from a list, over a steward that only takes notes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/sim/sim.h"
#include "ztunnel/pods/pods_static.h"

enum { STORY_MAX = 4096, DRAIN_MS = 1000, TURNS = 200 };

/* What happened, as words. */
static struct {
	char text[STORY_MAX];
	const char *failing; /* netns whose enrollment fails */
	const char *keep[8];
	size_t keep_count;
	unsigned int pods_alive;
	struct pod *held; /* by a worker, so to say */
	size_t virts;     /* of the last enrollment */
} story;

static void tell(const char *verb, const char *whom)
{
	size_t n = strlen(story.text);

	(void)snprintf(story.text + n, sizeof(story.text) - n, "%s%s %s", n > 0 ? ", " : "", verb,
	               whom);
}

#define assert_story(expected)                             \
	do {                                               \
		assert_string_equal(story.text, expected); \
		story.text[0] = '\0';                      \
	} while (0)

/* The steward: netns texts are paths of files made by the tests, their inodes the cookies. */
static uint64_t cookie_of(const char *netns)
{
	struct stat st;

	return stat(netns, &st) == 0 ? st.st_ino : 1;
}

static const char *name_of(const char *netns)
{
	const char *slash = strrchr(netns, '/');

	return slash == NULL ? netns : slash + 1;
}

void steward_enroll(struct steward *s, struct loop *loop, struct steward_enroll_req *req,
                    op_done_fn *done)
{
	bool fails = story.failing != NULL && strcmp(story.failing, req->netns) == 0;
	struct stat st = {0};

	(void)s;
	tell(req->replace ? "replace" : "enroll", name_of(req->netns));
	story.virts = req->virt_count;
	(void)stat(req->netns, &st);
	req->ret_err = fails ? ERR_CONFIG : ERR_OK;
	(void)snprintf(req->ret_why, sizeof(req->ret_why), "%s", fails ? "no such thing" : "");
	if (!fails) {
		req->ret_pod = (struct steward_pod){.cookie = cookie_of(req->netns),
		                                    .netns_dev = st.st_dev,
		                                    .netns_ino = st.st_ino,
		                                    .netns_fd = -1};
		story.pods_alive++;
	}
	loop_post(loop, &req->op, 0, done);
}

void steward_pod_fini(struct steward_pod *pod)
{
	(void)pod;
	story.pods_alive--;
}

void steward_uncapture(struct steward *s, struct loop *loop, struct steward_unenroll_req *req,
                       op_done_fn *done)
{
	(void)s;
	tell("uncapture", "it");
	req->ret_err = ERR_OK;
	loop_post(loop, &req->op, 0, done);
}

void steward_release(struct steward *s, struct loop *loop, struct steward_unenroll_req *req,
                     op_done_fn *done)
{
	(void)s;
	tell("release", "it");
	req->ret_err = ERR_OK;
	loop_post(loop, &req->op, 0, done);
}

void steward_sweep(struct steward *s, struct loop *loop, struct steward_sweep_req *req,
                   op_done_fn *done)
{
	(void)s;
	tell("sweep but", req->keep_count == 0 ? "nothing" : name_of(req->keep[0]));
	req->ret_err = ERR_OK;
	req->ret_swept = 0;
	loop_post(loop, &req->op, 0, done);
}

static void on_up(void *arg, struct pod *pod)
{
	(void)arg;
	tell("up", pod->service_account);
	pod_unref(story.held);
	story.held = NULL;
}

static void on_down(void *arg, struct pod *pod)
{
	(void)arg;
	tell("down", pod->service_account);
}

static void on_cut(void *arg, struct pod *pod)
{
	(void)arg;
	tell("cut", pod->service_account);
}

struct fixture {
	struct loop *loop;
	struct pods_static *ps;
	char dir[64], a[96], b[96];
	char why[STEWARD_WHY_MAX];
};

static void touch(const char *path)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fclose(f), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct pods_static_options opt = {.events = {on_up, on_down, on_cut, NULL},
	                                  .drain_ms = DRAIN_MS};

	memset(&story, 0, sizeof(story));
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/cvt-pods-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->a, sizeof(f->a), "%s/a", f->dir);
	(void)snprintf(f->b, sizeof(f->b), "%s/b", f->dir);
	touch(f->a);
	touch(f->b);
	f->loop = sim_new(NULL);
	assert_int_equal(pods_static_new(NULL, f->loop, &opt, &f->ps), ERR_OK);
	*state = f;
	return 0;
}

static void run(struct fixture *f, uint64_t ms)
{
	uint64_t until = loop_now_ms(f->loop) + ms;

	do {
		for (int i = 0; i < 8; i++)
			loop_turn(f->loop, 0);
		sim_advance(f->loop, 10);
	} while (loop_now_ms(f->loop) < until);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	pod_unref(story.held);
	pods_static_stop(f->ps);
	for (int i = 0; i < TURNS && !pods_static_stopped(f->ps); i++)
		loop_turn(f->loop, 0);
	pods_static_free(f->ps);
	assert_int_equal(story.pods_alive, 0);
	loop_free(f->loop);
	(void)unlink(f->a);
	(void)unlink(f->b);
	(void)rmdir(f->dir);
	free(f);
	return 0;
}

static struct pod_wanted wish(const char *uid, const char *account, const char *netns)
{
	return (struct pod_wanted){.uid = uid,
	                           .name = uid,
	                           .namespace = "ns",
	                           .service_account = account,
	                           .trust_domain = "td",
	                           .netns = netns};
}

static void apply(struct fixture *f, const struct pod_wanted *w, size_t n)
{
	assert_int_equal(pods_static_apply(f->ps, w, n, f->why), ERR_OK);
	run(f, 50);
}

static void the_first_list_is_swept_for_and_enrolled(void **state)
{
	struct fixture *f = *state;
	struct pod_wanted w[] = {wish("1", "one", f->a), wish("2", "two", f->b)};
	const struct pod *pod;

	assert_false(pods_static_synced(f->ps));
	apply(f, w, 2);
	assert_story("sweep but a, enroll a, enroll b, up one, up two");
	assert_true(pods_static_synced(f->ps));
	assert_int_equal(pods_static_pending(f->ps, NULL), 0);
	pod = pods_table_find(pods_static_table(f->ps), "2");
	assert_string_equal(pod->identity, "spiffe://td/ns/ns/sa/two");
	apply(f, w, 2);
	assert_story("");
}

static void an_empty_first_list_still_sweeps(void **state)
{
	struct fixture *f = *state;

	apply(f, NULL, 0);
	assert_story("sweep but nothing");
	assert_true(pods_static_synced(f->ps));
}

static void a_pod_no_longer_wanted_goes_and_the_other_stays(void **state)
{
	struct fixture *f = *state;
	struct pod_wanted w[] = {wish("1", "one", f->a), wish("2", "two", f->b)};

	apply(f, w, 2);
	story.text[0] = '\0';
	apply(f, w + 1, 1);
	run(f, 200);
	assert_story("uncapture it, down one, release it");
	assert_int_equal(pods_static_table(f->ps)->count, 1);
	assert_int_equal(story.pods_alive, 1);
}

static void a_pod_is_released_only_when_its_last_connection_is_over(void **state)
{
	struct fixture *f = *state;
	struct pod_wanted w[] = {wish("1", "one", f->a)};

	apply(f, w, 1);
	story.held = pod_ref(pods_table_find(pods_static_table(f->ps), "1"));
	story.text[0] = '\0';
	apply(f, NULL, 0);
	run(f, DRAIN_MS / 2);
	assert_story("uncapture it, down one");
	pod_unref(story.held);
	story.held = NULL;
	run(f, 200);
	assert_story("release it");
}

static void a_pod_that_does_not_drain_is_cut_at_the_deadline_and_then_released(void **state)
{
	struct fixture *f = *state;
	struct pod_wanted w[] = {wish("1", "one", f->a)};

	apply(f, w, 1);
	story.held = pod_ref(pods_table_find(pods_static_table(f->ps), "1"));
	story.text[0] = '\0';
	apply(f, NULL, 0);
	run(f, DRAIN_MS - 200);
	assert_story("uncapture it, down one");
	run(f, 400);
	assert_story("cut one");
	pod_unref(story.held);
	story.held = NULL;
	run(f, 100);
	assert_story("release it"); /* as soon as the cut ones are over */
}

static void a_connection_that_does_not_end_when_cut_holds_nothing_up(void **state)
{
	struct fixture *f = *state;
	struct pod_wanted w[] = {wish("1", "one", f->a)};

	apply(f, w, 1);
	story.held = pod_ref(pods_table_find(pods_static_table(f->ps), "1"));
	story.text[0] = '\0';
	apply(f, NULL, 0);
	run(f, DRAIN_MS + 5000);
	assert_story("uncapture it, down one, cut one, release it");
}

static void a_pod_whose_namespace_is_gone_is_cut_without_a_drain(void **state)
{
	struct fixture *f = *state;
	struct pod_wanted w[] = {wish("1", "one", f->a), wish("2", "two", f->b)};

	apply(f, w, 2);
	story.held = pod_ref(pods_table_find(pods_static_table(f->ps), "1"));
	story.text[0] = '\0';
	assert_int_equal(unlink(f->a), 0);
	apply(f, w + 1, 1);
	run(f, 200);
	assert_story("uncapture it, down one, cut one");
}

static void a_namespace_that_goes_while_its_pod_drains_ends_the_drain(void **state)
{
	struct fixture *f = *state;
	struct pod_wanted w[] = {wish("1", "one", f->a)};

	apply(f, w, 1);
	story.held = pod_ref(pods_table_find(pods_static_table(f->ps), "1"));
	story.text[0] = '\0';
	apply(f, NULL, 0);
	run(f, 100);
	assert_story("uncapture it, down one");
	assert_int_equal(unlink(f->a), 0);
	run(f, 1100);
	assert_story("cut one");
}

static void a_wanted_pod_whose_namespace_goes_is_cut_within_moments(void **state)
{
	struct fixture *f = *state;
	struct pod_wanted w[] = {wish("1", "one", f->a)};

	apply(f, w, 1);
	story.held = pod_ref(pods_table_find(pods_static_table(f->ps), "1"));
	story.text[0] = '\0';
	assert_int_equal(unlink(f->a), 0);
	run(f, 1200);
	assert_story("uncapture it, down one, cut one");
}

static void other_inner_devices_are_another_enrollment(void **state)
{
	struct fixture *f = *state;
	struct pod_wanted w = wish("1", "one", f->a);

	w.virts = "br0, br1";
	apply(f, &w, 1);
	assert_int_equal(story.virts, 2);
	story.text[0] = '\0';
	w.virts = "br0";
	apply(f, &w, 1);
	assert_story("replace a, up one, down one");
	assert_int_equal(story.virts, 1);
	apply(f, &w, 1);
	assert_story("");
}

static void a_failing_pod_is_tried_again_while_others_run(void **state)
{
	struct fixture *f = *state;
	struct pod_wanted w[] = {wish("1", "one", f->a), wish("2", "two", f->b)};
	const char *why;

	story.failing = f->a;
	apply(f, w, 2);
	assert_story("sweep but a, enroll a, enroll b, up two");
	assert_int_equal(pods_static_pending(f->ps, &why), 1);
	assert_string_equal(why, "no such thing");
	assert_true(pods_static_synced(f->ps));
	run(f, 4000);
	assert_story("");
	run(f, 1200);
	assert_story("enroll a");
	story.failing = NULL;
	run(f, 5200);
	assert_story("enroll a, up one");
	assert_int_equal(pods_static_pending(f->ps, &why), 0);
}

static void other_words_for_the_same_pod_leave_no_moment_outside_the_mesh(void **state)
{
	struct fixture *f = *state;
	struct pod_wanted w[] = {wish("1", "one", f->a)};

	apply(f, w, 1);
	story.text[0] = '\0';
	w[0].service_account = "other";
	apply(f, w, 1);
	run(f, 200);
	assert_story("replace a, up other, down one"); /* never uncaptured, never released */
	assert_int_equal(pods_static_table(f->ps)->count, 1);
	assert_int_equal(story.pods_alive, 1);
	assert_string_equal(pods_table_find(pods_static_table(f->ps), "1")->service_account,
	                    "other");
	apply(f, NULL, 0);
	run(f, 200);
	assert_story("uncapture it, down other, release it");
}

static void while_the_new_words_fail_the_old_ones_serve(void **state)
{
	struct fixture *f = *state;
	struct pod_wanted w[] = {wish("1", "one", f->a)};

	apply(f, w, 1);
	story.text[0] = '\0';
	story.failing = f->a;
	w[0].service_account = "other";
	apply(f, w, 1);
	run(f, 200);
	assert_story("replace a");
	assert_int_equal(pods_static_table(f->ps)->count, 1);
	w[0].service_account = "one"; /* back again */
	apply(f, w, 1);
	run(f, 200);
	assert_story("");
	assert_int_equal(pods_static_pending(f->ps, NULL), 0);
}

static void a_namespace_reborn_under_its_name_is_enrolled_anew(void **state)
{
	struct fixture *f = *state;
	struct pod_wanted w[] = {wish("1", "one", f->a)};
	char other[128];

	apply(f, w, 1);
	story.text[0] = '\0';
	(void)snprintf(other, sizeof(other), "%s/new", f->dir);
	touch(other);
	assert_int_equal(rename(other, f->a), 0);
	run(f, 5500);
	assert_story("uncapture it, down one, release it, enroll a, up one");
}

static void a_list_that_makes_no_sense_is_refused_and_the_last_one_stays(void **state)
{
	struct fixture *f = *state;
	struct pod_wanted w[] = {wish("1", "one", f->a), wish("1", "two", f->b)};
	char longer[POD_TEXT_MAX + 1];

	apply(f, w, 1);
	story.text[0] = '\0';
	assert_int_equal(pods_static_apply(f->ps, w, 2, f->why), ERR_CONFIG);
	assert_non_null(strstr(f->why, "uid 1"));
	w[1] = wish("2", "two", f->a);
	assert_int_equal(pods_static_apply(f->ps, w, 2, f->why), ERR_CONFIG);
	assert_non_null(strstr(f->why, "netns"));
	w[1] = wish("", "two", f->b);
	assert_int_equal(pods_static_apply(f->ps, w, 2, f->why), ERR_CONFIG);
	memset(longer, 'x', POD_TEXT_MAX);
	longer[POD_TEXT_MAX] = '\0';
	w[1] = wish("2", longer, f->b);
	assert_int_equal(pods_static_apply(f->ps, w, 2, f->why), ERR_LIMIT);
	run(f, 6000);
	assert_story("");
	assert_int_equal(pods_static_table(f->ps)->count, 1);
}

static void stopping_at_any_turn_lands_every_request(void **state)
{
	struct fixture *f = *state;
	struct pods_static_options opt = {.events = {on_up, on_down, on_cut, NULL},
	                                  .drain_ms = DRAIN_MS};
	struct pod_wanted w[] = {wish("1", "one", f->a), wish("2", "two", f->b)};

	for (int cut = 0; cut < 24; cut++) {
		struct pods_static *ps;

		assert_int_equal(pods_static_new(NULL, f->loop, &opt, &ps), ERR_OK);
		for (int i = 0; i < cut; i++) {
			if (i == 0)
				assert_int_equal(pods_static_apply(ps, w, 2, f->why), ERR_OK);
			if (i == 8)
				assert_int_equal(pods_static_apply(ps, w, 1, f->why), ERR_OK);
			if (i == 12) {
				w[0].service_account = "changed";
				assert_int_equal(pods_static_apply(ps, w, 1, f->why), ERR_OK);
				w[0].service_account = "one";
			}
			loop_turn(f->loop, 0);
			sim_advance(f->loop, 150);
		}
		pods_static_stop(ps);
		for (int i = 0; i < TURNS && !pods_static_stopped(ps); i++)
			loop_turn(f->loop, 0);
		assert_true(pods_static_stopped(ps));
		pods_static_free(ps);
		assert_int_equal(story.pods_alive, 0);
		story.text[0] = '\0';
	}
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(the_first_list_is_swept_for_and_enrolled),
		CASE(an_empty_first_list_still_sweeps),
		CASE(a_pod_no_longer_wanted_goes_and_the_other_stays),
		CASE(a_pod_is_released_only_when_its_last_connection_is_over),
		CASE(a_pod_that_does_not_drain_is_cut_at_the_deadline_and_then_released),
		CASE(a_connection_that_does_not_end_when_cut_holds_nothing_up),
		CASE(a_pod_whose_namespace_is_gone_is_cut_without_a_drain),
		CASE(a_namespace_that_goes_while_its_pod_drains_ends_the_drain),
		CASE(a_wanted_pod_whose_namespace_goes_is_cut_within_moments),
		CASE(other_inner_devices_are_another_enrollment),
		CASE(a_failing_pod_is_tried_again_while_others_run),
		CASE(other_words_for_the_same_pod_leave_no_moment_outside_the_mesh),
		CASE(while_the_new_words_fail_the_old_ones_serve),
		CASE(a_namespace_reborn_under_its_name_is_enrolled_anew),
		CASE(a_list_that_makes_no_sense_is_refused_and_the_last_one_stays),
		CASE(stopping_at_any_turn_lands_every_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
