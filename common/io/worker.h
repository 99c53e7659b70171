/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker - a thread with a loop and a mailbox of its own.
 */
#ifndef COMMON_IO_WORKER_H
#define COMMON_IO_WORKER_H

#include "common/base/err.h"
#include "common/io/loop.h"
#include "common/io/mailbox.h"

struct worker;

/*
 * Start a thread called name (at most 15 octets). init runs on it before its loop turns; when it fails the
 * thread ends and so does worker_start, with that error.
 * Errs: ERR_SYSTEM, or init's.
 */
MUST_CHECK enum err worker_start(const char *name, const struct loop_options *opt,
                                 enum err (*init)(struct worker *w, void *arg), void *arg,
                                 struct worker **ret_worker);
struct loop *worker_loop(struct worker *w);
struct mailbox *worker_mailbox(struct worker *w);
/* Ask the loop to stop (any thread), wait for the thread, free. All of its ops must be landing. */
void worker_join(struct worker *w);

#endif
