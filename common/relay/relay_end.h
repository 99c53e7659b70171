/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay_end - one side of a relay: something bytes come out of and go into. A socket, a tunnel stream.
 *
 * An end talks to its relay by the relay_on_* calls and is driven through its operations. The relay may call
 * an operation from inside a relay_on_* call; an end never calls relay_on_* from inside an operation.
 */
#ifndef COMMON_RELAY_RELAY_END_H
#define COMMON_RELAY_RELAY_END_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/iobuf.h"

struct relay;
struct relay_end;

struct relay_end_ops {
	/* Begin producing. Once. */
	void (*start)(struct relay_end *e);
	/* Bytes towards this end; the view's reference is taken. */
	void (*put)(struct relay_end *e, struct iobuf_view v);
	/* Nothing more comes towards this end: half-close behind what is queued. Once. */
	void (*finish)(struct relay_end *e);
	/* Octets put and not yet taken by the other side of this end. */
	size_t (*queued)(struct relay_end *e);
	/* Produce again, after relay_on_data answered false. */
	void (*resume)(struct relay_end *e);
	/* n more octets that came out of this end were taken by the other one: its receive window may widen. */
	void (*taken)(struct relay_end *e, size_t n);
	/*
	 * Let go. ERR_OK: both directions are over, an orderly close. Otherwise the far side must see a reset, with
	 * cause as its reason. relay_on_landed follows when nothing of this end is in flight, always later. Once.
	 */
	void (*close)(struct relay_end *e, enum err cause);
};

struct relay_end {
	const struct relay_end_ops *ops;
	struct relay *relay;
};

/* Bytes came out of e; the view's reference is taken. false: produce no more until resume. */
bool relay_on_data(struct relay_end *e, struct iobuf_view v);
/* e's far side ended its direction in order. Once. */
void relay_on_eof(struct relay_end *e);
/* e broke: reset, protocol error. Its far side is gone in both directions. */
void relay_on_broken(struct relay_end *e, enum err cause);
/* n more octets put into e were taken. */
void relay_on_sent(struct relay_end *e, size_t n);
/* All that was put and the half-close behind it were handed over. */
void relay_on_finished(struct relay_end *e);
/* close() is complete; e may be freed when the turn ends. */
void relay_on_landed(struct relay_end *e);

#endif
