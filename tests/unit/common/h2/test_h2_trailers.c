/* SPDX-License-Identifier: Apache-2.0 */
/* Messages that end in fields, as gRPC's do: RFC 9113 8.1. */
#include <string.h>

#include "common/h2/h2_head.h"
#include "tests/unit/common/h2/h2_raw.h"

static const struct h2_field status[] = {
	{{(const uint8_t *)"grpc-status", 11}, {(const uint8_t *)"0", 1}},
	{{(const uint8_t *)"grpc-message", 12}, {(const uint8_t *)"fine", 4}},
};

static struct h2_options with_trailers(void)
{
	struct h2_options o = pair_options;

	o.trailers = true;
	return o;
}

static int32_t open_pair(struct pair *p)
{
	struct h2_options o = with_trailers();

	pair_init(p, &o, &o);
	return pair_open(p);
}

static void trailers_follow_the_body_and_end_the_stream(void **state)
{
	struct pair p;
	uint64_t sent = HASH_START;
	struct seen *at_client, *at_server;
	int32_t id = open_pair(&p);

	(void)state;
	side_put(&p.s, id, 3 << 20, &p, &sent);
	assert_int_equal(h2_session_end_fields(p.s.s, id, status, 2), ERR_OK);
	h2_session_end(p.c.s, id);
	p.chop = true;
	pair_settle(&p);
	at_client = side_seen(&p.c, id);
	at_server = side_seen(&p.s, id);
	assert_int_equal(at_client->bytes, 3 << 20);
	assert_true(at_client->hash == sent);
	assert_true(at_client->trailers);
	assert_string_equal(at_client->last_field, "grpc-message=fine");
	assert_true(at_client->ended);
	assert_true(at_client->closed);
	assert_true(at_server->closed);
	assert_false(at_server->trailers);
	assert_int_equal(h2_session_streams(p.s.s), 0);
	pair_fini(&p);
}

static void trailers_of_an_empty_body_arrive(void **state)
{
	struct pair p;
	int32_t id = open_pair(&p);

	(void)state;
	h2_session_end(p.c.s, id);
	assert_int_equal(h2_session_end_fields(p.s.s, id, status, 1), ERR_OK);
	pair_settle(&p);
	assert_string_equal(side_seen(&p.c, id)->last_field, "grpc-status=0");
	assert_true(side_seen(&p.c, id)->closed);
	assert_int_equal(side_seen(&p.c, id)->bytes, 0);
	pair_fini(&p);
}

static void a_client_may_send_trailers_too(void **state)
{
	struct pair p;
	int32_t id = open_pair(&p);

	(void)state;
	side_put(&p.c, id, 100, &p, NULL);
	assert_int_equal(h2_session_end_fields(p.c.s, id, status, 1), ERR_OK);
	pair_settle(&p);
	assert_true(side_seen(&p.s, id)->trailers);
	assert_true(side_seen(&p.s, id)->ended);
	h2_session_end(p.s.s, id);
	pair_settle(&p);
	assert_true(side_seen(&p.c, id)->closed);
	assert_true(side_seen(&p.s, id)->closed);
	pair_fini(&p);
}

/* The peer's body is still open: it is told to stop, without an error (as after an answer without body). */
static void an_answer_that_ends_early_stops_the_asker(void **state)
{
	struct pair p;
	int32_t id = open_pair(&p);

	(void)state;
	assert_int_equal(h2_session_end_fields(p.s.s, id, status, 2), ERR_OK);
	pair_settle(&p);
	assert_true(side_seen(&p.c, id)->trailers);
	assert_true(side_seen(&p.c, id)->ended);
	assert_int_equal(h2_session_streams(p.s.s), 0);
	assert_int_equal(h2_session_streams(p.c.s), 0);
	pair_fini(&p);
}

static void trailers_wait_for_a_body_that_waits_for_window(void **state)
{
	struct pair p;
	int32_t id = open_pair(&p);

	(void)state;
	p.c.hold = true;
	side_put(&p.s, id, 5 << 20, &p, NULL); /* the window is 4 MiB */
	assert_int_equal(h2_session_end_fields(p.s.s, id, status, 1), ERR_OK);
	pair_settle(&p);
	assert_int_equal(side_seen(&p.c, id)->bytes, 4 << 20);
	assert_false(side_seen(&p.c, id)->trailers);
	p.c.hold = false;
	h2_session_consumed_stream(p.c.s, id, 4 << 20);
	h2_session_consumed_conn(p.c.s, 4 << 20);
	pair_settle(&p);
	assert_int_equal(side_seen(&p.c, id)->bytes, 5 << 20);
	assert_true(side_seen(&p.c, id)->trailers);
	h2_session_end(p.c.s, id);
	pair_settle(&p);
	pair_fini(&p);
}

