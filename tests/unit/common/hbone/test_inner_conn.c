/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inner connection of double HBONE when things go wrong, on the simulated loop; the gateway is the test's own hands.
 * What it carries when all is well is test_relay_hbone's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/hbone/inner_conn.h"
#include "tests/unit/common/hbone/hbone_lab.h"

enum { SEEDS = 20, PING_MS = 3000 };

enum gateway_mode {
	GATEWAY_PASSES,
	GATEWAY_SILENT,
	GATEWAY_GARBAGE,
	GATEWAY_ENDS,
	GATEWAY_RESETS,
};

enum far_mode { FAR_GRANTS, FAR_REFUSES, FAR_SILENT };

static struct {
	struct lab lab;
	struct h2_events scratch;
	struct list inner_conns;
	struct hbone_call outer;
	struct inner_call inner;
	struct hbone_stream stream; /* what was granted */
	struct hbone_stream gateway;
	struct hbone_stream far;
	enum gateway_mode mode;
	enum far_mode far_mode;
	const char *expected; /* NULL: nobody */
	uint32_t ping_ms;
	int fd; /* from the gateway to the far end */
	bool muted;
	unsigned int outer_answered, answered, broken, far_requests, far_broken;
	enum err cause, broken_cause;
	uint16_t status;
	char peer[128];
	bool had_head;
} f;

/* --- streams in the test's hands -------------------------------------------------------------- */

static void on_head(struct hbone_stream *s, const struct h2_head *head)
{
	(void)s;
	(void)head;
}

static void on_data(struct hbone_stream *s, struct iobuf *buf, struct span bytes)
{
	(void)buf;
	hbone_stream_taken(s, bytes.n);
}

static void on_end(struct hbone_stream *s)
{
	(void)s;
}

static void on_sent(struct hbone_stream *s, size_t n)
{
	(void)s;
	(void)n;
}

static void on_broken(struct hbone_stream *s, enum err cause)
{
	if (s == &f.stream) {
		f.broken++;
		f.broken_cause = cause;
	} else if (s == &f.far) {
		f.far_broken++;
	}
}

static const struct hbone_stream_owner stream_owner = {
	.head = on_head, .data = on_data, .end = on_end, .sent = on_sent, .broken = on_broken};

/* --- the gateway ------------------------------------------------------------------------------- */

static void on_gateway_data(struct hbone_stream *s, struct iobuf *buf, struct span bytes)
{
	(void)buf;
	if (f.mode == GATEWAY_PASSES && f.fd >= 0 && !f.muted)
		assert_int_equal(sim_write(f.lab.loop, f.fd, bytes.p, bytes.n), bytes.n);
	hbone_stream_taken(s, bytes.n);
	if (f.mode == GATEWAY_RESETS)
		hbone_stream_reset(s, 0x2);
}

static void on_gateway_end(struct hbone_stream *s)
{
	hbone_stream_end(s);
}

static const struct hbone_stream_owner gateway_owner = {.head = on_head,
                                                        .data = on_gateway_data,
                                                        .end = on_gateway_end,
                                                        .sent = on_sent,
                                                        .broken = on_broken};

static void say(const uint8_t *p, size_t n)
{
	struct iobuf *b = iobuf_take(loop_iobufs(f.lab.loop), IOBUF_SLOT);

	assert_non_null(b);
	memcpy(b->mem + IOBUF_HEAD, p, n);
	(void)hbone_stream_put(&f.gateway,
	                       (struct iobuf_view){b, b->mem + IOBUF_HEAD, (uint32_t)n});
}

/* A turn, and what the far end said since goes on to the near one. */
static bool turn(void)
{
	uint8_t chunk[8000];
	bool more = sim_turn(f.lab.loop);
	ssize_t n = f.fd < 0 || f.muted ? 0 : sim_read(f.lab.loop, f.fd, chunk, sizeof(chunk));

	if (n > 0)
		say(chunk, (size_t)n);
	return more || n > 0;
}

static void until(const unsigned int *n)
{
	for (unsigned int i = 0; i < LAB_TURNS_MAX && *n == 0; i++)
		(void)turn();
	assert_int_equal(*n, 1);
}

