/* SPDX-License-Identifier: Apache-2.0 */
#include "common/relay/socket_end.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/check.h"
#include "common/io/timer.h"

/* What a hot read or a send lends to the kernel; exists only meanwhile. */
struct socket_batch {
	struct op_msg msg;
	struct socket_end *socket;
	unsigned int count; /* views lent by a send */
	size_t len;         /* and their octets */
	struct iobuf *slots[SOCKET_BATCH];
	struct iovec iov[SOCKET_IOV];
};

/* Exists only while it runs. */
struct socket_wait {
	struct timer timer;
	struct socket_end *socket;
};

static void on_quiet_read(struct op *op);
static void on_hot_read(struct op *op);
static void on_sent(struct op *op);
static void on_watched(struct op *op);

static void break_off(struct socket_end *s, enum err cause)
{
	if (s->broken || s->closing)
		return;
	s->broken = true;
	relay_on_broken(&s->end, cause);
}

static void stop_waiting(struct socket_end *s)
{
	if (s->wait == NULL)
		return;
	timer_disarm(&s->wait->timer);
	free(s->wait);
	s->wait = NULL;
}

/* Only from completions and the hook: closing is over when no op is in flight. */
static void land(struct socket_end *s)
{
	if (!s->closing || s->landed || s->recv.pending || s->rx != NULL || s->tx != NULL)
		return;
	s->landed = true;
	loop_hook_cancel(&s->hook);
	iobuf_queue_fini(&s->out);
	if (s->reset_on_close)
		loop_reset_close(s->loop, s->fd);
	else
		loop_close(s->loop, s->fd);
	relay_on_landed(&s->end);
}

/* --- reading ------------------------------------------------------------------------------ */

static void read_quiet(struct socket_end *s)
{
	if (s->reading && !s->eof && !s->recv.pending && s->rx == NULL && !s->closing)
		loop_recv_slot(s->loop, &s->recv, s->fd, on_quiet_read);
}

static void on_waited(struct timer *t)
{
	struct socket_end *s = container_of(t, struct socket_wait, timer)->socket;

	stop_waiting(s);
	if (s->reading)
		read_quiet(s);
	else if (!s->eof && !s->recv.pending && s->rx == NULL && !s->closing)
		loop_poll(s->loop, &s->recv, s->fd, 0, on_watched);
}

static bool wait_for(struct socket_end *s, uint64_t ms)
{
	if (s->wait == NULL) {
		s->wait = malloc(sizeof(*s->wait));
		if (s->wait == NULL)
			return false;
		s->wait->socket = s;
		timer_init(&s->wait->timer, on_waited);
	}
	timer_arm(s->loop, &s->wait->timer, ms);
	return true;
}

/* Read on; held back, nothing is read, but a reset must not go unseen for ever. */
static void read_or_watch(struct socket_end *s)
{
	if (s->reading)
		read_quiet(s);
	else
		(void)wait_for(s,
		               SOCKET_WATCH_MS); /* without memory it is seen when it reads again */
}

static void batch_free_slots(struct socket_batch *b)
{
	for (unsigned int i = 0; i < SOCKET_BATCH; i++) {
		if (b->slots[i] != NULL)
			iobuf_unref(b->slots[i]);
	}
}

/* Take what is there, up to SOCKET_BATCH slots, without waiting. Falls back to a quiet read. */
static void read_hot(struct socket_end *s)
{
	struct socket_batch *b = malloc(sizeof(*b));
	unsigned int n = 0;

	if (b == NULL) {
		read_quiet(s);
		return;
	}
	memset(&b->msg, 0, sizeof(b->msg));
	memset(b->slots, 0, sizeof(b->slots));
	b->socket = s;
	for (; n < SOCKET_BATCH; n++) {
		b->slots[n] = iobuf_take(loop_iobufs(s->loop), IOBUF_SLOT);
		if (b->slots[n] == NULL)
			break;
		b->iov[n].iov_base = b->slots[n]->mem + IOBUF_HEAD;
		b->iov[n].iov_len = IOBUF_SLOT_LEN;
	}
	if (n == 0) {
		free(b);
		read_quiet(s);
		return;
	}
	s->rx = b;
	loop_recvv_now(s->loop, &b->msg, s->fd, b->iov, n, on_hot_read);
}

static void saw_eof(struct socket_end *s)
{
	s->eof = true;
	s->reading = false;
	/* A reset may still follow the FIN: errors are reported without asking for any event. */
	loop_poll(s->loop, &s->recv, s->fd, 0, on_watched);
	relay_on_eof(&s->end);
}

