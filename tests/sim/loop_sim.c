/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/io/loop_internal.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_dgram.h"
#include "tests/sim/sim_socket.h"

enum {
	IOBUF_BYTES_DEFAULT = 64 * 1024 * 1024,
	START_MS_DEFAULT = 1000,
	ACCEPT_ENDS_OF = 16, /* one in so many connections is the last of its multishot accept */
	IDLE_TURNS_MAX = 1000,
};

/* What the simulator keeps of a pending op, in op->impl. */
struct sim_op {
	struct list link;
	struct op *op;
	uint8_t *mem;
	size_t len; /* OP_SENDV: of all pieces */
	short events;
	struct endpoint to;
	uint64_t ready_ns; /* OP_CONNECT: not before */
};

struct loop_sim {
	struct loop base; /* first */
	struct sim_options opt;
	struct rand dice;
	uint64_t clock_ns;
	struct list ops; /* of sim_op, oldest first */
	struct sim_net net;
	struct sim_dgrams dgrams;
	bool idle; /* the last wait found nothing that could ever happen */
	unsigned int idle_turns;
};

static struct loop_sim *sim_of(struct loop *loop)
{
	CHECK(strcmp(loop->backend->name, "sim") == 0);
	return container_of(loop, struct loop_sim, base);
}

static const struct loop_sim *sim_read_of(const struct loop *loop)
{
	return (const struct loop_sim *)(const void *)loop; /* base is first */
}

/* 1..n: how much of n happens now. */
static size_t cut(struct loop_sim *s, size_t n)
{
	if (n <= 1 || s->opt.whole || rand_below(&s->dice, 2) == 0)
		return n;
	return 1 + (size_t)rand_below(&s->dice, n);
}

static bool finish(struct loop_sim *s, struct sim_op *so, int32_t res)
{
	struct op *op = so->op;

	list_remove(&so->link);
	op->impl = NULL;
	free(so);
	loop_complete(&s->base, op, res, false);
	return true;
}

static bool try_accept(struct loop_sim *s, struct sim_op *so)
{
	static const int full[] = {-EMFILE, -ENFILE, -ENOBUFS, -ENOMEM};
	int fd;

	if (s->opt.no_accept_of_1000 > 0 && (sim_net_poll(&s->net, so->op->fd) & POLLIN) != 0 &&
	    rand_below(&s->dice, 1000) < s->opt.no_accept_of_1000)
		return finish(s, so, full[rand_below(&s->dice, 4)]);
	fd = sim_net_accept(&s->net, so->op->fd);

	if (fd == -EAGAIN)
		return false;
	if (fd < 0 || (!s->opt.eager && rand_below(&s->dice, ACCEPT_ENDS_OF) == 0))
		return finish(s, so, fd);
	loop_complete(&s->base, so->op, fd, true);
	return true;
}

static bool try_connect(struct loop_sim *s, struct sim_op *so)
{
	int rc;

	if (s->clock_ns < so->ready_ns)
		return false;
	if (sim_net_is_black_hole(&s->net, &so->to))
		return finish(s, so, -ETIMEDOUT);
	rc = sim_net_connect(&s->net, so->op->fd, &so->to);
	return rc != -EAGAIN && finish(s, so, rc);
}

/* The receive of so into at most len octets at mem; false when there is nothing yet. */
static bool recv_now(struct loop_sim *s, struct sim_op *so, uint8_t *mem, size_t len,
                     ssize_t *ret_n)
{
	size_t ready = sim_net_readable(&s->net, so->op->fd);

	if (ready > 0)
		len = cut(s, ready < len ? ready : len);
	*ret_n = sim_net_read(&s->net, so->op->fd, mem, len);
	return *ret_n != -EAGAIN;
}

static bool try_recv(struct loop_sim *s, struct sim_op *so)
{
	ssize_t n;

	return recv_now(s, so, so->mem, so->len, &n) && finish(s, so, (int32_t)n);
}