static void on_request(struct lab_peer *p, int32_t id, const struct hbone_request *req)
{
	static const uint8_t garbage[] = "HTTP/1.1 200 OK\r\n\r\nhello";
	int fds[2];

	(void)req;
	if (p->arg != NULL) {
		f.far_requests++;
		if (f.far_mode == FAR_REFUSES) {
			hbone_server_refuse_id(&p->server, id, ERR_POLICY_DENY);
			return;
		}
		hbone_stream_attach(&f.far, &p->server.conn.carrier, id, &stream_owner);
		if (f.far_mode == FAR_GRANTS)
			assert_int_equal(hbone_server_grant(&f.far, NULL), ERR_OK);
		return;
	}
	hbone_stream_attach(&f.gateway, &p->server.conn.carrier, id, &gateway_owner);
	assert_int_equal(hbone_server_grant(&f.gateway, NULL), ERR_OK);
	switch (f.mode) {
	case GATEWAY_PASSES:
		sim_pair(f.lab.loop, fds);
		f.fd = fds[0];
		lab_serve(&f.lab, fds[1], &f);
		break;
	case GATEWAY_SILENT: break;
	case GATEWAY_GARBAGE: say(garbage, sizeof(garbage)); break;
	case GATEWAY_ENDS: hbone_stream_end(&f.gateway); break;
	case GATEWAY_RESETS: break; /* at the first word */
	}
}

/* --- the near end --------------------------------------------------------------------------------- */

static void on_inner_answered(struct inner_call *a, enum err cause)
{
	f.answered++;
	f.cause = cause;
	f.status = a->status;
	f.had_head = a->head != NULL;
	(void)snprintf(f.peer, sizeof(f.peer), "%s", a->peer != NULL ? a->peer : "");
	if (cause == ERR_OK)
		hbone_stream_move(&a->stream, &f.stream, &stream_owner);
}

static const struct inner_call_owner inner_owner = {.answered = on_inner_answered};

static void on_answered(struct hbone_call *c, enum err cause)
{
	struct h2_options h2 = f.lab.pool.options.h2;
	struct inner_setup setup = {.config = lab_alice(),
	                            .identities = &f.expected,
	                            .identity_count = f.expected != NULL ? 1 : 0,
	                            .fields = f.lab.head.field,
	                            .field_count = f.lab.head.count,
	                            .options = &h2,
	                            .scratch = &f.scratch,
	                            .handshake_ms = LAB_HANDSHAKE_MS,
	                            .answer_ms = LAB_ANSWER_MS,
	                            .siblings = &f.inner_conns};

	h2.ping_interval_ms = f.ping_ms;
	h2.ping_timeout_ms = 2 * f.ping_ms;
	assert_int_equal(cause, ERR_OK);
	f.outer_answered++;
	assert_int_equal(inner_call_start(&f.inner, f.lab.loop, &c->stream, &setup, &inner_owner),
	                 ERR_OK);
	assert_int_equal(f.answered, 0); /* never inside the call */
}

static const struct hbone_call_owner call_owner = {.answered = on_answered};

static void begin(uint64_t seed)
{
	struct lab_options opt = {.sim = {.seed = seed}};

	memset(&f, 0, sizeof(f));
	f.expected = lab_bob;
	f.fd = -1;
	list_init(&f.inner_conns);
	h2_events_init(&f.scratch);
	lab_init(&f.lab, &opt, on_request);
}

static void call(void)
{
	lab_call(&f.lab, &f.outer, &call_owner);
}

/* Whatever happened, it ends by itself once the stream is let go, and leaves the outer tunnel as it was. */
static void finish(void)
{
	hbone_stream_reset(&f.stream, 0x8);
	for (unsigned int i = 0; i < LAB_TURNS_MAX && !list_empty(&f.lab.peers) &&
	                         (!list_empty(&f.inner_conns) || f.gateway.carrier != NULL);
	     i++) {
		if (!turn() && list_empty(&f.inner_conns))
			break;
	}
	assert_true(list_empty(&f.inner_conns));
	if (f.outer_answered == 0)
		hbone_call_cancel(&f.outer);
	if (f.fd >= 0)
		loop_close(f.lab.loop, f.fd);
	f.fd = -1;
	lab_fini(&f.lab);
	h2_events_fini(&f.scratch);
}

/* --- claims ------------------------------------------------------------------------------------------ */

static void who_is_not_expected_hears_no_request(void **state)
{
	static const char *const expected[] = {"spiffe://cluster.local/ns/demo/sa/carol", NULL};

	(void)state;
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		begin(seed);
		f.expected = expected[seed % 2];
		call();
		until(&f.answered);
		assert_int_equal(f.cause, ERR_TLS_WRONG_IDENTITY);
		assert_false(f.had_head);
		finish();
		assert_int_equal(f.far_requests, 0);
	}
}

static void a_refusal_arrives_with_its_status_and_who_refused(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		begin(seed);
		f.far_mode = FAR_REFUSES;
		call();
		until(&f.answered);
		assert_int_equal(f.cause, ERR_HBONE_STATUS);
		assert_int_equal(f.status, 401);
		assert_true(f.had_head);
		assert_string_equal(f.peer, lab_bob);
		finish();
	}
}

