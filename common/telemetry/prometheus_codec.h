/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prometheus_codec - the metrics as OpenMetrics text (contract 10.2). Runs the collectors, adds up the shards.
 */
#ifndef COMMON_TELEMETRY_PROMETHEUS_CODEC_H
#define COMMON_TELEMETRY_PROMETHEUS_CODEC_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/telemetry/metrics.h"

enum {
	PROMETHEUS_TEXT_MAX = 256 * 1024 * 1024
}; /* a few times 10000 label sets in five families */

/*
 * Append all families that have samples and "# EOF". One thread at a time per m.
 * Errs: ERR_LIMIT when out's ceiling was reached; out then holds no usable text
 */
MUST_CHECK enum err prometheus_write(struct metrics *m, struct buf *out);

/* The content type to answer a request with, whose Accept header has this text ("" for none). */
const char *prometheus_content_type(bool accepts_openmetrics);

#endif
