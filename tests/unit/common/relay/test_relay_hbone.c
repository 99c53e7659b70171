/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An application, a relay into a tunnel, the tunnel, a relay out of it, an application: two proxies on one simulated
 * loop. Every seed is another legal order of completions. All of it twice: the second time the tunnel ends at a network
 * gateway, which passes on the bytes of a tunnel within it (contract 6.6).
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "common/hbone/inner_conn.h"
#include "common/relay/hbone_end.h"
#include "common/relay/relay.h"
#include "common/relay/socket_end.h"
#include "tests/unit/common/hbone/hbone_lab.h"

enum { SEEDS = 60, PATHS_MAX = 16, ALLOCATIONS_MAX = 3000 };

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

/* --- a path ----------------------------------------------------------------------------------- */

/* One proxy's half of a path. */
struct half {
	struct hbone_end tunnel;
	struct socket_end socket;
	struct relay relay;
	bool started, done;
	enum err cause;
	size_t moved[2];
};

struct path {
	struct hbone_call call;
	struct inner_call inner;
	struct half half[2]; /* the client's proxy, the server's */
	struct half gateway;
	int fd;     /* the client's, until its relay has it */
	int app[2]; /* the applications' sockets; -1: none, or closed */
	bool answered;
	enum err cause;
	size_t sent[2], got[2]; /* by the applications */
	int end[2];             /* what they saw: 1 a FIN, -1 a reset */
	bool shut[2];
};

struct fixture {
	struct lab lab;
	struct path path[PATHS_MAX];
	unsigned int calls, requests;
	struct h2_events scratch;
	struct list inner_conns;
	bool over; /* the applications are gone */
};

static struct fixture fixture;
static bool nested; /* through a gateway */

static void close_app(struct path *p, int i, bool reset)
{
	if (p->app[i] < 0)
		return;
	if (reset)
		loop_reset_close(fixture.lab.loop, p->app[i]);
	else
		loop_close(fixture.lab.loop, p->app[i]);
	p->app[i] = -1;
}

static void on_moved(struct relay *r, bool a_to_b, size_t n)
{
	container_of(r, struct half, relay)->moved[a_to_b ? 0 : 1] += n;
}

static void on_done(struct relay *r, enum err cause)
{
	struct half *h = container_of(r, struct half, relay);

	assert_false(h->done);
	h->done = true;
	h->cause = cause;
}

static const struct relay_owner relay_owner = {.moved = on_moved, .done = on_done};

/* Relay between the tunnel and fd; client: fd is where bytes come from. */
static void start(struct half *h, int fd, bool client)
{
	socket_end_init(&h->socket, fixture.lab.loop, fd);
	h->started = true;
	if (client)
		relay_start(&h->relay, &h->socket.end, &h->tunnel.end, &relay_owner);
	else
		relay_start(&h->relay, &h->tunnel.end, &h->socket.end, &relay_owner);
}

/* A gateway passes the stream's bytes on to whom it picks. */
static void pass_on(struct path *path, struct lab_peer *p, int32_t id)
{
	struct half *h = &path->gateway;
	int fds[2];

	sim_pair(fixture.lab.loop, fds);
	lab_serve(&fixture.lab, fds[0], path);
	hbone_end_attach(&h->tunnel, fixture.lab.loop, &p->server.conn.carrier, id, NULL);
	start(h, fds[1], false);
	if (hbone_server_grant(&h->tunnel.stream, NULL) != ERR_OK)
		relay_abort(&h->relay, ERR_MEMORY);
}

/* Requests come in the order of the asks: they share a tunnel. */
static void on_request(struct lab_peer *p, int32_t id, const struct hbone_request *req)
{
	struct path *path = p->arg != NULL ? p->arg : &fixture.path[fixture.requests++];
	struct half *h = &path->half[1];
	int fds[2];

	(void)req;
	if (nested && p->arg == NULL) {
		pass_on(path, p, id);
		return;
	}
	sim_pair(fixture.lab.loop, fds);
	path->app[1] = fds[0];
	hbone_end_attach(&h->tunnel, fixture.lab.loop, &p->server.conn.carrier, id, NULL);
	start(h, fds[1], false);
	if (hbone_server_grant(&h->tunnel.stream, NULL) != ERR_OK)
		relay_abort(&h->relay, ERR_MEMORY);
	if (fixture.over)
		close_app(path, 1, true); /* the client's half was over before its request came */
}

