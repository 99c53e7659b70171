/* SPDX-License-Identifier: Apache-2.0 */
#include "common/telemetry/metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/telemetry/metrics_view.h"

enum {
	TRAFFIC_TEXTS_MAX = 32,
	/* Of a key being put together: every label of a traffic family at its longest. */
	KEY_LEN_MAX = METRIC_KEY_HEAD + TRAFFIC_TEXTS_MAX * (METRICS_LABEL_LEN_MAX + 1),
	/* Families are one octet of a key. */
	KEY_FAMILIES_MAX = 255,
};
_Static_assert((int)METRIC_COUNT <= (int)KEY_FAMILIES_MAX,
               "a family must fit its octet of the key");

static const char unknown[] = "unknown";

const struct metric_family metric_families[METRIC_COUNT] = {
#define STABLE   false
#define UNSTABLE true
#define METRIC(id, type, name, unit, stability, labels, help) \
	[METRIC_##id] = {name, unit, labels, help, METRIC_##type, stability},
#include "common/telemetry/metrics.def"
#undef METRIC
#undef STABLE
#undef UNSTABLE
};

const char *const response_flags[RESPONSE_FLAGS] = {
	"-",
	"DENY",
	"CONNECT",
	"TLS_FAILURE",
	"H2_HANDSHAKE_FAILURE",
	"NETWORK_POLICY",
	"IDENTITY_ERROR",
	"CERT_REVOKED",
};
enum { RESPONSE_FLAG_CONNECT = 2 }; /* "any error not otherwise classed" */

/* The one list of bounds the contract names (10.2). */
const uint64_t histogram_bounds_ns[HISTOGRAM_BOUNDS] = {
	500000, 1000000, 10000000, 100000000, 1000000000, 5000000000,
};

/* Written by its shard's owner only, read by the scraper. */
struct metrics_series {
	struct map_node node;
	_Atomic uint64_t *cells; /* behind the key, in the same block */
	size_t cell_count;
	struct span key;
};

struct traffic_series {
	struct metrics_series series;
};

struct metrics_shard {
	struct metrics *metrics;
	struct metrics_shard *next;
	pthread_mutex_t lock; /* over changes of index, which only the owner makes */
	struct map index;     /* label sets */
	size_t series_max;
	struct metrics_series *plain[METRIC_COUNT];    /* families without labels */
	struct metrics_series *overflow[METRIC_COUNT]; /* families with */
	struct metrics_series *traffic_overflow[2];    /* by reporter */
	uint8_t scratch[KEY_LEN_MAX];                  /* the owner's */
};

struct metrics {
	pthread_mutex_t lock; /* over the two lists */
	struct metrics_shard *shards;
	struct metrics_collector *collectors;
	size_t series_max;
};

/* ---- keys ---- */

/* The rows of RFC 3629 section 4: what the first octet may be, and the second after it. */
static const struct {
	uint8_t first_min, first_max, second_min, second_max, len;
} utf8_rows[] = {
	{0x00, 0x7f, 0x00, 0x00, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
	{0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
	{0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
};

/* The length of the UTF-8 character at s, which a NUL ends; 0 when there is none. RFC 3629. */
static size_t utf8_len(const uint8_t *s)
{
	size_t row = 0, n;

	while (row < ARRAY_LEN(utf8_rows) && s[0] > utf8_rows[row].first_max)
		row++;
	if (row == ARRAY_LEN(utf8_rows) || s[0] < utf8_rows[row].first_min)
		return 0;
	n = utf8_rows[row].len;
	if (n > 1 && (s[1] < utf8_rows[row].second_min || s[1] > utf8_rows[row].second_max))
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

/* Append value with its NUL, cut to its limit, octets that are not UTF-8 as '?'. Returns the new end. */
static size_t key_text(uint8_t *key, size_t at, const char *value)
{
	const uint8_t *s = (const uint8_t *)(value != NULL && value[0] != '\0' ? value : unknown);
	size_t end = at + METRICS_LABEL_LEN_MAX;

	while (*s != '\0') {
		size_t n = utf8_len(s);

		if (at + (n > 0 ? n : 1) > end)
			break;
		if (n == 0) {
			key[at++] = '?';
			s++;
			continue;
		}
		memcpy(key + at, s, n);
		at += n;
		s += n;
	}
	key[at++] = '\0';
	return at;
}

static size_t label_count(enum metric id)
{
	const char *l = metric_families[id].labels;
	size_t n = l[0] != '\0';

	for (; *l != '\0'; l++)
		n += *l == ',';
	return n;
}

static struct span key_of_values(struct metrics_shard *s, enum metric id,
                                 const char *const values[])
{
	size_t n = label_count(id);
	size_t at = METRIC_KEY_HEAD;

	CHECK(n <= METRICS_LABELS_MAX);
	s->scratch[METRIC_KEY_FAMILY] = (uint8_t)id;
	s->scratch[METRIC_KEY_TRAFFIC] = 0;
	for (size_t i = 0; i < n; i++)
		at = key_text(s->scratch, at, values != NULL ? values[i] : NULL);
	return span_of(s->scratch, at);
}

static struct span key_of_traffic(struct metrics_shard *s, const struct traffic_labels *l)
{
	uint8_t bits = 0;
	size_t at = METRIC_KEY_HEAD;

	if (l->reporter == REPORTER_DESTINATION)
		bits |= TRAFFIC_KEY_DESTINATION;
	if (l->mutual_tls)
		bits |= TRAFFIC_KEY_MUTUAL_TLS;
	if (l->has_locality)
		bits |= TRAFFIC_KEY_LOCALITY;
	s->scratch[METRIC_KEY_FAMILY] = METRIC_TCP_CONNECTIONS_OPENED;
	s->scratch[METRIC_KEY_TRAFFIC] = bits;
#define TRAFFIC_FIXED(name)
#define TRAFFIC_LABEL(name) at = key_text(s->scratch, at, l->name);
#define TRAFFIC_LOCALITY(name) \
	if (l->has_locality)   \
		at = key_text(s->scratch, at, l->name);
#include "common/telemetry/traffic_label.def"
#undef TRAFFIC_FIXED
#undef TRAFFIC_LABEL
#undef TRAFFIC_LOCALITY
	return span_of(s->scratch, at);
}

/* ---- series ---- */

static size_t cells_of(enum metric_type type)
{
	switch (type) {
	case METRIC_COUNTER:
	case METRIC_GAUGE: return 1;
	case METRIC_HISTOGRAM: return HISTOGRAM_CELLS;
	case METRIC_TRAFFIC: return TRAFFIC_CELLS;
	}
	return 0;
}

/* NULL when out of memory. */
static struct metrics_series *series_new(struct span key)
{
	size_t cell_count = cells_of(metric_families[key.p[METRIC_KEY_FAMILY]].type);
	struct traffic_series *t =
		malloc(sizeof(*t) + cell_count * sizeof(_Atomic uint64_t) + key.n);
	uint8_t *copy;

	if (t == NULL)
		return NULL;
	t->series.cell_count = cell_count;
	t->series.cells = (_Atomic uint64_t *)(void *)(t + 1);
	for (size_t i = 0; i < cell_count; i++)
		atomic_init(&t->series.cells[i], 0);
	copy = (uint8_t *)(t + 1) + cell_count * sizeof(_Atomic uint64_t);
	memcpy(copy, key.p, key.n);
	t->series.key = span_of(copy, key.n);
	return &t->series;
}

static void series_free(struct metrics_series *series)
{
	free(series == NULL ? NULL : container_of(series, struct traffic_series, series));
}

/* One writer: no read-modify-write instruction is needed, only that the scraper sees whole values. */
static void cell_add(struct metrics_series *series, size_t i, uint64_t n)
{
	uint64_t v = atomic_load_explicit(&series->cells[i], memory_order_relaxed);

	atomic_store_explicit(&series->cells[i], v + n, memory_order_relaxed);
}

static void cell_set(struct metrics_series *series, size_t i, uint64_t v)
{
	atomic_store_explicit(&series->cells[i], v, memory_order_relaxed);
}

/* The series of key, made when missing; NULL when there are too many or there is no memory. */
static struct metrics_series *series_find(struct metrics_shard *s, struct span key)
{
	struct map_node *node = map_get(&s->index, key);
	struct metrics_series *series;

	if (node != NULL)
		return map_entry(node, struct metrics_series, node);
	series = s->index.count < s->series_max ? series_new(key) : NULL;
	if (series == NULL) {
		metrics_add(s, METRIC_SERIES_OVERFLOW, 1);
		return NULL;
	}
	pthread_mutex_lock(&s->lock);
	(void)map_put(&s->index, &series->node, series->key);
	pthread_mutex_unlock(&s->lock);
	metrics_gauge_add(s, METRIC_SERIES, 1);
	return series;
}

static struct metrics_series *series_of(struct metrics_shard *s, enum metric id,
                                        const char *const values[])
{
	struct metrics_series *series;

	CHECK(s->overflow[id] != NULL);
	series = series_find(s, key_of_values(s, id, values));
	return series != NULL ? series : s->overflow[id];
}

/* ---- registry and shards ---- */

struct metrics *metrics_new(size_t series_max)
{
	struct metrics *m = mem_new(sizeof(*m));

	CHECK(pthread_mutex_init(&m->lock, NULL) == 0);
	m->series_max = series_max > 0 ? series_max : METRICS_SERIES_MAX;
	return m;
}

static void shard_free(struct metrics_shard *s)
{
	struct map_node *node = map_next(&s->index, NULL);

	while (node != NULL) {
		struct map_node *next = map_next(&s->index, node);

		series_free(map_entry(node, struct metrics_series, node));
		node = next;
	}
	map_fini(&s->index);
	for (size_t i = 0; i < METRIC_COUNT; i++) {
		series_free(s->plain[i]);
		series_free(s->overflow[i]);
	}
	series_free(s->traffic_overflow[0]);
	series_free(s->traffic_overflow[1]);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

void metrics_free(struct metrics *m)
{
	struct metrics_shard *s = m != NULL ? m->shards : NULL;

	while (s != NULL) {
		struct metrics_shard *next = s->next;

		shard_free(s);
		s = next;
	}
	if (m != NULL)
		pthread_mutex_destroy(&m->lock);
	free(m);
}

/* A series that must exist: set-up has memory or the process ends. */
static struct metrics_series *series_must(struct span key)
{
	struct metrics_series *series = series_new(key);

	CHECK(series != NULL);
	return series;
}

struct metrics_shard *metrics_shard_new(struct metrics *m)
{
	struct metrics_shard *s = mem_new(sizeof(*s));
	struct traffic_labels nothing = {.reporter = REPORTER_SOURCE};
	uint8_t seed[16];

	rand_system_bytes(seed, sizeof(seed));
	map_init(&s->index, seed);
	CHECK(pthread_mutex_init(&s->lock, NULL) == 0);
	s->metrics = m;
	s->series_max = m->series_max;
	for (enum metric id = 0; id < METRIC_COUNT; id++) {
		struct metrics_series *series;

		if (metric_families[id].type == METRIC_TRAFFIC)
			continue;
		series = series_must(key_of_values(s, id, NULL));
		if (label_count(id) == 0)
			s->plain[id] = series;
		else
			s->overflow[id] = series;
	}
	s->traffic_overflow[REPORTER_SOURCE] = series_must(key_of_traffic(s, &nothing));
	nothing.reporter = REPORTER_DESTINATION;
	s->traffic_overflow[REPORTER_DESTINATION] = series_must(key_of_traffic(s, &nothing));

	pthread_mutex_lock(&m->lock);
	s->next = m->shards;
	m->shards = s;
	pthread_mutex_unlock(&m->lock);
	return s;
}

void metrics_collector_add(struct metrics *m, struct metrics_collector *c)
{
	pthread_mutex_lock(&m->lock);
	c->next = m->collectors;
	m->collectors = c;
	pthread_mutex_unlock(&m->lock);
}

/* ---- updates ---- */

static struct metrics_series *plain_of(struct metrics_shard *s, enum metric id)
{
	CHECK(s->plain[id] != NULL); /* else the family has labels: use the _for form */
	return s->plain[id];
}

void metrics_add(struct metrics_shard *s, enum metric id, uint64_t n)
{
	cell_add(plain_of(s, id), 0, n);
}

void metrics_gauge_add(struct metrics_shard *s, enum metric id, int64_t delta)
{
	cell_add(plain_of(s, id), 0, (uint64_t)delta);
}

void metrics_set(struct metrics_shard *s, enum metric id, int64_t value)
{
	cell_set(plain_of(s, id), 0, (uint64_t)value);
}

void metrics_add_for(struct metrics_shard *s, enum metric id, const char *const values[],
                     uint64_t n)
{
	cell_add(series_of(s, id, values), 0, n);
}

void metrics_gauge_add_for(struct metrics_shard *s, enum metric id, const char *const values[],
                           int64_t delta)
{
	cell_add(series_of(s, id, values), 0, (uint64_t)delta);
}

void metrics_set_for(struct metrics_shard *s, enum metric id, const char *const values[],
                     int64_t value)
{
	cell_set(series_of(s, id, values), 0, (uint64_t)value);
}

void metrics_forget(struct metrics_shard *s, enum metric id, const char *const values[])
{
	struct map_node *node = map_get(&s->index, key_of_values(s, id, values));
	struct metrics_series *series;

	if (node == NULL)
		return;
	series = map_entry(node, struct metrics_series, node);
	pthread_mutex_lock(&s->lock);
	(void)map_remove(&s->index, series->key);
	pthread_mutex_unlock(&s->lock);
	series_free(series);
	metrics_gauge_add(s, METRIC_SERIES, -1);
}

void metrics_observe(struct metrics_shard *s, enum metric id, const char *const values[],
                     uint64_t nanoseconds)
{
	struct metrics_series *series = values == NULL ? plain_of(s, id) : series_of(s, id, values);
	size_t bucket = 0;

	CHECK(metric_families[id].type == METRIC_HISTOGRAM);
	while (bucket < HISTOGRAM_BOUNDS && nanoseconds > histogram_bounds_ns[bucket])
		bucket++;
	cell_add(series, HISTOGRAM_BUCKET + bucket, 1);
	cell_add(series, HISTOGRAM_SUM_NS, nanoseconds);
}

/* ---- connections ---- */

struct traffic_series *metrics_traffic_open(struct metrics_shard *s, const struct traffic_labels *l)
{
	struct metrics_series *series = series_find(s, key_of_traffic(s, l));

	if (series == NULL)
		series = s->traffic_overflow[l->reporter];
	cell_add(series, TRAFFIC_OPENED, 1);
	return container_of(series, struct traffic_series, series);
}

void traffic_received(struct traffic_series *t, uint64_t n)
{
	cell_add(&t->series, TRAFFIC_RECEIVED, n);
}

void traffic_sent(struct traffic_series *t, uint64_t n)
{
	cell_add(&t->series, TRAFFIC_SENT, n);
}

void traffic_closed(struct traffic_series *t, enum err cause)
{
	const char *flag = err_info(cause)->flag;
	size_t i = 0;

	while (i < RESPONSE_FLAGS && strcmp(response_flags[i], flag) != 0)
		i++;
	cell_add(&t->series, TRAFFIC_CLOSED + (i < RESPONSE_FLAGS ? i : RESPONSE_FLAG_CONNECT), 1);
}

/* ---- view ---- */

static void view_push(struct metrics_view *v, struct metric_total *total)
{
	if (v->count == v->cap) {
		size_t cap = v->cap > 0 ? v->cap * 2 : 256;
		struct metric_total **grown = mem_new(cap * sizeof(struct metric_total *));

		if (v->count > 0)
			memcpy(grown, v->totals, v->count * sizeof(struct metric_total *));
		free(v->totals);
		v->totals = grown;
		v->cap = cap;
	}
	v->totals[v->count++] = total;
}

static void view_add(struct metrics_view *v, const struct metrics_series *series)
{
	struct map_node *node = map_get(&v->index, series->key);
	struct metric_total *total;

	if (node == NULL) {
		uint8_t *copy;

		total = mem_new(sizeof(*total) + series->key.n);
		copy = (uint8_t *)(total + 1);
		memcpy(copy, series->key.p, series->key.n);
		total->key = span_of(copy, series->key.n);
		(void)map_put(&v->index, &total->node, total->key);
		view_push(v, total);
	} else {
		total = map_entry(node, struct metric_total, node);
	}
	for (size_t i = 0; i < series->cell_count; i++)
		total->cells[i] += atomic_load_explicit(&series->cells[i], memory_order_relaxed);
}

/* A series that is there in case it is needed: shown once it was. */
static void view_add_used(struct metrics_view *v, const struct metrics_series *series)
{
	for (size_t i = 0; series != NULL && i < series->cell_count; i++) {
		if (atomic_load_explicit(&series->cells[i], memory_order_relaxed) != 0) {
			view_add(v, series);
			return;
		}
	}
}

static void view_add_shard(struct metrics_view *v, struct metrics_shard *s)
{
	for (size_t i = 0; i < METRIC_COUNT; i++) {
		if (s->plain[i] != NULL)
			view_add(v, s->plain[i]);
		view_add_used(v, s->overflow[i]);
	}
	view_add_used(v, s->traffic_overflow[REPORTER_SOURCE]);
	view_add_used(v, s->traffic_overflow[REPORTER_DESTINATION]);

	pthread_mutex_lock(&s->lock);
	map_for_each (it, &s->index)
		view_add(v, map_entry(it, struct metrics_series, node));
	pthread_mutex_unlock(&s->lock);
}

static int total_cmp(const void *a, const void *b)
{
	const struct metric_total *const *x = a;
	const struct metric_total *const *y = b;
	size_t n = (*x)->key.n < (*y)->key.n ? (*x)->key.n : (*y)->key.n;
	int c = memcmp((*x)->key.p, (*y)->key.p, n);

	return c != 0 ? c : ((*x)->key.n > (*y)->key.n) - ((*x)->key.n < (*y)->key.n);
}

struct metrics_view *metrics_view_new(struct metrics *m)
{
	struct metrics_view *v = mem_new(sizeof(*v));
	uint8_t seed[16];
	struct metrics_collector *collectors;
	struct metrics_shard *shards;

	rand_system_bytes(seed, sizeof(seed));
	map_init(&v->index, seed);
	/* Both lists only grow at their head: what hangs off these two never changes. */
	pthread_mutex_lock(&m->lock);
	collectors = m->collectors;
	shards = m->shards;
	pthread_mutex_unlock(&m->lock);

	for (struct metrics_collector *c = collectors; c != NULL; c = c->next)
		c->fn(c);
	for (struct metrics_shard *s = shards; s != NULL; s = s->next)
		view_add_shard(v, s);
	if (v->count > 1)
		qsort(v->totals, v->count, sizeof(struct metric_total *), total_cmp);
	return v;
}

void metrics_view_free(struct metrics_view *v)
{
	for (size_t i = 0; i < v->count; i++)
		free(v->totals[i]);
	free(v->totals);
	map_fini(&v->index);
	free(v);
}
