/* SPDX-License-Identifier: Apache-2.0 */
/* Our client and a scripted API server on the simulated loop: every path, every end, and hours without a server. */
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "tests/unit/common/k8s/test_k8s_rig.h"

/* --- claims ----------------------------------------------------------------------------------------- */

static void in_pages(struct fixture *f, struct request *r)
{
	if (rig_is_watch(r)) {
		rig_well_behaved(f, r);
		rig_say(r, EVENT("ADDED", POD("c", "11")) EVENT("DELETED", POD("a", "12")));
	} else if (strstr(r->path, "continue=")) {
		rig_reply(r, "200", NULL, LIST("10", "", POD("b", "4")));
	} else {
		rig_reply(r, "200", NULL, LIST("10", ",\"continue\":\"t/k\"", POD("a", "3")));
	}
}

static void pages_are_listed_and_then_watched_on_one_connection(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct fixture *f = rig_start(seed, in_pages, true);

		UNTIL(f, strstr(f->told, "-a"));
		assert_string_equal(f->told, "relist +a +b synced +c -a");
		assert_int_equal(f->requests, 3);
		assert_string_equal(f->request[0].path, "/api/v1/pods?" SELECTOR "&limit=500");
		assert_string_equal(f->request[1].path,
		                    "/api/v1/pods?" SELECTOR "&limit=500&continue=t%2Fk");
		assert_non_null(strstr(f->request[2].path, "&resourceVersion=10"));
		assert_string_equal(f->request[2].method, "GET");
		assert_string_equal(f->request[2].token, "Bearer first");
		assert_int_equal(f->conns, 1);
		/* a watch that ends in order is asked again from where it was */
		rig_end(rig_last(f));
		UNTIL(f, f->requests == 4);
		assert_non_null(strstr(rig_last(f)->path, "&resourceVersion=12"));
		assert_int_equal(f->failed, 0);
		rig_finish(f);
	}
}

enum { HUGE_LIST = 6 * 1024 * 1024 };

static void huge(struct fixture *f, struct request *r)
{
	static char text[HUGE_LIST + 1];

	if (rig_is_watch(r)) {
		rig_well_behaved(f, r);
		return;
	}
	memset(text, ' ', HUGE_LIST);
	rig_begin(r, "200", NULL);
	rig_say(r, text);
	rig_say(r, LIST("10", "", POD("a", "3")));
	rig_end(r);
}

static void a_list_larger_than_every_window_arrives(void **state)
{
	struct fixture *f = rig_start(2, huge, true);

	(void)state;
	UNTIL(f, f->watched);
	assert_string_equal(f->told, "relist +a synced");
	rig_finish(f);
}

static void gone_once(struct fixture *f, struct request *r)
{
	if (rig_is_watch(r) && !f->watched) {
		f->watched = true;
		rig_reply(r, "410", NULL,
		          "{\"kind\":\"Status\",\"code\":410,\"message\":\"too old\"}");
		return;
	}
	rig_well_behaved(f, r);
}

static void a_version_that_is_gone_is_listed_anew(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct fixture *f = rig_start(seed, gone_once, true);

		UNTIL(f, f->requests == 4);
		assert_string_equal(f->told, "relist +a synced relist +a synced");
		assert_int_equal(f->failed, 0);
		rig_finish(f);
	}
}

static void the_token_is_read_for_every_request(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct fixture *f = rig_start(seed, rig_well_behaved, true);
		struct call x;

		UNTIL(f, f->watched);
		rig_put_file("token", span_str("second"));
		assert_int_equal(rig_call(f, &x, K8S_GET, ""), ERR_OK);
		UNTIL(f, x.answered);
		assert_string_equal(rig_last(f)->token, "Bearer second");
		rig_put_file("token", span_str("\n"));
		assert_int_equal(rig_call(f, &x, K8S_GET, ""), ERR_CONFIG);
		rig_run_ms(f, 100);
		assert_int_equal(x.answered, 0);
		/* the watch finds no token either: it says so, and goes on when there is one */
		rig_end(&f->request[1]);
		UNTIL(f, f->failed >= 2);
		assert_non_null(strstr(f->failure, "/token: empty"));
		rig_put_file("token", span_str("third"));
		f->watched = false;
		UNTIL(f, f->watched);
		assert_string_equal(rig_last(f)->token, "Bearer third");
		assert_string_equal(f->told, "relist +a synced");
		rig_finish(f);
	}
}

