/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hbone_end - an open CONNECT stream as an end of a relay. Back-pressure is HTTP/2's: receive window is returned
 * only for what the other end took.
 */
#ifndef COMMON_RELAY_HBONE_END_H
#define COMMON_RELAY_HBONE_END_H

#include <stdbool.h>

#include "common/base/list.h"
#include "common/hbone/hbone_stream.h"
#include "common/io/loop.h"
#include "common/relay/relay_end.h"

/* Fields are private. */
struct hbone_end {
	struct relay_end end;
	struct loop *loop;
	struct hbone_stream *stream;
	bool started, finishing, finished, broken, closing, landed;
	bool early_end;           /* the peer ended before start() */
	enum err cause;           /* of a break that waits to be reported */
	struct iobuf_queue early; /* bytes that came before start() */
	struct loop_hook hook;
};

/*
 * s: attached, with hbone_end_stream_owner as its owner; borrowed until the end has landed. Bytes that arrive
 * before the relay starts are kept.
 */
void hbone_end_init(struct hbone_end *h, struct loop *loop, struct hbone_stream *s);
void hbone_end_fini(struct hbone_end *h); /* of an end no relay was started on */

/* For the stream's owner until the relay is the owner: the facts as they come. */
void hbone_end_data(struct hbone_end *h, struct iobuf *buf, struct span bytes);
void hbone_end_peer_ended(struct hbone_end *h);
void hbone_end_sent(struct hbone_end *h, size_t n);
void hbone_end_stream_broken(struct hbone_end *h, enum err cause);

#endif
