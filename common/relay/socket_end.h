/* SPDX-License-Identifier: Apache-2.0 */
/*
 * socket_end - a TCP socket as an end of a relay.
 *
 * Quiet, it holds no buffer. A full first read makes it hot: then up to SOCKET_BATCH slots are filled by
 * one call. Writes send up to SOCKET_IOV views at a time. A reset is reported as such, and made as such.
 */
#ifndef COMMON_RELAY_SOCKET_END_H
#define COMMON_RELAY_SOCKET_END_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/iobuf.h"
#include "common/io/loop.h"
#include "common/relay/relay_end.h"

enum {
	SOCKET_BATCH = 16, /* slots of one hot read: 8 to 64 measured equal */
	SOCKET_IOV = 64,   /* views of one send */
	/* Behind this much unsent, pieces of large buffers are copied out, so that a slow reader pins only what it owes. */
	SOCKET_COMPACT_FROM = 512 * 1024,
	SOCKET_SMALL_PIECE = 4096, /* and pieces this small whenever they have to wait at all */
};

enum {
	SOCKET_RETRY_MS = 10,   /* until a read without a buffer is tried again */
	SOCKET_RETRY_MAX = 200, /* in a row; then there is too much load, not a peak */
	/* Held back for so long, a socket is watched for a reset; most are not held back a tenth as long. */
	SOCKET_WATCH_MS = 200,
};

struct socket_batch;
struct socket_wait;

struct socket_end {
	struct relay_end end;
	struct loop *loop; /* private, as is all below */
	int fd;
	struct op recv;
	struct socket_batch *rx;  /* a hot read in flight */
	struct socket_batch *tx;  /* a send in flight */
	struct socket_wait *wait; /* for a buffer, or held back */
	struct iobuf_queue out;
	size_t untold;   /* octets of out in front that are ours, not the relay's */
	uint8_t retries; /* of a read without a buffer, in a row */
	bool reading;    /* wanted: not paused, not ended */
	bool eof;        /* the peer's FIN came */
	bool finishing;  /* half-close behind the queue */
	bool finished;   /* done */
	bool broken;     /* reported */
	bool closing, landed;
	bool reset_on_close;
	bool overflow;         /* memory ran out under a put */
	struct loop_hook hook; /* pending facts to report outside of operations */
};

/* fd: connected, taken. */
void socket_end_init(struct socket_end *s, struct loop *loop, int fd);
/*
 * Send v's bytes in front of all others: a header of ours, which the relay neither sees nor counts. Before the relay
 * starts. v's reference is taken; without memory the end breaks when it is started.
 */
void socket_end_preface(struct socket_end *s, struct iobuf_view v);

#endif
