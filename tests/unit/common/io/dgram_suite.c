/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include "common/base/mem.h"
#include "tests/unit/common/io/loop_suite.h"

enum { TURNS_MAX = 200000, TURN_MS = 10 };

static const struct bed *bed; /* as in loop_suite.c */
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
	loop_free(loop);
	return 0;
}

struct dgram_probe {
	struct op_dgram op;
	unsigned int calls;
	int32_t res;
};

static void on_dgram(struct op *op)
{
	struct dgram_probe *p = container_of(op_dgram_of(op), struct dgram_probe, op);

	p->calls++;
	p->res = op->res;
}

static void await_dgram(const struct dgram_probe *p)
{
	for (unsigned int i = 0; i < TURNS_MAX && p->calls == 0; i++)
		loop_turn(loop, TURN_MS);
	assert_int_equal(p->calls, 1);
}

static void send_dgram(int fd, const struct endpoint *to, const char *text, int32_t expected)
{
	struct dgram_probe *p = mem_new(sizeof(*p));

	loop_send_dgram(loop, &p->op, fd, endpoint_to_sockaddr(to, false, &p->op.name),
	                span_str(text), on_dgram);
	await_dgram(p);
	assert_int_equal(p->res, expected);
	free(p);
}

static void a_datagram_arrives_whole_with_both_its_addresses(void **state)
{
	struct dgram_probe *p = mem_new(sizeof(*p));
	struct endpoint a_ep, b_ep, from, to;
	char mem[16];
	int a = bed->udp(loop, &a_ep), b = bed->udp(loop, &b_ep);

	(void)state;
	loop_recv_dgram(loop, &p->op, b, mem, sizeof(mem), on_dgram);
	send_dgram(a, &b_ep, "question", 8);
	await_dgram(p);
	assert_int_equal(p->res, 8);
	assert_memory_equal(mem, "question", 8);
	from = op_dgram_from(&p->op);
	to = op_dgram_to(&p->op);
	assert_true(endpoint_eq(&from, &a_ep));
	assert_true(endpoint_eq(&to, &b_ep));
	assert_false(op_dgram_cut(&p->op));
	loop_close(loop, a);
	loop_close(loop, b);
	loop_turn(loop, 0);
	free(p);
}

static void a_datagram_too_long_for_the_memory_says_that_it_was_cut(void **state)
{
	struct dgram_probe *p = mem_new(sizeof(*p));
	struct endpoint a_ep, b_ep;
	char mem[4];
	int a = bed->udp(loop, &a_ep), b = bed->udp(loop, &b_ep);

	(void)state;
	send_dgram(a, &b_ep, "question", 8);
	send_dgram(a, &b_ep, "next", 4);
	loop_recv_dgram(loop, &p->op, b, mem, sizeof(mem), on_dgram);
	await_dgram(p);
	assert_int_equal(p->res, 4);
	assert_true(op_dgram_cut(&p->op));
	p->calls = 0;
	loop_recv_dgram(loop, &p->op, b, mem, sizeof(mem), on_dgram);
	await_dgram(p);
	assert_memory_equal(mem, "next", 4);
	assert_false(op_dgram_cut(&p->op));
	loop_close(loop, a);
	loop_close(loop, b);
	loop_turn(loop, 0);
	free(p);
}

static void a_waiting_datagram_receive_can_be_cancelled(void **state)
{
	struct dgram_probe *p = mem_new(sizeof(*p));
	struct endpoint ep;
	char mem[4];
	int fd = bed->udp(loop, &ep);

	(void)state;
	loop_recv_dgram(loop, &p->op, fd, mem, sizeof(mem), on_dgram);
	loop_turn(loop, 0);
	assert_int_equal(p->calls, 0);
	loop_cancel(loop, &p->op.msg.op);
	await_dgram(p);
	assert_int_equal(p->res, -ECANCELED);
	loop_close(loop, fd);
	loop_turn(loop, 0);
	free(p);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int dgram_suite_run(const struct bed *under_test)
{
	const struct CMUnitTest tests[] = {
		T(a_datagram_arrives_whole_with_both_its_addresses),
		T(a_datagram_too_long_for_the_memory_says_that_it_was_cut),
		T(a_waiting_datagram_receive_can_be_cancelled),
	};

	bed = under_test;
	return cmocka_run_group_tests_name("datagrams", tests, NULL, NULL);
}