static void set_out(struct path *path, struct hbone_stream *s, enum err cause)
{
	struct half *h = &path->half[0];

	assert_false(path->answered);
	path->answered = true;
	path->cause = cause;
	if (cause != ERR_OK) {
		loop_reset_close(fixture.lab.loop, path->fd);
		return;
	}
	hbone_end_adopt(&h->tunnel, fixture.lab.loop, s, NULL);
	start(h, path->fd, true);
}

static void on_inner_answered(struct inner_call *a, enum err cause)
{
	set_out(container_of(a, struct path, inner), &a->stream, cause);
}

static const struct inner_call_owner inner_owner = {.answered = on_inner_answered};

static enum err call_inner(struct path *path)
{
	struct inner_setup setup = {.config = lab_alice(),
	                            .identities = &lab_bob,
	                            .identity_count = 1,
	                            .fields = fixture.lab.head.field,
	                            .field_count = fixture.lab.head.count,
	                            .options = &fixture.lab.pool.options.h2,
	                            .scratch = &fixture.scratch,
	                            .handshake_ms = LAB_HANDSHAKE_MS,
	                            .answer_ms = LAB_ANSWER_MS,
	                            .siblings = &fixture.inner_conns};

	return inner_call_start(&path->inner, fixture.lab.loop, &path->call.stream, &setup,
	                        &inner_owner);
}

static void on_answered(struct hbone_call *c, enum err cause)
{
	struct path *path = container_of(c, struct path, call);

	if (cause == ERR_OK && nested)
		cause = call_inner(path);
	if (cause != ERR_OK || !nested)
		set_out(path, &c->stream, cause);
}

static const struct hbone_call_owner call_owner = {.answered = on_answered};

/* An application connects. */
static struct path *open_path(void)
{
	struct path *path = &fixture.path[fixture.calls++];
	int fds[2];

	sim_pair(fixture.lab.loop, fds);
	path->app[0] = fds[0];
	path->app[1] = -1;
	path->fd = fds[1];
	lab_call(&fixture.lab, &path->call, &call_owner);
	return path;
}

static void fixture_init(const struct lab_options *opt)
{
	memset(&fixture, 0, sizeof(fixture));
	fail_at = 0;
	h2_events_init(&fixture.scratch);
	list_init(&fixture.inner_conns);
	lab_init(&fixture.lab, opt, on_request);
}

static struct lab_options seeded(uint64_t seed)
{
	return (struct lab_options){
		.sim = {.seed = seed, .socket_bytes = seed % 3 == 0 ? 2000 : 65536},
		.stream_window = seed % 2 == 0 ? 65535 : 0,
	};
}

static bool path_over(const struct path *p)
{
	return p->answered && (p->cause != ERR_OK || p->half[0].done) &&
	       (!p->half[1].started || p->half[1].done) && (!p->gateway.started || p->gateway.done);
}

/* Everything must be over by itself once the applications are gone; and nothing be left. */
static void fixture_fini(void)
{
	fixture.over = true;
	for (unsigned int i = 0; i < fixture.calls; i++) {
		close_app(&fixture.path[i], 0, true);
		close_app(&fixture.path[i], 1, true);
	}
	for (unsigned int i = 0; i < fixture.calls; i++) {
		struct path *p = &fixture.path[i];

		for (unsigned int t = 0; t < LAB_TURNS_MAX && !path_over(p); t++)
			(void)sim_turn(fixture.lab.loop);
		assert_true(path_over(p));
	}
	assert_true(list_empty(&fixture.inner_conns));
	lab_fini(&fixture.lab);
	h2_events_fini(&fixture.scratch);
}

/* --- applications ------------------------------------------------------------------------------ */

static uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 131 + i / 251);
}

/* Write what the socket takes of the pattern; true when all is written. */
static bool push(struct path *p, int i, size_t total)
{
	uint8_t chunk[5000];
	size_t n = total - p->sent[i] < sizeof(chunk) ? total - p->sent[i] : sizeof(chunk);
	ssize_t put;

	for (size_t k = 0; k < n; k++)
		chunk[k] = pattern(p->sent[i] + k);
	put = n == 0 ? 0 : sim_write(fixture.lab.loop, p->app[i], chunk, n);
	if (put > 0)
		p->sent[i] += (size_t)put;
	else if (put == -ECONNRESET)
		p->end[i] = -1; /* it is told once */
	return p->sent[i] == total;
}

