/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics - counters, gauges and histograms, counted without sharing (contract 10.1, 10.2). Families
 * are the rows of metrics.def.
 *
 * Each thread that counts has a shard of its own and is the only one to call anything on it: an update
 * is one relaxed store. Whoever scrapes adds the shards up; it takes a shard's lock, which the owner
 * takes only to add or forget a label set.
 *
 * How to use it:
 *   start:       m = metrics_new(0); each thread: shard = metrics_shard_new(m)
 *   anywhere:    metrics_add(shard, METRIC_RELAY_PAUSED, 1);
 *   with labels: metrics_add_for(shard, METRIC_TLS_HANDSHAKE_FAILURES,
 *                                METRIC_LABELS("server", err_info(e)->name), 1);
 *   connection:  c->series = metrics_traffic_open(shard, &labels);   once its context is complete
 *                traffic_received(c->series, n);                     client to server, live
 *                traffic_sent(c->series, n);                         server to client, live
 *                traffic_closed(c->series, cause);                   once, whatever the result
 */
#ifndef COMMON_TELEMETRY_METRICS_H
#define COMMON_TELEMETRY_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

enum metric {
#define METRIC(id, type, name, unit, stability, labels, help) METRIC_##id,
#include "common/telemetry/metrics.def"
#undef METRIC
	METRIC_COUNT,
};

enum {
	/* Label sets one shard keeps, so that peers who invent names cannot use up our memory. */
	METRICS_SERIES_MAX = 10000,
	/* A longer label value is cut: the longest honest one is an identity of two DNS names. */
	METRICS_LABEL_LEN_MAX = 640,
	METRICS_LABELS_MAX = 12, /* of one family that is no traffic family */
};

struct metrics;
struct metrics_shard;
struct traffic_series;

/* series_max: label sets per shard, 0 for METRICS_SERIES_MAX. */
struct metrics *metrics_new(size_t series_max);
void metrics_free(struct metrics *m); /* with all its shards: their threads must have ended */

/* A shard for the calling thread, or for one that will start later. Lives as long as m. Any thread. */
struct metrics_shard *metrics_shard_new(struct metrics *m);

/* The label values of a family in the order of its row. NULL or "" is shown as "unknown". */
#define METRIC_LABELS(...) ((const char *const[]){__VA_ARGS__})

/* Families without labels. */
void metrics_add(struct metrics_shard *s, enum metric id, uint64_t n);
void metrics_gauge_add(struct metrics_shard *s, enum metric id, int64_t delta);
/* A gauge; or a counter whose source counts by itself. Shards are added up: let one thread set it. */
void metrics_set(struct metrics_shard *s, enum metric id, int64_t value);

/* Families with labels; values holds as many as the row names and is only read. */
void metrics_add_for(struct metrics_shard *s, enum metric id, const char *const values[],
                     uint64_t n);
void metrics_gauge_add_for(struct metrics_shard *s, enum metric id, const char *const values[],
                           int64_t delta);
void metrics_set_for(struct metrics_shard *s, enum metric id, const char *const values[],
                     int64_t value);
/* Stop showing a label set (a certificate that is gone). Harmless when there is none. */
void metrics_forget(struct metrics_shard *s, enum metric id, const char *const values[]);

/* One observation of a histogram; values is NULL for a family without labels. */
void metrics_observe(struct metrics_shard *s, enum metric id, const char *const values[],
                     uint64_t nanoseconds);

/*
 * Whoever knows a gauge only when asked: fn runs on the scraping thread, before the values are read, and
 * may update only its own shard. c is lent until metrics_free.
 */
struct metrics_collector {
	void (*fn)(struct metrics_collector *c);
	struct metrics_collector *next; /* private */
};
void metrics_collector_add(struct metrics *m, struct metrics_collector *c);

/* ---- connections ---- */

enum traffic_reporter { REPORTER_SOURCE, REPORTER_DESTINATION };

/* The labels of one connection. Strings are borrowed for the call; NULL or "" is shown as "unknown". */
struct traffic_labels {
	enum traffic_reporter reporter;
	bool mutual_tls;   /* connection_security_policy */
	bool has_locality; /* some workload information was there: the last four are shown */
#define TRAFFIC_FIXED(name)
#define TRAFFIC_LABEL(name)    const char *name;
#define TRAFFIC_LOCALITY(name) const char *name;
#include "common/telemetry/traffic_label.def"
#undef TRAFFIC_FIXED
#undef TRAFFIC_LABEL
#undef TRAFFIC_LOCALITY
};

/*
 * Count a connection as opened. The result is never NULL, lives as long as the shard, and is shared by
 * all connections with these labels: a connection keeps the pointer and nothing else. When there are
 * too many label sets already, it is the one whose labels are all unknown.
 */
struct traffic_series *metrics_traffic_open(struct metrics_shard *s,
                                            const struct traffic_labels *l);
void traffic_received(struct traffic_series *t, uint64_t n); /* bytes client to server */
void traffic_sent(struct traffic_series *t, uint64_t n);     /* bytes server to client */
/* Counts as closed with the flag of cause (err.def), and as failed if that is not "-". */
void traffic_closed(struct traffic_series *t, enum err cause);

#endif
