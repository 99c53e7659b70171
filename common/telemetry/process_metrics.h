/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process_metrics - what the kernel knows of this process (/proc/self), as metrics, and the lines the log lost.
 */
#ifndef COMMON_TELEMETRY_PROCESS_METRICS_H
#define COMMON_TELEMETRY_PROCESS_METRICS_H

#include "common/telemetry/metrics.h"

/* Embedded by app; lent until metrics_free. */
struct process_metrics {
	struct metrics_collector collector;
	struct metrics_shard *shard;
};

/* Register with m; component ("ztunnel") and tag are the labels of istio_build. */
void process_metrics_init(struct process_metrics *p, struct metrics *m, const char *component,
                          const char *tag);

#endif