static void refused_twice(struct fixture *f, struct request *r)
{
	if (f->requests == 1)
		rig_reply(r, "401", NULL, "{\"message\":\"Unauthorized\"}");
	else if (f->requests == 2)
		rig_reply(r, "403", NULL, "{\"message\":\"pods is forbidden\"}");
	else if (f->requests == 3)
		rig_reply(r, "429", "7", "{\"message\":\"too many requests\"}");
	else
		rig_well_behaved(f, r);
}

static void a_refusal_is_told_and_asked_again_when_the_server_wishes(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct fixture *f = rig_start(seed, refused_twice, true);

		UNTIL(f, f->failed == 1);
		assert_non_null(strstr(f->failure, "401: Unauthorized"));
		UNTIL(f, f->failed == 2);
		assert_non_null(strstr(f->failure, "403: pods is forbidden"));
		UNTIL(f, f->watched);
		assert_true(f->request[1].at_ms - f->request[0].at_ms >= K8S_RETRY_MS_MIN / 2);
		assert_true(f->request[2].at_ms - f->request[1].at_ms >= K8S_RETRY_MS_MIN);
		assert_true(f->request[3].at_ms - f->request[2].at_ms >= 7000);
		assert_true(f->request[3].at_ms - f->request[2].at_ms < 8000);
		assert_int_equal(f->conns, 1);
		assert_string_equal(f->told, "relist +a synced");
		rig_finish(f);
	}
}

static void one_event_then_reset(struct fixture *f, struct request *r)
{
	rig_well_behaved(f, r);
	if (rig_is_watch(r))
		rig_say(r, EVENT("ADDED", POD("b", "21")) "{\"type\":\"ADD");
}

static void a_watch_goes_on_from_where_it_was_on_the_next_connection(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct fixture *f = rig_start(seed, one_event_then_reset, true);

		UNTIL(f, strstr(f->told, "+b"));
		f->script = rig_well_behaved;
		f->watched = false;
		h2_conn_abort(&f->conn[0].h2, ERR_RESET);
		UNTIL(f, f->disconnected);
		assert_false(k8s_client_ready(&f->client));
		UNTIL(f, f->watched);
		assert_int_equal(f->conns, 2);
		assert_int_equal(f->connected, 2);
		assert_non_null(strstr(rig_last(f)->path, "resourceVersion=21"));
		assert_string_equal(f->told, "relist +a synced +b");
		rig_finish(f);
	}
}

static void silent_to_calls(struct fixture *f, struct request *r)
{
	if (strstr(r->path, "/api/v1/pods?"))
		rig_well_behaved(f, r);
}

static void goaway_moves_watches_on_and_lets_requests_end(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct fixture *f = rig_start(seed, silent_to_calls, true);
		struct call x, y;
		struct request *r;

		UNTIL(f, f->watched);
		f->watched = false;
		assert_int_equal(rig_call(f, &x, K8S_GET, ""), ERR_OK);
		UNTIL(f, f->requests == 3 && rig_last(f)->whole);
		r = rig_last(f);
		h2_session_shutdown(f->conn[0].h2.session);
		h2_conn_kick(&f->conn[0].h2);
		UNTIL(f, f->request[1].reset);
		assert_int_equal(rig_call(f, &y, K8S_GET, ""), ERR_H2_STREAM_REFUSED);
		assert_int_equal(x.answered, 0);
		rig_reply(r, "200", NULL, "late");
		UNTIL(f, x.answered);
		assert_int_equal(x.answer.cause, ERR_OK);
		assert_string_equal(x.body, "late");
		UNTIL(f, f->watched);
		assert_int_equal(f->conns, 2);
		assert_string_equal(f->told, "relist +a synced");
		rig_finish(f);
	}
}

