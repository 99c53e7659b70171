/* SPDX-License-Identifier: Apache-2.0 */
/* Calls between our client and our server on the simulated loop: every end a call can have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/check.h"
#include "common/grpc/grpc_client.h"
#include "common/grpc/grpc_server.h"
#include "tests/sim/sim.h"
#include "tests/unit/common/tls/test_pki.h"

enum { SEEDS = 25, TURNS_MAX = 200000, HANDSHAKE_MS = 10000, BIG = 6 * 1024 * 1024 };

struct call {
	struct grpc_call call;
	unsigned int messages, ended;
	size_t bytes;
	struct grpc_status status;
	bool cancel_at_message;
};

/* What the server is to do with a call. */
enum plan {
	ECHO,        /* every message back, OK at the end */
	REFUSE,      /* PERMISSION_DENIED at the call */
	BREAK_OFF,   /* one message, then a status while the client still speaks */
	SILENT,      /* never answers */
	BIG_MESSAGE, /* one of BIG octets */
	UNKNOWN_METHOD,
};

struct answer {
	struct grpc_answer answer;
	struct fixture *f;
	unsigned int messages, ends, broken;
};

struct fixture {
	struct loop *loop;
	struct h2_events scratch;
	struct grpc_client client;
	struct grpc_server server;
	struct answer answer[4];
	unsigned int answers;
	unsigned int client_ready, client_ended, client_landed, server_ended, server_landed;
	enum plan plan;
	bool token_seen;
	uint8_t *big;
};

static struct fixture *of_client(struct grpc_client *c)
{
	return container_of(c, struct fixture, client);
}

static struct fixture *of_server(struct grpc_server *c)
{
	return container_of(c, struct fixture, server);
}

/* --- the server ---------------------------------------------------------------------------------- */

static void on_answer_message(struct grpc_answer *a, struct span m)
{
	struct answer *x = container_of(a, struct answer, answer);

	x->messages++;
	if (x->f->plan == ECHO)
		assert_int_equal(grpc_answer_send(a, m), ERR_OK);
	if (x->f->plan == BREAK_OFF) {
		assert_int_equal(grpc_answer_send(a, m), ERR_OK);
		grpc_answer_finish(a, GRPC_ABORTED, "enough: 100%");
	}
}

static void on_answer_end(struct grpc_answer *a)
{
	struct answer *x = container_of(a, struct answer, answer);

	x->ends++;
	if (x->f->plan == BIG_MESSAGE)
		assert_int_equal(grpc_answer_send(a, span_of(x->f->big, BIG)), ERR_OK);
	if (x->f->plan != SILENT)
		grpc_answer_finish(a, GRPC_OK, "");
}

static void on_answer_broken(struct grpc_answer *a, enum err cause)
{
	assert_int_not_equal(cause, ERR_OK);
	container_of(a, struct answer, answer)->broken++;
}

static const struct grpc_answer_owner answer_owner = {
	.message = on_answer_message, .end = on_answer_end, .broken = on_answer_broken};

static void on_server_ready(struct grpc_server *c)
{
	assert_string_equal(h2_conn_peer(&c->h2), TEST_ALICE);
}

static bool on_call(struct grpc_server *c, int32_t id, struct span path, const struct h2_head *head)
{
	struct fixture *f = of_server(c);
	const struct h2_field *token = h2_head_find(head, "authorization");
	struct answer *x = &f->answer[f->answers];

	assert_true(span_eq_str(path, "/test.Service/Method"));
	assert_true(span_eq_str(h2_head_find(head, ":authority")->value, "ca.test:15012"));
	assert_true(span_eq_str(h2_head_find(head, "te")->value, "trailers"));
	f->token_seen = token && span_eq_str(token->value, "Bearer x");
	if (f->plan == UNKNOWN_METHOD)
		return false;
	assert_true(f->answers++ < 4);
	x->f = f;
	grpc_answer_begin(&x->answer, c, id, BIG, &answer_owner);
	if (f->plan == REFUSE)
		grpc_answer_finish(&x->answer, GRPC_PERMISSION_DENIED, "not you");
	return true;
}

