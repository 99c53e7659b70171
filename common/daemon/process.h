/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process - what a daemon asks of the kernel about itself once, at its start.
 */
#ifndef COMMON_DAEMON_PROCESS_H
#define COMMON_DAEMON_PROCESS_H

#include <stdint.h>

#include "common/base/err.h"

/* Raise the soft limit of open descriptors to the hard one (contract 12.1). Errs: ERR_SYSTEM, errno tells */
MUST_CHECK enum err process_raise_nofile(uint64_t *ret_limit);
/* No core dumps, no ptrace by equals: this process holds keys. Errs: ERR_SYSTEM, errno tells */
MUST_CHECK enum err process_forbid_dumps(void);
/* CPUs this process may run on, at least 1. */
unsigned int process_cpu_count(void);

#endif