static void an_answer_past_its_deadline_is_none(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct fixture *f = rig_start(seed, silent_to_calls, true);
		struct call x;
		uint64_t before;

		UNTIL(f, f->watched);
		before = loop_now_ms(f->loop);
		assert_int_equal(rig_call(f, &x, K8S_GET, ""), ERR_OK);
		UNTIL(f, x.answered);
		assert_int_equal(x.answer.cause, ERR_ANSWER_TIMEOUT);
		assert_true(loop_now_ms(f->loop) - before >= 5000);
		UNTIL(f, rig_last(f)->reset);
		assert_true(k8s_client_ready(&f->client));
		/* cancelled: nothing follows */
		assert_int_equal(rig_call(f, &x, K8S_GET, ""), ERR_OK);
		UNTIL(f, f->requests == 4);
		k8s_call_cancel(&x.call);
		k8s_call_cancel(&x.call);
		rig_run_ms(f, 6000);
		assert_int_equal(x.answered, 0);
		rig_finish(f);
	}
}

static void never_answers(struct fixture *f, struct request *r)
{
	(void)f;
	(void)r;
}

static void a_list_that_is_not_answered_is_asked_again(void **state)
{
	struct fixture *f = rig_start(5, never_answers, true);

	(void)state;
	UNTIL(f, f->requests == 1);
	f->script = rig_well_behaved;
	UNTIL(f, f->watched);
	assert_true(f->request[0].reset);
	assert_true(f->request[1].at_ms - f->request[0].at_ms >= K8S_HEAD_MS);
	assert_string_equal(f->failure, err_info(ERR_ANSWER_TIMEOUT)->words);
	/* and a watch the server forgets about is not waited for beyond its time */
	UNTIL(f, f->requests == 4);
	assert_true(f->request[2].reset);
	assert_true(f->request[3].at_ms - f->request[2].at_ms >= K8S_WATCH_MS_MAX);
	rig_finish(f);
}

static void bodies_arrive_whole_under_their_types(void **state)
{
	static char large[BIG + 1];

	(void)state;
	memset(large, 'x', BIG);
	FOR_SEEDS(seed)
	{
		struct fixture *f = rig_start(seed, rig_well_behaved, true);
		struct call x;

		UNTIL(f, f->watched);
		assert_int_equal(rig_call(f, &x, K8S_PATCH, "{\"metadata\":{}}"), ERR_OK);
		UNTIL(f, x.answered);
		assert_string_equal(rig_last(f)->method, "PATCH");
		assert_string_equal(rig_last(f)->type, "application/merge-patch+json");
		assert_memory_equal(f->body, "{\"metadata\":{}}", rig_last(f)->body_n);
		assert_int_equal(rig_last(f)->body_n, 15);
		assert_string_equal(x.body, "{\"kind\":\"Pod\"}");
		assert_int_equal(rig_call(f, &x, K8S_POST, large), ERR_OK);
		UNTIL(f, x.answered);
		assert_string_equal(rig_last(f)->method, "POST");
		assert_string_equal(rig_last(f)->type, "application/json");
		assert_int_equal(rig_last(f)->body_n, BIG);
		assert_memory_equal(f->body, large, BIG);
		assert_int_equal(x.answer.status, 200);
		rig_finish(f);
	}
}

static void refused_early(struct fixture *f, struct request *r)
{
	if (strstr(r->path, "/api/v1/pods?"))
		rig_well_behaved(f, r);
	else
		rig_reply(r, "429", "3", "{}");
}

static void too_large(struct fixture *f, struct request *r)
{
	char text[1000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	if (strstr(r->path, "/api/v1/pods?"))
		rig_well_behaved(f, r);
	else
		rig_reply(r, "200", NULL, text);
}

static void what_was_refused_says_so_and_what_is_too_large_is_not_held(void **state)
{
	struct fixture *f = rig_start(1, refused_early, true);
	struct call x;

	(void)state;
	UNTIL(f, f->watched);
	assert_int_equal(rig_call(f, &x, K8S_POST, "{}"), ERR_OK);
	UNTIL(f, x.answered);
	assert_int_equal(x.answer.cause, ERR_OK);
	assert_int_equal(x.answer.status, 429);
	assert_int_equal(x.answer.retry_after_ms, 3000);
	f->script = too_large;
	assert_int_equal(rig_call(f, &x, K8S_GET, ""), ERR_OK);
	UNTIL(f, x.answered);
	assert_int_equal(x.answer.cause, ERR_LIMIT);
	assert_int_equal(x.answer.body.n, 0);
	rig_run_ms(f, 1000);
	assert_int_equal(x.answered, 1);
	rig_finish(f);
}

static void a_connection_that_breaks_ends_its_requests(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct fixture *f = rig_start(seed, silent_to_calls, true);
		struct call x;

		assert_int_equal(rig_call(f, &x, K8S_GET, ""), ERR_H2_STREAM_REFUSED);
		UNTIL(f, f->watched);
		assert_int_equal(rig_call(f, &x, K8S_GET, ""), ERR_OK);
		UNTIL(f, f->requests == 3);
		h2_conn_abort(&f->conn[0].h2, ERR_RESET);
		UNTIL(f, f->disconnected);
		assert_int_equal(x.answered, 1);
		assert_int_equal(x.answer.cause, f->cause);
		assert_int_equal(x.answer.status, 0);
		UNTIL(f, f->connected == 2);
		rig_finish(f);
	}
}

