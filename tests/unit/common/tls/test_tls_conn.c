/* SPDX-License-Identifier: Apache-2.0 */
/* Two TLS connections on the simulated loop: every seed is another legal order of completions. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "common/tls/tls_conn.h"
#include "tests/sim/sim.h"
#include "tests/unit/common/tls/test_pki.h"

#define ALICE "spiffe://cluster.local/ns/demo/sa/alice"
#define BOB   "spiffe://cluster.local/ns/demo/sa/bob"

enum {
	SEEDS = 60,
	TURNS_MAX = 200000,
	HANDSHAKE_MS = 10000,
	ALLOCATIONS_MAX = 2000,
};

static struct test_pki root, stranger;
static struct tls_config *alice, *bob, *outsider;

/* --- buffers that are not to be had ---------------------------------------------------------- */

static uint64_t taken, fail_at; /* fail_at 0: never */

struct iobuf *__real_iobuf_take(struct iobuf_pool *pool, enum iobuf_class cls);
struct iobuf *__wrap_iobuf_take(struct iobuf_pool *pool, enum iobuf_class cls);
bool __real_iobuf_queue_push(struct iobuf_queue *q, struct iobuf_view v);
bool __wrap_iobuf_queue_push(struct iobuf_queue *q, struct iobuf_view v);

static bool fails_now(void)
{
	return ++taken == fail_at;
}

struct iobuf *__wrap_iobuf_take(struct iobuf_pool *pool, enum iobuf_class cls)
{
	return fails_now() ? NULL : __real_iobuf_take(pool, cls);
}

bool __wrap_iobuf_queue_push(struct iobuf_queue *q, struct iobuf_view v)
{
	return !fails_now() && __real_iobuf_queue_push(q, v);
}

/* --- one end --------------------------------------------------------------------------------- */

struct end {
	struct tls_conn c;
	size_t put, got; /* octets of the pattern */
	size_t put_max;  /* drained() puts on until here */
	unsigned int established, arrived, drained, ended, landed;
	enum err cause;
	bool close_when_established;
};

struct fixture {
	struct loop *loop;
	struct tls_gate gate; /* of the server's handshakes */
	struct end client, server;
	int fd[2];
};

static uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 131 + i / 251);
}

static struct end *of(struct tls_conn *c)
{
	return container_of(c, struct end, c);
}

/* One record of n octets, or nothing when there is no buffer. */
static void put(struct end *e, size_t n)
{
	struct iobuf *b = __real_iobuf_take(loop_iobufs(e->c.loop), IOBUF_SLOT);
	struct iobuf_view v;

	if (b == NULL)
		return;
	v = (struct iobuf_view){.buf = b, .p = b->mem + IOBUF_HEAD, .len = (uint32_t)n};
	for (size_t i = 0; i < n; i++)
		v.p[i] = pattern(e->put + i);
	e->put += n;
	tls_conn_put(&e->c, v);
}

static void put_up_to(struct end *e, size_t total)
{
	while (e->put < total && tls_conn_open(&e->c) &&
	       tls_conn_queued(&e->c) < TLS_CONN_QUEUE_MAX)
		put(e, total - e->put < IOBUF_SLOT_LEN ? total - e->put : IOBUF_SLOT_LEN);
}

static void on_established(struct tls_conn *c)
{
	struct end *e = of(c);

	assert_int_equal(e->established++, 0);
	put_up_to(e, e->put_max);
	if (e->close_when_established)
		tls_conn_close(c);
}

static void on_plain(struct tls_conn *c, struct iobuf *buf, uint8_t *p, size_t n)
{
	struct end *e = of(c);

	assert_int_equal(e->established, 1);
	assert_int_equal(e->ended, 0);
	assert_true(p >= buf->mem && p + n <= buf->mem + buf->cap);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(p[i], pattern(e->got + i));
	e->got += n;
}

static void on_arrived(struct tls_conn *c)
{
	of(c)->arrived++;
}

static void on_drained(struct tls_conn *c)
{
	struct end *e = of(c);

	assert_true(tls_conn_queued(c) < TLS_CONN_QUEUE_LOW);
	e->drained++;
	put_up_to(e, e->put_max);
}

