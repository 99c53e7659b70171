/* SPDX-License-Identifier: Apache-2.0 */
/* Relays between two sockets, on the simulated loop: every seed is another legal order of completions. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "common/base/rand.h"
#include "common/relay/relay.h"
#include "common/relay/socket_end.h"
#include "tests/sim/sim.h"

enum { SEEDS = 200, BULK = 700 * 1000, TURNS_MAX = 200000 };

static bool no_memory, no_place;

void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
bool __real_iobuf_queue_push(struct iobuf_queue *q, struct iobuf_view v);
bool __wrap_iobuf_queue_push(struct iobuf_queue *q, struct iobuf_view v);

void *__wrap_malloc(size_t n)
{
	return no_memory ? NULL : __real_malloc(n);
}

bool __wrap_iobuf_queue_push(struct iobuf_queue *q, struct iobuf_view v)
{
	return !no_place && __real_iobuf_queue_push(q, v);
}

struct fixture {
	struct loop *loop;
	struct relay relay;
	struct socket_end a, b;
	int app[2]; /* the far ends: what a client and a server hold */
	size_t moved[2];
	bool done;
	enum err cause;
};

static void on_moved(struct relay *r, bool a_to_b, size_t n)
{
	container_of(r, struct fixture, relay)->moved[a_to_b ? 0 : 1] += n;
}

static void on_done(struct relay *r, enum err cause)
{
	struct fixture *f = container_of(r, struct fixture, relay);

	assert_false(f->done);
	f->done = true;
	f->cause = cause;
}

static const struct relay_owner owner = {.moved = on_moved, .done = on_done};

static void fixture_init(struct fixture *f, uint64_t seed, size_t socket_bytes)
{
	struct sim_options opt = {.seed = seed, .socket_bytes = socket_bytes};
	int left[2], right[2];

	memset(f, 0, sizeof(*f));
	f->loop = sim_new(&opt);
	sim_pair(f->loop, left);
	sim_pair(f->loop, right);
	f->app[0] = left[0];
	f->app[1] = right[0];
	socket_end_init(&f->a, f->loop, left[1]);
	socket_end_init(&f->b, f->loop, right[1]);
	relay_start(&f->relay, &f->a.end, &f->b.end, &owner);
}

static void fixture_fini(struct fixture *f)
{
	assert_int_equal(sim_open_sockets(f->loop), 0);
	assert_int_equal(iobuf_pool_bytes_in_use(loop_iobufs(f->loop)), 0);
	loop_free(f->loop);
}

static uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 131 + i / 251);
}

/* Write what the socket takes of the pattern; true when all is written. */
static bool push(struct fixture *f, int fd, size_t *at, size_t total)
{
	uint8_t chunk[5000];
	size_t n = total - *at < sizeof(chunk) ? total - *at : sizeof(chunk);
	ssize_t put;

	for (size_t i = 0; i < n; i++)
		chunk[i] = pattern(*at + i);
	put = n == 0 ? 0 : sim_write(f->loop, fd, chunk, n);
	if (put > 0)
		*at += (size_t)put;
	return *at == total;
}

/* Read and check; 1 at the end of the stream, 0 so far, -1 on a reset. */
static int pull(struct fixture *f, int fd, size_t *at)
{
	uint8_t chunk[7000];
	ssize_t n = sim_read(f->loop, fd, chunk, sizeof(chunk));

	for (ssize_t i = 0; i < n; i++)
		assert_int_equal(chunk[i], pattern(*at + (size_t)i));
	if (n > 0)
		*at += (size_t)n;
	if (n == -ECONNRESET)
		return -1;
	return n == 0 ? 1 : 0;
}

