/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop_internal - what the implementations of a loop share. For common/io and tests/sim alone.
 *
 * loop.c keeps the order of a turn, the posted ops, hooks, timers and the retired; a backend starts ops, waits, and
 * gives back each completion through loop_complete().
 */
#ifndef COMMON_IO_LOOP_INTERNAL_H
#define COMMON_IO_LOOP_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/iobuf.h"
#include "common/base/list.h"
#include "common/io/loop.h"
#include "common/io/timer_wheel.h"

enum op_kind {
	OP_NONE,
	OP_ACCEPT,
	OP_CONNECT,
	OP_RECV,
	OP_RECV_SLOT,
	OP_RECV_SMALL,
	OP_RECVV_NOW,
	OP_SENDV,
	OP_RECV_DGRAM,
	OP_SEND_DGRAM,
	OP_POLL,
	OP_POST,
};

enum {
	OP_MAGIC = 0x6f70ac71,
	OP_CANCELLED = 1 << 0, /* flag: loop_cancel was called */
};

/* What an op was asked to do, beyond op->kind and op->fd; valid inside start() only. */
struct loop_request {
	void *mem; /* OP_RECV */
	size_t len;
	const struct sockaddr *addr; /* OP_CONNECT */
	socklen_t addr_len;
	short events; /* OP_POLL */
};

struct loop_backend {
	const char *name;
	void (*free)(struct loop *loop);
	/* op is pending, its kind, fd and (for op_msg) message are set. A failure is answered by loop_finish_later. */
	void (*start)(struct loop *loop, struct op *op, const struct loop_request *req);
	/* op is pending and has OP_CANCELLED; not called for posted ops. */
	void (*cancel)(struct loop *loop, struct op *op);
	/* Submit, wait up to timeout_ns (-1: no limit) for a completion, loop_tick, deliver all there are. */
	void (*wait)(struct loop *loop, int64_t timeout_ns);
	uint64_t (*now_ns)(const struct loop *loop);
	void (*shutdown)(struct loop *loop, int fd, int how);
	void (*close)(struct loop *loop, int fd, bool reset);
};

/* A descriptor to close when the turn ends. */
struct loop_closing {
	int fd;
	bool reset;
};

struct loop {
	const struct loop_backend *backend;
	struct iobuf_pool *iobufs; /* owned */
	struct timer_wheel timers;
	struct list hooks; /* of loop_hook */
	struct op *posted; /* through op->impl, oldest first */
	struct op *posted_last;
	struct loop_retired *retired;
	struct loop_closing *closing; /* owned, grows */
	size_t closing_count;
	size_t closing_cap;
	size_t pending; /* ops without their last done() */
	uint64_t now_ms;
	bool stopping;
};

enum { LOOP_IOBUF_BYTES_DEFAULT = 128 * 1024 * 1024 };

/* For a backend's constructor and its free(). iobuf_bytes_max 0: the default. */
void loop_init(struct loop *loop, const struct loop_backend *backend, size_t iobuf_bytes_max);
void loop_fini(struct loop *loop);

/* Read the clock for this turn. */
void loop_tick(struct loop *loop);
/* One completion: more says that the op stays armed. Runs done(). */
void loop_complete(struct loop *loop, struct op *op, int32_t res, bool more);
/* The completion of an op that could not even be started; done() runs in this or the next turn. */
void loop_finish_later(struct loop *loop, struct op *op, int32_t res);

static inline struct op_msg *op_msg_of(struct op *op)
{
	return container_of(op, struct op_msg, op);
}

#endif
