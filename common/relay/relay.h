/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay - two ends, each feeding the other: bytes, half-close, reset, back-pressure.
 *
 * Each direction ends by itself; the relay ends when both have, or when one end breaks: the other then sees a
 * reset, never a clean end (contract 6.7, and decision 0008 where we are stricter than it).
 */
#ifndef COMMON_RELAY_RELAY_H
#define COMMON_RELAY_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/relay/relay_end.h"

enum {
	RELAY_QUEUE_HIGH = 512 * 1024, /* towards an end: beyond it the other one stops producing */
	RELAY_QUEUE_LOW = 256 * 1024,  /* and starts again here */
};

struct relay_owner {
	/* n octets left a towards b (a_to_b) or the other way; for counters. */
	void (*moved)(struct relay *r, bool a_to_b, size_t n);
	/* One end was told to stop producing, because the other does not take what came. May be NULL; for counters. */
	void (*paused)(struct relay *r);
	/* Both ends have landed; r and its ends may be freed when the turn ends. Once. */
	void (*done)(struct relay *r, enum err cause);
};

struct relay {
	struct relay_end *a, *b; /* borrowed */
	const struct relay_owner *owner;
	uint64_t a_to_b, b_to_a; /* octets handed over */
	enum err cause;          /* first one */
	bool a_eof, b_eof;       /* that end produces no more */
	bool a_done, b_done;     /* that end was given everything, half-close included */
	bool a_paused, b_paused; /* that end was told to stop producing */
	bool closing;
	uint8_t landed;
};

/* Ends and owner are borrowed until done(). Starts both. */
void relay_start(struct relay *r, struct relay_end *a, struct relay_end *b,
                 const struct relay_owner *owner);
/* Cut: both far sides see a reset. Harmless when closing already. */
void relay_abort(struct relay *r, enum err cause);

#endif