/* Also when the socket takes less than the header at once, and when both sides already talk. */
static void a_preface_comes_first_and_is_not_counted(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct sim_options opt = {.seed = seed, .socket_bytes = seed % 2 == 0 ? 7 : 65536};
		struct fixture f = {.done = false};
		size_t head_len = 1 + seed * 37 % 2000, got = 0, total = 1 + seed * 977 % 30000;
		size_t sent = 0, back = 0;
		int left[2], right[2];
		bool shut = false;
		struct iobuf *b;

		f.loop = sim_new(&opt);
		sim_pair(f.loop, left);
		sim_pair(f.loop, right);
		f.app[0] = left[0];
		f.app[1] = right[0];
		socket_end_init(&f.a, f.loop, left[1]);
		socket_end_init(&f.b, f.loop, right[1]);
		b = iobuf_take(loop_iobufs(f.loop), IOBUF_SMALL);
		for (size_t i = 0; i < head_len; i++)
			b->mem[i] = pattern(i);
		socket_end_preface(&f.b, (struct iobuf_view){
						 .buf = b, .p = b->mem, .len = (uint32_t)head_len});
		relay_start(&f.relay, &f.a.end, &f.b.end, &owner);
		sent = head_len; /* the stream goes on with the pattern */
		for (unsigned int turns = 0; turns < TURNS_MAX && !f.done; turns++) {
			if (!shut && push(&f, f.app[0], &sent, head_len + total)) {
				loop_shutdown(f.loop, f.app[0], SHUT_WR);
				shut = true;
			}
			if (got < head_len + total && pull(&f, f.app[1], &got) == 0 &&
			    got == head_len + total)
				loop_close(f.loop, f.app[1]);
			(void)pull(&f, f.app[0], &back);
			(void)sim_turn(f.loop);
		}
		assert_true(f.done);
		assert_int_equal(got, head_len + total);
		assert_int_equal(f.moved[0], total);
		assert_int_equal(f.relay.a_to_b, total);
		loop_close(f.loop, f.app[0]);
		assert_true(sim_settle(f.loop, TURNS_MAX));
		fixture_fini(&f);
	}
}

static void both_directions_arrive_bit_for_bit_under_any_order(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct fixture f;
		size_t total = seed < 20 ? BULK : 1 + (size_t)(seed * 977 % 40000);
		size_t sent[2] = {0}, got[2] = {0};
		bool shut[2] = {false}, ended[2] = {false};

		fixture_init(&f, seed, seed % 3 == 0 ? 1000 : 65536);
		for (unsigned int turns = 0; turns < TURNS_MAX && !(ended[0] && ended[1]);
		     turns++) {
			for (int i = 0; i < 2; i++) {
				if (!shut[i] && push(&f, f.app[i], &sent[i], total)) {
					loop_shutdown(f.loop, f.app[i], SHUT_WR);
					shut[i] = true;
				}
				if (!ended[i])
					ended[i] = pull(&f, f.app[i], &got[i]) == 1;
			}
			(void)sim_turn(f.loop);
		}
		assert_true(ended[0] && ended[1]);
		assert_int_equal(got[0], total);
		assert_int_equal(got[1], total);
		assert_true(sim_settle(f.loop, TURNS_MAX));
		assert_true(f.done);
		assert_int_equal(f.cause, ERR_OK);
		assert_int_equal(f.moved[0], total);
		assert_int_equal(f.moved[1], total);
		loop_close(f.loop, f.app[0]);
		loop_close(f.loop, f.app[1]);
		(void)sim_settle(f.loop, TURNS_MAX);
		fixture_fini(&f);
	}
}

/* Turn until the far end saw the end of the stream (1) or a reset (-1). */
static int pull_to_end(struct fixture *f, int fd, size_t *at)
{
	int r = 0;

	for (unsigned int i = 0; i < TURNS_MAX && (r = pull(f, fd, at)) == 0; i++)
		(void)sim_turn(f->loop);
	return r;
}

static void half_close_leaves_the_other_direction_open(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct fixture f;
		size_t got = 0, sent = 0, back = 0;

		fixture_init(&f, seed, 0);
		assert_true(push(&f, f.app[0], &sent, 10));
		loop_shutdown(f.loop, f.app[0], SHUT_WR);
		assert_int_equal(pull_to_end(&f, f.app[1], &got), 1);
		assert_int_equal(got, 10);
		assert_false(f.done);
		sent = 0;
		assert_true(push(&f, f.app[1], &sent, 2000));
		loop_close(f.loop, f.app[1]);
		assert_int_equal(pull_to_end(&f, f.app[0], &back), 1);
		assert_int_equal(back, 2000);
		loop_close(f.loop, f.app[0]);
		assert_true(sim_settle(f.loop, TURNS_MAX));
		assert_true(f.done);
		assert_int_equal(f.cause, ERR_OK);
		fixture_fini(&f);
	}
}

