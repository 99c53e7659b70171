/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/loop.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/io/loop_internal.h"

enum { CLOSING_CAP_MIN = 16 };

_Static_assert(sizeof(struct op) <= 40, "every idle connection holds one");

void loop_init(struct loop *loop, const struct loop_backend *backend, size_t iobuf_bytes_max)
{
	if (iobuf_bytes_max == 0)
		iobuf_bytes_max = LOOP_IOBUF_BYTES_DEFAULT;
	*loop = (struct loop){.backend = backend};
	loop->iobufs = iobuf_pool_new(iobuf_bytes_max);
	list_init(&loop->hooks);
	loop_tick(loop);
	timer_wheel_init(&loop->timers, loop->now_ms);
}

void loop_tick(struct loop *loop)
{
	loop->now_ms = loop->backend->now_ns(loop) / 1000000;
}

void loop_fini(struct loop *loop)
{
	free(loop->closing);
	iobuf_pool_free(loop->iobufs);
}

static void close_all(struct loop *loop)
{
	for (size_t i = 0; i < loop->closing_count; i++)
		loop->backend->close(loop, loop->closing[i].fd, loop->closing[i].reset);
	loop->closing_count = 0;
}

static void free_retired(struct loop *loop)
{
	while (loop->retired != NULL) {
		struct loop_retired *r = loop->retired;

		loop->retired = r->next;
		r->free_fn(r);
	}
}

void loop_free(struct loop *loop)
{
	if (loop == NULL)
		return;
	CHECK(loop->pending == 0);
	close_all(loop);
	free_retired(loop);
	loop->backend->free(loop);
}

const char *loop_backend(const struct loop *loop)
{
	return loop->backend->name;
}

struct iobuf_pool *loop_iobufs(struct loop *loop)
{
	return loop->iobufs;
}

uint64_t loop_now_ms(const struct loop *loop)
{
	return loop->now_ms;
}

uint64_t loop_now_ns(const struct loop *loop)
{
	return loop->backend->now_ns(loop);
}

size_t loop_pending(const struct loop *loop)
{
	return loop->pending;
}

static void prepare(struct loop *loop, struct op *op, enum op_kind kind, int fd, op_done_fn *done)
{
	CHECK(!op->pending && done != NULL);
	*op = (struct op){
		.done = done, .fd = fd, .magic = OP_MAGIC, .kind = (uint8_t)kind, .pending = true};
	loop->pending++;
}

void loop_complete(struct loop *loop, struct op *op, int32_t res, bool more)
{
	CHECK(op->magic == OP_MAGIC && op->pending);
	op->res = res;
	if (!more) {
		op->pending = false;
		op->magic = 0;
		loop->pending--;
	}
	op->done(op);
}

void loop_finish_later(struct loop *loop, struct op *op, int32_t res)
{
	op->kind = OP_POST;
	op->res = res;
	op->impl = NULL;
	if (loop->posted == NULL)
		loop->posted = op;
	else
		loop->posted_last->impl = op;
	loop->posted_last = op;
}

void loop_post(struct loop *loop, struct op *op, int32_t res, op_done_fn *done)
{
	prepare(loop, op, OP_POST, -1, done);
	loop_finish_later(loop, op, res);
}

void loop_accept(struct loop *loop, struct op *op, int fd, op_done_fn *done)
{
	prepare(loop, op, OP_ACCEPT, fd, done);
	loop->backend->start(loop, op, &(struct loop_request){.mem = NULL});
}

void loop_connect(struct loop *loop, struct op *op, int fd, const struct sockaddr *addr,
                  socklen_t addr_len, op_done_fn *done)
{
	CHECK(addr_len <= sizeof(struct sockaddr_storage));
	prepare(loop, op, OP_CONNECT, fd, done);
	loop->backend->start(loop, op, &(struct loop_request){.addr = addr, .addr_len = addr_len});
}

void loop_recv(struct loop *loop, struct op *op, int fd, void *mem, size_t len, op_done_fn *done)
{
	CHECK(len > 0 && len <= INT32_MAX);
	prepare(loop, op, OP_RECV, fd, done);
	loop->backend->start(loop, op, &(struct loop_request){.mem = mem, .len = len});
}