static bool try_recv_provided(struct loop_sim *s, struct sim_op *so)
{
	bool slot = so->op->kind == OP_RECV_SLOT;
	struct iobuf *b;
	ssize_t n;

	if (sim_net_readable(&s->net, so->op->fd) == 0)
		return recv_now(s, so, NULL, 0, &n) && finish(s, so, (int32_t)n);
	b = rand_below(&s->dice, 1000) < s->opt.enobufs_of_1000
	            ? NULL
	            : iobuf_take(s->base.iobufs, slot ? IOBUF_SLOT : IOBUF_SMALL);
	if (b == NULL)
		return finish(s, so, -ENOBUFS);
	CHECK(recv_now(s, so, b->mem + (slot ? IOBUF_HEAD : 0), so->len, &n) && n > 0);
	so->op->buf = b;
	return finish(s, so, (int32_t)n);
}

static bool try_recvv_now(struct loop_sim *s, struct sim_op *so)
{
	const struct msghdr *msg = &op_msg_of(so->op)->msg;
	size_t ready = sim_net_readable(&s->net, so->op->fd), want, done = 0;

	if (ready == 0) {
		ssize_t rc = sim_net_read(&s->net, so->op->fd, NULL, 0);

		return finish(s, so, (int32_t)rc);
	}
	want = cut(s, ready < so->len ? ready : so->len);
	for (size_t i = 0; i < msg->msg_iovlen && done < want; i++) {
		size_t n = msg->msg_iov[i].iov_len < want - done ? msg->msg_iov[i].iov_len
		                                                 : want - done;

		if (n > 0)
			CHECK(sim_net_read(&s->net, so->op->fd, msg->msg_iov[i].iov_base, n) ==
			      (ssize_t)n);
		done += n;
	}
	return finish(s, so, (int32_t)done);
}

/* Write up to limit octets of what the message has left behind its first m->sent; what was written, or -errno. */
static ssize_t send_some(struct loop_sim *s, struct sim_op *so, size_t limit)
{
	struct op_msg *m = op_msg_of(so->op);
	size_t skip = m->sent, done = 0;

	for (size_t i = 0; i < m->msg.msg_iovlen && done < limit; i++) {
		const struct iovec *v = &m->msg.msg_iov[i];
		size_t n;

		if (skip >= v->iov_len) {
			skip -= v->iov_len;
			continue;
		}
		n = v->iov_len - skip < limit - done ? v->iov_len - skip : limit - done;
		CHECK(sim_net_write(&s->net, so->op->fd, (uint8_t *)v->iov_base + skip, n) ==
		      (ssize_t)n);
		done += n;
		skip = 0;
	}
	m->sent += (uint32_t)done;
	return (ssize_t)done;
}

static bool try_sendv(struct loop_sim *s, struct sim_op *so)
{
	struct op_msg *m = op_msg_of(so->op);
	ssize_t room = sim_net_writable(&s->net, so->op->fd);
	size_t left = so->len - m->sent;

	if (room < 0)
		return finish(s, so, m->sent > 0 ? (int32_t)m->sent : (int32_t)room);
	if (room == 0 && left > 0)
		return false;
	(void)send_some(s, so, cut(s, (size_t)room < left ? (size_t)room : left));
	if (m->sent == so->len)
		return finish(s, so, (int32_t)m->sent);
	return true;
}

/* The ancillary data and flags a kernel would have given. */
static void fill_message(struct msghdr *msg, const struct sim_dgram_way *way)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(msg);
	struct sockaddr_storage ss;
	socklen_t len = endpoint_to_sockaddr(&way->to, false, &ss);
	bool v6 = way->to.ip.family == IP_V6;

	CHECK(c != NULL && CMSG_SPACE(len) <= msg->msg_controllen);
	*c = (struct cmsghdr){.cmsg_len = CMSG_LEN(len),
	                      .cmsg_level = v6 ? SOL_IPV6 : SOL_IP,
	                      .cmsg_type = v6 ? IPV6_ORIGDSTADDR : IP_ORIGDSTADDR};
	memcpy(CMSG_DATA(c), &ss, len);
	msg->msg_controllen = CMSG_SPACE(len);
	msg->msg_namelen = endpoint_to_sockaddr(&way->from, false, msg->msg_name);
	msg->msg_flags = way->cut ? MSG_TRUNC : 0;
}