static void a_reset_arrives_as_a_reset(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct fixture f;
		size_t got = 0, sent = 0;
		int from = (int)(seed & 1), r = 0;

		fixture_init(&f, seed, 0);
		(void)push(&f, f.app[from], &sent, seed % 4 == 0 ? 0 : 100);
		for (uint64_t i = 0; i < seed % 5; i++)
			(void)sim_turn(f.loop);
		loop_reset_close(f.loop, f.app[from]);
		for (unsigned int i = 0; i < TURNS_MAX && r == 0; i++) {
			(void)sim_turn(f.loop);
			r = pull(&f, f.app[1 - from], &got);
		}
		assert_int_equal(r, -1);
		loop_close(f.loop, f.app[1 - from]);
		assert_true(sim_settle(f.loop, TURNS_MAX));
		assert_true(f.done);
		assert_int_equal(f.cause, ERR_RESET);
		fixture_fini(&f);
	}
}

static void a_reset_after_the_fin_still_arrives(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct fixture f;
		size_t got = 0;

		fixture_init(&f, seed, 0);
		loop_shutdown(f.loop, f.app[0], SHUT_WR);
		assert_int_equal(pull_to_end(&f, f.app[1], &got), 1);
		loop_reset_close(f.loop, f.app[0]);
		assert_true(sim_settle(f.loop, TURNS_MAX));
		assert_true(f.done);
		assert_int_equal(f.cause, ERR_RESET);
		loop_close(f.loop, f.app[1]);
		(void)sim_settle(f.loop, TURNS_MAX);
		fixture_fini(&f);
	}
}

static void a_reader_that_stops_holds_back_the_writer(void **state)
{
	struct fixture f;
	size_t sent = 0, before = 0;

	(void)state;
	fixture_init(&f, 7, 65536);
	do {
		before = sent;
		(void)push(&f, f.app[0], &sent, (size_t)1 << 30);
		(void)sim_settle(f.loop, 1000);
	} while (sent != before);
	/* two kernels' buffers, the queue's high mark, and what one hot read may add to it */
	assert_in_range(sent, RELAY_QUEUE_LOW,
	                2 * 65536 + RELAY_QUEUE_HIGH + SOCKET_BATCH * IOBUF_SLOT_LEN);
	assert_in_range(iobuf_pool_bytes_in_use(loop_iobufs(f.loop)), 0, 2 * 1024 * 1024);
	relay_abort(&f.relay, ERR_DRAINED);
	assert_true(sim_settle(f.loop, TURNS_MAX));
	assert_true(f.done);
	loop_close(f.loop, f.app[0]);
	loop_close(f.loop, f.app[1]);
	(void)sim_settle(f.loop, TURNS_MAX);
	fixture_fini(&f);
}

static void without_memory_to_send_it_ends_as_a_reset(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct fixture f;
		size_t sent = 0, got = 0;

		fixture_init(&f, seed, 0);
		assert_true(push(&f, f.app[0], &sent, 100));
		assert_true(sim_settle(f.loop, TURNS_MAX)); /* a free buffer is there from now on */
		no_memory = true;
		(void)push(&f, f.app[0], &sent, 200);
		assert_true(sim_settle(f.loop, TURNS_MAX));
		no_memory = false;
		assert_true(f.done);
		assert_true(f.cause == ERR_MEMORY || f.cause == ERR_OVERLOAD);
		assert_int_equal(pull_to_end(&f, f.app[1], &got), -1);
		loop_close(f.loop, f.app[0]);
		loop_close(f.loop, f.app[1]);
		(void)sim_settle(f.loop, TURNS_MAX);
		fixture_fini(&f);
	}
}