static void saw_read_error(struct socket_end *s, int32_t res)
{
	if (res == -ECANCELED)
		return;
	if (res == -ENOBUFS && s->retries < SOCKET_RETRY_MAX && wait_for(s, SOCKET_RETRY_MS))
		s->retries++;
	else
		break_off(s, res == -ENOBUFS ? ERR_OVERLOAD : ERR_RESET);
}

static void on_quiet_read(struct op *op)
{
	struct socket_end *s = container_of(op, struct socket_end, recv);
	struct iobuf *b = op->buf;
	int32_t res = op->res;

	op->buf = NULL;
	if (s->closing) {
		if (b != NULL)
			iobuf_unref(b);
	} else if (res > 0) {
		struct iobuf_view v = {.buf = b, .p = b->mem + IOBUF_HEAD, .len = (uint32_t)res};

		s->reading = relay_on_data(&s->end, v);
		s->retries = 0;
		if (s->reading && res == IOBUF_SLOT_LEN)
			read_hot(s);
		else
			read_or_watch(s);
	} else if (res == 0) {
		saw_eof(s);
	} else {
		saw_read_error(s, res);
	}
	land(s);
}

/* Hand the filled slots over in order. */
static void deliver_batch(struct socket_end *s, struct socket_batch *b, size_t n)
{
	for (unsigned int i = 0; i < SOCKET_BATCH && n > 0; i++) {
		size_t part = n < IOBUF_SLOT_LEN ? n : IOBUF_SLOT_LEN;
		struct iobuf_view v = {.buf = b->slots[i],
		                       .p = b->slots[i]->mem + IOBUF_HEAD,
		                       .len = (uint32_t)part};

		b->slots[i] = NULL;
		s->reading = relay_on_data(&s->end, v);
		n -= part;
	}
}

static void on_hot_read(struct op *op)
{
	struct socket_batch *b = container_of(op, struct socket_batch, msg.op);
	struct socket_end *s = b->socket;
	int32_t res = op->res;
	bool full = res == (int32_t)(SOCKET_BATCH * IOBUF_SLOT_LEN);

	s->rx = NULL;
	if (res > 0 && !s->closing)
		deliver_batch(s, b, (size_t)res);
	batch_free_slots(b);
	free(b);
	if (s->closing) {
		land(s);
		return;
	}
	if (res > 0 && s->reading && full)
		read_hot(s);
	else if (res > 0 || res == -EAGAIN)
		read_or_watch(s);
	else if (res == 0)
		saw_eof(s);
	else
		saw_read_error(s, res);
	land(s);
}

/* After the FIN, or held back: only an error matters; a plain hang-up is our own half-close meeting theirs. */
static void on_watched(struct op *op)
{
	struct socket_end *s = container_of(op, struct socket_end, recv);

	if (op->res > 0 && (op->res & POLLERR) != 0)
		break_off(s, ERR_RESET);
	else
		read_quiet(s); /* if that is wanted again */
	land(s);
}

/* --- writing ------------------------------------------------------------------------------ */

static void write_more(struct socket_end *s)
{
	struct socket_batch *b;
	unsigned int n = 0;

	if (s->tx != NULL || s->out.count == 0 || s->closing || s->broken || s->overflow)
		return;
	b = malloc(sizeof(*b));
	if (b == NULL) {
		s->overflow = true;
		loop_at_turn_end(s->loop, &s->hook);
		return;
	}
	memset(&b->msg, 0, sizeof(b->msg));
	b->socket = s;
	b->len = 0;
	while (n < SOCKET_IOV && n < s->out.count) {
		struct iobuf_view v = *iobuf_queue_at(&s->out, n);

		b->iov[n++] = (struct iovec){.iov_base = v.p, .iov_len = v.len};
		b->len += v.len;
	}
	b->count = n;
	s->tx = b;
	loop_sendv(s->loop, &b->msg, s->fd, b->iov, n, on_sent);
}

/* The queue is out: half-close if that was asked for. */
static void finish_if_due(struct socket_end *s)
{
	if (!s->finishing || s->finished || s->out.count > 0 || s->tx != NULL || s->closing ||
	    s->broken || s->overflow)
		return;
	s->finished = true;
	loop_shutdown(s->loop, s->fd, SHUT_WR);
	relay_on_finished(&s->end);
}

static void tell_sent(struct socket_end *s, size_t n)
{
	size_t ours = n < s->untold ? n : s->untold;

	s->untold -= ours;
	if (n > ours)
		relay_on_sent(&s->end, n - ours);
}

