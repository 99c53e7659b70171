/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/io/bufring.h"
#include "common/io/loop_internal.h"
#include "common/io/uring_setup.h"

enum {
	RING_ENTRIES_DEFAULT = 1024,
	SLOTS_DEFAULT =
		64, /* 1 MiB of address space, resident once used; three times what one call completes */
	SMALLS_DEFAULT = 64, /* 256 KiB */
	REAP_BATCH = 64,
	REAP_PASSES = 8, /* at most this many more calls a turn: others wait for its end */
	SUBMIT_TRIES =
		1000, /* the kernel is out of memory for requests; it kills somebody long before */
};

struct loop_uring {
	struct loop base; /* first: struct loop is all others see */
	struct io_uring ring;
	struct bufring slots;
	struct bufring smalls;
};

/* Held from submission to completion of a connect: the kernel reads the address when it gets to it. */
struct connect_addr {
	struct sockaddr_storage addr;
};

struct completion {
	struct op *op; /* NULL: of a cancel */
	int32_t res;
	uint32_t flags;
};

static struct loop_uring *uring_of(struct loop *loop)
{
	return container_of(loop, struct loop_uring, base);
}

static bool is_provided(const struct op *op)
{
	return op->kind == OP_RECV_SLOT || op->kind == OP_RECV_SMALL;
}

static struct bufring *bufring_of(struct loop_uring *u, const struct op *op)
{
	return op->kind == OP_RECV_SLOT ? &u->slots : &u->smalls;
}

/* A place in the submission queue; a full one is handed to the kernel early. */
static struct io_uring_sqe *sqe_of(struct loop_uring *u)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	for (unsigned int i = 0; sqe == NULL; i++) {
		CHECK(i < SUBMIT_TRIES);
		if (io_uring_submit(&u->ring) < 0)
			(void)sched_yield();
		sqe = io_uring_get_sqe(&u->ring);
	}
	return sqe;
}