static void on_ended(struct tls_conn *c, enum err cause)
{
	struct end *e = of(c);

	assert_int_equal(e->ended++, 0);
	e->cause = cause;
}

static void on_landed(struct tls_conn *c)
{
	struct end *e = of(c);

	assert_int_equal(e->ended, 1);
	assert_int_equal(e->landed++, 0);
	tls_conn_fini(c);
}

static const struct tls_conn_owner owner = {
	.established = on_established,
	.plain = on_plain,
	.arrived = on_arrived,
	.drained = on_drained,
	.ended = on_ended,
	.landed = on_landed,
};

/* --- the fixture ------------------------------------------------------------------------------ */

static const char *const expected[] = {BOB};

static void start(struct fixture *f, struct end *e, struct tls_config *cfg, enum tls_role role)
{
	struct tls_expect expect = {0};

	if (role == TLS_CLIENT)
		expect = (struct tls_expect){.identities = expected, .identity_count = 1};
	tls_conn_start(&e->c, f->loop, f->fd[role], tls_session_new(cfg, role, &expect), &owner,
	               HANDSHAKE_MS);
	if (role == TLS_SERVER)
		tls_conn_set_gate(&e->c, &f->gate);
}

static void fixture_init(struct fixture *f, const struct sim_options *opt)
{
	memset(f, 0, sizeof(*f));
	fail_at = 0;
	f->loop = sim_new(opt);
	tls_gate_init(&f->gate, f->loop);
	sim_pair(f->loop, f->fd);
}

static void fixture_start(struct fixture *f)
{
	start(f, &f->client, alice, TLS_CLIENT);
	start(f, &f->server, bob, TLS_SERVER);
}

static void until_established(struct fixture *f)
{
	for (unsigned int i = 0;
	     i < TURNS_MAX && !(f->client.established > 0 && f->server.established > 0); i++)
		(void)sim_turn(f->loop);
	assert_true(tls_conn_open(&f->client.c) && tls_conn_open(&f->server.c));
}

static void until_got(struct fixture *f, struct end *e, size_t n)
{
	for (unsigned int i = 0; i < TURNS_MAX && e->got < n; i++)
		(void)sim_turn(f->loop);
	assert_int_equal(e->got, n);
}

static void until_landed(struct fixture *f, struct end *e)
{
	for (unsigned int i = 0; i < TURNS_MAX && e->landed == 0; i++)
		(void)sim_turn(f->loop);
	assert_int_equal(e->landed, 1);
}

static void fixture_fini(struct fixture *f)
{
	assert_true(sim_settle(f->loop, TURNS_MAX));
	assert_int_equal(sim_open_sockets(f->loop), 0);
	assert_int_equal(loop_pending(f->loop), 0);
	assert_int_equal(iobuf_pool_bytes_in_use(loop_iobufs(f->loop)), 0);
	tls_gate_fini(&f->gate);
	loop_free(f->loop);
}

static struct sim_options seeded(uint64_t seed)
{
	return (struct sim_options){.seed = seed, .socket_bytes = seed % 3 == 0 ? 3000 : 65536};
}

/* --- claims ----------------------------------------------------------------------------------- */

static void bytes_arrive_both_ways_in_order_and_a_close_ends_both(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct sim_options opt = seeded(seed);
		size_t total = seed < 8 ? 3 * TLS_CONN_QUEUE_MAX : (size_t)(seed * 977);
		struct fixture f;

		fixture_init(&f, &opt);
		f.client.put_max = total;
		f.server.put_max = total / 2;
		fixture_start(&f);
		until_got(&f, &f.server, total);
		until_got(&f, &f.client, total / 2);
		tls_conn_close(&f.client.c);
		until_landed(&f, &f.client);
		until_landed(&f, &f.server);
		assert_int_equal(f.client.cause, ERR_OK);
		assert_int_equal(f.server.cause, ERR_OK);
		fixture_fini(&f);
	}
}

