/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics_view - all shards added up at one moment, in the order they are shown. What metrics.c and
 * prometheus_codec.c share; nobody else needs it.
 */
#ifndef COMMON_TELEMETRY_METRICS_VIEW_H
#define COMMON_TELEMETRY_METRICS_VIEW_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/map.h"
#include "common/base/span.h"
#include "common/telemetry/metrics.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM, METRIC_TRAFFIC };

struct metric_family {
	const char *name;
	const char *unit;   /* "" for none */
	const char *labels; /* comma-separated */
	const char *help;
	enum metric_type type;
	bool unstable;
};
extern const struct metric_family metric_families[METRIC_COUNT];

/* response_flags values (contract 10.1); the first is that of success. */
enum { RESPONSE_FLAGS = 8 };
extern const char *const response_flags[RESPONSE_FLAGS];

/* Upper bounds of the buckets of every histogram; one more holds the rest. */
enum { HISTOGRAM_BOUNDS = 6 };
extern const uint64_t histogram_bounds_ns[HISTOGRAM_BOUNDS];

/* What the cells of a series mean, by type. A counter or gauge has one. */
enum {
	HISTOGRAM_BUCKET = 0, /* HISTOGRAM_BOUNDS + 1, each counting only its own observations */
	HISTOGRAM_SUM_NS = HISTOGRAM_BOUNDS + 1,
	HISTOGRAM_CELLS,

	TRAFFIC_OPENED = 0,
	TRAFFIC_RECEIVED,
	TRAFFIC_SENT,
	TRAFFIC_CLOSED, /* RESPONSE_FLAGS of them */
	TRAFFIC_CELLS = TRAFFIC_CLOSED + RESPONSE_FLAGS,

	METRIC_CELLS_MAX = TRAFFIC_CELLS,
};

/*
 * The key of a series: the family, a byte of what is no text (traffic only), then each label value with
 * its NUL. A traffic series has its locality values only with TRAFFIC_KEY_LOCALITY.
 */
enum {
	METRIC_KEY_FAMILY,
	METRIC_KEY_TRAFFIC,
	METRIC_KEY_HEAD,

	TRAFFIC_KEY_DESTINATION = 1, /* reporter */
	TRAFFIC_KEY_MUTUAL_TLS = 2,
	TRAFFIC_KEY_LOCALITY = 4,
};

struct metric_total {
	struct map_node node; /* private */
	struct span key;
	uint64_t cells[METRIC_CELLS_MAX];
};

struct metrics_view {
	struct metric_total **totals; /* sorted by key: families in their order */
	size_t count;
	struct map index; /* private */
	size_t cap;       /* private */
};

/* Runs the collectors, then adds up. */
struct metrics_view *metrics_view_new(struct metrics *m);
void metrics_view_free(struct metrics_view *v);

#endif
