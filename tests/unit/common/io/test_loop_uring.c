/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/io/listener.h"
#include "common/io/uring_setup.h"
#include "tests/unit/common/io/loop_suite.h"

static struct loop *new_loop(const struct loop_options *opt)
{
	struct loop *loop = NULL;

	assert_int_equal(loop_uring_new(opt, &loop), ERR_OK);
	return loop;
}

static const struct endpoint anywhere = {
	.ip = {.family = IP_V4, .bytes = {127, 0, 0, 1}},
};

static int bed_listen(struct loop *loop, struct endpoint *ret_ep)
{
	int fd = -1;

	(void)loop;
	assert_int_equal(listener_open(&anywhere, NULL, &fd), ERR_OK);
	assert_int_equal(listener_endpoint(fd, ret_ep), ERR_OK);
	return fd;
}

static int bed_udp(struct loop *loop, struct endpoint *ret_ep)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	const int on = 1;
	struct sockaddr_storage ss;
	socklen_t len = endpoint_to_sockaddr(&anywhere, false, &ss);

	(void)loop;
	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_IP, IP_RECVORIGDSTADDR, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&ss, len), 0);
	assert_int_equal(listener_endpoint(fd, ret_ep), ERR_OK);
	return fd;
}

static int bed_socket(struct loop *loop)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	(void)loop;
	assert_true(fd >= 0);
	return fd;
}

static int dial(const struct endpoint *ep, bool wait)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (wait ? 0 : SOCK_NONBLOCK), 0);
	struct sockaddr_storage ss;
	socklen_t len = endpoint_to_sockaddr(ep, false, &ss);

	assert_true(fd >= 0);
	assert_true(connect(fd, (struct sockaddr *)&ss, len) == 0 || errno == EINPROGRESS);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