static void what_has_ended_takes_no_trailers(void **state)
{
	struct pair p;
	int32_t id = open_pair(&p);

	(void)state;
	h2_session_end(p.s.s, id);
	assert_int_equal(h2_session_end_fields(p.s.s, id, status, 1), ERR_H2_STREAM_RESET);
	assert_int_equal(h2_session_end_fields(p.s.s, 99, status, 1), ERR_H2_STREAM_RESET);
	h2_session_reset(p.c.s, id, 8);
	pair_settle(&p);
	pair_fini(&p);
}

/* Trailers waiting behind a body go with the stream. */
static void a_reset_drops_trailers_that_wait(void **state)
{
	struct pair p;
	int32_t id = open_pair(&p);

	(void)state;
	p.c.hold = true;
	side_put(&p.s, id, 5 << 20, &p, NULL);
	assert_int_equal(h2_session_end_fields(p.s.s, id, status, 2), ERR_OK);
	pair_settle(&p);
	h2_session_reset(p.c.s, id, 8);
	pair_settle(&p);
	assert_true(side_seen(&p.s, id)->reset);
	pair_fini(&p);
}

static void trailers_without_a_field_are_trailers(void **state)
{
	struct pair p;
	int32_t id = open_pair(&p);

	(void)state;
	side_put(&p.s, id, 10, &p, NULL);
	assert_int_equal(h2_session_end_fields(p.s.s, id, NULL, 0), ERR_OK);
	h2_session_end(p.c.s, id);
	pair_settle(&p);
	assert_true(side_seen(&p.c, id)->trailers);
	assert_true(side_seen(&p.c, id)->ended);
	assert_true(side_seen(&p.c, id)->closed);
	pair_fini(&p);
}

struct odd {
	const char *claim;
	const char *name, *value;
	uint8_t flags;
};

static int64_t feed_odd(const struct odd *o)
{
	struct h2_options opt = with_trailers();
	struct raw r;
	struct buf block;
	int64_t code;

	side_init(&r.x, H2_SERVER, &opt);
	buf_init(&r.b, 4096);
	preface(&r.b, H2_SERVER);
	request(&r.b, 1);
	block_init(&block, 256);
	field(&block, o->name, o->value);
	frame(&r.b, HEADERS, o->flags, 1, span_of(block.p, block.n));
	assert_int_equal(raw_feed(&r, 0), ERR_OK);
	code = raw_code(&r, RST_STREAM);
	buf_fini(&block);
	raw_fini(&r);
	return code;
}

static void malformed_trailers_reset_the_stream_only(void **state)
{
	static const struct odd odd[] = {
		{"a pseudo-header", ":path", "/", END_HEADERS | END_STREAM},
		{"a status", ":status", "200", END_HEADERS | END_STREAM},
		{"not the end", "x", "y", END_HEADERS},
		{"upper case", "X", "y", END_HEADERS | END_STREAM},
		{"of an HTTP/1 connection", "connection", "close", END_HEADERS | END_STREAM},
	};
	static const struct odd fine = {"fine", "x", "y", END_HEADERS | END_STREAM};

	(void)state;
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
		if (feed_odd(&odd[i]) != 1)
			fail_msg("%s: no RST_STREAM(PROTOCOL_ERROR)", odd[i].claim);
	assert_int_equal(feed_odd(&fine), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(trailers_follow_the_body_and_end_the_stream),
		cmocka_unit_test(trailers_of_an_empty_body_arrive),
		cmocka_unit_test(a_client_may_send_trailers_too),
		cmocka_unit_test(an_answer_that_ends_early_stops_the_asker),
		cmocka_unit_test(trailers_wait_for_a_body_that_waits_for_window),
		cmocka_unit_test(what_has_ended_takes_no_trailers),
		cmocka_unit_test(a_reset_drops_trailers_that_wait),
		cmocka_unit_test(trailers_without_a_field_are_trailers),
		cmocka_unit_test(malformed_trailers_reset_the_stream_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