static const struct {
	enum gateway_mode mode;
	enum far_mode far_mode;
	enum err cause;
} failures[] = {
	{GATEWAY_SILENT, FAR_GRANTS, ERR_TLS_TIMEOUT},
	{GATEWAY_GARBAGE, FAR_GRANTS, ERR_TLS},
	{GATEWAY_ENDS, FAR_GRANTS, ERR_EOF},
	{GATEWAY_RESETS, FAR_GRANTS, ERR_H2_STREAM_RESET},
	{GATEWAY_PASSES, FAR_SILENT, ERR_HBONE_TIMEOUT},
};

static void whatever_goes_wrong_is_told_once_and_exactly(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
		for (uint64_t seed = 0; seed < SEEDS; seed++) {
			begin(seed);
			f.mode = failures[i].mode;
			f.far_mode = failures[i].far_mode;
			call();
			until(&f.answered);
			if (f.cause != failures[i].cause)
				fail_msg("failure %zu: %s", i, err_info(f.cause)->name);
			finish();
			assert_int_equal(f.answered, 1);
		}
	}
}

static void a_far_end_that_falls_silent_is_dead_by_ping(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		begin(seed);
		f.ping_ms = PING_MS;
		call();
		until(&f.answered);
		assert_int_equal(f.cause, ERR_OK);
		f.muted = true;
		until(&f.broken);
		assert_int_equal(f.broken_cause, ERR_H2_PING_TIMEOUT);
		f.muted = false;
		finish();
	}
}

static void answered_pings_keep_a_quiet_connection_alive(void **state)
{
	uint64_t until_ms;

	(void)state;
	begin(7);
	f.ping_ms = PING_MS;
	call();
	until(&f.answered);
	until_ms = loop_now_ms(f.lab.loop) + 10 * PING_MS;
	while (loop_now_ms(f.lab.loop) < until_ms)
		(void)turn();
	assert_int_equal(f.broken, 0);
	finish();
}

static void what_becomes_of_the_outer_stream_breaks_the_inner_one(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 2 * SEEDS; seed++) {
		begin(seed);
		call();
		until(&f.answered);
		if (seed % 2 == 0)
			hbone_stream_reset(&f.gateway, 0x2);
		else
			hbone_stream_end(&f.gateway);
		until(&f.broken);
		assert_int_equal(f.broken_cause,
		                 seed % 2 == 0 ? ERR_H2_STREAM_RESET : ERR_TLS_TRUNCATED);
		finish();
	}
}

static void a_cancel_at_any_turn_leaves_nothing(void **state)
{
	(void)state;
	for (unsigned int cut = 0; cut < 120; cut++) {
		begin(cut);
		f.far_mode = cut % 2 == 0 ? FAR_GRANTS : FAR_SILENT;
		call();
		for (unsigned int i = 0; i < cut || f.outer_answered == 0; i++)
			(void)turn();
		inner_call_cancel(&f.inner);
		inner_call_cancel(&f.inner); /* harmless */
		finish();
	}
}

/* The far end hears of a reset, and the outer tunnel serves the next call. */
static void an_end_is_told_to_the_far_end_and_spares_the_outer_tunnel(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		begin(seed);
		call();
		until(&f.answered);
		hbone_stream_reset(&f.stream, 0x8);
		until(&f.far_broken);
		for (unsigned int i = 0; i < LAB_TURNS_MAX && !list_empty(&f.inner_conns); i++)
			(void)turn();
		assert_true(list_empty(&f.inner_conns));
		assert_int_equal(hbone_pool_tunnels(&f.lab.pool), 1);
		finish();
		assert_int_equal(f.lab.dials, 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_is_not_expected_hears_no_request),
		cmocka_unit_test(a_refusal_arrives_with_its_status_and_who_refused),
		cmocka_unit_test(whatever_goes_wrong_is_told_once_and_exactly),
		cmocka_unit_test(a_far_end_that_falls_silent_is_dead_by_ping),
		cmocka_unit_test(answered_pings_keep_a_quiet_connection_alive),
		cmocka_unit_test(what_becomes_of_the_outer_stream_breaks_the_inner_one),
		cmocka_unit_test(a_cancel_at_any_turn_leaves_nothing),
		cmocka_unit_test(an_end_is_told_to_the_far_end_and_spares_the_outer_tunnel),
	};

	return cmocka_run_group_tests(tests, lab_set_up, lab_tear_down);
}