void loop_recv_slot(struct loop *loop, struct op *op, int fd, op_done_fn *done)
{
	prepare(loop, op, OP_RECV_SLOT, fd, done);
	loop->backend->start(loop, op, &(struct loop_request){.len = IOBUF_SLOT_LEN});
}

void loop_recv_small(struct loop *loop, struct op *op, int fd, op_done_fn *done)
{
	prepare(loop, op, OP_RECV_SMALL, fd, done);
	loop->backend->start(loop, op, &(struct loop_request){.len = IOBUF_SMALL_MEM});
}

static size_t set_message(struct op_msg *m, struct iovec *iov, unsigned int iov_count)
{
	size_t len = 0;

	CHECK(iov_count > 0 && iov_count <= LOOP_IOV_MAX);
	for (unsigned int i = 0; i < iov_count; i++)
		len += iov[i].iov_len;
	CHECK(len <= INT32_MAX);
	m->sent = 0;
	m->msg = (struct msghdr){.msg_iov = iov, .msg_iovlen = iov_count};
	return len;
}

void loop_recvv_now(struct loop *loop, struct op_msg *op, int fd, struct iovec *iov,
                    unsigned int iov_count, op_done_fn *done)
{
	struct loop_request req = {.len = set_message(op, iov, iov_count)};

	prepare(loop, &op->op, OP_RECVV_NOW, fd, done);
	loop->backend->start(loop, &op->op, &req);
}

void loop_sendv(struct loop *loop, struct op_msg *op, int fd, struct iovec *iov,
                unsigned int iov_count, op_done_fn *done)
{
	struct loop_request req = {.len = set_message(op, iov, iov_count)};

	prepare(loop, &op->op, OP_SENDV, fd, done);
	loop->backend->start(loop, &op->op, &req);
}

void loop_recv_dgram(struct loop *loop, struct op_dgram *op, int fd, void *mem, size_t len,
                     op_done_fn *done)
{
	op->iov = (struct iovec){.iov_base = mem, .iov_len = len};
	(void)set_message(&op->msg, &op->iov, 1);
	op->msg.msg.msg_name = &op->name;
	op->msg.msg.msg_namelen = sizeof(op->name);
	op->msg.msg.msg_control = op->control.bytes;
	op->msg.msg.msg_controllen = sizeof(op->control.bytes);
	prepare(loop, &op->msg.op, OP_RECV_DGRAM, fd, done);
	loop->backend->start(loop, &op->msg.op, &(struct loop_request){.mem = mem, .len = len});
}

void loop_send_dgram(struct loop *loop, struct op_dgram *op, int fd, socklen_t name_len,
                     struct span mem, op_done_fn *done)
{
	op->iov = (struct iovec){.iov_base = (void *)(uintptr_t)mem.p, .iov_len = mem.n};
	(void)set_message(&op->msg, &op->iov, 1);
	CHECK(name_len <= sizeof(op->name));
	op->msg.msg.msg_name = name_len > 0 ? &op->name : NULL;
	op->msg.msg.msg_namelen = name_len;
	prepare(loop, &op->msg.op, OP_SEND_DGRAM, fd, done);
	loop->backend->start(loop, &op->msg.op, &(struct loop_request){.len = mem.n});
}

struct endpoint op_dgram_from(const struct op_dgram *op)
{
	if (op->msg.msg.msg_namelen == 0)
		return (struct endpoint){.port = 0};
	return endpoint_of_sockaddr(&op->name);
}

struct endpoint op_dgram_to(const struct op_dgram *op)
{
	const struct msghdr *msg = &op->msg.msg;
	struct sockaddr_storage ss = {.ss_family = AF_UNSPEC};

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL;
	     c = CMSG_NXTHDR((struct msghdr *)(uintptr_t)msg, c)) {
		size_t len = c->cmsg_len - CMSG_LEN(0);

		if (((c->cmsg_level == SOL_IP && c->cmsg_type == IP_ORIGDSTADDR) ||
		     (c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_ORIGDSTADDR)) &&
		    len <= sizeof(ss))
			memcpy(&ss, CMSG_DATA(c), len);
	}
	return endpoint_of_sockaddr(&ss);
}

bool op_dgram_cut(const struct op_dgram *op)
{
	return (op->msg.msg.msg_flags & MSG_TRUNC) != 0;
}

