/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mailbox - letters into a loop from any other thread. Letters of one sender arrive in order.
 */
#ifndef COMMON_IO_MAILBOX_H
#define COMMON_IO_MAILBOX_H

#include "common/base/err.h"
#include "common/io/loop.h"

struct letter;
typedef void letter_fn(struct letter *l);

/* Embedded in the message; the receiver's fn owns (and usually frees) it. */
struct letter {
	struct letter *next; /* private */
	letter_fn *fn;       /* runs on the loop's thread, inside loop_turn() */
};

struct mailbox;

/* Called on the loop's thread. Errs: ERR_SYSTEM. */
MUST_CHECK enum err mailbox_new(struct loop *loop, struct mailbox **ret_mailbox);
/* On the loop's thread; undelivered letters are delivered first. Ends its own pending op within two turns. */
void mailbox_stop(struct mailbox *m);
/* Any thread, once its op has landed and no thread posts any more, or is still inside mailbox_post. */
void mailbox_free(struct mailbox *m);
/* Any thread. Wakes the loop when it may be asleep. */
void mailbox_post(struct mailbox *m, struct letter *l, letter_fn *fn);

#endif