static void bed_pair(struct loop *loop, int ret_fds[2])
{
	struct endpoint ep;
	int listener = bed_listen(loop, &ep);

	ret_fds[0] = dial(&ep, true);
	ret_fds[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(ret_fds[1] >= 0);
	assert_int_equal(close(listener), 0);
}

/* A listener whose queue is full drops further SYNs. */
static void bed_dead_end(struct loop *loop, struct endpoint *ret_ep, int ret_fds[2])
{
	const struct listener_options opt = {.backlog = 1};

	(void)loop;
	assert_int_equal(listener_open(&anywhere, &opt, &ret_fds[0]), ERR_OK);
	assert_int_equal(listener_endpoint(ret_fds[0], ret_ep), ERR_OK);
	assert_int_equal(listen(ret_fds[0], 0), 0); /* room for one */
	ret_fds[1] = dial(ret_ep, true);
}

static ssize_t bed_write(struct loop *loop, int fd, const void *mem, size_t n)
{
	size_t done = 0;

	(void)loop;
	while (done < n) {
		ssize_t r = send(fd, (const uint8_t *)mem + done, n - done, MSG_NOSIGNAL);

		if (r < 0)
			return done > 0 ? (ssize_t)done : -errno;
		done += (size_t)r;
	}
	return (ssize_t)done;
}

static ssize_t bed_read(struct loop *loop, int fd, void *mem, size_t n)
{
	ssize_t r = recv(fd, mem, n, 0);

	(void)loop;
	return r < 0 ? -errno : r;
}

static const struct bed uring_bed = {
	.name = "loop_uring",
	.new_loop = new_loop,
	.pair = bed_pair,
	.listen = bed_listen,
	.socket = bed_socket,
	.udp = bed_udp,
	.dead_end = bed_dead_end,
	.write = bed_write,
	.read = bed_read,
};

/* The same with a ring so small that every turn fills it and overflows its completions. */
static struct loop *new_tiny_loop(const struct loop_options *opt)
{
	struct loop_options tiny = {.slots = 2, .smalls = 2};

	if (opt != NULL)
		tiny = *opt;
	tiny.ring_entries = 1;
	return new_loop(&tiny);
}

static unsigned int landed;

static void on_landed(struct op *op)
{
	landed++;
	if (op->buf != NULL)
		iobuf_unref(op->buf);
}

static void more_ops_than_entries_all_complete(void **state)
{
	enum { COUNT = 300 };
	struct loop *loop = new_tiny_loop(NULL);
	struct op *ops = calloc(COUNT, sizeof(*ops));
	int(*fds)[2] = calloc(COUNT, sizeof(*fds));

	(void)state;
	landed = 0;
	for (unsigned int i = 0; i < COUNT; i++) {
		bed_pair(loop, fds[i]);
		assert_int_equal(bed_write(loop, fds[i][1], "x", 1), 1);
		loop_recv_small(loop, &ops[i], fds[i][0], on_landed);
	}
	for (unsigned int i = 0; i < 10000 && landed < COUNT; i++)
		loop_turn(loop, 10);
	assert_int_equal(landed, COUNT);
	for (unsigned int i = 0; i < COUNT; i++) {
		loop_close(loop, fds[i][0]);
		loop_close(loop, fds[i][1]);
	}
	free(ops);
	free(fds);
	loop_free(loop);
}

static void close_waits_for_the_end_of_the_turn(void **state)
{
	struct loop *loop = new_loop(NULL);
	int fd = bed_socket(loop);

	(void)state;
	loop_close(loop, fd);
	assert_true(fcntl(fd, F_GETFD) >= 0);
	loop_turn(loop, -1);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	loop_free(loop);
}

static void accepted_descriptors_do_not_block_and_are_not_inherited(void **state)
{
	struct loop *loop = new_loop(NULL);
	struct op op = {.done = NULL};
	struct endpoint ep;
	int listener = bed_listen(loop, &ep), far = dial(&ep, true);

	(void)state;
	landed = 0;
	loop_accept(loop, &op, listener, on_landed);
	while (landed == 0)
		loop_turn(loop, 10);
	assert_true(op.pending);
	assert_true(fcntl(op.res, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(op.res, F_GETFD) & FD_CLOEXEC);
	loop_close(loop, op.res);
	loop_cancel(loop, &op);
	while (op.pending)
		loop_turn(loop, 10);
	loop_close(loop, listener);
	loop_close(loop, far);
	loop_free(loop);
}

static void the_loop_names_its_backend(void **state)
{
	struct loop *loop = new_loop(NULL);

	(void)state;
	assert_string_equal(loop_backend(loop), "io_uring");
	assert_true(loop_now_ns(loop) / 1000000 >= loop_now_ms(loop));
	loop_free(loop);
}

static void a_ring_refuses_what_no_loop_needs(void **state)
{
	struct io_uring ring;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	bool restricted = false;
	int rc;

	(void)state;
	assert_int_equal(uring_create(&ring, 8), ERR_OK);
	assert_int_equal(uring_enable(&ring, &restricted), ERR_OK);
	assert_true(restricted);
	sqe = io_uring_get_sqe(&ring);
	CHECK(sqe != NULL);
	io_uring_prep_openat(sqe, AT_FDCWD, "/etc/hostname", O_RDONLY, 0);
	assert_int_equal(io_uring_submit(&ring), 1);
	assert_int_equal(io_uring_wait_cqe(&ring, &cqe), 0);
	assert_int_equal(cqe->res, -EACCES);
	io_uring_cqe_seen(&ring, cqe);
	rc = io_uring_register_files(&ring, (int[]){0}, 1); /* nor can it be widened later */
	assert_int_equal(rc, -EACCES);
	io_uring_queue_exit(&ring);
}

/* --- a kernel that gives up ----------------------------------------------------------------- */

static unsigned int give_up; /* completions from now on that end with -EAGAIN */

unsigned int __real_io_uring_peek_batch_cqe(struct io_uring *ring, struct io_uring_cqe **cqes,
                                            unsigned int count);
unsigned int __wrap_io_uring_peek_batch_cqe(struct io_uring *ring, struct io_uring_cqe **cqes,
                                            unsigned int count);

unsigned int __wrap_io_uring_peek_batch_cqe(struct io_uring *ring, struct io_uring_cqe **cqes,
                                            unsigned int count)
{
	unsigned int n = __real_io_uring_peek_batch_cqe(ring, cqes, count);

	for (unsigned int i = 0; i < n && give_up > 0; i++, give_up--)
		cqes[i]->res = -EAGAIN;
	return n;
}

static int32_t sent_res;

static void on_sent_all(struct op *op)
{
	sent_res = op->res;
}

/*
 * A request the kernel has woken too often in vain ends with -EAGAIN, because our sockets do not block: with a reader
 * of small pieces that happens in the middle of a send, and it is no end of the connection. Here the first two
 * answers are taken for such ones, so what they had sent arrives as well.
 */
static void a_send_the_kernel_gave_up_on_goes_on(void **state)
{
	const struct loop_options opt = {0};
	struct loop *loop = new_loop(&opt);
	struct iovec iov = {.iov_base = (uint8_t[]){1, 2, 3}, .iov_len = 3};
	struct op_msg send_op = {0};
	uint8_t in[16];
	int fd[2];

	(void)state;
	bed_pair(loop, fd);
	sent_res = INT32_MIN;
	give_up = 2;
	loop_sendv(loop, &send_op, fd[0], &iov, 1, on_sent_all);
	while (send_op.op.pending)
		loop_turn(loop, 100);
	assert_int_equal(sent_res, 3);
	assert_int_equal(give_up, 0);
	assert_int_equal(bed_read(loop, fd[1], in, sizeof(in)), 9);
	assert_memory_equal(in, "\1\2\3\1\2\3\1\2\3", 9);
	assert_int_equal(close(fd[0]), 0);
	assert_int_equal(close(fd[1]), 0);
	loop_free(loop);
}

/* Cancelled meanwhile, it ends. */
static void a_cancelled_send_the_kernel_gave_up_on_ends(void **state)
{
	const struct loop_options opt = {0};
	struct loop *loop = new_loop(&opt);
	struct iovec iov = {.iov_base = (uint8_t[]){1, 2, 3}, .iov_len = 3};
	struct op_msg send_op = {0};
	int fd[2];

	(void)state;
	bed_pair(loop, fd);
	sent_res = INT32_MIN;
	give_up = 2;
	loop_sendv(loop, &send_op, fd[0], &iov, 1, on_sent_all);
	loop_cancel(loop, &send_op.op);
	while (send_op.op.pending)
		loop_turn(loop, 100);
	assert_int_equal(sent_res, -EAGAIN);
	give_up = 0;
	assert_int_equal(close(fd[0]), 0);
	assert_int_equal(close(fd[1]), 0);
	loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(more_ops_than_entries_all_complete),
		cmocka_unit_test(close_waits_for_the_end_of_the_turn),
		cmocka_unit_test(accepted_descriptors_do_not_block_and_are_not_inherited),
		cmocka_unit_test(the_loop_names_its_backend),
		cmocka_unit_test(a_ring_refuses_what_no_loop_needs),
		cmocka_unit_test(a_send_the_kernel_gave_up_on_goes_on),
		cmocka_unit_test(a_cancelled_send_the_kernel_gave_up_on_ends),
	};
	struct bed tiny = uring_bed;
	int failed;

	tiny.name = "loop_uring_tiny";
	tiny.new_loop = new_tiny_loop;
	failed = loop_suite_run(&uring_bed) + dgram_suite_run(&uring_bed);
	failed += loop_suite_run(&tiny);
	return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
