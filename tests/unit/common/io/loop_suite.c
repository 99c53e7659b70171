/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/common/io/loop_suite.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/io/timer.h"

enum {
	TURNS_MAX = 200000,
	TURN_MS = 10,
	MANY = 100,
	PROBE_OPS = 64,
};

static const struct bed *bed; /* of the run in progress: cmocka hands tests no argument of ours */
static struct loop *loop;

static int set_up(void **state)
{
	(void)state;
	loop = bed->new_loop(NULL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(loop_pending(loop), 0);
	loop_turn(loop, 0); /* closes, frees what was retired */
	loop_free(loop);
	return 0;
}

/* An op with its memory of what happened. */
struct probe {
	struct op_msg m; /* m.op for the others */
	unsigned int calls;
	int32_t res;
	struct iobuf *buf;
	bool pending_inside;
	struct iovec iov[LOOP_IOV_MAX];
};

static void on_probe(struct op *op)
{
	struct probe *p = container_of(op, struct probe, m.op);

	p->calls++;
	p->res = op->res;
	p->buf = op->buf;
	p->pending_inside = op->pending;
}

static struct probe *probe_new(void)
{
	return mem_new(sizeof(struct probe));
}

static void await(struct probe *p)
{
	for (unsigned int i = 0; i < TURNS_MAX && p->m.op.pending; i++)
		loop_turn(loop, TURN_MS);
	assert_false(p->m.op.pending);
	assert_int_equal(p->calls, 1);
	assert_false(p->pending_inside);
}

static void write_all(int fd, const void *mem, size_t n)
{
	assert_int_equal(bed->write(loop, fd, mem, n), n);
}

static void close_pair(const int fds[2])
{
	loop_close(loop, fds[0]);
	loop_close(loop, fds[1]);
}

static void fill(uint8_t *mem, size_t n)
{
	for (size_t i = 0; i < n; i++)
		mem[i] = (uint8_t)(i * 31 + i / 251);
}

static void connect_to(struct probe *p, int fd, const struct endpoint *ep)
{
	struct sockaddr_storage ss;
	socklen_t len = endpoint_to_sockaddr(ep, false, &ss);

	loop_connect(loop, &p->m.op, fd, (struct sockaddr *)&ss, len, on_probe);
	memset(&ss, 0xee, sizeof(ss)); /* the address is copied */
}

/* -- accept and connect */

struct acceptor {
	struct op op;
	int listener;
	int fds[MANY];
	unsigned int count;
	int32_t last_res;
};

static void on_accept(struct op *op)
{
	struct acceptor *a = container_of(op, struct acceptor, op);

	a->last_res = op->res;
	if (op->res >= 0) {
		assert_true(a->count < MANY);
		a->fds[a->count++] = op->res;
	}
	if (!op->pending && op->res >= 0)
		loop_accept(loop, op, a->listener, on_accept);
}

static void end_acceptor(struct acceptor *a)
{
	loop_cancel(loop, &a->op);
	for (unsigned int i = 0; i < TURNS_MAX && a->op.pending; i++)
		loop_turn(loop, TURN_MS);
	assert_false(a->op.pending);
	assert_int_equal(a->last_res, -ECANCELED);
	for (unsigned int i = 0; i < a->count; i++)
		loop_close(loop, a->fds[i]);
	loop_close(loop, a->listener);
}

static void one_accept_takes_every_connection(void **state)
{
	struct acceptor a = {.count = 0};
	struct probe *probes[MANY];
	struct endpoint ep;
	int fds[MANY];

	(void)state;
	a.listener = bed->listen(loop, &ep);
	loop_accept(loop, &a.op, a.listener, on_accept);
	for (unsigned int i = 0; i < MANY; i++) {
		probes[i] = probe_new();
		fds[i] = bed->socket(loop);
		connect_to(probes[i], fds[i], &ep);
	}
	for (unsigned int i = 0; i < MANY; i++) {
		await(probes[i]);
		assert_int_equal(probes[i]->res, 0);
		free(probes[i]);
	}
	for (unsigned int i = 0; i < TURNS_MAX && a.count < MANY; i++)
		loop_turn(loop, TURN_MS);
	assert_int_equal(a.count, MANY);
	end_acceptor(&a);
	for (unsigned int i = 0; i < MANY; i++)
		loop_close(loop, fds[i]);
}

static void a_cancelled_accept_ends_with_ecanceled(void **state)
{
	struct acceptor a = {.count = 0};
	struct endpoint ep;

	(void)state;
	a.listener = bed->listen(loop, &ep);
	loop_accept(loop, &a.op, a.listener, on_accept);
	loop_turn(loop, 0);
	end_acceptor(&a);
	assert_int_equal(a.count, 0);
}

static void connect_to_nobody_is_refused(void **state)
{
	struct probe *p = probe_new();
	struct endpoint ep;
	int listener, fd;

	(void)state;
	listener = bed->listen(loop, &ep);
	loop_close(loop, listener);
	loop_turn(loop, 0);
	fd = bed->socket(loop);
	connect_to(p, fd, &ep);
	await(p);
	assert_int_equal(p->res, -ECONNREFUSED);
	loop_close(loop, fd);
	free(p);
}

/* -- receiving */

static void recv_reads_into_lent_memory(void **state)
{
	struct probe *p = probe_new();
	char mem[64] = {0};
	int fds[2];

	(void)state;
	bed->pair(loop, fds);
	write_all(fds[1], "x", 1);
	loop_recv(loop, &p->m.op, fds[0], mem, sizeof(mem), on_probe);
	assert_int_equal(p->calls, 0); /* never inside the submit */
	await(p);
	assert_int_equal(p->res, 1);
	assert_int_equal(mem[0], 'x');
	assert_null(p->buf);
	close_pair(fds);
	free(p);
}

/* Receive n octets through the loop's buffers, of at most max each, and compare. */
static void receive_all(int fd, bool slot, const uint8_t *want, size_t n)
{
	size_t max = slot ? IOBUF_SLOT_LEN : IOBUF_SMALL_MEM;

	for (size_t at = 0; at < n;) {
		struct probe *p = probe_new();

		if (slot)
			loop_recv_slot(loop, &p->m.op, fd, on_probe);
		else
			loop_recv_small(loop, &p->m.op, fd, on_probe);
		await(p);
		assert_true(p->res > 0 && (size_t)p->res <= max);
		assert_non_null(p->buf);
		assert_int_equal(p->buf->cls, slot ? IOBUF_SLOT : IOBUF_SMALL);
		assert_memory_equal(p->buf->mem + (slot ? IOBUF_HEAD : 0), want + at, p->res);
		at += (size_t)p->res;
		iobuf_unref(p->buf);
		free(p);
	}
}

static void provided_buffers_arrive_filled(void **state)
{
	uint8_t want[40000];
	int fds[2];

	(void)state;
	fill(want, sizeof(want));
	bed->pair(loop, fds);
	write_all(fds[1], want, sizeof(want));
	receive_all(fds[0], true, want, sizeof(want));
	write_all(fds[1], want, sizeof(want));
	receive_all(fds[0], false, want, sizeof(want));
	close_pair(fds);
}

static void waiting_receives_hold_no_memory(void **state)
{
	struct probe *probes[PROBE_OPS];
	int fds[PROBE_OPS][2];
	size_t before = iobuf_pool_bytes_in_use(loop_iobufs(loop));

	(void)state;
	for (unsigned int i = 0; i < PROBE_OPS; i++) {
		probes[i] = probe_new();
		bed->pair(loop, fds[i]);
		if (i % 2 == 0)
			loop_recv_slot(loop, &probes[i]->m.op, fds[i][0], on_probe);
		else
			loop_recv_small(loop, &probes[i]->m.op, fds[i][0], on_probe);
	}
	loop_turn(loop, 0);
	loop_turn(loop, 0);
	assert_int_equal(loop_pending(loop), PROBE_OPS);
	assert_int_equal(iobuf_pool_bytes_in_use(loop_iobufs(loop)), before);
	for (unsigned int i = 0; i < PROBE_OPS; i++) {
		loop_cancel(loop, &probes[i]->m.op);
		await(probes[i]);
		assert_int_equal(probes[i]->res, -ECANCELED);
		assert_null(probes[i]->buf);
		close_pair(fds[i]);
		free(probes[i]);
	}
}

static void recvv_now_does_not_wait(void **state)
{
	struct probe *p = probe_new();
	char a[2], b[8];
	int fds[2];

	(void)state;
	bed->pair(loop, fds);
	p->iov[0] = (struct iovec){.iov_base = a, .iov_len = sizeof(a)};
	p->iov[1] = (struct iovec){.iov_base = b, .iov_len = sizeof(b)};
	loop_recvv_now(loop, &p->m, fds[0], p->iov, 2, on_probe);
	await(p);
	assert_int_equal(p->res, -EAGAIN);
	close_pair(fds);
	free(p);
}

static void recvv_now_scatters_what_is_there(void **state)
{
	char a[2], b[3], got[16];
	size_t have = 0;
	int fds[2];

	(void)state;
	bed->pair(loop, fds);
	write_all(fds[1], "hello", 5);
	while (have < 5) {
		struct probe *p = probe_new();

		p->iov[0] = (struct iovec){.iov_base = a, .iov_len = sizeof(a)};
		p->iov[1] = (struct iovec){.iov_base = b, .iov_len = sizeof(b)};
		loop_recvv_now(loop, &p->m, fds[0], p->iov, 2, on_probe);
		await(p);
		assert_true(p->res > 0 && p->res <= 5);
		for (int32_t i = 0; i < p->res; i++)
			got[have++] = i < 2 ? a[i] : b[i - 2];
		free(p);
	}
	assert_memory_equal(got, "hello", 5);
	close_pair(fds);
}

static void an_exhausted_budget_answers_enobufs_and_recovers(void **state)
{
	const struct loop_options opt = {
		.iobuf_bytes_max = sizeof(struct iobuf) + IOBUF_SLOT_MEM +
	                           4 * (sizeof(struct iobuf) + IOBUF_SMALL_MEM),
		.slots = 1,
		.smalls = 4,
	};
	struct iobuf *held[16];
	unsigned int count = 0;
	struct probe *p = NULL;
	int fds[2];

	(void)state;
	loop_free(loop);
	loop = bed->new_loop(&opt);
	bed->pair(loop, fds);
	for (;;) {
		p = probe_new();
		write_all(fds[1], "x", 1);
		loop_recv_small(loop, &p->m.op, fds[0], on_probe);
		await(p);
		if (p->res < 0)
			break;
		assert_int_equal(p->res, 1);
		assert_true(count < ARRAY_LEN(held));
		held[count++] = p->buf;
		free(p);
	}
	assert_int_equal(p->res, -ENOBUFS);
	assert_null(p->buf);
	assert_true(count >= 4);
	free(p);
	while (count > 0)
		iobuf_unref(held[--count]);
	receive_all(fds[0], false, (const uint8_t *)"x",
	            1); /* the octet refused above is still there */
	close_pair(fds);
}

/* -- sending */

static void sendv_sends_all_to_a_slow_reader(void **state)
{
	size_t n = 4 * 1024 * 1024, at = 0;
	uint8_t *want = mem_new(n), *got = mem_new(n);
	struct probe *p = probe_new();
	int fds[2];

	(void)state;
	fill(want, n);
	bed->pair(loop, fds);
	p->iov[0] = (struct iovec){.iov_base = want, .iov_len = 1};
	p->iov[1] = (struct iovec){.iov_base = want + 1, .iov_len = 999};
	p->iov[2] = (struct iovec){.iov_base = want + 1000, .iov_len = n - 1000};
	loop_sendv(loop, &p->m, fds[0], p->iov, 3, on_probe);
	for (unsigned int i = 0; i < TURNS_MAX && at < n; i++) {
		ssize_t r = bed->read(loop, fds[1], got + at, n - at < 50000 ? n - at : 50000);

		if (r > 0)
			at += (size_t)r;
		else
			assert_int_equal(r, -EAGAIN);
		loop_turn(loop, 0);
	}
	assert_int_equal(at, n);
	assert_memory_equal(got, want, n);
	await(p);
	assert_int_equal(p->res, n);
	close_pair(fds);
	free(p);
	free(want);
	free(got);
}

static void sendv_takes_as_many_pieces_as_it_says(void **state)
{
	uint8_t want[LOOP_IOV_MAX * 3], got[sizeof(want)];
	struct probe *p = probe_new();
	size_t at = 0;
	int fds[2];

	(void)state;
	fill(want, sizeof(want));
	bed->pair(loop, fds);
	for (size_t i = 0; i < LOOP_IOV_MAX; i++)
		p->iov[i] = (struct iovec){.iov_base = want + 3 * i, .iov_len = 3};
	loop_sendv(loop, &p->m, fds[0], p->iov, LOOP_IOV_MAX, on_probe);
	await(p);
	assert_int_equal(p->res, sizeof(want));
	for (unsigned int i = 0; i < TURNS_MAX && at < sizeof(got); i++) {
		ssize_t r = bed->read(loop, fds[1], got + at, sizeof(got) - at);

		assert_true(r > 0 || r == -EAGAIN);
		at += r > 0 ? (size_t)r : 0;
	}
	assert_memory_equal(got, want, sizeof(want));
	close_pair(fds);
	free(p);
}

static void a_send_cancelled_midway_tells_how_much_went(void **state)
{
	size_t n = 16 * 1024 * 1024, at = 0;
	uint8_t *want = mem_new(n), *got = mem_new(n);
	struct probe *p = probe_new();
	ssize_t r;
	int fds[2];

	(void)state;
	fill(want, n);
	bed->pair(loop, fds);
	p->iov[0] = (struct iovec){.iov_base = want, .iov_len = n};
	loop_sendv(loop, &p->m, fds[0], p->iov, 1, on_probe);
	while ((r = bed->read(loop, fds[1], got, 1000)) == -EAGAIN)
		loop_turn(loop, 0);
	assert_true(r > 0);
	at = (size_t)r;
	loop_cancel(loop, &p->m.op);
	loop_cancel(loop, &p->m.op); /* twice is once */
	await(p);
	assert_true(p->res > 0 && (size_t)p->res < n);
	for (unsigned int i = 0; i < TURNS_MAX && at < (size_t)p->res; i++) {
		r = bed->read(loop, fds[1], got + at, n - at);
		assert_true(r > 0 || r == -EAGAIN);
		at += r > 0 ? (size_t)r : 0;
	}
	assert_int_equal(at, p->res);
	assert_int_equal(bed->read(loop, fds[1], got + at, 1), -EAGAIN);
	assert_memory_equal(got, want, at);
	close_pair(fds);
	free(p);
	free(want);
	free(got);
}

/* -- ends of connections */

static void recv_result(int fd, int32_t want)
{
	struct probe *p = probe_new();

	loop_recv_small(loop, &p->m.op, fd, on_probe);
	await(p);
	assert_int_equal(p->res, want);
	if (p->buf != NULL)
		iobuf_unref(p->buf);
	free(p);
}

static void half_close_ends_one_direction(void **state)
{
	struct probe *p = probe_new();
	int fds[2];

	(void)state;
	bed->pair(loop, fds);
	write_all(fds[0], "x", 1);
	loop_shutdown(loop, fds[0], SHUT_WR);
	recv_result(fds[1], 1);
	recv_result(fds[1], 0);
	recv_result(fds[1], 0);
	write_all(fds[1], "y", 1);
	recv_result(fds[0], 1);
	p->iov[0] = (struct iovec){.iov_base = (char[]){'z'}, .iov_len = 1};
	loop_sendv(loop, &p->m, fds[0], p->iov, 1, on_probe);
	await(p);
	assert_int_equal(p->res, -EPIPE); /* and no SIGPIPE */
	close_pair(fds);
	free(p);
}

static void close_is_seen_as_end_of_stream(void **state)
{
	int fds[2];

	(void)state;
	bed->pair(loop, fds);
	write_all(fds[0], "x", 1);
	loop_close(loop, fds[0]);
	recv_result(fds[1], 1);
	recv_result(fds[1], 0);
	loop_close(loop, fds[1]);
}

static void reset_close_is_seen_as_a_reset(void **state)
{
	int fds[2];

	(void)state;
	bed->pair(loop, fds);
	loop_reset_close(loop, fds[0]);
	recv_result(fds[1], -ECONNRESET);
	loop_close(loop, fds[1]);
}

static void a_waiting_receive_learns_of_a_reset(void **state)
{
	struct probe *p = probe_new();
	int fds[2];

	(void)state;
	bed->pair(loop, fds);
	loop_recv_slot(loop, &p->m.op, fds[1], on_probe);
	loop_turn(loop, 0);
	loop_reset_close(loop, fds[0]);
	await(p);
	assert_int_equal(p->res, -ECONNRESET);
	loop_close(loop, fds[1]);
	free(p);
}

/* -- poll, cancel */

static void poll_reports_what_holds(void **state)
{
	struct probe *p = probe_new(), *q = probe_new();
	int fds[2];

	(void)state;
	bed->pair(loop, fds);
	loop_poll(loop, &p->m.op, fds[0], POLLOUT, on_probe);
	await(p);
	assert_int_equal(p->res, POLLOUT);
	loop_poll(loop, &q->m.op, fds[0], POLLIN, on_probe);
	loop_turn(loop, 0);
	assert_int_equal(q->calls, 0);
	write_all(fds[1], "x", 1);
	await(q);
	assert_int_equal(q->res, POLLIN);
	close_pair(fds);
	free(p);
	free(q);
}

static void cancel_lands(struct probe *p, bool turn_first)
{
	if (turn_first)
		loop_turn(loop, 0);
	assert_int_equal(p->calls, 0);
	loop_cancel(loop, &p->m.op);
	assert_int_equal(p->calls, 0);
	await(p);
	assert_int_equal(p->res, -ECANCELED);
	loop_cancel(loop, &p->m.op); /* harmless now */
	memset(p, 0, sizeof(*p));
}

static void cancel_lands_a_waiting_receive(void **state)
{
	struct probe *p = probe_new();
	char mem[4];
	int fds[2];

	(void)state;
	bed->pair(loop, fds);
	for (int turn_first = 0; turn_first < 2; turn_first++) {
		loop_recv(loop, &p->m.op, fds[0], mem, sizeof(mem), on_probe);
		cancel_lands(p, turn_first);
		loop_recv_slot(loop, &p->m.op, fds[0], on_probe);
		cancel_lands(p, turn_first);
		loop_recv_small(loop, &p->m.op, fds[0], on_probe);
		cancel_lands(p, turn_first);
		loop_poll(loop, &p->m.op, fds[0], POLLIN, on_probe);
		cancel_lands(p, turn_first);
	}
	write_all(fds[1], "kept", 4); /* and none of them ate anything */
	receive_all(fds[0], false, (const uint8_t *)"kept", 4);
	close_pair(fds);
	free(p);
}

static void cancel_lands_a_connect(void **state)
{
	struct probe *p = probe_new();
	struct endpoint ep;
	int ends[2], fd;

	(void)state;
	bed->dead_end(loop, &ep, ends);
	fd = bed->socket(loop);
	connect_to(p, fd, &ep);
	cancel_lands(p, true);
	loop_close(loop, fd);
	for (unsigned int i = 0; i < 2; i++)
		if (ends[i] >= 0)
			loop_close(loop, ends[i]);
	free(p);
}

static void cancel_lands_a_send_that_cannot_start(void **state)
{
	struct probe *p = probe_new();
	uint8_t *block = mem_new(65536);
	int fds[2];

	(void)state;
	bed->pair(loop, fds);
	for (unsigned int quiet = 0; quiet < 20;) { /* until both kernels' buffers are full */
		ssize_t r = bed->write(loop, fds[0], block, 65536);

		quiet = r > 0 ? 0 : quiet + 1;
		loop_turn(loop, r > 0 ? 0 : 1);
	}
	p->iov[0] = (struct iovec){.iov_base = block, .iov_len = 65536};
	loop_sendv(loop, &p->m, fds[0], p->iov, 1, on_probe);
	cancel_lands(p, true);
	close_pair(fds);
	free(block);
	free(p);
}

/* -- the order of a turn */

static char story[64]; /* what happened, a letter each */
static struct loop_hook hook_a, hook_b;
static struct loop_retired retired;
static struct timer story_timer;
static struct op story_op;

static void tell(char c)
{
	size_t n = strlen(story);

	assert_true(n + 1 < sizeof(story));
	story[n] = c;
	story[n + 1] = '\0';
}

static void on_retired(struct loop_retired *r)
{
	(void)r;
	tell('f');
}

static void on_hook_b(struct loop_hook *h)
{
	(void)h;
	tell('b');
}

static void on_hook_a(struct loop_hook *h)
{
	loop_at_turn_end(loop, h == &hook_a ? &hook_b : &hook_a);
	tell('a');
}

static void on_story_post(struct op *op)
{
	assert_int_equal(op->res, 7);
	assert_false(op->pending);
	tell('p');
	loop_retire(loop, &retired, on_retired);
	loop_at_turn_end(loop, &hook_a);
	loop_at_turn_end(loop, &hook_a);
	timer_arm(loop, &story_timer, 0);
}

static void on_story_timer(struct timer *t)
{
	(void)t;
	tell('t');
}

static void a_turn_runs_completions_timers_hooks_then_frees(void **state)
{
	(void)state;
	story[0] = '\0';
	loop_hook_init(&hook_a, on_hook_a);
	loop_hook_init(&hook_b, on_hook_b);
	timer_init(&story_timer, on_story_timer);
	loop_post(loop, &story_op, 7, on_story_post);
	assert_string_equal(story, "");
	loop_turn(loop, -1);
	assert_string_equal(story, "ptabf");
	loop_turn(loop, 0);
	assert_string_equal(story, "ptabf");
}

static void a_cancelled_hook_does_not_run(void **state)
{
	(void)state;
	story[0] = '\0';
	loop_hook_init(&hook_b, on_hook_b);
	loop_at_turn_end(loop, &hook_b);
	loop_hook_cancel(&hook_b);
	loop_turn(loop, 0);
	assert_string_equal(story, "");
	loop_at_turn_end(loop, &hook_b);
	loop_turn(loop, -1);
	assert_string_equal(story, "b");
}

static unsigned int reposts;

static void on_repost(struct op *op)
{
	if (++reposts < 3)
		loop_post(loop, op, 0, on_repost);
}

static void a_post_from_a_post_waits_for_the_next_turn(void **state)
{
	(void)state;
	reposts = 0;
	loop_post(loop, &story_op, 0, on_repost);
	for (unsigned int i = 1; i <= 3; i++) {
		loop_turn(loop, -1);
		assert_int_equal(reposts, i);
	}
}

/* -- timers */

struct alarm {
	struct timer timer;
	uint64_t due_ms;
	unsigned int calls;
};

static uint64_t alarm_last_ms;

static void on_alarm(struct timer *t)
{
	struct alarm *a = container_of(t, struct alarm, timer);

	assert_false(timer_armed(t));
	assert_true(loop_now_ms(loop) >= a->due_ms);
	assert_true(a->due_ms >= alarm_last_ms); /* in the order they are due */
	alarm_last_ms = a->due_ms;
	a->calls++;
}

static void timers_run_once_in_order_and_never_early(void **state)
{
	static const uint64_t delays[] = {70, 0, 5, 130, 64, 5, 1, 63};
	struct alarm alarms[ARRAY_LEN(delays)];

	(void)state;
	alarm_last_ms = 0;
	for (size_t i = 0; i < ARRAY_LEN(delays); i++) {
		alarms[i] = (struct alarm){.due_ms = loop_now_ms(loop) + delays[i]};
		timer_init(&alarms[i].timer, on_alarm);
		timer_arm(loop, &alarms[i].timer, delays[i]);
	}
	timer_disarm(&alarms[0].timer);
	timer_disarm(&alarms[0].timer);
	timer_arm(loop, &alarms[4].timer, 20); /* sooner than before */
	alarms[4].due_ms = loop_now_ms(loop) + 20;
	for (unsigned int i = 0; i < TURNS_MAX && alarms[3].calls == 0; i++)
		loop_turn(loop, -1);
	for (size_t i = 0; i < ARRAY_LEN(delays); i++)
		assert_int_equal(alarms[i].calls, i == 0 ? 0 : 1);
}

static unsigned int rearms;

static void on_rearm(struct timer *t)
{
	if (++rearms < 3)
		timer_arm(loop, t, 0);
}

static void a_timer_armed_by_a_timer_waits_for_the_next_turn(void **state)
{
	struct timer t;

	(void)state;
	rearms = 0;
	timer_init(&t, on_rearm);
	timer_arm(loop, &t, 0);
	for (unsigned int i = 1; i <= 3; i++) {
		loop_turn(loop, -1);
		assert_int_equal(rearms, i);
	}
}

static void on_stop(struct timer *t)
{
	(void)t;
	loop_stop(loop);
}

static void run_ends_with_the_turn_of_stop(void **state)
{
	struct timer t;

	(void)state;
	timer_init(&t, on_stop);
	timer_arm(loop, &t, 3);
	loop_run(loop);
	assert_false(timer_armed(&t));
}

static void a_turn_waits_no_longer_than_told(void **state)
{
	uint64_t before = loop_now_ms(loop);

	(void)state;
	loop_turn(loop, 0);
	loop_turn(loop, 5);
	assert_true(loop_now_ms(loop) >= before + 4);
}

int loop_suite_run(const struct bed *of)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(one_accept_takes_every_connection),
		T(a_cancelled_accept_ends_with_ecanceled),
		T(connect_to_nobody_is_refused),
		T(recv_reads_into_lent_memory),
		T(provided_buffers_arrive_filled),
		T(waiting_receives_hold_no_memory),
		T(recvv_now_does_not_wait),
		T(recvv_now_scatters_what_is_there),
		T(an_exhausted_budget_answers_enobufs_and_recovers),
		T(sendv_sends_all_to_a_slow_reader),
		T(sendv_takes_as_many_pieces_as_it_says),
		T(a_send_cancelled_midway_tells_how_much_went),
		T(half_close_ends_one_direction),
		T(close_is_seen_as_end_of_stream),
		T(reset_close_is_seen_as_a_reset),
		T(a_waiting_receive_learns_of_a_reset),
		T(poll_reports_what_holds),
		T(cancel_lands_a_waiting_receive),
		T(cancel_lands_a_connect),
		T(cancel_lands_a_send_that_cannot_start),
		T(a_turn_runs_completions_timers_hooks_then_frees),
		T(a_cancelled_hook_does_not_run),
		T(a_post_from_a_post_waits_for_the_next_turn),
		T(timers_run_once_in_order_and_never_early),
		T(a_timer_armed_by_a_timer_waits_for_the_next_turn),
		T(run_ends_with_the_turn_of_stop),
		T(a_turn_waits_no_longer_than_told),
	};
#undef T

	bed = of;
	return cmocka_run_group_tests_name(of->name, tests, NULL, NULL);
}
