/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2 connections on the simulated loop: against each other, and against a peer that breaks the rules. */
#include "common/h2/h2_conn.h"

#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"
#include "tests/unit/common/h2/h2_raw.h"
#include "tests/unit/common/tls/test_pki.h"

enum { SEEDS = 40, TURNS_MAX = 100000, HANDSHAKE_MS = 10000, RAW_MAX = 1 << 20 };

/* --- buffers that are not to be had ---------------------------------------------------------- */

static unsigned int starve; /* takes that fail from now on */

struct iobuf *__real_iobuf_take(struct iobuf_pool *pool, enum iobuf_class cls);
struct iobuf *__wrap_iobuf_take(struct iobuf_pool *pool, enum iobuf_class cls);

struct iobuf *__wrap_iobuf_take(struct iobuf_pool *pool, enum iobuf_class cls)
{
	if (starve == 0)
		return __real_iobuf_take(pool, cls);
	starve--;
	return NULL;
}

/* --- one end ----------------------------------------------------------------------------------- */

struct end {
	struct h2_conn c;
	unsigned int ready, requests, responses, resets, goaways, ended, landed;
	size_t got;
	bool got_end;
	enum err cause;
};

/* A peer that speaks TLS and whatever frames the test makes. */
struct raw_end {
	struct tls_conn c;
	struct buf in;
	unsigned int established, ended, landed;
	enum err cause;
};

struct fixture {
	struct loop *loop;
	struct h2_events scratch;
	struct end client, server;
	struct raw_end raw;
	int fd[2];
};

static struct end *of(struct h2_conn *c)
{
	return container_of(c, struct end, c);
}

static void on_ready(struct h2_conn *c)
{
	assert_int_equal(of(c)->ready++, 0);
	assert_true(h2_conn_ready(c));
	assert_non_null(h2_conn_peer(c));
}

static void on_event(struct h2_conn *c, const struct h2_event *ev, struct iobuf *buf)
{
	static const struct h2_field ok[] = {
		{{(const uint8_t *)":status", 7}, {(const uint8_t *)"200", 3}}};
	struct end *e = of(c);

	assert_int_equal(e->ended, 0);
	switch (ev->kind) {
	case H2_EV_REQUEST:
		e->requests++;
		h2_head_free(ev->head);
		if (h2_session_respond(c->session, ev->stream_id, ok, 1, false) != ERR_OK)
			h2_session_reset(c->session, ev->stream_id, 2); /* reset already */
		h2_conn_kick(c);
		break;
	case H2_EV_RESPONSE:
		e->responses++;
		h2_head_free(ev->head);
		break;
	case H2_EV_DATA:
		assert_true(ev->data.p >= buf->mem && ev->data.p < buf->mem + buf->cap);
		e->got += ev->data.n;
		h2_session_consumed_stream(c->session, ev->stream_id, ev->data.n);
		h2_session_consumed_conn(c->session, ev->data.n);
		break;
	case H2_EV_TRAILERS: h2_head_free(ev->head); break;
	case H2_EV_END: e->got_end = true; break;
	case H2_EV_RESET: e->resets++; break;
	case H2_EV_GOAWAY: e->goaways++; break;
	case H2_EV_CLOSED:
	case H2_EV_SENT:
	case H2_EV_SETTINGS: break;
	}
}

static void on_ended(struct h2_conn *c, enum err cause)
{
	assert_int_equal(of(c)->ended++, 0);
	assert_false(h2_conn_ready(c));
	of(c)->cause = cause;
}

static void on_landed(struct h2_conn *c)
{
	assert_int_equal(of(c)->ended, 1);
	assert_int_equal(of(c)->landed++, 0);
	h2_conn_fini(c);
}

static const struct h2_conn_owner owner = {
	.ready = on_ready,
	.event = on_event,
	.ended = on_ended,
	.landed = on_landed,
};

static struct raw_end *raw_of(struct tls_conn *c)
{
	return container_of(c, struct raw_end, c);
}

static void on_raw_established(struct tls_conn *c)
{
	raw_of(c)->established++;
}

static void on_raw_plain(struct tls_conn *c, struct iobuf *buf, uint8_t *p, size_t n)
{
	(void)buf;
	buf_put(&raw_of(c)->in, span_of(p, n));
}