static void on_sent(struct op *op)
{
	struct socket_batch *b = container_of(op, struct socket_batch, msg.op);
	struct socket_end *s = b->socket;
	int32_t res = op->res;
	bool failed = res < 0 || (size_t)res < b->len;

	s->tx = NULL;
	free(b);
	if (s->closing) {
		land(s);
		return;
	}
	/*
	 * A send that stopped midway has met the error, and the kernel tells an error once: the next read would find what
	 * looks like an end of the stream.
	 */
	if (res > 0) {
		iobuf_queue_consume(&s->out, (size_t)res);
		tell_sent(s, (size_t)res);
	}
	if (failed) {
		break_off(s, ERR_RESET);
	} else {
		write_more(s);
		finish_if_due(s);
	}
	land(s);
}

/*
 * A piece that has to wait and is small in its buffer is copied, packed behind the last one where that has room:
 * what waits for a slow reader then costs about its own size.
 */
static bool pack(struct socket_end *s, struct iobuf_view v)
{
	struct iobuf *b;

	if (!iobuf_queue_pack(&s->out, s->tx != NULL ? s->tx->count : 0, v.p, v.len)) {
		b = v.len <= IOBUF_SLOT_MEM ? iobuf_take(loop_iobufs(s->loop), IOBUF_SLOT) : NULL;
		if (b == NULL)
			return false;
		memcpy(b->mem, v.p, v.len);
		if (!iobuf_queue_push(&s->out,
		                      (struct iobuf_view){.buf = b, .p = b->mem, .len = v.len})) {
			iobuf_unref(b);
			return false;
		}
	}
	iobuf_unref(v.buf);
	return true;
}

static void socket_put(struct relay_end *e, struct iobuf_view v)
{
	struct socket_end *s = container_of(e, struct socket_end, end);
	bool waits = s->out.count > 0;
	bool small = v.len < SOCKET_SMALL_PIECE && v.len * 2 < v.buf->cap;

	if (s->closing || s->broken) {
		iobuf_unref(v.buf);
		return;
	}
	if (!(waits &&
	      (small || (s->out.bytes > SOCKET_COMPACT_FROM && v.buf->cls != IOBUF_SLOT)) &&
	      pack(s, v)) &&
	    !iobuf_queue_push(&s->out, v)) {
		iobuf_unref(v.buf);
		s->overflow = true;
	}
	if (s->tx == NULL || s->overflow)
		loop_at_turn_end(s->loop, &s->hook);
}

static void socket_finish(struct relay_end *e)
{
	struct socket_end *s = container_of(e, struct socket_end, end);

	s->finishing = true;
	loop_at_turn_end(s->loop, &s->hook);
}

static size_t socket_queued(struct relay_end *e)
{
	return container_of(e, struct socket_end, end)->out.bytes;
}

static void socket_start(struct relay_end *e)
{
	struct socket_end *s = container_of(e, struct socket_end, end);

	s->reading = true;
	read_quiet(s);
}

static void socket_resume(struct relay_end *e)
{
	struct socket_end *s = container_of(e, struct socket_end, end);

	if (s->eof || s->broken || s->closing)
		return;
	s->reading = true;
	stop_waiting(s);
	if (s->recv.pending)
		loop_cancel(s->loop, &s->recv); /* it watches; then it reads */
	else
		read_quiet(s);
}

static void socket_taken(struct relay_end *e, size_t n)
{
	(void)e; /* the kernel's window follows our reads */
	(void)n;
}

static void socket_close(struct relay_end *e, enum err cause)
{
	struct socket_end *s = container_of(e, struct socket_end, end);

	s->closing = true;
	s->reset_on_close = cause != ERR_OK;
	stop_waiting(s);
	loop_cancel(s->loop, &s->recv);
	if (s->rx != NULL)
		loop_cancel(s->loop, &s->rx->msg.op);
	if (s->tx != NULL)
		loop_cancel(s->loop, &s->tx->msg.op);
	loop_at_turn_end(s->loop, &s->hook);
}

/* The end of the turn: what operations asked for is done here, so that none of them calls back. */
static void on_turn_end(struct loop_hook *h)
{
	struct socket_end *s = container_of(h, struct socket_end, hook);

	if (s->overflow && !s->closing) {
		break_off(s, ERR_MEMORY);
	} else {
		write_more(s);
		finish_if_due(s);
	}
	land(s);
}

static const struct relay_end_ops socket_ops = {
	.start = socket_start,
	.put = socket_put,
	.finish = socket_finish,
	.queued = socket_queued,
	.resume = socket_resume,
	.taken = socket_taken,
	.close = socket_close,
};

void socket_end_init(struct socket_end *s, struct loop *loop, int fd)
{
	*s = (struct socket_end){.end = {.ops = &socket_ops}, .loop = loop, .fd = fd};
	iobuf_queue_init(&s->out);
	loop_hook_init(&s->hook, on_turn_end);
}

void socket_end_preface(struct socket_end *s, struct iobuf_view v)
{
	s->untold += v.len;
	socket_put(&s->end, v);
}