static void on_server_ended(struct grpc_server *c, enum err cause)
{
	(void)cause;
	of_server(c)->server_ended++;
}

static void on_server_landed(struct grpc_server *c)
{
	of_server(c)->server_landed++;
	grpc_server_fini(c);
}

static const struct grpc_server_owner server_owner = {.ready = on_server_ready,
                                                      .call = on_call,
                                                      .ended = on_server_ended,
                                                      .landed = on_server_landed};

/* --- the client ---------------------------------------------------------------------------------- */

static void on_client_ready(struct grpc_client *c)
{
	of_client(c)->client_ready++;
}

static void on_client_ended(struct grpc_client *c, enum err cause)
{
	(void)cause;
	of_client(c)->client_ended++;
}

static void on_client_landed(struct grpc_client *c)
{
	of_client(c)->client_landed++;
	grpc_client_fini(c);
}

static const struct grpc_client_owner client_owner = {
	.ready = on_client_ready, .ended = on_client_ended, .landed = on_client_landed};

static void on_message(struct grpc_call *a, struct span m)
{
	struct call *x = container_of(a, struct call, call);

	assert_int_equal(x->ended, 0);
	x->messages++;
	x->bytes += m.n;
	if (x->cancel_at_message)
		grpc_call_cancel(a);
}

static void on_ended(struct grpc_call *a, const struct grpc_status *st)
{
	struct call *x = container_of(a, struct call, call);

	assert_int_equal(x->ended++, 0);
	x->status = *st;
}

static const struct grpc_call_owner call_owner = {.message = on_message, .ended = on_ended};

/* --- fixture --------------------------------------------------------------------------------------- */

static void turns_until(struct fixture *f, const unsigned int *n)
{
	for (unsigned int i = 0; i < TURNS_MAX && *n == 0; i++)
		(void)sim_turn(f->loop);
	assert_true(*n > 0);
}

static void fixture_init(struct fixture *f, uint64_t seed, enum plan plan)
{
	static const char *const expected[] = {TEST_BOB};
	const struct tls_expect bobs = {.identities = expected, .identity_count = 1};
	const struct tls_expect any = {0};
	struct sim_options opt = {.seed = seed, .socket_bytes = seed % 3 == 0 ? 3000 : 65536};
	struct grpc_client_setup cs = {.owner = &client_owner,
	                               .scratch = &f->scratch,
	                               .authority = "ca.test:15012",
	                               .handshake_ms = HANDSHAKE_MS};
	struct grpc_server_setup ss = {
		.owner = &server_owner, .scratch = &f->scratch, .handshake_ms = HANDSHAKE_MS};
	int fd[2];

	memset(f, 0, sizeof(*f));
	f->plan = plan;
	f->big = calloc(1, BIG);
	f->loop = sim_new(&opt);
	h2_events_init(&f->scratch);
	sim_pair(f->loop, fd);
	grpc_client_start(&f->client, f->loop, fd[0],
	                  tls_session_new(test_alice, TLS_CLIENT, &bobs), &cs);
	assert_false(grpc_client_ready(&f->client));
	grpc_server_start(&f->server, f->loop, fd[1], tls_session_new(test_bob, TLS_SERVER, &any),
	                  &ss);
	turns_until(f, &f->client_ready);
}

static void fixture_fini(struct fixture *f)
{
	if (f->client_ended == 0)
		grpc_client_close(&f->client);
	turns_until(f, &f->client_landed);
	turns_until(f, &f->server_landed);
	assert_true(sim_settle(f->loop, TURNS_MAX));
	assert_int_equal(f->client_ended, 1);
	assert_int_equal(f->server_ended, 1);
	h2_events_fini(&f->scratch);
	assert_int_equal(sim_open_sockets(f->loop), 0);
	assert_int_equal(iobuf_pool_bytes_in_use(loop_iobufs(f->loop)), 0);
	loop_free(f->loop);
	free(f->big);
}