static void what_was_queued_before_a_close_arrives_though_the_peer_is_sending(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct sim_options opt = seeded(seed);
		struct fixture f;
		size_t last;

		fixture_init(&f, &opt);
		f.client.put_max = 900000;
		fixture_start(&f);
		until_established(&f);
		put_up_to(&f.server, 200000);
		last = f.server.put;
		tls_conn_close(&f.server.c);
		until_landed(&f, &f.client);
		assert_int_equal(f.client.got, last);
		assert_int_equal(f.client.cause, ERR_OK);
		until_landed(&f, &f.server);
		assert_int_equal(f.server.cause, ERR_OK);
		fixture_fini(&f);
	}
}

static void both_may_close_at_once(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct sim_options opt = seeded(seed);
		struct fixture f;

		fixture_init(&f, &opt);
		f.client.put_max = f.server.put_max = 100;
		f.client.close_when_established = f.server.close_when_established = true;
		fixture_start(&f);
		until_landed(&f, &f.client);
		until_landed(&f, &f.server);
		assert_int_equal(f.client.cause, ERR_OK);
		fixture_fini(&f);
	}
}

static void a_refused_certificate_is_told_to_its_owner_as_an_alert(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct sim_options opt = seeded(seed);
		bool server_refuses = seed % 2 == 0;
		struct fixture f;

		fixture_init(&f, &opt);
		f.client.put_max = 300000; /* it may be sending already when the alert comes */
		start(&f, &f.client, server_refuses ? outsider : alice, TLS_CLIENT);
		start(&f, &f.server, server_refuses ? bob : outsider, TLS_SERVER);
		until_landed(&f, &f.client);
		until_landed(&f, &f.server);
		if (server_refuses) {
			/* outsider trusts only its own root, so either may be the first to refuse */
			assert_true(f.client.cause == ERR_TLS_UNTRUSTED ||
			            f.client.cause == ERR_TLS_ALERT);
		} else {
			assert_int_equal(f.client.cause, ERR_TLS_UNTRUSTED);
			assert_int_equal(f.server.cause, ERR_TLS_ALERT);
		}
		fixture_fini(&f);
	}
}

static void a_client_that_sends_already_hears_why_it_was_refused(void **state)
{
	struct test_leaf leaf = {.uris = {"spiffe://other.org/ns/demo/sa/alice"}};
	struct test_material m;
	struct tls_material view;
	struct tls_config *foreign = NULL;
	char why[200];

	(void)state;
	test_pki_issue(&root, &leaf, &m); /* trusted root, but another trust domain */
	view = test_material_view(&m);
	assert_int_equal(tls_config_new(&view, &foreign, why, sizeof(why)), ERR_OK);
	test_material_fini(&m);
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct sim_options opt = seeded(seed);
		struct fixture f;

		fixture_init(&f, &opt);
		f.client.put_max = 300000;
		start(&f, &f.client, foreign, TLS_CLIENT);
		start(&f, &f.server, bob, TLS_SERVER);
		until_landed(&f, &f.client);
		until_landed(&f, &f.server);
		assert_int_equal(f.server.cause, ERR_TLS_TRUST_DOMAIN);
		assert_int_equal(f.client.cause, ERR_TLS_ALERT);
		fixture_fini(&f);
	}
	tls_config_unref(foreign);
}

static void a_forged_record_ends_the_connection_and_the_peer_hears_of_it(void **state)
{
	static const uint8_t forged[] = {23,  3,   3,   0,   20,  'x', 'x', 'x', 'x',
	                                 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x',
	                                 'x', 'x', 'x', 'x', 'x', 'x', 'x'};

	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct sim_options opt = seeded(seed);
		struct fixture f;

		fixture_init(&f, &opt);
		fixture_start(&f);
		until_established(&f);
		assert_true(sim_settle(f.loop, TURNS_MAX));
		assert_int_equal(sim_write(f.loop, f.fd[TLS_CLIENT], forged, sizeof(forged)),
		                 sizeof(forged));
		until_landed(&f, &f.server);
		until_landed(&f, &f.client);
		assert_int_equal(f.server.cause, ERR_TLS);
		assert_int_equal(f.client.cause, ERR_TLS_ALERT);
		fixture_fini(&f);
	}
}