static void on_raw_nothing(struct tls_conn *c)
{
	(void)c;
}

static void on_raw_ended(struct tls_conn *c, enum err cause)
{
	raw_of(c)->ended++;
	raw_of(c)->cause = cause;
}

static void on_raw_landed(struct tls_conn *c)
{
	raw_of(c)->landed++;
	tls_conn_fini(c);
}

static const struct tls_conn_owner raw_owner = {
	.established = on_raw_established,
	.plain = on_raw_plain,
	.arrived = on_raw_nothing,
	.drained = on_raw_nothing,
	.ended = on_raw_ended,
	.landed = on_raw_landed,
};

/* --- the fixture --------------------------------------------------------------------------------- */

static void start(struct fixture *f, struct end *e, enum h2_role role, const struct h2_options *opt)
{
	static const char *const expected[] = {TEST_BOB};
	struct tls_expect expect = {.identities = expected,
	                            .identity_count = role == H2_CLIENT ? 1 : 0};
	struct h2_conn_setup setup = {.owner = &owner,
	                              .options = opt,
	                              .scratch = &f->scratch,
	                              .handshake_ms = HANDSHAKE_MS,
	                              .role = role};
	bool client = role == H2_CLIENT;

	h2_conn_start(&e->c, f->loop, f->fd[client ? 0 : 1],
	              tls_session_new(client ? test_alice : test_bob,
	                              client ? TLS_CLIENT : TLS_SERVER, &expect),
	              &setup);
}

static void start_raw(struct fixture *f)
{
	static const char *const expected[] = {TEST_BOB};
	const struct tls_expect expect = {.identities = expected, .identity_count = 1};

	buf_init(&f->raw.in, RAW_MAX);
	tls_conn_start(&f->raw.c, f->loop, f->fd[0],
	               tls_session_new(test_alice, TLS_CLIENT, &expect), &raw_owner, HANDSHAKE_MS);
}

static void fixture_init(struct fixture *f, uint64_t seed)
{
	struct sim_options opt = {.seed = seed, .socket_bytes = seed % 3 == 0 ? 3000 : 65536};

	memset(f, 0, sizeof(*f));
	starve = 0;
	f->loop = sim_new(&opt);
	h2_events_init(&f->scratch);
	sim_pair(f->loop, f->fd);
}

static void until(struct fixture *f, const unsigned int *n)
{
	for (unsigned int i = 0; i < TURNS_MAX && *n == 0; i++)
		(void)sim_turn(f->loop);
	assert_true(*n > 0);
}

static void until_ready(struct fixture *f)
{
	until(f, &f->client.ready);
	until(f, &f->server.ready);
}

static void fixture_fini(struct fixture *f)
{
	assert_true(sim_settle(f->loop, TURNS_MAX));
	assert_int_equal(f->scratch.count, 0);
	h2_events_fini(&f->scratch);
	buf_fini(&f->raw.in);
	assert_int_equal(sim_open_sockets(f->loop), 0);
	assert_int_equal(iobuf_pool_bytes_in_use(loop_iobufs(f->loop)), 0);
	loop_free(f->loop);
}

static int32_t connect_stream(struct fixture *f)
{
	const struct h2_field fields[] = {{span_str(":method"), span_str("CONNECT")},
	                                  {span_str(":authority"), span_str("10.0.0.1:80")}};
	int32_t id = 0;

	assert_int_equal(h2_session_request(f->client.c.session, fields, 2, NULL, &id), ERR_OK);
	h2_conn_kick(&f->client.c);
	return id;
}

static void put(struct fixture *f, struct end *e, int32_t id, size_t n)
{
	while (n > 0) {
		struct iobuf *b = __real_iobuf_take(loop_iobufs(f->loop), IOBUF_SLOT);
		size_t part = n < IOBUF_SLOT_LEN ? n : IOBUF_SLOT_LEN;

		assert_non_null(b);
		memset(b->mem + IOBUF_HEAD, 'x', part);
		assert_int_equal(h2_session_put(e->c.session, id,
		                                (struct iobuf_view){.buf = b,
		                                                    .p = b->mem + IOBUF_HEAD,
		                                                    .len = (uint32_t)part}),
		                 ERR_OK);
		n -= part;
	}
	h2_conn_kick(&e->c);
}