static void hours_without_a_server_cost_attempts_and_nothing_known(void **state)
{
	struct fixture *f = rig_start(7, rig_well_behaved, true);
	unsigned int before;

	(void)state;
	UNTIL(f, f->watched);
	loop_close(f->loop, f->listener);
	f->listener = -1;
	before = f->opened;
	h2_conn_abort(&f->conn[0].h2, ERR_RESET);
	rig_run_ms(f, 2 * HOUR_MS);
	assert_int_equal(f->cause, ERR_DIAL_REFUSED);
	/* 15 s to 30 s apart but for the first few */
	assert_in_range(f->opened - before, 2 * HOUR_MS / 30000, 2 * HOUR_MS / 15000 + 6);
	assert_true(f->pods.session.synced);
	assert_string_equal(f->told, "relist +a synced");
	rig_listen(f);
	f->watched = false;
	UNTIL(f, f->watched);
	assert_non_null(strstr(rig_last(f)->path, "resourceVersion=10"));
	assert_int_equal(f->failed, 0);
	rig_finish(f);
}

static void nobody_but_the_server_gets_the_token(void **state)
{
	struct tls_config *const wrong[] = {rig_stranger_tls, rig_misnamed_tls};
	static const enum err causes[] = {ERR_TLS_UNTRUSTED, ERR_TLS_WRONG_IDENTITY};

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		struct fixture *f = rig_start(i + 1, rig_well_behaved, true);

		f->tls = wrong[i];
		UNTIL(f, f->disconnected == 3);
		assert_int_equal(f->cause, causes[i]);
		assert_int_equal(f->connected, 0);
		assert_int_equal(f->requests, 0);
		/* and it is asked less and less often */
		rig_run_ms(f, 120000);
		assert_in_range(f->conns, 5, 14);
		f->tls = rig_server_tls;
		UNTIL(f, f->watched);
		rig_finish(f);
	}
}

static void authorities_that_change_on_disk_count_at_the_next_attempt(void **state)
{
	struct fixture *f = rig_start(3, rig_well_behaved, true);

	(void)state;
	UNTIL(f, f->watched);
	f->watched = false;
	f->tls = rig_stranger_tls;
	rig_put_file("ca.crt", span_str("nonsense"));
	h2_conn_abort(&f->conn[0].h2, ERR_RESET);
	UNTIL(f, f->disconnected == 3);
	assert_non_null(strstr(f->why, "/ca.crt: "));
	assert_int_equal(f->conns, 1);
	rig_put_file("ca.crt", buf_span(&rig_stranger.pem));
	UNTIL(f, f->watched);
	rig_finish(f);
}

static void ends_each_watch_at_once(struct fixture *f, struct request *r)
{
	if (rig_is_watch(r))
		rig_reply(r, "200", NULL, EVENT("BOOKMARK", POD("", "20")));
	else
		rig_well_behaved(f, r);
}

static void a_server_that_ends_every_watch_is_not_asked_in_a_circle(void **state)
{
	struct fixture *f = rig_start(4, ends_each_watch_at_once, true);

	(void)state;
	rig_run_ms(f, 300000);
	/* 300 s: every 15 s to 30 s once the back-off has grown, and one in 30 s at once */
	assert_in_range(f->requests, 8, 60);
	rig_finish(f);
}