/* n octets of the pattern, from at on, come out of an end. */
static void come(struct fixture *f, size_t at, size_t n)
{
	struct iobuf *b = iobuf_take(loop_iobufs(f->loop), IOBUF_SLOT);

	for (size_t i = 0; i < n; i++)
		b->mem[i] = pattern(at + i);
	(void)relay_on_data(&f->a.end,
	                    (struct iobuf_view){.buf = b, .p = b->mem, .len = (uint32_t)n});
}

/* A send is under way when there is no place for what comes next; it may end before that is reported. */
static void what_follows_a_piece_there_was_no_place_for_never_leaves(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct fixture f;
		size_t got = 0;

		fixture_init(&f, seed, 0);
		come(&f, 0, 10000);
		(void)sim_turn(f.loop);
		no_place = true;
		come(&f, 10000, 10000);
		no_place = false;
		if (seed % 2 == 0)
			come(&f, 20000, 10000);
		relay_on_eof(&f.a.end);
		assert_int_equal(pull_to_end(&f, f.app[1], &got), -1);
		assert_true(sim_settle(f.loop, TURNS_MAX));
		assert_true(f.done);
		assert_int_equal(f.cause, ERR_MEMORY);
		loop_close(f.loop, f.app[0]);
		loop_close(f.loop, f.app[1]);
		(void)sim_settle(f.loop, TURNS_MAX);
		fixture_fini(&f);
	}
}

static void abort_at_every_turn_lands_every_op(void **state)
{
	(void)state;
	for (unsigned int cut = 0; cut < 60; cut++) {
		struct fixture f;
		size_t sent[2] = {0}, got = 0;

		fixture_init(&f, cut + 1, 2000);
		for (unsigned int i = 0; i < cut; i++) {
			(void)push(&f, f.app[0], &sent[0], BULK);
			(void)push(&f, f.app[1], &sent[1], BULK);
			(void)pull(&f, f.app[1], &got);
			(void)sim_turn(f.loop);
		}
		relay_abort(&f.relay, ERR_POLICY_CHANGED);
		assert_true(sim_settle(f.loop, TURNS_MAX));
		assert_true(f.done);
		assert_int_equal(f.cause, ERR_POLICY_CHANGED);
		loop_close(f.loop, f.app[0]);
		loop_close(f.loop, f.app[1]);
		(void)sim_settle(f.loop, TURNS_MAX);
		fixture_fini(&f);
	}
}

static void one_byte_writes_to_a_slow_reader_cost_about_their_own_size(void **state)
{
	struct fixture f;
	size_t sent = 0;

	(void)state;
	fixture_init(&f, 3, 1000);
	for (unsigned int i = 0; i < 20000; i++) {
		(void)push(&f, f.app[0], &sent, sent + 1);
		(void)sim_turn(f.loop);
	}
	assert_in_range(sent, 15000, 20000);
	assert_in_range(iobuf_pool_bytes_in_use(loop_iobufs(f.loop)), 0, 512 * 1024);
	relay_abort(&f.relay, ERR_DRAINED);
	(void)sim_settle(f.loop, TURNS_MAX);
	loop_close(f.loop, f.app[0]);
	loop_close(f.loop, f.app[1]);
	(void)sim_settle(f.loop, TURNS_MAX);
	fixture_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_preface_comes_first_and_is_not_counted),
		cmocka_unit_test(both_directions_arrive_bit_for_bit_under_any_order),
		cmocka_unit_test(half_close_leaves_the_other_direction_open),
		cmocka_unit_test(a_reset_arrives_as_a_reset),
		cmocka_unit_test(a_reset_after_the_fin_still_arrives),
		cmocka_unit_test(a_reader_that_stops_holds_back_the_writer),
		cmocka_unit_test(without_memory_to_send_it_ends_as_a_reset),
		cmocka_unit_test(what_follows_a_piece_there_was_no_place_for_never_leaves),
		cmocka_unit_test(abort_at_every_turn_lands_every_op),
		cmocka_unit_test(one_byte_writes_to_a_slow_reader_cost_about_their_own_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
