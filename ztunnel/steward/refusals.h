/* SPDX-License-Identifier: Apache-2.0 */
/*
 * refusals - how often the steward had to say no, by what was asked for and why. Any thread. Pure.
 */
#ifndef ZTUNNEL_STEWARD_REFUSALS_H
#define ZTUNNEL_STEWARD_REFUSALS_H

#include <stdatomic.h>
#include <stdint.h>

#include "common/base/err.h"
#include "ztunnel/steward/steward.h"

enum { REFUSAL_REASONS = 12 };

struct refusals {
	_Atomic uint64_t count[STEWARD_REQUESTS][REFUSAL_REASONS]; /* private */
};

/* Of a socket: the kernel's reason. */
void refusals_note_errno(struct refusals *r, enum steward_request request, int errnum);
/* Of anything else; ERR_OK is none. */
void refusals_note(struct refusals *r, enum steward_request request, enum err e);
void refusals_each(struct refusals *r, steward_refused_fn *fn, void *arg);

#endif