static void start_recv_provided(struct loop_uring *u, struct op *op)
{
	const struct bufring *b = bufring_of(u, op);
	struct io_uring_sqe *sqe = sqe_of(u);

	io_uring_prep_recv(sqe, op->fd, NULL, b->len, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = b->group;
	io_uring_sqe_set_data(sqe, op);
}

/* how: 0, or IORING_RECVSEND_POLL_FIRST when the socket is known to be full. */
static void start_sendv(struct loop_uring *u, struct op *op, uint16_t how)
{
	struct io_uring_sqe *sqe = sqe_of(u);

	io_uring_prep_sendmsg(sqe, op->fd, &op_msg_of(op)->msg, MSG_WAITALL | MSG_NOSIGNAL);
	sqe->ioprio |= how;
	io_uring_sqe_set_data(sqe, op);
}

static void start_connect(struct loop_uring *u, struct op *op, const struct loop_request *req)
{
	struct connect_addr *copy = malloc(sizeof(*copy));
	struct io_uring_sqe *sqe;

	if (copy == NULL) {
		loop_finish_later(&u->base, op, -ENOMEM);
		return;
	}
	memcpy(&copy->addr, req->addr, req->addr_len);
	op->impl = copy;
	sqe = sqe_of(u);
	io_uring_prep_connect(sqe, op->fd, (struct sockaddr *)&copy->addr, req->addr_len);
	io_uring_sqe_set_data(sqe, op);
}

static void uring_start(struct loop *loop, struct op *op, const struct loop_request *req)
{
	struct loop_uring *u = uring_of(loop);
	struct io_uring_sqe *sqe;

	switch ((enum op_kind)op->kind) {
	case OP_CONNECT: start_connect(u, op, req); return;
	case OP_RECV_SLOT:
	case OP_RECV_SMALL: start_recv_provided(u, op); return;
	case OP_SENDV: start_sendv(u, op, 0); return;
	case OP_ACCEPT:
		sqe = sqe_of(u);
		io_uring_prep_multishot_accept(sqe, op->fd, NULL, NULL,
		                               SOCK_CLOEXEC | SOCK_NONBLOCK);
		break;
	case OP_RECV:
		sqe = sqe_of(u);
		io_uring_prep_recv(sqe, op->fd, req->mem, req->len, 0);
		break;
	case OP_RECVV_NOW:
		sqe = sqe_of(u);
		io_uring_prep_recvmsg(sqe, op->fd, &op_msg_of(op)->msg, MSG_DONTWAIT);
		break;
	case OP_RECV_DGRAM:
		sqe = sqe_of(u);
		io_uring_prep_recvmsg(sqe, op->fd, &op_msg_of(op)->msg, 0);
		break;
	case OP_SEND_DGRAM:
		sqe = sqe_of(u);
		io_uring_prep_sendmsg(sqe, op->fd, &op_msg_of(op)->msg, MSG_NOSIGNAL);
		break;
	case OP_POLL:
		sqe = sqe_of(u);
		io_uring_prep_poll_add(sqe, op->fd, (unsigned int)(unsigned short)req->events);
		break;
	case OP_NONE:
	case OP_POST:
	default: check_failed(__FILE__, __LINE__, "an op the backend starts");
	}
	io_uring_sqe_set_data(sqe, op);
}

static void uring_cancel(struct loop *loop, struct op *op)
{
	struct io_uring_sqe *sqe = sqe_of(uring_of(loop));

	io_uring_prep_cancel(sqe, op, 0);
	sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
	io_uring_sqe_set_data(
		sqe, NULL); /* a failure says that op completed first: its CQE is all we want */
}

/* Take n sent octets off the front of the message. */
static void message_advance(struct msghdr *msg, size_t n)
{
	while (n > 0 && n >= msg->msg_iov->iov_len) {
		n -= msg->msg_iov->iov_len;
		msg->msg_iov++;
		msg->msg_iovlen--;
	}
	if (n > 0) {
		msg->msg_iov->iov_base = (uint8_t *)msg->msg_iov->iov_base + n;
		msg->msg_iov->iov_len -= n;
	}
}

static size_t message_left(const struct msghdr *msg)
{
	size_t n = 0;

	for (size_t i = 0; i < msg->msg_iovlen; i++)
		n += msg->msg_iov[i].iov_len;
	return n;
}

/*
 * true when the send goes on. MSG_WAITALL makes a short one rare, but promises nothing; and a request the kernel woke
 * too often in vain ends with -EAGAIN, because our sockets do not block. Neither is an end of the connection.
 */
static bool sendv_goes_on(struct loop_uring *u, struct op *op, int32_t *res)
{
	struct op_msg *m = op_msg_of(op);

	if (*res > 0) {
		m->sent += (uint32_t)*res;
		message_advance(&m->msg, (size_t)*res);
	}
	if (!(op->flags & OP_CANCELLED) &&
	    (*res == -EAGAIN || (*res > 0 && message_left(&m->msg) > 0))) {
		start_sendv(u, op, IORING_RECVSEND_POLL_FIRST);
		return true;
	}
	if (m->sent > 0)
		*res = (int32_t)m->sent;
	return false;
}

/* true when the receive was started again: it found no block, and there are some now. */
static bool recv_goes_on(struct loop_uring *u, const struct completion *c)
{
	struct op *op = c->op;
	struct bufring *b = bufring_of(u, op);
	unsigned int id = c->flags >> IORING_CQE_BUFFER_SHIFT;

	if (c->flags & IORING_CQE_F_BUFFER) {
		if (c->res > 0)
			op->buf = bufring_take(b, id);
		else
			bufring_return(b, id);
	}
	if (op->flags & OP_CANCELLED)
		return false;
	/* -EAGAIN: woken too often in vain, as with a send */
	if (c->res != -EAGAIN && (c->res != -ENOBUFS || !bufring_refill(b)))
		return false;
	start_recv_provided(u, op);
	return true;
}

static void complete(struct loop_uring *u, const struct completion *c)
{
	struct op *op = c->op;
	int32_t res = c->res;

	if (op == NULL)
		return;
	CHECK(op->magic == OP_MAGIC && op->pending);
	if (op->kind == OP_SENDV && sendv_goes_on(u, op, &res))
		return;
	if (is_provided(op) && recv_goes_on(u, c))
		return;
	if (op->kind == OP_CONNECT) {
		free(op->impl);
		op->impl = NULL;
	}
	loop_complete(&u->base, op, res, (c->flags & IORING_CQE_F_MORE) != 0);
}

static void reap(struct loop_uring *u)
{
	struct io_uring_cqe *cqes[REAP_BATCH];
	struct completion batch[REAP_BATCH];
	unsigned int n;

	/* copied and released first: done() may submit, and a full queue must not hold up the kernel */
	while ((n = io_uring_peek_batch_cqe(&u->ring, cqes, REAP_BATCH)) > 0) {
		for (unsigned int i = 0; i < n; i++)
			batch[i] = (struct completion){.op = io_uring_cqe_get_data(cqes[i]),
			                               .res = cqes[i]->res,
			                               .flags = cqes[i]->flags};
		io_uring_cq_advance(&u->ring, n);
		for (unsigned int i = 0; i < n; i++)
			complete(u, &batch[i]);
	}
}

/*
 * The kernel hands out some twenty deferred completions a call. What else is ready joins this turn, so that its
 * end, where tunnels seal and send, gathers all of it.
 */
static void reap_rest(struct loop_uring *u)
{
	for (unsigned int pass = 0; pass < REAP_PASSES; pass++) {
		if ((__atomic_load_n(u->ring.sq.kflags, __ATOMIC_RELAXED) & IORING_SQ_TASKRUN) == 0)
			return;
		(void)io_uring_get_events(&u->ring);
		reap(u);
	}
}

static void uring_wait(struct loop *loop, int64_t timeout_ns)
{
	struct loop_uring *u = uring_of(loop);
	struct __kernel_timespec ts = {
		.tv_sec = timeout_ns / 1000000000,
		.tv_nsec = timeout_ns % 1000000000,
	};
	struct io_uring_cqe *first;
	int rc;

	if (timeout_ns == 0)
		rc = io_uring_submit_and_get_events(&u->ring);
	else
		rc = io_uring_submit_and_wait_timeout(&u->ring, &first, 1,
		                                      timeout_ns < 0 ? NULL : &ts, NULL);
	/*
	 * -ETIME and -EINTR end the wait as they should; after -EAGAIN, -EBUSY and -ENOMEM what was not submitted
	 * stays queued for the next turn. Anything else is our mistake, such as turning another thread's loop.
	 */
	CHECK(rc >= 0 || rc == -ETIME || rc == -EINTR || rc == -EAGAIN || rc == -EBUSY ||
	      rc == -ENOMEM);
	loop_tick(loop);
	reap(u);
	reap_rest(u);
}

static uint64_t uring_now_ns(const struct loop *loop)
{
	(void)loop;
	return clock_mono_ns();
}

static void uring_shutdown(struct loop *loop, int fd, int how)
{
	(void)loop;
	(void)shutdown(fd,
	               how); /* ENOTCONN: the peer was faster, and its end is reported by the ops */
}

static void uring_close(struct loop *loop, int fd, bool reset)
{
	const struct linger now = {.l_onoff = 1, .l_linger = 0};

	(void)loop;
	if (reset)
		(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	CHECK(close(fd) == 0 || errno != EBADF);
}

static void uring_free(struct loop *loop)
{
	struct loop_uring *u = uring_of(loop);

	io_uring_queue_exit(&u->ring);
	bufring_fini(&u->slots);
	bufring_fini(&u->smalls);
	loop_fini(loop);
	free(u);
}

static const struct loop_backend backend = {
	.name = "io_uring",
	.free = uring_free,
	.start = uring_start,
	.cancel = uring_cancel,
	.wait = uring_wait,
	.now_ns = uring_now_ns,
	.shutdown = uring_shutdown,
	.close = uring_close,
};

static unsigned int or_default(unsigned int value, unsigned int fallback)
{
	return value != 0 ? value : fallback;
}

/* The buffers and the restrictions of a ring still disabled. */
static enum err enable(struct loop_uring *u, const struct loop_options *opt)
{
	bool restricted = false;
	enum err e = bufring_init(&u->slots, &u->ring, u->base.iobufs, IOBUF_SLOT,
	                          or_default(opt->slots, SLOTS_DEFAULT));

	if (e == ERR_OK)
		e = bufring_init(&u->smalls, &u->ring, u->base.iobufs, IOBUF_SMALL,
		                 or_default(opt->smalls, SMALLS_DEFAULT));
	if (e == ERR_OK)
		e = uring_enable(&u->ring, &restricted);
	if (e == ERR_OK && !restricted)
		log_at(LOG_SCOPE_IO, LOG_WARN,
		       "this kernel cannot restrict an io_uring to the operations used");
	return e;
}

enum err loop_uring_new(const struct loop_options *opt, struct loop **ret_loop)
{
	static const struct loop_options defaults;
	struct loop_uring *u = mem_new(sizeof(*u));
	enum err e;

	if (opt == NULL)
		opt = &defaults;
	e = uring_create(&u->ring, or_default(opt->ring_entries, RING_ENTRIES_DEFAULT));
	if (e != ERR_OK) {
		free(u);
		return e;
	}
	loop_init(&u->base, &backend, opt->iobuf_bytes_max);
	e = enable(u, opt);
	if (e != ERR_OK) {
		int saved = errno;

		uring_free(&u->base);
		errno = saved;
		return e;
	}
	*ret_loop = &u->base;
	return ERR_OK;
}
