/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/io/timer.h"
#include "tests/sim/sim.h"
#include "tests/unit/common/io/loop_suite.h"

enum { SEEDS = 25 };

static struct sim_options options; /* of the suite's run in progress */
static uint16_t next_port;

static struct loop *new_loop(const struct loop_options *opt)
{
	struct sim_options o = options;

	if (opt != NULL)
		o.iobuf_bytes_max = opt->iobuf_bytes_max;
	next_port = 80;
	return sim_new(&o);
}

static struct endpoint new_endpoint(void)
{
	return (struct endpoint){.ip = {.family = IP_V4, .bytes = {10, 0, 0, 1}},
	                         .port = next_port++};
}

static int bed_listen(struct loop *loop, struct endpoint *ret_ep)
{
	*ret_ep = new_endpoint();
	return sim_listen(loop, ret_ep, 0);
}

static void bed_dead_end(struct loop *loop, struct endpoint *ret_ep, int ret_fds[2])
{
	*ret_ep = new_endpoint();
	sim_black_hole(loop, ret_ep);
	ret_fds[0] = -1;
	ret_fds[1] = -1;
}

static int bed_udp(struct loop *loop, struct endpoint *ret_ep)
{
	*ret_ep = new_endpoint();
	return sim_udp(loop, ret_ep, false);
}

static const struct bed sim_bed = {
	.name = "loop_sim",
	.new_loop = new_loop,
	.pair = sim_pair,
	.listen = bed_listen,
	.socket = sim_socket,
	.udp = bed_udp,
	.dead_end = bed_dead_end,
	.write = sim_write,
	.read = sim_read,
};

static void on_append(struct op *op);

struct teller {
	struct op op;
	char *story;
	char letter;
	char mem[8];
};

static void on_append(struct op *op)
{
	struct teller *t = container_of(op, struct teller, op);
	size_t n = strlen(t->story);

	t->story[n] = t->letter;
	t->story[n + 1] = (char)('0' + op->res);
	t->story[n + 2] = '\0';
}

/* What eight receives of eight sockets tell, under a seed. */
static void tell_story(uint64_t seed, char story[64])
{
	struct loop *loop = sim_new(&(struct sim_options){.seed = seed});
	struct teller tellers[8];
	int fds[8][2];

	story[0] = '\0';
	for (unsigned int i = 0; i < 8; i++) {
		tellers[i] = (struct teller){.story = story, .letter = (char)('a' + i)};
		sim_pair(loop, fds[i]);
		assert_int_equal(sim_write(loop, fds[i][1], "12345678", 8), 8);
		loop_recv(loop, &tellers[i].op, fds[i][0], tellers[i].mem, 8, on_append);
	}
	assert_true(sim_settle(loop, 1000));
	assert_int_equal(strlen(story), 16);
	assert_int_equal(sim_open_sockets(loop), 16);
	for (unsigned int i = 0; i < 8; i++) {
		loop_close(loop, fds[i][0]);
		loop_close(loop, fds[i][1]);
	}
	assert_true(sim_turn(loop)); /* something to do: closing */
	assert_false(sim_turn(loop));
	assert_int_equal(sim_open_sockets(loop), 0);
	loop_free(loop);
}

static void a_seed_repeats_itself_and_seeds_differ(void **state)
{
	char a[64], b[64];
	unsigned int different = 0;

	(void)state;
	for (uint64_t seed = 0; seed < 20; seed++) {
		tell_story(seed, a);
		tell_story(seed, b);
		assert_string_equal(a, b);
		tell_story(seed + 1, b);
		different += strcmp(a, b) != 0;
	}
	assert_true(different > 15);
}

static unsigned int rings;

static void on_ring(struct timer *t)
{
	(void)t;
	rings++;
}

static void the_clock_moves_only_when_nothing_else_can(void **state)
{
	struct loop *loop = sim_new(&(struct sim_options){.start_ms = 5000});
	struct timer t;

	(void)state;
	rings = 0;
	assert_int_equal(loop_now_ms(loop), 5000);
	timer_init(&t, on_ring);
	timer_arm(loop, &t, 86400000);
	for (unsigned int i = 0; i < 10 && rings == 0; i++)
		assert_true(sim_turn(loop));
	assert_int_equal(loop_now_ms(loop), 5000 + 86400000);
	assert_false(sim_turn(loop));
	sim_advance(loop, 250);
	assert_false(sim_turn(loop));
	assert_int_equal(loop_now_ms(loop), 5000 + 86400000 + 250);
	loop_free(loop);
}

static int32_t seen_res;

static void on_res(struct op *op)
{
	seen_res = op->res;
}