static void begin(struct fixture *f, struct call *x, uint64_t timeout_ms)
{
	const struct h2_field token = {span_str("authorization"), span_str("Bearer x")};
	const struct grpc_request req = {.path = "/test.Service/Method",
	                                 .metadata = &token,
	                                 .metadata_count = 1,
	                                 .message_max = BIG,
	                                 .timeout_ms = timeout_ms};

	memset(x, 0, sizeof(*x));
	assert_int_equal(grpc_call_start(&x->call, &f->client, &req, &call_owner), ERR_OK);
}

static void say(struct call *x, const char *text)
{
	assert_int_equal(grpc_call_send(&x->call, span_str(text)), ERR_OK);
}

#define FOR_SEEDS(seed) for (uint64_t seed = 1; seed <= SEEDS; seed++)

/* --- claims ---------------------------------------------------------------------------------------- */

static void a_unary_call_brings_one_answer_and_ok(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct fixture f;
		struct call x;

		fixture_init(&f, seed, ECHO);
		begin(&f, &x, 0);
		say(&x, "hello");
		grpc_call_end(&x.call);
		turns_until(&f, &x.ended);
		assert_int_equal(x.status.code, GRPC_OK);
		assert_int_equal(x.messages, 1);
		assert_int_equal(x.bytes, 5);
		assert_true(f.token_seen);
		fixture_fini(&f);
		assert_int_equal(f.answer[0].broken, 0);
	}
}

static void a_stream_goes_both_ways_at_once(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct fixture f;
		struct call x, y;

		fixture_init(&f, seed, ECHO);
		begin(&f, &x, 0);
		begin(&f, &y, 0);
		for (unsigned int i = 0; i < 50; i++) {
			say(&x, "0123456789");
			if (i % 10 == 0)
				say(&y, "");
			(void)sim_turn(f.loop);
		}
		while (x.messages < 50)
			(void)sim_turn(f.loop);
		assert_int_equal(x.ended, 0);
		grpc_call_end(&y.call);
		turns_until(&f, &y.ended);
		assert_int_equal(y.messages, 5);
		say(&x, "more");
		grpc_call_end(&x.call);
		turns_until(&f, &x.ended);
		assert_int_equal(x.messages, 51);
		assert_int_equal(x.bytes, 504);
		fixture_fini(&f);
	}
}

static void a_refusal_has_its_code_and_words(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct fixture f;
		struct call x;

		fixture_init(&f, seed, REFUSE);
		begin(&f, &x, 0);
		say(&x, "hello");
		turns_until(&f, &x.ended);
		assert_int_equal(x.status.code, GRPC_PERMISSION_DENIED);
		assert_string_equal(x.status.words, "not you");
		assert_int_equal(x.messages, 0);
		fixture_fini(&f);
		assert_int_equal(f.answer[0].broken, 0);
	}
}

static void an_unknown_method_is_unimplemented(void **state)
{
	struct fixture f;
	struct call x;

	(void)state;
	fixture_init(&f, 1, UNKNOWN_METHOD);
	begin(&f, &x, 0);
	turns_until(&f, &x.ended);
	assert_int_equal(x.status.code, GRPC_UNIMPLEMENTED);
	fixture_fini(&f);
}

static void an_answer_may_end_while_the_client_still_speaks(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct fixture f;
		struct call x;

		fixture_init(&f, seed, BREAK_OFF);
		begin(&f, &x, 0);
		say(&x, "hello");
		turns_until(&f, &x.ended);
		assert_int_equal(x.status.code, GRPC_ABORTED);
		assert_string_equal(x.status.words, "enough: 100%");
		assert_int_equal(x.messages, 1);
		assert_int_equal(grpc_call_send(&x.call, span_str("late")), ERR_H2_STREAM_RESET);
		assert_true(grpc_client_ready(&f.client));
		fixture_fini(&f);
	}
}

static void a_message_larger_than_every_window_arrives(void **state)
{
	struct fixture f;
	struct call x;

	(void)state;
	fixture_init(&f, 2, BIG_MESSAGE);
	begin(&f, &x, 0);
	grpc_call_end(&x.call);
	turns_until(&f, &x.ended);
	assert_int_equal(x.status.code, GRPC_OK);
	assert_int_equal(x.bytes, BIG);
	fixture_fini(&f);
}

