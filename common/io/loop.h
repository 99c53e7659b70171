/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop - asynchronous socket operations of one thread, and what runs around them.
 *
 * One loop belongs to one thread; nothing here is thread-safe but what mailbox.h offers. Two
 * implementations answer to this face: io_uring, and the seeded simulator of tests/sim.
 *
 * A turn: submit what was asked for, wait, run done() of every completion, run expired timers, then
 * the end-of-turn hooks (where tunnels seal and send what the turn gathered), then what was retired.
 */
#ifndef COMMON_IO_LOOP_H
#define COMMON_IO_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "common/base/err.h"
#include "common/base/iobuf.h"
#include "common/base/list.h"
#include "common/base/netaddr.h"
#include "common/base/span.h"

struct loop;
struct op;

typedef void op_done_fn(struct op *op);

/*
 * op - one request in flight.
 *
 * Own:  embedded by the waiter; it, and any memory lent with it, stays valid until done.
 * Call: done() runs once per submission, from loop_turn(), never inside the submit call.
 *       (An accept that stays armed runs it once per connection; see loop_accept.)
 * Res:  bytes or a descriptor when >= 0, -errno when < 0; readable only inside done().
 */
struct op {
	op_done_fn *done;
	struct iobuf
		*buf; /* loop_recv_slot, loop_recv_small: the filled buffer, now the waiter's */
	void *impl;   /* private */
	int32_t res;
	int32_t fd;     /* private */
	uint32_t magic; /* private: whoever arrives by user_data proves itself */
	uint8_t kind;   /* private */
	uint8_t flags;  /* private */
	bool pending;   /* true from submit until the last done() */
};

/* An op with a message header the kernel may read until done. */
struct op_msg {
	struct op op;
	uint32_t sent;     /* private: of earlier submissions of the same send */
	struct msghdr msg; /* private */
};

enum { LOOP_CONTROL_MAX = 64 }; /* octets of ancillary data: where a datagram was sent to */

/* An op with room for the addresses of one datagram. */
struct op_dgram {
	struct op_msg msg; /* first: private but for msg.op */
	struct iovec iov;  /* private */
	struct sockaddr_storage name;
	union {
		size_t align;
		uint8_t bytes[LOOP_CONTROL_MAX];
	} control; /* private */
};

struct loop_options {
	unsigned int ring_entries; /* submissions per turn before an early flush; 0: default */
	size_t iobuf_bytes_max;    /* the worker's buffer budget; 0: default */
	unsigned int slots;        /* provided slot buffers kept armed, power of two; 0: default */
	unsigned int smalls;       /* provided small buffers kept armed, power of two; 0: default */
};

/*
 * Errs: ERR_SYSTEM when io_uring is not to be had here (errno says why). The caller may try another
 *       implementation. *ret_loop belongs to the calling thread.
 */
MUST_CHECK enum err loop_uring_new(const struct loop_options *opt, struct loop **ret_loop);
void loop_free(struct loop *loop); /* no op may be pending: CHECKed */

const char *loop_backend(const struct loop *loop); /* "io_uring", "sim" */
struct iobuf_pool *loop_iobufs(struct loop *loop);
/* Monotonic milliseconds, read once per turn. */
uint64_t loop_now_ms(const struct loop *loop);
/* Monotonic nanoseconds, read now. */
uint64_t loop_now_ns(const struct loop *loop);

/* One turn; blocks until a completion, a timer or loop_wake, at most wait_ms (-1: no limit). */
void loop_turn(struct loop *loop, int wait_ms);
/* Turns until loop_stop() was called (from this thread) and its turn ended. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/*
 * Accept for ever on a listening fd: done() runs for each connection with res = a new descriptor
 * (non-blocking, CLOEXEC, ours to close), or for an error with res < 0. op->pending is still true inside
 * done() while the accept stays armed; when it is false the caller re-arms (backing off on EMFILE and
 * its like). End it with loop_cancel: the last done() has res = -ECANCELED.
 */
void loop_accept(struct loop *loop, struct op *op, int fd, op_done_fn *done);

/* addr is copied. res 0, or -errno. */
void loop_connect(struct loop *loop, struct op *op, int fd, const struct sockaddr *addr,
                  socklen_t addr_len, op_done_fn *done);

/* Receive into memory the caller lends. res = bytes, 0 = end of stream. */
void loop_recv(struct loop *loop, struct op *op, int fd, void *mem, size_t len, op_done_fn *done);