static void a_close_without_close_notify_is_a_truncation_and_a_reset_a_reset(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct sim_options opt = seeded(seed);
		struct fixture f;

		fixture_init(&f, &opt);
		fixture_start(&f);
		until_established(&f);
		put_up_to(&f.client, seed % 2 == 0 ? 0 : 5000);
		until_got(&f, &f.server, f.client.put);
		if (seed % 3 == 0) {
			loop_shutdown(f.loop, f.fd[TLS_CLIENT], SHUT_WR);
			until_landed(&f, &f.server);
			assert_int_equal(f.server.cause, ERR_TLS_TRUNCATED);
			tls_conn_abort(&f.client.c, ERR_CANCELLED);
		} else {
			tls_conn_abort(&f.client.c, ERR_CANCELLED);
			until_landed(&f, &f.server);
			assert_true(f.server.cause == ERR_TLS_TRUNCATED ||
			            f.server.cause == ERR_RESET);
		}
		until_landed(&f, &f.client);
		fixture_fini(&f);
	}
}

static void on_nothing(struct tls_gate_entry *e)
{
	(void)e;
}

/* The gate is crowded: the hello waits for its turn, or for the end of the connection. */
static void a_handshake_waits_at_a_crowded_gate_and_can_end_there(void **state)
{
	static struct tls_gate_entry crowd[20 * TLS_GATE_STEPS];

	(void)state;
	for (unsigned int cut = 0; cut < 60; cut++) {
		struct fixture f;

		fixture_init(&f, &(struct sim_options){.seed = cut + 1});
		for (unsigned int i = 0; i < ARRAY_LEN(crowd); i++) {
			tls_gate_entry_init(&crowd[i], on_nothing);
			(void)tls_gate_pass(&f.gate, &crowd[i]);
		}
		fixture_start(&f);
		for (unsigned int i = 0; i < cut; i++)
			(void)sim_turn(f.loop);
		if (cut < 10) { /* 20 turns of others come first */
			assert_int_equal(f.server.established, 0);
			tls_conn_abort(&f.server.c, ERR_CANCELLED);
			until_landed(&f, &f.server);
			until_landed(&f, &f.client);
		} else {
			until_established(&f);
			tls_conn_close(&f.client.c);
			until_landed(&f, &f.server);
			until_landed(&f, &f.client);
		}
		while (sim_turn(f.loop))
			;
		fixture_fini(&f);
	}
}

static void a_silent_peer_meets_the_handshake_deadline(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, NULL);
	start(&f, &f.client, alice, TLS_CLIENT);
	until_landed(&f, &f.client);
	assert_int_equal(f.client.cause, ERR_TLS_TIMEOUT);
	assert_in_range(loop_now_ms(f.loop), 1000 + HANDSHAKE_MS, 1000 + HANDSHAKE_MS + 100);
	loop_close(f.loop, f.fd[TLS_SERVER]);
	fixture_fini(&f);
}

static void a_close_that_a_peer_does_not_read_ends_at_its_deadline(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct sim_options opt = seeded(seed);
		struct fixture f;
		uint64_t at;

		fixture_init(&f, &opt);
		start(&f, &f.client, alice, TLS_CLIENT); /* nobody reads at the other end */
		(void)sim_turn(f.loop);
		at = loop_now_ms(f.loop);
		tls_conn_close(&f.client.c);
		until_landed(&f, &f.client);
		assert_int_equal(f.client.cause, ERR_OK);
		assert_true(loop_now_ms(f.loop) <= at + TLS_CONN_CLOSE_MS + 100);
		loop_close(f.loop, f.fd[TLS_SERVER]);
		fixture_fini(&f);
	}
}

static void a_full_queue_asks_for_more_once_it_is_low(void **state)
{
	struct sim_options opt = {.seed = 5, .socket_bytes = 10000};
	struct fixture f;

	(void)state;
	fixture_init(&f, &opt);
	f.client.put_max = 4 * TLS_CONN_QUEUE_MAX;
	fixture_start(&f);
	until_got(&f, &f.server, 4 * TLS_CONN_QUEUE_MAX);
	assert_true(f.client.drained >= 3);
	tls_conn_close(&f.server.c);
	until_landed(&f, &f.client);
	until_landed(&f, &f.server);
	fixture_fini(&f);
}