/* Queue frames of the test's making, a record at a time. */
static void raw_put(struct fixture *f, struct span s)
{
	while (s.n > 0) {
		struct iobuf *b = __real_iobuf_take(loop_iobufs(f->loop), IOBUF_SLOT);
		size_t part = s.n < IOBUF_SLOT_LEN ? s.n : IOBUF_SLOT_LEN;

		assert_non_null(b);
		memcpy(b->mem + IOBUF_HEAD, s.p, part);
		tls_conn_put(&f->raw.c, (struct iobuf_view){.buf = b,
		                                            .p = b->mem + IOBUF_HEAD,
		                                            .len = (uint32_t)part});
		s = span_of(s.p + part, s.n - part);
	}
	tls_conn_flush(&f->raw.c);
}

/* The code of the last GOAWAY the raw end received; -1: none. */
static int64_t raw_goaway(const struct fixture *f)
{
	const uint8_t *p = f->raw.in.p;
	size_t left = f->raw.in.n;
	int64_t code = -1;

	while (left >= 9) {
		size_t len = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];

		if (left < 9 + len)
			break;
		if (p[3] == GOAWAY && len >= 8)
			code = (int64_t)p[13] << 24 | (int64_t)p[14] << 16 | (int64_t)p[15] << 8 |
			       p[16];
		p += 9 + len;
		left -= 9 + len;
	}
	return code;
}

/* --- claims --------------------------------------------------------------------------------------- */

static void a_close_says_goaway_and_ends_both_in_order(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct fixture f;
		int32_t id;

		fixture_init(&f, seed);
		start(&f, &f.client, H2_CLIENT, &pair_options);
		start(&f, &f.server, H2_SERVER, &pair_options);
		until_ready(&f);
		id = connect_stream(&f);
		until(&f, &f.client.responses);
		put(&f, &f.client, id, 50000);
		h2_session_end(f.client.c.session, id);
		for (unsigned int i = 0; i < TURNS_MAX && !f.server.got_end; i++)
			(void)sim_turn(f.loop);
		assert_int_equal(f.server.got, 50000);
		h2_conn_close(&f.server.c, 0);
		until(&f, &f.client.landed);
		until(&f, &f.server.landed);
		assert_int_equal(f.client.goaways, 1);
		assert_int_equal(f.client.cause, ERR_OK);
		assert_int_equal(f.server.cause, ERR_OK);
		fixture_fini(&f);
	}
}

static void a_close_takes_along_what_is_queued_though_the_socket_is_full(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct h2_options wide = pair_options;
		struct fixture f;
		int32_t id, reset;

		wide.stream_window = wide.conn_window = 16 * 1024 * 1024;
		fixture_init(&f, seed);
		start(&f, &f.client, H2_CLIENT, &wide);
		start(&f, &f.server, H2_SERVER, &wide);
		until_ready(&f);
		id = connect_stream(&f);
		until(&f, &f.client.responses);
		reset = connect_stream(&f);
		for (unsigned int i = 0; i < TURNS_MAX && f.client.responses < 2; i++)
			(void)sim_turn(f.loop);
		for (unsigned int i = 0; i < 100; i++) /* the windows are told */
			(void)sim_turn(f.loop);
		put(&f, &f.client, id, 2 * TLS_CONN_QUEUE_MAX);
		for (unsigned int i = 0; i < TURNS_MAX && tls_conn_queued(&f.client.c.tls) == 0;
		     i++)
			(void)sim_turn(f.loop);
		assert_true(tls_conn_queued(&f.client.c.tls) > 0);
		h2_session_reset(f.client.c.session, reset, 8);
		h2_conn_close(&f.client.c, 0);
		until(&f, &f.server.landed);
		until(&f, &f.client.landed);
		assert_int_equal(f.server.resets, 1);
		assert_int_equal(f.server.goaways, 1);
		assert_int_equal(f.server.cause, ERR_OK);
		fixture_fini(&f);
	}
}