static void pull(struct path *p, int i)
{
	uint8_t chunk[7000];
	ssize_t n = sim_read(fixture.lab.loop, p->app[i], chunk, sizeof(chunk));

	for (ssize_t k = 0; k < n; k++)
		assert_int_equal(chunk[k], pattern(p->got[i] + (size_t)k));
	if (n > 0)
		p->got[i] += (size_t)n;
	else if (n == 0)
		p->end[i] = 1;
	else if (n == -ECONNRESET)
		p->end[i] = -1;
}

/* One turn of an application that sends total octets, ends, and reads to the end. */
static void act(struct path *p, int i, size_t total)
{
	if (p->app[i] < 0)
		return;
	if (!p->shut[i] && push(p, i, total)) {
		loop_shutdown(fixture.lab.loop, p->app[i], SHUT_WR);
		p->shut[i] = true;
	}
	if (p->end[i] == 0)
		pull(p, i);
}

static void run_until_ended(struct path *p, size_t up, size_t down)
{
	for (unsigned int t = 0; t < LAB_TURNS_MAX && !(p->end[0] != 0 && p->end[1] != 0); t++) {
		act(p, 0, up);
		act(p, 1, down);
		(void)sim_turn(fixture.lab.loop);
	}
}

static void until_end(struct path *p, int i)
{
	for (unsigned int t = 0; t < LAB_TURNS_MAX && p->end[i] == 0; t++) {
		pull(p, i);
		(void)sim_turn(fixture.lab.loop);
	}
}

static void until_connected(struct path *p)
{
	for (unsigned int t = 0; t < LAB_TURNS_MAX && !p->half[0].started; t++)
		(void)sim_turn(fixture.lab.loop);
	assert_true(p->half[0].started && p->half[1].started);
}

static void until_over(struct path *p)
{
	for (unsigned int t = 0; t < LAB_TURNS_MAX && !path_over(p); t++)
		(void)sim_turn(fixture.lab.loop);
	assert_true(path_over(p));
}

/* --- claims ------------------------------------------------------------------------------------ */

static void bytes_arrive_bit_for_bit_both_ways_and_end_in_order(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct lab_options opt = seeded(seed);
		size_t up = seed < 8 ? 1500000 : (size_t)(seed * 3571), down = up * 2 / 3;
		struct path *p;

		fixture_init(&opt);
		p = open_path();
		run_until_ended(p, up, down);
		assert_int_equal(p->end[0], 1);
		assert_int_equal(p->end[1], 1);
		assert_int_equal(p->got[0], down);
		assert_int_equal(p->got[1], up);
		until_over(p);
		for (int i = 0; i < 2; i++) {
			assert_int_equal(p->half[i].cause, ERR_OK);
			assert_int_equal(p->half[i].moved[0], up);
			assert_int_equal(p->half[i].moved[1], down);
		}
		fixture_fini();
	}
}

static void paths_share_a_tunnel_without_mixing(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct lab_options opt = seeded(seed);
		bool all = false;

		fixture_init(&opt);
		for (unsigned int i = 0; i < PATHS_MAX; i++)
			(void)open_path();
		for (unsigned int t = 0; t < LAB_TURNS_MAX && !all; t++) {
			all = true;
			for (unsigned int i = 0; i < PATHS_MAX; i++) {
				struct path *p = &fixture.path[i];

				act(p, 0, 40000 + i * 1000);
				act(p, 1, 90000 - i * 1000);
				all = all && p->end[0] != 0 && p->end[1] != 0;
			}
			(void)sim_turn(fixture.lab.loop);
		}
		for (unsigned int i = 0; i < PATHS_MAX; i++) {
			struct path *p = &fixture.path[i];

			assert_int_equal(p->got[1], 40000 + i * 1000);
			assert_int_equal(p->got[0], 90000 - i * 1000);
			until_over(p);
			assert_int_equal(p->half[0].cause, ERR_OK);
			assert_int_equal(p->half[1].cause, ERR_OK);
		}
		assert_int_equal(fixture.lab.dials, 1);
		fixture_fini();
	}
}

static void half_close_leaves_the_other_direction_open(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct lab_options opt = seeded(seed);
		int from = (int)(seed & 1), to = 1 - from;
		struct path *p;

		fixture_init(&opt);
		p = open_path();
		until_connected(p);
		assert_true(push(p, from, 10));
		loop_shutdown(fixture.lab.loop, p->app[from], SHUT_WR);
		until_end(p, to);
		assert_int_equal(p->end[to], 1);
		assert_int_equal(p->got[to], 10);
		assert_false(p->half[0].done || p->half[1].done);
		for (unsigned int t = 0; t < LAB_TURNS_MAX && !push(p, to, 100000); t++) {
			pull(p, from);
			(void)sim_turn(fixture.lab.loop);
		}
		close_app(p, to, false);
		until_end(p, from);
		assert_int_equal(p->end[from], 1);
		assert_int_equal(p->got[from], 100000);
		until_over(p);
		assert_int_equal(p->half[0].cause, ERR_OK);
		assert_int_equal(p->half[1].cause, ERR_OK);
		fixture_fini();
	}
}