static void a_receive_without_a_buffer_waits_and_loses_nothing(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct sim_options opt = {.seed = seed, .enobufs_of_1000 = 500};
		struct fixture f;

		fixture_init(&f, &opt);
		f.client.put_max = 20000;
		f.server.put_max = 20000;
		fixture_start(&f);
		until_got(&f, &f.server, 20000);
		until_got(&f, &f.client, 20000);
		tls_conn_close(&f.client.c);
		until_landed(&f, &f.client);
		until_landed(&f, &f.server);
		assert_int_equal(f.client.cause, ERR_OK);
		assert_int_equal(f.server.cause, ERR_OK);
		fixture_fini(&f);
	}
}

static void a_receive_that_never_gets_a_buffer_ends_as_an_overload(void **state)
{
	struct sim_options opt = {.seed = 1, .enobufs_of_1000 = 1000};
	struct fixture f;

	(void)state;
	fixture_init(&f, &opt);
	fixture_start(&f);
	until_landed(&f, &f.server);
	until_landed(&f, &f.client);
	assert_int_equal(f.server.cause, ERR_OVERLOAD);
	fixture_fini(&f);
}

/* One run in which the n-th buffer or queue place is not to be had; false when there was no n-th. */
static bool run_without(uint64_t n, uint64_t seed)
{
	struct sim_options opt = seeded(seed);
	struct fixture f;
	bool met;

	fixture_init(&f, &opt);
	f.client.put_max = 60000;
	f.server.put_max = 60000;
	taken = 0;
	fail_at = n;
	fixture_start(&f);
	for (unsigned int i = 0; i < TURNS_MAX; i++) {
		bool all = f.client.got == 60000 && f.server.got == 60000;

		if (all || f.client.ended > 0 || f.server.ended > 0)
			break;
		(void)sim_turn(f.loop);
	}
	met = taken >= n;
	assert_true(f.client.ended > 0 || f.server.ended > 0 ||
	            (f.client.got == 60000 && f.server.got == 60000));
	if (f.client.ended == 0)
		tls_conn_close(&f.client.c);
	until_landed(&f, &f.client);
	until_landed(&f, &f.server);
	fail_at = 0;
	fixture_fini(&f);
	return met;
}

static void without_any_one_buffer_a_connection_goes_on_or_ends_but_never_hangs(void **state)
{
	uint64_t n = 1;

	(void)state;
	while (n < ALLOCATIONS_MAX && run_without(n, n % 7 + 1))
		n++;
	assert_in_range(n, 10, ALLOCATIONS_MAX - 1);
}

static void abort_at_every_turn_lands_every_op(void **state)
{
	(void)state;
	for (unsigned int cut = 0; cut < 150; cut++) {
		struct sim_options opt = seeded(cut + 1);
		struct fixture f;

		fixture_init(&f, &opt);
		f.client.put_max = 500000;
		f.server.put_max = 500000;
		fixture_start(&f);
		for (unsigned int i = 0; i < cut; i++)
			(void)sim_turn(f.loop);
		if (cut % 2 == 0)
			tls_conn_abort(&f.client.c, ERR_POLICY_CHANGED);
		else
			tls_conn_abort(&f.server.c, ERR_POLICY_CHANGED);
		until_landed(&f, &f.client);
		until_landed(&f, &f.server);
		assert_int_equal(cut % 2 == 0 ? f.client.cause : f.server.cause,
		                 ERR_POLICY_CHANGED);
		fixture_fini(&f);
	}
}

static void close_at_every_turn_ends_both(void **state)
{
	(void)state;
	for (unsigned int cut = 0; cut < 150; cut++) {
		struct sim_options opt = seeded(cut + 1);
		struct fixture f;

		fixture_init(&f, &opt);
		f.client.put_max = 500000;
		f.server.put_max = 500000;
		fixture_start(&f);
		for (unsigned int i = 0; i < cut; i++)
			(void)sim_turn(f.loop);
		tls_conn_close(cut % 2 == 0 ? &f.client.c : &f.server.c);
		until_landed(&f, &f.client);
		until_landed(&f, &f.server);
		fixture_fini(&f);
	}
}