static void stopping_lets_requests_end_within_their_time(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct fixture *f = rig_start(seed, silent_to_calls, true);
		struct call x, y, z;

		UNTIL(f, f->watched);
		assert_int_equal(rig_call(f, &x, K8S_GET, ""), ERR_OK);
		assert_int_equal(rig_call(f, &y, K8S_GET, ""), ERR_OK);
		UNTIL(f, f->requests == 4 && rig_last(f)->whole);
		k8s_client_stop(&f->client, 2000);
		rig_run_ms(f, 200);
		assert_int_equal(f->landed, 0);
		assert_true(f->request[1].reset);
		assert_int_equal(rig_call(f, &z, K8S_GET, ""), ERR_H2_STREAM_REFUSED);
		rig_reply(&f->request[3], "200", NULL, "{}");
		UNTIL(f, f->landed);
		assert_int_equal(y.answer.cause, ERR_OK);
		assert_int_equal(y.answer.status, 200);
		assert_int_equal(x.answer.cause, ERR_DRAINED);
		rig_finish(f);
	}
}

static void a_client_stops_wherever_it_is(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 150; seed++) {
		struct fixture *f = rig_start(seed, rig_well_behaved, seed % 4 != 0);

		if (seed % 8 == 0)
			sim_black_hole(f->loop, &rig_where);
		if (seed % 3 == 0)
			rig_by_name(f);
		for (uint64_t i = 0; i < seed; i++)
			rig_step(f);
		rig_finish(f);
	}
}

static void a_dial_into_nothing_ends_in_time(void **state)
{
	struct fixture *f = rig_start(2, rig_well_behaved, false);
	uint64_t before = loop_now_ms(f->loop);

	(void)state;
	sim_black_hole(f->loop, &rig_where);
	UNTIL(f, f->disconnected);
	assert_int_equal(f->cause, ERR_DIAL_TIMEOUT);
	assert_in_range(loop_now_ms(f->loop) - before, K8S_DIAL_MS, K8S_DIAL_MS + 1000);
	rig_finish(f);
}

static void a_server_known_by_name_is_looked_up_first(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct fixture *f = rig_start(seed, rig_well_behaved, true);

		rig_by_name(f);
		f->nameless = true;
		UNTIL(f, f->disconnected == 2);
		assert_non_null(strstr(f->why, HOST ": "));
		assert_int_equal(f->conns, 0);
		f->nameless = false;
		UNTIL(f, f->watched);
		assert_true(f->asked >= 2);
		assert_int_equal(f->disconnected, 2);
		rig_finish(f);
	}
}

static void a_name_and_no_resolver_is_said(void **state)
{
	struct fixture *f = rig_start(1, rig_well_behaved, true);

	(void)state;
	rig_by_name(f);
	f->client.resolver = NULL;
	UNTIL(f, f->disconnected == 2);
	assert_int_equal(f->cause, ERR_CONFIG);
	assert_int_equal(f->conns, 0);
	rig_finish(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_are_listed_and_then_watched_on_one_connection),
		cmocka_unit_test(a_list_larger_than_every_window_arrives),
		cmocka_unit_test(a_version_that_is_gone_is_listed_anew),
		cmocka_unit_test(the_token_is_read_for_every_request),
		cmocka_unit_test(a_refusal_is_told_and_asked_again_when_the_server_wishes),
		cmocka_unit_test(a_watch_goes_on_from_where_it_was_on_the_next_connection),
		cmocka_unit_test(goaway_moves_watches_on_and_lets_requests_end),
		cmocka_unit_test(an_answer_past_its_deadline_is_none),
		cmocka_unit_test(a_list_that_is_not_answered_is_asked_again),
		cmocka_unit_test(bodies_arrive_whole_under_their_types),
		cmocka_unit_test(what_was_refused_says_so_and_what_is_too_large_is_not_held),
		cmocka_unit_test(a_connection_that_breaks_ends_its_requests),
		cmocka_unit_test(hours_without_a_server_cost_attempts_and_nothing_known),
		cmocka_unit_test(nobody_but_the_server_gets_the_token),
		cmocka_unit_test(authorities_that_change_on_disk_count_at_the_next_attempt),
		cmocka_unit_test(a_server_that_ends_every_watch_is_not_asked_in_a_circle),
		cmocka_unit_test(stopping_lets_requests_end_within_their_time),
		cmocka_unit_test(a_client_stops_wherever_it_is),
		cmocka_unit_test(a_dial_into_nothing_ends_in_time),
		cmocka_unit_test(a_server_known_by_name_is_looked_up_first),
		cmocka_unit_test(a_name_and_no_resolver_is_said),
	};

	return cmocka_run_group_tests(tests, rig_set_up, rig_tear_down);
}