static void a_reset_arrives_as_a_reset_whoever_resets(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 2 * SEEDS; seed++) {
		struct lab_options opt = seeded(seed);
		int from = (int)(seed & 1), to = 1 - from;
		struct path *p;

		fixture_init(&opt);
		p = open_path();
		until_connected(p);
		if (seed % 4 != 0)
			(void)push(p, from, 5000);
		for (uint64_t i = 0; i < seed % 7; i++)
			(void)sim_turn(fixture.lab.loop);
		close_app(p, from, true);
		until_end(p, to);
		assert_int_equal(p->end[to], -1);
		until_over(p);
		assert_int_equal(p->half[from].cause, ERR_RESET);
		assert_int_equal(p->half[to].cause, ERR_H2_STREAM_RESET);
		fixture_fini();
	}
}

static void a_reset_after_the_fin_still_arrives(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct lab_options opt = seeded(seed);
		int from = (int)(seed & 1), to = 1 - from;
		struct path *p;

		fixture_init(&opt);
		p = open_path();
		until_connected(p);
		loop_shutdown(fixture.lab.loop, p->app[from], SHUT_WR);
		until_end(p, to);
		assert_int_equal(p->end[to], 1);
		close_app(p, from, true);
		until_over(p);
		assert_int_equal(p->half[from].cause, ERR_RESET);
		assert_int_equal(p->half[to].cause, ERR_H2_STREAM_RESET);
		fixture_fini();
	}
}

static void a_reset_of_a_sender_that_is_held_back_arrives(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct lab_options opt = seeded(seed);
		int from = (int)(seed & 1), to = 1 - from;
		struct path *p;
		size_t before;

		fixture_init(&opt);
		p = open_path();
		until_connected(p);
		do {
			before = p->sent[from];
			for (unsigned int i = 0; i < 300; i++) {
				(void)push(p, from, (size_t)1 << 30);
				(void)sim_turn(fixture.lab.loop);
			}
		} while (p->sent[from] != before);
		close_app(p, from, true);
		until_over(p); /* though the other application never reads */
		assert_int_equal(p->half[from].cause, ERR_RESET);
		until_end(p, to);
		assert_int_equal(p->end[to], -1);
		fixture_fini();
	}
}

/* Whatever happens to the tunnel: an application that sees a FIN has seen every byte before it. */
static void a_tunnel_that_dies_is_a_reset_unless_all_had_arrived(void **state)
{
	(void)state;
	for (unsigned int cut = 0; cut < 400; cut++) {
		struct lab_options opt = seeded(cut + 1);
		struct path *p;
		bool died;

		fixture_init(&opt);
		p = open_path();
		for (unsigned int t = 0; t < cut; t++) {
			act(p, 0, 30000);
			act(p, 1, 50000);
			(void)sim_turn(fixture.lab.loop);
		}
		died = !list_empty(&fixture.lab.peers);
		if (died && cut % 3 == 0)
			h2_conn_abort(&lab_first_peer(&fixture.lab)->server.conn.h2,
			              ERR_POLICY_CHANGED);
		else if (died && cut % 3 == 1)
			hbone_server_close(&lab_first_peer(&fixture.lab)->server,
			                   ERR_POLICY_CHANGED);
		else
			hbone_pool_stop(&fixture.lab.pool);
		for (unsigned int t = 0; t < LAB_TURNS_MAX && !path_over(p); t++) {
			act(p, 0, 30000);
			act(p, 1, 50000);
			(void)sim_turn(fixture.lab.loop);
		}
		assert_true(path_over(p));
		until_end(p, 0);
		if (p->end[0] == 1)
			assert_int_equal(p->got[0], 50000);
		if (p->app[1] >= 0) {
			until_end(p, 1);
			if (p->end[1] == 1)
				assert_int_equal(p->got[1], 30000);
		}
		fixture_fini();
	}
}