/*
 * Receive into a buffer the loop provides when data is there, so that waiting costs no memory.
 * _slot: op->buf is an IOBUF_SLOT, the bytes start at mem + IOBUF_HEAD, res <= IOBUF_SLOT_LEN.
 * _small: op->buf is an IOBUF_SMALL, the bytes start at mem, res <= IOBUF_SMALL_MEM.
 * op->buf is NULL when res <= 0. res = -ENOBUFS: the budget is exhausted; try again after a timer.
 */
void loop_recv_slot(struct loop *loop, struct op *op, int fd, op_done_fn *done);
void loop_recv_small(struct loop *loop, struct op *op, int fd, op_done_fn *done);

enum { LOOP_IOV_MAX = 1024 }; /* pieces of one operation: the kernel's UIO_MAXIOV */

/*
 * Receive into several pieces at once, without waiting: res = -EAGAIN when there is nothing now.
 * iov and what it points to are lent until done.
 */
void loop_recvv_now(struct loop *loop, struct op_msg *op, int fd, struct iovec *iov,
                    unsigned int iov_count, op_done_fn *done);

/*
 * Send all of iov, waiting as long as it takes (cancel to stop early). iov and its memory are lent; the
 * entries of iov may change meanwhile.
 * res = bytes sent, fewer than asked only when the connection failed or the op was cancelled midway; -errno
 * when none were sent. Never raises SIGPIPE.
 */
void loop_sendv(struct loop *loop, struct op_msg *op, int fd, struct iovec *iov,
                unsigned int iov_count, op_done_fn *done);

/*
 * Receive one datagram into lent memory. res = its octets, cut to len (op_dgram_cut tells); 0 is an empty one.
 * op->name is who sent it, msg.msg.msg_namelen long.
 */
void loop_recv_dgram(struct loop *loop, struct op_dgram *op, int fd, void *mem, size_t len,
                     op_done_fn *done);
/*
 * Send one datagram, whole or not at all, to the address in op->name, which has name_len octets; 0: where fd is
 * connected to. mem is lent until done, and not empty. res = mem.n, or -errno: -EMSGSIZE when it is too large for the way.
 */
void loop_send_dgram(struct loop *loop, struct op_dgram *op, int fd, socklen_t name_len,
                     struct span mem, op_done_fn *done);
static inline struct op_dgram *op_dgram_of(struct op *op)
{
	return container_of(op, struct op_dgram, msg.op);
}
/* Of a received datagram, readable from done() on. */
struct endpoint op_dgram_from(const struct op_dgram *op);
/* Where it was sent to, when the socket has IP_RECVORIGDSTADDR or IPV6_RECVORIGDSTADDR; else of IP_NONE. */
struct endpoint op_dgram_to(const struct op_dgram *op);
/* It was longer than the memory for it. */
bool op_dgram_cut(const struct op_dgram *op);

/* Wait for poll(2) events once. res = revents. */
void loop_poll(struct loop *loop, struct op *op, int fd, short events, op_done_fn *done);

/* Ask for an early end. done() still runs (with -ECANCELED unless it completed first); harmless when not pending. */
void loop_cancel(struct loop *loop, struct op *op);
/* Ops that have not had their last done(). */
size_t loop_pending(const struct loop *loop);

/* shutdown(2), at once: what loop_sendv has not reported as done may be lost, so await it first. how: SHUT_RD... */
void loop_shutdown(struct loop *loop, int fd, int how);
/* Close fd when the turn ends. No op on it may be pending. */
void loop_close(struct loop *loop, int fd);
/* The same, but the peer sees a reset instead of an orderly end. */
void loop_reset_close(struct loop *loop, int fd);

/*
 * Finish op with res at the next opportunity of a later step of this or the next turn, as if the kernel
 * had: for answers that are known at once but must not call back inside the submit.
 */
void loop_post(struct loop *loop, struct op *op, int32_t res, op_done_fn *done);

/*
 * Run fn once at the end of this turn, after all completions and timers. Already queued: nothing changes.
 * A hook queued by a hook runs in the same pass. Initialise with loop_hook_init.
 */
struct loop_hook {
	struct list link; /* private */
	void (*fn)(struct loop_hook *);
};
void loop_hook_init(struct loop_hook *h, void (*fn)(struct loop_hook *));
void loop_at_turn_end(struct loop *loop, struct loop_hook *h);
void loop_hook_cancel(struct loop_hook *h);

/* Free memory only when the turn is over, so that nobody on the stack still holds it. */
struct loop_retired {
	struct loop_retired *next; /* private */
	void (*free_fn)(struct loop_retired *);
};
void loop_retire(struct loop *loop, struct loop_retired *r, void (*free_fn)(struct loop_retired *));

#endif