static void a_close_against_a_peer_that_does_not_read_meets_its_deadline(void **state)
{
	struct buf b, block;
	struct fixture f;
	uint64_t at;

	(void)state;
	fixture_init(&f, 3);
	start_raw(&f);
	start(&f, &f.server, H2_SERVER, &pair_options);
	until(&f, &f.raw.established);
	buf_init(&b, RAW_MAX);
	block_init(&block, RAW_MAX);
	connect_block(&block);
	preface(&b, H2_SERVER);
	u32_frame(&b, WINDOW_UPDATE, 0, 1 << 30);
	frame(&b, HEADERS, END_HEADERS, 1, buf_span(&block));
	u32_frame(&b, WINDOW_UPDATE, 1, 1 << 30);
	raw_put(&f, buf_span(&b));
	until(&f, &f.server.requests);
	/* from here on the raw end is as good as stopped: its socket is full */
	timer_arm(f.loop, &f.raw.c.again, 3600 * 1000);
	loop_cancel(f.loop, &f.raw.c.recv);
	for (unsigned int i = 0; i < 1000 && f.raw.c.recv.pending; i++)
		(void)sim_turn(f.loop);
	at = loop_now_ms(f.loop);
	put(&f, &f.server, 1, 3 * TLS_CONN_QUEUE_MAX);
	h2_conn_close(&f.server.c, 0);
	until(&f, &f.server.landed);
	assert_in_range(loop_now_ms(f.loop), at, at + 2 * TLS_CONN_CLOSE_MS + 100);
	tls_conn_abort(&f.raw.c, ERR_CANCELLED);
	until(&f, &f.raw.landed);
	buf_fini(&b);
	buf_fini(&block);
	fixture_fini(&f);
}

static void a_broken_rule_is_answered_by_goaway_and_the_end(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct fixture f;
		struct buf b;

		fixture_init(&f, seed);
		start_raw(&f);
		start(&f, &f.server, H2_SERVER, &pair_options);
		until(&f, &f.raw.established);
		buf_init(&b, RAW_MAX);
		preface(&b, H2_SERVER);
		frame(&b, DATA, 0, 0, span_str("on stream 0")); /* RFC 9113 6.1 */
		raw_put(&f, buf_span(&b));
		until(&f, &f.server.landed);
		until(&f, &f.raw.landed);
		assert_int_equal(f.server.cause, ERR_H2);
		assert_int_equal(raw_goaway(&f), 1);
		assert_int_equal(f.raw.cause, ERR_OK);
		buf_fini(&b);
		fixture_fini(&f);
	}
}

static void a_flood_of_broken_requests_ends_the_connection(void **state)
{
	struct h2_options opt = pair_options;

	(void)state;
	opt.ping_interval_ms = 0; /* nothing moves the clock far */
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct fixture f;
		struct buf b, block;

		fixture_init(&f, seed);
		start_raw(&f);
		start(&f, &f.server, H2_SERVER, &opt);
		until(&f, &f.raw.established);
		buf_init(&b, RAW_MAX);
		block_init(&block, RAW_MAX);
		field(&block, "BAD", "upper case"); /* a stream error, RFC 9113 8.2.1 */
		preface(&b, H2_SERVER);
		for (int32_t id = 1; id < 4000; id += 2) {
			frame(&b, HEADERS, END_HEADERS, id, buf_span(&block));
			if (id % 100 != 99)
				continue;
			raw_put(&f, buf_span(&b));
			buf_clear(&b);
			for (unsigned int i = 0; i < 10; i++)
				(void)sim_turn(f.loop);
		}
		until(&f, &f.server.landed);
		until(&f, &f.raw.landed);
		assert_int_equal(f.server.cause, ERR_H2_FLOOD);
		assert_int_equal(raw_goaway(&f), 11);
		buf_fini(&b);
		buf_fini(&block);
		fixture_fini(&f);
	}
}

static void without_buffers_sending_is_tried_again_and_nothing_is_lost(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct fixture f;
		int32_t id;

		fixture_init(&f, seed);
		start(&f, &f.client, H2_CLIENT, &pair_options);
		start(&f, &f.server, H2_SERVER, &pair_options);
		until_ready(&f);
		id = connect_stream(&f);
		until(&f, &f.client.responses);
		for (unsigned int i = 0; i < 30; i++) {
			starve = (unsigned int)seed % 7;
			put(&f, &f.client, id, 1000);
			(void)sim_turn(f.loop);
		}
		h2_session_end(f.client.c.session, id);
		h2_conn_kick(&f.client.c);
		for (unsigned int i = 0; i < TURNS_MAX && !f.server.got_end; i++)
			(void)sim_turn(f.loop);
		assert_int_equal(f.server.got, 30000);
		h2_conn_close(&f.client.c, 0);
		until(&f, &f.client.landed);
		until(&f, &f.server.landed);
		fixture_fini(&f);
	}
}