static void an_abort_of_either_relay_at_any_turn_is_a_reset_at_both_ends(void **state)
{
	(void)state;
	for (unsigned int cut = 0; cut < 200; cut++) {
		struct lab_options opt = seeded(cut + 1);
		int at = (int)(cut & 1);
		struct path *p;

		fixture_init(&opt);
		p = open_path();
		until_connected(p);
		for (unsigned int t = 0; t < cut / 2; t++) {
			(void)push(p, 0, (size_t)1 << 30);
			(void)push(p, 1, (size_t)1 << 30);
			pull(p, 0);
			pull(p, 1);
			(void)sim_turn(fixture.lab.loop);
		}
		relay_abort(&p->half[at].relay, ERR_POLICY_CHANGED);
		until_end(p, 0);
		until_end(p, 1);
		assert_int_equal(p->end[0], -1);
		assert_int_equal(p->end[1], -1);
		until_over(p);
		assert_int_equal(p->half[at].cause, ERR_POLICY_CHANGED);
		assert_int_equal(p->half[1 - at].cause, ERR_H2_STREAM_RESET);
		fixture_fini();
	}
}

static void a_reader_that_stops_bounds_what_both_proxies_hold(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 6; seed++) {
		struct lab_options opt = {.sim = {.seed = seed, .iobuf_bytes_max = 256 << 20}};
		int from = (int)(seed & 1), to = 1 - from;
		struct path *p;
		size_t before;

		fixture_init(&opt);
		p = open_path();
		until_connected(p);
		do {
			before = p->sent[from];
			for (unsigned int i = 0; i < 500; i++) {
				(void)push(p, from, (size_t)1 << 30);
				(void)sim_turn(fixture.lab.loop);
			}
		} while (p->sent[from] != before);
		/* the stream's window at the far proxy, the high mark at the near one, three kernels' buffers */
		assert_in_range(p->sent[from], 1024 * 1024,
		                1024 * 1024 + RELAY_QUEUE_HIGH + 4 * 65536 +
		                        SOCKET_BATCH * IOBUF_SLOT_LEN);
		assert_in_range(iobuf_pool_bytes_in_use(loop_iobufs(fixture.lab.loop)), 0,
		                (nested ? 6 : 4) * 1024 * 1024);
		loop_shutdown(fixture.lab.loop, p->app[from], SHUT_WR);
		until_end(p, to);
		assert_int_equal(p->end[to], 1);
		assert_int_equal(p->got[to], p->sent[from]);
		fixture_fini();
	}
}

/* A peer that opens many streams and lets nothing through. */
static void readers_that_stop_bound_what_their_tunnel_holds_together(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++) {
		struct lab_options opt = {.sim = {.seed = seed, .iobuf_bytes_max = 256 << 20},
		                          .stream_window = 65535};
		size_t queued, before = 1, sent = 0;
		bool all = false;

		fixture_init(&opt);
		for (unsigned int i = 0; i < PATHS_MAX; i++)
			(void)open_path();
		until_connected(&fixture.path[PATHS_MAX - 1]);
		for (; sent != before;) {
			before = sent;
			sent = 0;
			for (unsigned int t = 0; t < 500; t++) {
				for (unsigned int i = 0; i < PATHS_MAX; i++)
					(void)push(&fixture.path[i], 0, (size_t)1 << 30);
				(void)sim_turn(fixture.lab.loop);
			}
			for (unsigned int i = 0; i < PATHS_MAX; i++)
				sent += fixture.path[i].sent[0];
		}
		queued = fixture.path[0].half[0].tunnel.stream.carrier->queued;
		/* within a tunnel each stream has a carrier of its own */
		assert_in_range(queued, nested ? RELAY_QUEUE_HIGH : CARRIER_QUEUED_MAX,
		                CARRIER_QUEUED_MAX + PATHS_MAX * (size_t)65536);
		for (unsigned int i = 0; i < PATHS_MAX; i++)
			loop_shutdown(fixture.lab.loop, fixture.path[i].app[0], SHUT_WR);
		for (unsigned int t = 0; t < LAB_TURNS_MAX && !all; t++) {
			all = true;
			for (unsigned int i = 0; i < PATHS_MAX; i++) {
				pull(&fixture.path[i], 1);
				all = all && fixture.path[i].end[1] != 0;
			}
			(void)sim_turn(fixture.lab.loop);
		}
		for (unsigned int i = 0; i < PATHS_MAX; i++)
			assert_int_equal(fixture.path[i].got[1], fixture.path[i].sent[0]);
		fixture_fini();
	}
}

