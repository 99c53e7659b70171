/* SPDX-License-Identifier: Apache-2.0 */
#include "common/telemetry/prometheus_codec.h"

#include <inttypes.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/str.h"
#include "common/telemetry/metrics_view.h"

/* Label text is walked in step with the key: one value after the other. */
struct label_writer {
	struct buf *out;
	struct span values; /* what is left of the key */
	bool any;
};

static void put_escaped(struct buf *out, struct span s)
{
	size_t clean = 0; /* start of what needs no escape and is not yet written */

	for (size_t i = 0; i < s.n; i++) {
		char c = (char)s.p[i];

		if (c != '\\' && c != '"' && c != '\n')
			continue;
		buf_put(out, span_of(s.p + clean, i - clean));
		buf_put_u8(out, '\\');
		buf_put_u8(out, c == '\n' ? 'n' : (uint8_t)c);
		clean = i + 1;
	}
	buf_put(out, span_of(s.p + clean, s.n - clean));
}

static void label_put(struct label_writer *w, struct span name, struct span value)
{
	buf_put_u8(w->out, w->any ? ',' : '{');
	w->any = true;
	buf_put(w->out, name);
	buf_put(w->out, span_of("=\"", 2));
	put_escaped(w->out, value);
	buf_put_u8(w->out, '"');
}

static struct span next_value(struct label_writer *w)
{
	const uint8_t *nul = memchr(w->values.p, '\0', w->values.n);
	struct span v;

	CHECK(nul != NULL);
	v = span_of(w->values.p, (size_t)(nul - w->values.p));
	w->values = span_of(nul + 1, w->values.n - v.n - 1);
	return v;
}

static struct label_writer labels_of(struct buf *out, const struct metric_total *t)
{
	return (struct label_writer){
		.out = out,
		.values = span_of(t->key.p + METRIC_KEY_HEAD, t->key.n - METRIC_KEY_HEAD),
	};
}

/* The labels of a family as its row names them; the closing brace is the caller's. */
static struct label_writer put_labels(struct buf *out, const struct metric_family *f,
                                      const struct metric_total *t)
{
	struct label_writer w = labels_of(out, t);
	struct span rest = span_str(f->labels);

	while (rest.n > 0) {
		struct span name = str_split(&rest, ',');

		label_put(&w, name, next_value(&w));
	}
	return w;
}