static void connect_within(struct loop *loop, const struct endpoint *ep, int32_t want_res)
{
	int fd = sim_socket(loop);
	struct op op = {.done = NULL};
	struct sockaddr_storage ss;
	socklen_t len = endpoint_to_sockaddr(ep, true, &ss);

	seen_res = 1;
	loop_connect(loop, &op, fd, (struct sockaddr *)&ss, len, on_res);
	assert_true(sim_settle(loop, 1000));
	assert_int_equal(seen_res, want_res);
	loop_close(loop, fd);
	(void)sim_turn(loop);
}

static void a_black_hole_times_out(void **state)
{
	struct loop *loop = sim_new(NULL);
	struct endpoint ep = new_endpoint();
	uint64_t before = loop_now_ms(loop);

	(void)state;
	sim_black_hole(loop, &ep);
	connect_within(loop, &ep, -ETIMEDOUT);
	assert_int_equal(loop_now_ms(loop), before + SIM_TIMEOUT_MS);
	loop_free(loop);
}

static void connects_take_their_time_and_know_their_peer(void **state)
{
	struct loop *loop = sim_new(&(struct sim_options){.seed = 3, .connect_ms_max = 50});
	struct endpoint ep = new_endpoint(), peer;
	int listener = sim_listen(loop, &ep, 0), fd;
	uint64_t before = loop_now_ms(loop);

	(void)state;
	for (unsigned int i = 0; i < 20; i++)
		connect_within(loop, &ep, 0);
	assert_true(loop_now_ms(loop) > before && loop_now_ms(loop) <= before + 20 * 50);
	fd = sim_accept(loop, listener);
	assert_true(fd >= 0);
	assert_true(sim_peer(loop, fd, &peer));
	assert_int_equal(peer.ip.family, IP_V4);
	loop_close(loop, fd);
	loop_close(loop, listener);
	(void)sim_turn(loop);
	assert_int_equal(sim_open_sockets(loop), 0);
	loop_free(loop);
}

static void unread_data_turns_a_close_into_a_reset(void **state)
{
	struct loop *loop = sim_new(NULL);
	char c;
	int fds[2];

	(void)state;
	sim_pair(loop, fds);
	assert_int_equal(sim_write(loop, fds[0], "xy", 2), 2);
	assert_int_equal(sim_write(loop, fds[1], "z", 1), 1);
	loop_close(loop, fds[1]);
	(void)sim_turn(loop);
	assert_int_equal(sim_read(loop, fds[0], &c, 1), 1);
	assert_int_equal(sim_read(loop, fds[0], &c, 1), -ECONNRESET);
	assert_int_equal(sim_read(loop, fds[0], &c, 1), 0);
	assert_int_equal(sim_write(loop, fds[0], "x", 1), -EPIPE);
	loop_close(loop, fds[0]);
	(void)sim_turn(loop);
	loop_free(loop);
}

static void buffers_fail_as_often_as_asked(void **state)
{
	struct loop *loop = sim_new(&(struct sim_options){.seed = 9, .enobufs_of_1000 = 500});
	unsigned int failed = 0, got = 0;
	int fds[2];

	(void)state;
	sim_pair(loop, fds);
	assert_int_equal(sim_write(loop, fds[1], "0123456789", 10), 10);
	while (got < 10) {
		struct op op = {.done = NULL};

		loop_recv_small(loop, &op, fds[0], on_res);
		while (op.pending)
			(void)sim_turn(loop);
		if (op.buf != NULL)
			iobuf_unref(op.buf);
		failed += op.res == -ENOBUFS;
		got += op.res > 0 ? (unsigned int)op.res : 0;
	}
	assert_true(failed > 0);
	loop_close(loop, fds[0]);
	loop_close(loop, fds[1]);
	(void)sim_turn(loop);
	loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_seed_repeats_itself_and_seeds_differ),
		cmocka_unit_test(the_clock_moves_only_when_nothing_else_can),
		cmocka_unit_test(a_black_hole_times_out),
		cmocka_unit_test(connects_take_their_time_and_know_their_peer),
		cmocka_unit_test(unread_data_turns_a_close_into_a_reset),
		cmocka_unit_test(buffers_fail_as_often_as_asked),
	};
	int failed = 0;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		options = (struct sim_options){.seed = seed, .connect_ms_max = seed % 3};
		failed += loop_suite_run(&sim_bed) + dgram_suite_run(&sim_bed);
	}
	options = (struct sim_options){.eager = true, .whole = true};
	failed += loop_suite_run(&sim_bed) + dgram_suite_run(&sim_bed);
	return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