static bool try_recv_dgram(struct loop_sim *s, struct sim_op *so)
{
	struct sim_dgram_way way;
	ssize_t n = sim_dgram_recv(&s->dgrams, so->op->fd, so->mem, so->len, &way);

	if (n < 0)
		return false;
	fill_message(&op_msg_of(so->op)->msg, &way);
	return finish(s, so, (int32_t)n);
}

static bool try_send_dgram(struct loop_sim *s, struct sim_op *so)
{
	const struct msghdr *msg = &op_msg_of(so->op)->msg;
	struct endpoint to;

	CHECK(msg->msg_name != NULL); /* the simulator's sockets are not connected */
	to = endpoint_of_sockaddr(msg->msg_name);
	return finish(
		s, so,
		(int32_t)sim_dgram_send(&s->dgrams, so->op->fd, NULL, &to,
	                                span_of(msg->msg_iov->iov_base, msg->msg_iov->iov_len)));
}

static bool try_poll(struct loop_sim *s, struct sim_op *so)
{
	struct pollfd p = {.fd = so->op->fd, .events = so->events};

	if (sim_dgram_is(p.fd))
		p.revents = (short)((sim_dgram_readable(&s->dgrams, p.fd) ? POLLIN | POLLOUT
		                                                          : POLLOUT) &
		                    so->events);
	else if (p.fd >= SIM_FD_FIRST)
		p.revents = (short)(sim_net_poll(&s->net, p.fd) & (so->events | POLLERR | POLLHUP));
	else
		CHECK(poll(&p, 1, 0) >= 0); /* a mailbox's eventfd is a real one */
	return p.revents != 0 && finish(s, so, p.revents);
}

static bool try_kind(struct loop_sim *s, struct sim_op *so)
{
	switch ((enum op_kind)so->op->kind) {
	case OP_ACCEPT: return try_accept(s, so);
	case OP_CONNECT: return try_connect(s, so);
	case OP_RECV: return try_recv(s, so);
	case OP_RECV_SLOT:
	case OP_RECV_SMALL: return try_recv_provided(s, so);
	case OP_RECVV_NOW: return try_recvv_now(s, so);
	case OP_SENDV: return try_sendv(s, so);
	case OP_RECV_DGRAM: return try_recv_dgram(s, so);
	case OP_SEND_DGRAM: return try_send_dgram(s, so);
	case OP_POLL: return try_poll(s, so);
	case OP_NONE:
	case OP_POST: break;
	}
	check_failed(__FILE__, __LINE__, "an op the backend starts");
}

/* true when something happened to the op. A cancelled one may still complete first, as the kernel's may. */
static bool try_op(struct loop_sim *s, struct sim_op *so)
{
	struct op *op = so->op;
	uint32_t sent;

	if (!(op->flags & OP_CANCELLED))
		return try_kind(s, so);
	if (!s->opt.eager && rand_below(&s->dice, 2) == 0 && try_kind(s, so))
		return true;
	sent = op->kind == OP_SENDV ? op_msg_of(op)->sent : 0;
	return finish(s, so, sent > 0 ? (int32_t)sent : -ECANCELED);
}

static void shuffle(struct loop_sim *s, struct sim_op **ops, size_t count)
{
	for (size_t i = count; i > 1; i--) {
		size_t j = (size_t)rand_below(&s->dice, i);
		struct sim_op *o = ops[i - 1];

		ops[i - 1] = ops[j];
		ops[j] = o;
	}
}

