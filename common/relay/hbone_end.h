/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hbone_end - an open CONNECT stream as an end of a relay. Back-pressure is HTTP/2's: receive window is returned
 * only for what the other end took.
 */
#ifndef COMMON_RELAY_HBONE_END_H
#define COMMON_RELAY_HBONE_END_H

#include <stdbool.h>

#include "common/hbone/hbone_stream.h"
#include "common/io/loop.h"
#include "common/relay/relay_end.h"

struct hbone_end;

/* The stream broke and no relay was started: there is nobody else to tell. */
typedef void hbone_end_broken_fn(struct hbone_end *h, enum err cause);

/* Fields are private, but for reading end and for asking the server about stream. */
struct hbone_end {
	struct relay_end end;
	struct hbone_stream stream; /* ours until the end has landed, or fini */
	struct loop *loop;
	hbone_end_broken_fn *on_broken;
	bool started, finishing, finished, broken, closing, landed;
	bool early_end;           /* the peer ended before start() */
	enum err cause;           /* of a break that waits to be reported */
	struct iobuf_queue early; /* bytes that came before start() */
	struct loop_hook hook;
};

/*
 * The two ways to a stream. Bytes that arrive before the relay starts are kept.
 *
 * attach: of a server, stream id of c, whose CONNECT was read
 * adopt:  of a client, the stream of an answered call; from is forgotten
 * broken: NULL if the relay starts within the call
 */
void hbone_end_attach(struct hbone_end *h, struct loop *loop, struct hbone_carrier *c, int32_t id,
                      hbone_end_broken_fn *broken);
void hbone_end_adopt(struct hbone_end *h, struct loop *loop, struct hbone_stream *from,
                     hbone_end_broken_fn *broken);
/* Of an end no relay was started on; its stream is gone. */
void hbone_end_fini(struct hbone_end *h);

#endif