static void want_of_buffers_delays_and_loses_nothing(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct lab_options opt = seeded(seed);
		struct path *p;

		opt.sim.enobufs_of_1000 = 300;
		fixture_init(&opt);
		p = open_path();
		run_until_ended(p, 100000, 50000);
		assert_int_equal(p->end[0], 1);
		assert_int_equal(p->end[1], 1);
		assert_int_equal(p->got[0], 50000);
		assert_int_equal(p->got[1], 100000);
		fixture_fini();
	}
}

/* One run in which the n-th buffer or queue place is not to be had; false when there was no n-th. */
static bool run_without(uint64_t n)
{
	struct lab_options opt = seeded(n % 7 + 1);
	struct path *p;
	bool met;

	fixture_init(&opt);
	taken = 0;
	fail_at = n;
	p = open_path();
	for (unsigned int t = 0; t < 20000 && !path_over(p); t++) {
		act(p, 0, 30000);
		act(p, 1, 60000);
		(void)sim_turn(fixture.lab.loop);
	}
	met = taken >= n;
	fail_at = 0;
	assert_true(path_over(p));
	until_end(p, 0);
	if (p->end[0] == 1)
		assert_int_equal(p->got[0], 60000);
	if (p->app[1] >= 0) {
		until_end(p, 1);
		if (p->end[1] == 1)
			assert_int_equal(p->got[1], 30000);
	}
	fixture_fini();
	return met;
}

static void without_any_one_buffer_a_path_goes_on_or_is_reset_but_never_cut_short(void **state)
{
	uint64_t n = 1;

	(void)state;
	while (n < ALLOCATIONS_MAX && run_without(n))
		n++;
	assert_in_range(n, 20, ALLOCATIONS_MAX - 1);
}

/* The third piece of the pattern comes in the turn in which there was no place for the second. */
static void what_follows_a_piece_there_was_no_place_for_never_leaves(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct lab_options opt = seeded(seed);
		int from = (int)(seed & 1), to = 1 - from;
		struct half *h;
		struct path *p;

		fixture_init(&opt);
		p = open_path();
		until_connected(p);
		h = &p->half[from];
		for (size_t at = 0; at < (size_t)3 * IOBUF_SLOT_LEN; at += IOBUF_SLOT_LEN) {
			struct iobuf *b = iobuf_take(loop_iobufs(fixture.lab.loop), IOBUF_SLOT);
			struct iobuf_view v = {
				.buf = b, .p = b->mem + IOBUF_HEAD, .len = IOBUF_SLOT_LEN};

			for (size_t i = 0; i < v.len; i++)
				v.p[i] = pattern(at + i);
			taken = 0;
			fail_at = at == IOBUF_SLOT_LEN ? 1 : 0;
			(void)relay_on_data(&h->socket.end, v);
			fail_at = 0;
		}
		relay_on_eof(&h->socket.end);
		until_end(p, to);
		assert_int_equal(p->end[to], -1);
		until_over(p);
		assert_int_equal(h->cause, ERR_MEMORY);
		assert_int_equal(p->half[to].cause, ERR_H2_STREAM_RESET);
		fixture_fini();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_arrive_bit_for_bit_both_ways_and_end_in_order),
		cmocka_unit_test(paths_share_a_tunnel_without_mixing),
		cmocka_unit_test(half_close_leaves_the_other_direction_open),
		cmocka_unit_test(a_reset_arrives_as_a_reset_whoever_resets),
		cmocka_unit_test(a_reset_after_the_fin_still_arrives),
		cmocka_unit_test(a_reset_of_a_sender_that_is_held_back_arrives),
		cmocka_unit_test(a_tunnel_that_dies_is_a_reset_unless_all_had_arrived),
		cmocka_unit_test(an_abort_of_either_relay_at_any_turn_is_a_reset_at_both_ends),
		cmocka_unit_test(a_reader_that_stops_bounds_what_both_proxies_hold),
		cmocka_unit_test(readers_that_stop_bound_what_their_tunnel_holds_together),
		cmocka_unit_test(want_of_buffers_delays_and_loses_nothing),
		cmocka_unit_test(
			without_any_one_buffer_a_path_goes_on_or_is_reset_but_never_cut_short),
		cmocka_unit_test(what_follows_a_piece_there_was_no_place_for_never_leaves),
	};
	/* the library is set up once in a process */
	int failed = cmocka_run_group_tests_name("through a tunnel", tests, lab_set_up, NULL);

	nested = true;
	return failed + cmocka_run_group_tests_name("through a tunnel within a tunnel", tests, NULL,
	                                            lab_tear_down);
}