/* Let some of the ops that can make progress make it; how many did. */
static size_t run_some(struct loop_sim *s)
{
	size_t count = 0, limit, progress = 0;
	struct sim_op **ops;

	if (list_empty(&s->ops))
		return 0;
	ops = mem_new(s->base.pending * sizeof(struct sim_op *));
	list_for_each (it, &s->ops)
		ops[count++] = list_entry(it, struct sim_op, link);
	limit = count;
	if (!s->opt.eager) {
		shuffle(s, ops, count);
		limit = 1 + (size_t)rand_below(&s->dice, count);
	}
	for (size_t i = 0; i < count && progress < limit; i++)
		progress += try_op(s, ops[i]);
	free(ops);
	return progress;
}

/* When the first connect is answered, or UINT64_MAX. */
static uint64_t next_connect_ns(struct loop_sim *s)
{
	uint64_t first = UINT64_MAX;

	list_for_each (it, &s->ops) {
		const struct sim_op *so = list_entry(it, struct sim_op, link);

		if (so->op->kind == OP_CONNECT && so->ready_ns > s->clock_ns &&
		    so->ready_ns < first)
			first = so->ready_ns;
	}
	return first;
}

static void sim_wait(struct loop *loop, int64_t timeout_ns)
{
	struct loop_sim *s = sim_of(loop);
	uint64_t until = next_connect_ns(s);

	loop_tick(loop);
	s->idle = false;
	if (run_some(s) == 0) {
		if (timeout_ns >= 0 && s->clock_ns + (uint64_t)timeout_ns < until)
			until = s->clock_ns + (uint64_t)timeout_ns;
		s->idle = until == UINT64_MAX;
		if (!s->idle)
			s->clock_ns = until;
		loop_tick(loop);
	}
	s->idle_turns = s->idle ? s->idle_turns + 1 : 0;
	CHECK(s->idle_turns < IDLE_TURNS_MAX); /* loop_run would wait for ever */
}

static void sim_start(struct loop *loop, struct op *op, const struct loop_request *req)
{
	struct loop_sim *s = sim_of(loop);
	struct sim_op *so = mem_new(sizeof(*so));

	so->op = op;
	so->mem = req->mem;
	so->len = req->len;
	so->events = req->events;
	so->ready_ns = s->clock_ns;
	if (op->kind == OP_CONNECT) {
		struct sockaddr_storage ss = {.ss_family = AF_UNSPEC};

		memcpy(&ss, req->addr, req->addr_len);
		so->to = endpoint_of_sockaddr(&ss);
		so->ready_ns += rand_below(&s->dice, s->opt.connect_ms_max + 1) * 1000000;
		if (sim_net_is_black_hole(&s->net, &so->to))
			so->ready_ns = s->clock_ns + UINT64_C(1000000) * SIM_TIMEOUT_MS;
	}
	op->impl = so;
	list_push(&s->ops, &so->link);
}

static void sim_cancel(struct loop *loop, struct op *op)
{
	(void)loop;
	(void)op; /* OP_CANCELLED is all try_op looks at */
}

static uint64_t sim_now_ns(const struct loop *loop)
{
	return sim_read_of(loop)->clock_ns;
}

static void sim_shutdown(struct loop *loop, int fd, int how)
{
	sim_net_shutdown(&sim_of(loop)->net, fd, how);
}

static void sim_close(struct loop *loop, int fd, bool reset)
{
	struct loop_sim *s = sim_of(loop);

	list_for_each (it, &s->ops)
		CHECK(list_entry(it, struct sim_op, link)->op->fd != fd); /* no op may be pending */
	if (sim_dgram_is(fd))
		sim_dgram_close(&s->dgrams, fd);
	else
		sim_net_close(&s->net, fd, reset);
}

static void sim_free(struct loop *loop)
{
	struct loop_sim *s = sim_of(loop);

	sim_net_fini(&s->net);
	sim_dgrams_fini(&s->dgrams);
	loop_fini(loop);
	free(s);
}