void loop_poll(struct loop *loop, struct op *op, int fd, short events, op_done_fn *done)
{
	prepare(loop, op, OP_POLL, fd, done);
	loop->backend->start(loop, op, &(struct loop_request){.events = events});
}

void loop_cancel(struct loop *loop, struct op *op)
{
	if (!op->pending || op->kind == OP_POST || (op->flags & OP_CANCELLED))
		return;
	CHECK(op->magic == OP_MAGIC);
	op->flags |= OP_CANCELLED;
	loop->backend->cancel(loop, op);
}

void loop_shutdown(struct loop *loop, int fd, int how)
{
	loop->backend->shutdown(loop, fd, how);
}

static void close_later(struct loop *loop, struct loop_closing closing)
{
	if (loop->closing_count == loop->closing_cap) {
		size_t cap = loop->closing_cap == 0 ? CLOSING_CAP_MIN : loop->closing_cap * 2;
		struct loop_closing *wider = realloc(loop->closing, cap * sizeof(*wider));

		if (wider == NULL) { /* better a little early than never */
			loop->backend->close(loop, closing.fd, closing.reset);
			return;
		}
		loop->closing = wider;
		loop->closing_cap = cap;
	}
	loop->closing[loop->closing_count++] = closing;
}

void loop_close(struct loop *loop, int fd)
{
	close_later(loop, (struct loop_closing){.fd = fd});
}

void loop_reset_close(struct loop *loop, int fd)
{
	close_later(loop, (struct loop_closing){.fd = fd, .reset = true});
}

void loop_hook_init(struct loop_hook *h, void (*fn)(struct loop_hook *))
{
	list_init(&h->link);
	h->fn = fn;
}

void loop_at_turn_end(struct loop *loop, struct loop_hook *h)
{
	if (list_empty(&h->link))
		list_push(&loop->hooks, &h->link);
}

void loop_hook_cancel(struct loop_hook *h)
{
	list_remove(&h->link);
}

void loop_retire(struct loop *loop, struct loop_retired *r, void (*free_fn)(struct loop_retired *))
{
	r->next = loop->retired;
	r->free_fn = free_fn;
	loop->retired = r;
}

/* Those posted up to now; what they post waits for the next turn, so that a turn ends. */
static void run_posted(struct loop *loop)
{
	struct op *op = loop->posted;

	loop->posted = NULL;
	while (op != NULL) {
		struct op *next = op->impl;

		op->impl = NULL;
		loop_complete(loop, op, op->res, false);
		op = next;
	}
}

static void run_timers(struct loop *loop)
{
	struct list due, *n;

	list_init(&due);
	timer_wheel_expire(&loop->timers, loop->now_ms, &due);
	while ((n = list_shift(&due)) != NULL) {
		struct timer *t = list_entry(n, struct timer, link);

		t->fn(t);
	}
}

static void run_hooks(struct loop *loop)
{
	struct list *n;

	while ((n = list_shift(&loop->hooks)) != NULL) {
		struct loop_hook *h = list_entry(n, struct loop_hook, link);

		h->fn(h);
	}
}

/* How long the backend may sleep: not at all when something is queued, else up to the next timer. */
static int64_t sleep_ns(struct loop *loop, int wait_ms)
{
	uint64_t at_ms = timer_wheel_next(&loop->timers), now_ns, at_ns;
	int64_t limit = wait_ms < 0 ? -1 : (int64_t)wait_ms * 1000000;

	if (loop->posted != NULL || !list_empty(&loop->hooks) || loop->retired != NULL ||
	    loop->closing_count > 0)
		return 0;
	if (at_ms == TIMER_NEVER)
		return limit;
	now_ns = loop->backend->now_ns(loop);
	at_ns = at_ms * 1000000;
	if (at_ns <= now_ns)
		return 0;
	return limit >= 0 && (uint64_t)limit < at_ns - now_ns ? limit : (int64_t)(at_ns - now_ns);
}

void loop_turn(struct loop *loop, int wait_ms)
{
	loop->backend->wait(loop, sleep_ns(loop, wait_ms));
	run_posted(loop);
	run_timers(loop);
	run_hooks(loop);
	close_all(loop);
	free_retired(loop);
}

void loop_run(struct loop *loop)
{
	while (!loop->stopping)
		loop_turn(loop, -1);
	loop->stopping = false;
}

void loop_stop(struct loop *loop)
{
	loop->stopping = true;
}