static void put_traffic_labels(struct buf *out, const struct metric_total *t, const char *flag)
{
	struct label_writer w = labels_of(out, t);
	uint8_t bits = t->key.p[METRIC_KEY_TRAFFIC];
	const char *reporter = (bits & TRAFFIC_KEY_DESTINATION) != 0 ? "destination" : "source";
	const char *request_protocol = "tcp";
	const char *response_flags_value = flag;
	const char *connection_security_policy =
		(bits & TRAFFIC_KEY_MUTUAL_TLS) != 0 ? "mutual_tls" : "unknown";

#define FIXED_OF_reporter                   reporter
#define FIXED_OF_request_protocol           request_protocol
#define FIXED_OF_response_flags             response_flags_value
#define FIXED_OF_connection_security_policy connection_security_policy
#define TRAFFIC_FIXED(name)                 label_put(&w, span_str(#name), span_str(FIXED_OF_##name));
#define TRAFFIC_LABEL(name)                 label_put(&w, span_str(#name), next_value(&w));
#define TRAFFIC_LOCALITY(name)                  \
	if ((bits & TRAFFIC_KEY_LOCALITY) != 0) \
		label_put(&w, span_str(#name), next_value(&w));
#include "common/telemetry/traffic_label.def"
#undef TRAFFIC_FIXED
#undef TRAFFIC_LABEL
#undef TRAFFIC_LOCALITY
	buf_put_u8(out, '}');
}

/* Nanoseconds as seconds, without trailing zeros. */
static void put_seconds(struct buf *out, int64_t ns)
{
	uint64_t abs = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
	uint32_t fraction = (uint32_t)(abs % 1000000000);
	int digits = 9;

	buf_printf(out, "%s%" PRIu64, ns < 0 ? "-" : "", abs / 1000000000);
	while (digits > 1 && fraction % 10 == 0) {
		fraction /= 10;
		digits--;
	}
	buf_printf(out, ".%0*" PRIu32, digits, fraction);
}

static void put_value(struct buf *out, const struct metric_family *f, uint64_t v)
{
	buf_put_u8(out, ' ');
	if (strcmp(f->unit, "seconds") == 0)
		put_seconds(out, (int64_t)v);
	else if (f->type == METRIC_GAUGE)
		buf_printf(out, "%" PRId64, (int64_t)v);
	else
		buf_printf(out, "%" PRIu64, v);
	buf_put_u8(out, '\n');
}

static void put_head(struct buf *out, const struct metric_family *f)
{
	static const char *const type_names[] = {
		[METRIC_COUNTER] = "counter",
		[METRIC_GAUGE] = "gauge",
		[METRIC_HISTOGRAM] = "histogram",
		[METRIC_TRAFFIC] = "counter",
	};

	buf_printf(out, "# HELP %s %s%s.\n", f->name, f->help, f->unstable ? " (unstable)" : "");
	buf_printf(out, "# TYPE %s %s\n", f->name, type_names[f->type]);
	if (f->unit[0] != '\0')
		buf_printf(out, "# UNIT %s %s\n", f->name, f->unit);
}

static void put_traffic_sample(struct buf *out, const struct metric_family *f,
                               const struct metric_total *t, const char *flag, uint64_t v)
{
	buf_printf(out, "%s_total", f->name);
	put_traffic_labels(out, t, flag);
	put_value(out, f, v);
}

static void put_traffic(struct buf *out, enum metric id, const struct metric_total *t)
{
	const struct metric_family *f = &metric_families[id];

	if (id == METRIC_TCP_CONNECTIONS_OPENED || id == METRIC_TCP_RECEIVED_BYTES ||
	    id == METRIC_TCP_SENT_BYTES) {
		size_t cell = id == METRIC_TCP_CONNECTIONS_OPENED ? TRAFFIC_OPENED
		              : id == METRIC_TCP_RECEIVED_BYTES   ? TRAFFIC_RECEIVED
		                                                  : TRAFFIC_SENT;

		put_traffic_sample(out, f, t, response_flags[0], t->cells[cell]);
		return;
	}
	/* closed: every flag that occurred; failed: the same but for success */
	for (size_t i = id == METRIC_TCP_CONNECTIONS_FAILED; i < RESPONSE_FLAGS; i++)
		if (t->cells[TRAFFIC_CLOSED + i] > 0)
			put_traffic_sample(out, f, t, response_flags[i],
			                   t->cells[TRAFFIC_CLOSED + i]);
}

static void put_histogram(struct buf *out, const struct metric_family *f,
                          const struct metric_total *t)
{
	static const char *const bounds[HISTOGRAM_BOUNDS + 1] = {
		"0.0005", "0.001", "0.01", "0.1", "1.0", "5.0", "+Inf",
	};
	uint64_t count = 0;

	for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++) {
		struct label_writer w;

		count += t->cells[HISTOGRAM_BUCKET + i];
		buf_printf(out, "%s_bucket", f->name);
		w = put_labels(out, f, t);
		label_put(&w, span_str("le"), span_str(bounds[i]));
		buf_printf(out, "} %" PRIu64 "\n", count);
	}
	buf_printf(out, "%s_sum", f->name);
	buf_put_str(out, put_labels(out, f, t).any ? "}" : "");
	put_value(out, f, t->cells[HISTOGRAM_SUM_NS]);
	buf_printf(out, "%s_count", f->name);
	buf_put_str(out, put_labels(out, f, t).any ? "}" : "");
	buf_printf(out, " %" PRIu64 "\n", count);
}

static void put_sample(struct buf *out, enum metric id, const struct metric_total *t)
{
	const struct metric_family *f = &metric_families[id];

	switch (f->type) {
	case METRIC_TRAFFIC: put_traffic(out, id, t); return;
	case METRIC_HISTOGRAM: put_histogram(out, f, t); return;
	case METRIC_COUNTER:
	case METRIC_GAUGE:
		buf_printf(out, "%s%s", f->name, f->type == METRIC_COUNTER ? "_total" : "");
		buf_put_str(out, put_labels(out, f, t).any ? "}" : "");
		put_value(out, f, t->cells[0]);
		return;
	}
}

/* The family under which a total is kept: all traffic families are cells of one. */
static enum metric kept_under(enum metric id)
{
	return metric_families[id].type == METRIC_TRAFFIC ? METRIC_TCP_CONNECTIONS_OPENED : id;
}

/* All samples of one family; its head is taken back when there are none. */
static void put_family(struct buf *out, enum metric id, const struct metrics_view *v)
{
	size_t before = out->n;
	size_t headed;

	put_head(out, &metric_families[id]);
	headed = out->n;
	for (size_t i = 0; i < v->count; i++) {
		enum metric kept = v->totals[i]->key.p[METRIC_KEY_FAMILY];

		if (kept > kept_under(id))
			break;
		if (kept == kept_under(id))
			put_sample(out, id, v->totals[i]);
	}
	if (out->n == headed)
		out->n = before;
}

enum err prometheus_write(struct metrics *m, struct buf *out)
{
	struct metrics_view *v = metrics_view_new(m);

	for (enum metric id = 0; id < METRIC_COUNT; id++)
		put_family(out, id, v);
	buf_put_str(out, "# EOF\n");
	metrics_view_free(v);
	return buf_status(out);
}

const char *prometheus_content_type(bool accepts_openmetrics)
{
	return accepts_openmetrics ? "application/openmetrics-text;charset=utf-8;version=1.0.0"
	                           : "text/plain; charset=utf-8";
}