static void the_deadline_ends_a_call_and_tells_the_server(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct fixture f;
		struct call x;

		fixture_init(&f, seed, SILENT);
		begin(&f, &x, 500);
		grpc_call_end(&x.call);
		turns_until(&f, &x.ended);
		assert_int_equal(x.status.code, GRPC_DEADLINE_EXCEEDED);
		turns_until(&f, &f.answer[0].broken);
		assert_true(grpc_client_ready(&f.client));
		fixture_fini(&f);
	}
}

static void a_cancelled_call_is_heard_of_no_more(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct fixture f;
		struct call x;

		fixture_init(&f, seed, ECHO);
		begin(&f, &x, 0);
		x.cancel_at_message = true;
		say(&x, "one");
		say(&x, "two");
		say(&x, "three");
		turns_until(&f, &f.answer[0].broken);
		assert_int_equal(x.messages, 1);
		assert_int_equal(x.ended, 0);
		grpc_call_cancel(&x.call);
		assert_int_equal(grpc_call_queued(&x.call), 0);
		fixture_fini(&f);
		assert_int_equal(x.ended, 0);
	}
}

static void a_connection_that_breaks_ends_its_calls_unavailable(void **state)
{
	(void)state;
	FOR_SEEDS(seed)
	{
		struct fixture f;
		struct call x;

		fixture_init(&f, seed, SILENT);
		begin(&f, &x, 0);
		turns_until(&f, &f.answers);
		h2_conn_abort(&f.server.h2, ERR_RESET);
		turns_until(&f, &x.ended);
		assert_int_equal(x.status.code, GRPC_UNAVAILABLE);
		assert_false(grpc_client_ready(&f.client));
		fixture_fini(&f);
		assert_int_equal(f.answer[0].broken, 1);
	}
}

static void a_closing_client_cancels_what_is_under_way(void **state)
{
	struct fixture f;
	struct call x;

	(void)state;
	fixture_init(&f, 3, SILENT);
	begin(&f, &x, 0);
	turns_until(&f, &f.answers);
	grpc_client_close(&f.client);
	assert_int_equal(x.ended, 1);
	assert_int_equal(x.status.code, GRPC_CANCELLED);
	fixture_fini(&f);
}

/* The client's own limit, not the server's word, decides what is read. */
static void a_message_beyond_the_limit_ends_the_call(void **state)
{
	const struct grpc_request req = {.path = "/test.Service/Method", .message_max = 4};
	struct fixture f;
	struct call x;

	(void)state;
	fixture_init(&f, 4, ECHO);
	memset(&x, 0, sizeof(x));
	assert_int_equal(grpc_call_start(&x.call, &f.client, &req, &call_owner), ERR_OK);
	say(&x, "hello");
	turns_until(&f, &x.ended);
	assert_int_equal(x.status.code, GRPC_RESOURCE_EXHAUSTED);
	assert_int_equal(x.messages, 0);
	fixture_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_unary_call_brings_one_answer_and_ok),
		cmocka_unit_test(a_stream_goes_both_ways_at_once),
		cmocka_unit_test(a_refusal_has_its_code_and_words),
		cmocka_unit_test(an_unknown_method_is_unimplemented),
		cmocka_unit_test(an_answer_may_end_while_the_client_still_speaks),
		cmocka_unit_test(a_message_larger_than_every_window_arrives),
		cmocka_unit_test(the_deadline_ends_a_call_and_tells_the_server),
		cmocka_unit_test(a_cancelled_call_is_heard_of_no_more),
		cmocka_unit_test(a_connection_that_breaks_ends_its_calls_unavailable),
		cmocka_unit_test(a_closing_client_cancels_what_is_under_way),
		cmocka_unit_test(a_message_beyond_the_limit_ends_the_call),
	};

	return cmocka_run_group_tests(tests, test_two_set_up, test_two_tear_down);
}