static void a_peer_that_answers_no_ping_is_dead(void **state)
{
	struct h2_options opt = pair_options;
	struct fixture f;
	struct buf b;

	(void)state;
	opt.ping_interval_ms = 10000;
	opt.ping_timeout_ms = 20000;
	fixture_init(&f, 2);
	start_raw(&f);
	start(&f, &f.server, H2_SERVER, &opt);
	until(&f, &f.raw.established);
	buf_init(&b, RAW_MAX);
	preface(&b, H2_SERVER);
	raw_put(&f, buf_span(&b));
	until(&f, &f.server.landed);
	until(&f, &f.raw.landed);
	assert_int_equal(f.server.cause, ERR_H2_PING_TIMEOUT);
	assert_in_range(loop_now_ms(f.loop), 1000 + 30000, 1000 + 31500);
	buf_fini(&b);
	fixture_fini(&f);
}

static void a_peer_that_answers_pings_lives(void **state)
{
	struct h2_options opt = pair_options;
	struct fixture f;

	(void)state;
	opt.ping_interval_ms = 10000;
	opt.ping_timeout_ms = 20000;
	fixture_init(&f, 2);
	start(&f, &f.client, H2_CLIENT, &opt);
	start(&f, &f.server, H2_SERVER, &opt);
	until_ready(&f);
	while (loop_now_ms(f.loop) < 3600 * 1000)
		(void)sim_turn(f.loop);
	assert_true(h2_conn_ready(&f.client.c) && h2_conn_ready(&f.server.c));
	assert_int_equal(iobuf_pool_bytes_in_use(loop_iobufs(f.loop)), 0);
	h2_conn_close(&f.client.c, 0);
	until(&f, &f.client.landed);
	until(&f, &f.server.landed);
	fixture_fini(&f);
}

static void an_end_at_any_turn_lands_everything(void **state)
{
	(void)state;
	for (unsigned int cut = 0; cut < 200; cut++) {
		struct fixture f;

		fixture_init(&f, cut + 1);
		start(&f, &f.client, H2_CLIENT, &pair_options);
		start(&f, &f.server, H2_SERVER, &pair_options);
		for (unsigned int i = 0; i < cut / 2; i++) {
			if (h2_conn_ready(&f.client.c) && h2_session_can_open(f.client.c.session))
				put(&f, &f.client, connect_stream(&f), 20000);
			(void)sim_turn(f.loop);
		}
		switch (cut % 4) {
		case 0: h2_conn_abort(&f.client.c, ERR_DRAINED); break;
		case 1: h2_conn_abort(&f.server.c, ERR_DRAINED); break;
		case 2: h2_conn_close(&f.client.c, 0); break;
		case 3: h2_conn_close(&f.server.c, 0); break;
		}
		until(&f, &f.client.landed);
		until(&f, &f.server.landed);
		if (cut % 4 == 0)
			assert_int_equal(f.client.cause, ERR_DRAINED);
		fixture_fini(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_close_says_goaway_and_ends_both_in_order),
		cmocka_unit_test(a_close_takes_along_what_is_queued_though_the_socket_is_full),
		cmocka_unit_test(a_close_against_a_peer_that_does_not_read_meets_its_deadline),
		cmocka_unit_test(a_broken_rule_is_answered_by_goaway_and_the_end),
		cmocka_unit_test(a_flood_of_broken_requests_ends_the_connection),
		cmocka_unit_test(without_buffers_sending_is_tried_again_and_nothing_is_lost),
		cmocka_unit_test(a_peer_that_answers_no_ping_is_dead),
		cmocka_unit_test(a_peer_that_answers_pings_lives),
		cmocka_unit_test(an_end_at_any_turn_lands_everything),
	};

	return cmocka_run_group_tests(tests, test_two_set_up, test_two_tear_down);
}
