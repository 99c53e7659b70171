/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu_profile - where the threads of this process spend their time: the kernel notes, so many times a second of running,
 * which instruction each is at. No signals, nothing stops; perf_event_open(2). Functions, not who called them: the
 * program keeps no frame pointers.
 */
#ifndef COMMON_TELEMETRY_CPU_PROFILE_H
#define COMMON_TELEMETRY_CPU_PROFILE_H

#include "common/base/buf.h"
#include "common/base/err.h"

enum {
	CPU_PROFILE_SECONDS_MAX = 300,
	CPU_PROFILE_FREQUENCY_MAX = 1000,
	CPU_PROFILE_THREADS_MAX = 128, /* more than workers can be */
};

struct cpu_profile;

/*
 * Begin to sample every thread there is now.
 *
 * frequency: 1..CPU_PROFILE_FREQUENCY_MAX, samples a second of a thread that runs
 * seconds:   1..CPU_PROFILE_SECONDS_MAX, how long it is to be; what comes later may be lost
 * Errs: ERR_SYSTEM with errno: the kernel does not allow it
 */
MUST_CHECK enum err cpu_profile_start(unsigned int frequency, unsigned int seconds,
                                      struct cpu_profile **ret_profile);
/* Stop, append it as pprof reads it to out, and free. */
void cpu_profile_finish(struct cpu_profile *p, struct buf *out);
void cpu_profile_free(struct cpu_profile *p);

#endif