static const struct loop_backend backend = {
	.name = "sim",
	.free = sim_free,
	.start = sim_start,
	.cancel = sim_cancel,
	.wait = sim_wait,
	.now_ns = sim_now_ns,
	.shutdown = sim_shutdown,
	.close = sim_close,
};

struct loop *sim_new(const struct sim_options *opt)
{
	struct loop_sim *s = mem_new(sizeof(*s));

	if (opt != NULL)
		s->opt = *opt;
	rand_init(&s->dice, s->opt.seed);
	s->clock_ns = (s->opt.start_ms != 0 ? s->opt.start_ms : START_MS_DEFAULT) * 1000000;
	list_init(&s->ops);
	sim_net_init(&s->net, s->opt.socket_bytes);
	loop_init(&s->base, &backend,
	          s->opt.iobuf_bytes_max != 0 ? s->opt.iobuf_bytes_max : IOBUF_BYTES_DEFAULT);
	return &s->base;
}

bool sim_turn(struct loop *loop)
{
	loop_turn(loop, -1);
	return !sim_of(loop)->idle;
}

bool sim_settle(struct loop *loop, unsigned int turns_max)
{
	for (unsigned int i = 0; i < turns_max; i++)
		if (!sim_turn(loop))
			return true;
	return false;
}

void sim_advance(struct loop *loop, uint64_t ms)
{
	sim_of(loop)->clock_ns += ms * 1000000;
}

void sim_pair(struct loop *loop, int ret_fds[2])
{
	sim_net_pair(&sim_of(loop)->net, ret_fds);
}

int sim_socket(struct loop *loop)
{
	return sim_net_socket(&sim_of(loop)->net);
}

int sim_listen(struct loop *loop, const struct endpoint *ep, unsigned int backlog)
{
	return sim_net_listen(&sim_of(loop)->net, ep, backlog);
}

void sim_black_hole(struct loop *loop, const struct endpoint *ep)
{
	sim_net_black_hole(&sim_of(loop)->net, ep);
}

ssize_t sim_write(struct loop *loop, int fd, const void *mem, size_t n)
{
	struct loop_sim *s = sim_of(loop);
	ssize_t room = sim_net_writable(&s->net, fd);

	if (room <= 0)
		return room < 0 ? room : -EAGAIN;
	return sim_net_write(&s->net, fd, mem, (size_t)room < n ? (size_t)room : n);
}

ssize_t sim_read(struct loop *loop, int fd, void *mem, size_t n)
{
	return sim_net_read(&sim_of(loop)->net, fd, mem, n);
}

int sim_accept(struct loop *loop, int fd)
{
	return sim_net_accept(&sim_of(loop)->net, fd);
}

int sim_udp(struct loop *loop, const struct endpoint *ep, bool catch_all)
{
	return sim_dgram_socket(&sim_of(loop)->dgrams, ep, catch_all);
}

ssize_t sim_udp_send(struct loop *loop, int fd, const struct endpoint *from,
                     const struct endpoint *to, const void *mem, size_t n)
{
	return sim_dgram_send(&sim_of(loop)->dgrams, fd, from, to, span_of(mem, n));
}

ssize_t sim_udp_recv(struct loop *loop, int fd, void *mem, size_t n, struct endpoint *ret_from)
{
	struct sim_dgram_way way;
	ssize_t rc = sim_dgram_recv(&sim_of(loop)->dgrams, fd, mem, n, &way);

	if (rc >= 0)
		*ret_from = way.from;
	return rc;
}

bool sim_peer(struct loop *loop, int fd, struct endpoint *ret_ep)
{
	return sim_net_peer(&sim_of(loop)->net, fd, ret_ep);
}

struct endpoint sim_local(struct loop *loop, int fd)
{
	return sim_net_local(&sim_of(loop)->net, fd);
}

size_t sim_open_sockets(const struct loop *loop)
{
	return sim_read_of(loop)->net.open_count + sim_read_of(loop)->dgrams.open_count;
}
