/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uring_setup - make an io_uring instance that can do what a loop needs and nothing else.
 *
 * seccomp does not see what a ring does, so the ring itself is restricted to the opcodes of a loop before it is
 * enabled: it cannot open files, make sockets or run commands. Private to common/io and its tests.
 */
#ifndef COMMON_IO_URING_SETUP_H
#define COMMON_IO_URING_SETUP_H

#include <stdbool.h>

#include "common/base/err.h"

struct io_uring;

/*
 * A ring that is still disabled: buffer rings can be registered, nothing be submitted. entries: submissions, a
 * power of two. Errs: ERR_SYSTEM (errno says why).
 */
MUST_CHECK enum err uring_create(struct io_uring *ring, unsigned int entries);

/*
 * Restrict and enable; the calling thread is from now on the only one that may submit. *ret_restricted is false on a
 * kernel that cannot restrict: the ring works all the same. Errs: ERR_SYSTEM (errno says why).
 */
MUST_CHECK enum err uring_enable(struct io_uring *ring, bool *ret_restricted);

#endif