static void a_quiet_connection_gives_its_large_buffer_back(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct sim_options opt = seeded(seed);
		struct fixture f;

		fixture_init(&f, &opt);
		fixture_start(&f);
		until_established(&f);
		put_up_to(&f.client, 100000);
		until_got(&f, &f.server, 100000);
		assert_true(sim_settle(f.loop, TURNS_MAX));
		assert_int_equal(iobuf_pool_bytes_in_use(loop_iobufs(f.loop)), 0);
		put_up_to(&f.client, 200000);
		until_got(&f, &f.server, 200000);
		tls_conn_close(&f.client.c);
		until_landed(&f, &f.client);
		until_landed(&f, &f.server);
		fixture_fini(&f);
	}
}

/* A peer begins a record and holds its tongue, or goes on an octet at a time. */
static void half_a_record_holds_no_more_than_a_record(void **state)
{
	static const uint8_t half[1000] = {0x17, 0x03, 0x03, 0x40, 0x11};

	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct sim_options opt = seeded(seed);
		struct fixture f;
		size_t held;

		fixture_init(&f, &opt);
		fixture_start(&f);
		until_established(&f);
		if (seed % 2 == 0) { /* after it was busy */
			put_up_to(&f.client, 300000);
			until_got(&f, &f.server, 300000);
		}
		assert_int_equal(sim_write(f.loop, f.fd[0], half, sizeof(half)), sizeof(half));
		for (unsigned int i = 0; i < 10; i++) {
			assert_int_equal(sim_write(f.loop, f.fd[0], half, 1), 1);
			for (unsigned int t = 0; t < 50; t++)
				loop_turn(f.loop, 1);
			sim_advance(f.loop, TLS_CONN_COOL_MS - 100);
		}
		held = iobuf_pool_bytes_in_use(loop_iobufs(f.loop));
		assert_in_range(held, 1, IOBUF_SLOT_MEM + 200);
		tls_conn_abort(&f.server.c, ERR_DRAINED);
		tls_conn_abort(&f.client.c, ERR_DRAINED);
		until_landed(&f, &f.server);
		until_landed(&f, &f.client);
		fixture_fini(&f);
	}
}

static int set_up(void **state)
{
	(void)state;
	assert_int_equal(tls_global_init(), ERR_OK);
	test_pki_init(&root, "root");
	test_pki_init(&stranger, "stranger");
	alice = test_pki_config(&root, ALICE);
	bob = test_pki_config(&root, BOB);
	outsider = test_pki_config(&stranger, BOB);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tls_config_unref(alice);
	tls_config_unref(bob);
	tls_config_unref(outsider);
	test_pki_fini(&root);
	test_pki_fini(&stranger);
	tls_global_fini();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_arrive_both_ways_in_order_and_a_close_ends_both),
		cmocka_unit_test(what_was_queued_before_a_close_arrives_though_the_peer_is_sending),
		cmocka_unit_test(both_may_close_at_once),
		cmocka_unit_test(a_refused_certificate_is_told_to_its_owner_as_an_alert),
		cmocka_unit_test(a_client_that_sends_already_hears_why_it_was_refused),
		cmocka_unit_test(a_forged_record_ends_the_connection_and_the_peer_hears_of_it),
		cmocka_unit_test(a_close_without_close_notify_is_a_truncation_and_a_reset_a_reset),
		cmocka_unit_test(a_handshake_waits_at_a_crowded_gate_and_can_end_there),
		cmocka_unit_test(a_silent_peer_meets_the_handshake_deadline),
		cmocka_unit_test(a_close_that_a_peer_does_not_read_ends_at_its_deadline),
		cmocka_unit_test(a_full_queue_asks_for_more_once_it_is_low),
		cmocka_unit_test(a_receive_without_a_buffer_waits_and_loses_nothing),
		cmocka_unit_test(a_receive_that_never_gets_a_buffer_ends_as_an_overload),
		cmocka_unit_test(
			without_any_one_buffer_a_connection_goes_on_or_ends_but_never_hangs),
		cmocka_unit_test(abort_at_every_turn_lands_every_op),
		cmocka_unit_test(close_at_every_turn_ends_both),
		cmocka_unit_test(a_quiet_connection_gives_its_large_buffer_back),
		cmocka_unit_test(half_a_record_holds_no_more_than_a_record),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
