/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pprof_codec - a CPU profile in the form pprof reads: profile.proto of github.com/google/pprof, not packed. Pure.
 */
#ifndef COMMON_CODEC_PPROF_CODEC_H
#define COMMON_CODEC_PPROF_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"

/* Executable memory of the process, in ascending order, not overlapping. */
struct pprof_mapping {
	uint64_t start, end, offset;
	const char *file; /* borrowed */
};

/* Where a thread was, so many times. */
struct pprof_sample {
	uint64_t address;
	uint32_t thread; /* place in threads */
	uint64_t count;
};

struct pprof {
	const struct pprof_mapping *mappings;
	size_t mapping_count;
	const struct pprof_sample *samples;
	size_t sample_count;
	const char *const *threads; /* names */
	size_t thread_count;
	int64_t began_ns; /* since 1970 */
	uint64_t duration_ns;
	uint64_t period_ns; /* between two samples of a thread that runs */
};

/* Append to out, whose state tells of a failure. */
void pprof_write(const struct pprof *p, struct buf *out);

#endif
