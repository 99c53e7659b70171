/* SPDX-License-Identifier: Apache-2.0 */
#include "common/identity/cert_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/identity/cert_schedule.h"
#include "common/io/timer.h"
#include "common/tls/spiffe_msg.h"

enum {
	TTL_DEFAULT_S = 86400, /* SECRET_TTL, contract 1.3 */
	POLL_DEFAULT_MS = 2000,
	SKEW_S = 300, /* how far ahead of ours a CA's clock may be */
	MS = 1000,
};

/* Who is served first when more want to fetch than may. */
enum urgency { URGENCY_NONE, URGENCY_BACKGROUND, URGENCY_WARMUP, URGENCY_REAL_TIME, URGENCIES };

struct cert_row {
	struct map_node node;
	struct list queued; /* in table->queues[urgency] while urgency is not NONE */
	enum urgency urgency;
	struct cert_table *table;
	char *identity;
	unsigned int wants;     /* 0: forgotten, waits for its fetch to land */
	struct tls_config *cfg; /* NULL: nothing to show */
	char why[CA_WHY_MAX];   /* of the last failure; empty: none */
	struct ca_request fetch;
	struct timer due; /* renewal or retry */
	struct cert_retry retry;
};

struct cert_table {
	struct loop *loop;
	struct ca_client *ca;
	struct snapshot_cell *cell;
	struct cert_table_options opt;
	struct rand dice;
	struct map rows;
	struct list queues[URGENCIES];
	unsigned int fetching; /* rows with a fetch in flight, forgotten ones too */
	struct cert_set *set;  /* last published */
	struct loop_hook publish;
	struct timer poll;
	bool stopped;
	struct cert_table_stats stats;
};

static int64_t wall_now(const struct cert_table *t)
{
	return t->opt.wall_s == NULL ? clock_wall_s() : t->opt.wall_s(t->opt.wall_arg);
}

static enum cert_state row_state(const struct cert_row *row)
{
	if (row->cfg != NULL)
		return CERT_AVAILABLE;
	return row->why[0] != '\0' ? CERT_UNAVAILABLE : CERT_INITIALIZING;
}

/* Publishing */

static void set_destroy(struct snapshot *s)
{
	struct cert_set *set = container_of(s, struct cert_set, snap);

	for (size_t i = 0; i < set->count; i++) {
		free(set->entries[i].identity);
		free(set->entries[i].why);
		tls_config_unref(set->entries[i].cfg);
	}
	free(set);
}

static int compare_entries(const void *a, const void *b)
{
	const struct cert_entry *x = a, *y = b;

	return strcmp(x->identity, y->identity);
}

static struct cert_set *set_new(const struct cert_table *t)
{
	struct cert_set *set = mem_new(sizeof(*set) + t->rows.count * sizeof(set->entries[0]));

	snapshot_init(&set->snap, set_destroy);
	map_for_each (it, &t->rows) {
		const struct cert_row *row = map_entry(it, struct cert_row, node);
		struct cert_entry *e = &set->entries[set->count++];

		e->identity = mem_str(span_str(row->identity));
		e->state = row_state(row);
		if (row->cfg != NULL)
			e->cfg = tls_config_ref(row->cfg);
		if (e->state == CERT_UNAVAILABLE)
			e->why = mem_str(span_str(row->why));
	}
	qsort(set->entries, set->count, sizeof(set->entries[0]), compare_entries);
	return set;
}

static void publish(struct cert_table *t)
{
	struct cert_set *set = set_new(t);

	if (t->set != NULL)
		snapshot_unref(&t->set->snap);
	t->set = set;
	(void)snapshot_ref(&set->snap);
	snapshot_publish(t->cell, &set->snap);
}

static void on_publish(struct loop_hook *h)
{
	publish(container_of(h, struct cert_table, publish));
}

static void publish_soon(struct cert_table *t)
{
	if (!t->stopped)
		loop_at_turn_end(t->loop, &t->publish);
}

/* Rows */

static void row_free(struct cert_row *row)
{
	timer_disarm(&row->due);
	list_remove(&row->queued);
	ca_request_fini(&row->fetch);
	tls_config_unref(row->cfg);
	free(row->identity);
	free(row);
}

static void on_fetched(struct ca_request *r);

static void start_fetches(struct cert_table *t)
{
	for (int u = URGENCY_REAL_TIME; u > URGENCY_NONE; u--) {
		while (t->fetching < CERT_FETCHES_MAX && !list_empty(&t->queues[u])) {
			struct cert_row *row =
				list_entry(list_shift(&t->queues[u]), struct cert_row, queued);

			row->urgency = URGENCY_NONE;
			t->fetching++;
			ca_client_fetch(t->ca, &row->fetch, row->identity, t->opt.ttl_s,
			                on_fetched);
		}
	}
}

/* Fetch soon. Asking again may only raise the urgency. */
static void ask(struct cert_row *row, enum urgency urgency)
{
	struct cert_table *t = row->table;

	if (row->fetch.pending || t->stopped || row->urgency >= urgency)
		return;
	timer_disarm(&row->due);
	list_remove(&row->queued);
	row->urgency = urgency;
	list_push(&t->queues[urgency], &row->queued);
	start_fetches(t);
}

static void on_due(struct timer *timer)
{
	ask(container_of(timer, struct cert_row, due), URGENCY_BACKGROUND);
}

/* What the CA sent, as a config; or why it is refused. */
static enum err accept_material(struct cert_row *row, struct tls_config **ret_cfg)
{
	struct cert_table *t = row->table;
	const struct tls_material m = {
		.chain_pem = buf_span(&row->fetch.chain_pem),
		.key_pem = buf_span(&row->fetch.key_pem),
		.roots_pem = buf_span(&row->fetch.roots_pem),
		.policy = t->opt.tls,
	};
	const size_t why_len = sizeof(row->why);
	struct tls_config *cfg;
	enum err e = tls_config_new(&m, &cfg, row->why, why_len);

	if (e != ERR_OK)
		return e;
	if (strcmp(tls_config_identity(cfg), row->identity) != 0) {
		(void)snprintf(row->why, why_len, "the certificate is for %.180s",
		               tls_config_identity(cfg));
		e = ERR_TLS_WRONG_IDENTITY;
	} else if (tls_config_not_after(cfg) <= wall_now(t)) {
		(void)snprintf(row->why, why_len, "the certificate has expired already");
		e = ERR_TLS_EXPIRED;
	} else if (tls_config_not_before(cfg) > wall_now(t) + SKEW_S) {
		(void)snprintf(row->why, why_len, "the certificate is not yet valid");
		e = ERR_TLS_NOT_YET_VALID;
	}
	if (e != ERR_OK) {
		tls_config_unref(cfg);
		return e;
	}
	*ret_cfg = cfg;
	return ERR_OK;
}

static void row_renewed(struct cert_row *row, struct tls_config *cfg)
{
	struct cert_table *t = row->table;

	tls_config_unref(row->cfg);
	row->cfg = cfg;
	row->why[0] = '\0';
	cert_retry_reset(&row->retry);
	t->stats.fetched++;
	timer_arm(t->loop, &row->due,
	          cert_renew_ms(tls_config_not_before(cfg), tls_config_not_after(cfg), t->opt.ttl_s,
	                        wall_now(t), rand_u64(&t->dice)));
}

/* Keep what is still valid; try again at the sooner of the back-off and its end (contract 4.5). */
static void row_failed(struct cert_row *row)
{
	struct cert_table *t = row->table;
	const int64_t now = wall_now(t);
	uint64_t wait_ms = cert_retry_next_ms(&row->retry, now, rand_u64(&t->dice));

	if (row->why[0] == '\0')
		(void)snprintf(row->why, sizeof(row->why), "the certificate authority failed");
	if (row->cfg != NULL && tls_config_not_after(row->cfg) <= now) {
		tls_config_unref(row->cfg);
		row->cfg = NULL;
	}
	if (row->cfg != NULL) {
		uint64_t left_ms = (uint64_t)(tls_config_not_after(row->cfg) - now) * MS;

		if (left_ms < wait_ms)
			wait_ms = left_ms;
	}
	timer_arm(t->loop, &row->due, wait_ms);
}

static void on_fetched(struct ca_request *r)
{
	struct cert_row *row = container_of(r, struct cert_row, fetch);
	struct cert_table *t = row->table;
	struct tls_config *cfg = NULL;
	enum err e = r->err;

	t->fetching--;
	if (row->wants == 0) { /* forgotten meanwhile */
		row_free(row);
		start_fetches(t);
		return;
	}
	if (e == ERR_OK) {
		e = accept_material(row, &cfg);
		t->stats.refused += e != ERR_OK;
	} else {
		(void)snprintf(row->why, sizeof(row->why), "%s",
		               r->why[0] != '\0' ? r->why : err_info(e)->words);
		t->stats.failed++;
	}
	ca_request_fini(r);
	if (t->stopped)
		return;
	if (e == ERR_OK)
		row_renewed(row, cfg);
	else
		row_failed(row);
	publish(t);
	start_fetches(t);
}

/* Notice changed files, and certificates that ended while a CA does not answer. */
static void on_poll(struct timer *timer)
{
	struct cert_table *t = container_of(timer, struct cert_table, poll);
	const int64_t now = wall_now(t);

	map_for_each (it, &t->rows) {
		struct cert_row *row = map_entry(it, struct cert_row, node);

		if (row->cfg != NULL && tls_config_not_after(row->cfg) <= now) {
			tls_config_unref(row->cfg);
			row->cfg = NULL;
			if (row->why[0] == '\0')
				(void)snprintf(row->why, sizeof(row->why),
				               "the certificate expired");
			publish_soon(t);
			ask(row, URGENCY_WARMUP);
		}
		if (ca_client_changed(t->ca, &row->fetch))
			ask(row, URGENCY_WARMUP);
	}
	timer_arm(t->loop, &t->poll, t->opt.poll_ms);
}

struct cert_table *cert_table_new(struct loop *loop, struct ca_client *ca,
                                  struct snapshot_cell *cell, const struct cert_table_options *opt)
{
	struct cert_table *t = calloc(1, sizeof(*t));
	uint8_t seed[16];

	if (t == NULL)
		return NULL;
	t->loop = loop;
	t->ca = ca;
	t->cell = cell;
	t->opt = *opt;
	if (t->opt.ttl_s == 0)
		t->opt.ttl_s = TTL_DEFAULT_S;
	if (t->opt.poll_ms == 0)
		t->opt.poll_ms = POLL_DEFAULT_MS;
	if (opt->seed == 0)
		rand_init_system(&t->dice);
	else
		rand_init(&t->dice, opt->seed);
	rand_system_bytes(seed, sizeof(seed));
	map_init(&t->rows, seed);
	for (int u = 0; u < URGENCIES; u++)
		list_init(&t->queues[u]);
	loop_hook_init(&t->publish, on_publish);
	timer_init(&t->poll, on_poll);
	timer_arm(loop, &t->poll, t->opt.poll_ms);
	publish(t);
	return t;
}

static struct cert_row *find(const struct cert_table *t, const char *identity)
{
	struct map_node *node = map_get(&t->rows, span_str(identity));

	return node == NULL ? NULL : map_entry(node, struct cert_row, node);
}

enum err cert_table_want(struct cert_table *t, const char *identity)
{
	struct cert_row *row = find(t, identity);
	struct spiffe_id id;
	enum err e;

	if (row != NULL) {
		row->wants++;
		return ERR_OK;
	}
	e = spiffe_parse(span_str(identity), &id);
	if (e != ERR_OK)
		return e;
	if (t->rows.count >= CERT_IDENTITIES_MAX)
		return ERR_LIMIT;
	row = mem_new(sizeof(*row));
	row->table = t;
	row->identity = mem_str(span_str(identity));
	row->wants = 1;
	list_init(&row->queued);
	timer_init(&row->due, on_due);
	(void)map_put(&t->rows, &row->node, span_str(row->identity));
	publish_soon(t);
	ask(row, URGENCY_WARMUP);
	return ERR_OK;
}

/* Out of the table; freed now, or when its fetch lands. */
static void drop(struct cert_table *t, struct cert_row *row)
{
	row->wants = 0;
	(void)map_remove(&t->rows, span_str(row->identity));
	timer_disarm(&row->due);
	list_remove(&row->queued);
	row->urgency = URGENCY_NONE;
	if (row->fetch.pending)
		ca_client_cancel(t->ca, &row->fetch);
	else
		row_free(row);
}

void cert_table_forget(struct cert_table *t, const char *identity)
{
	struct cert_row *row = find(t, identity);

	if (row == NULL || --row->wants > 0)
		return;
	drop(t, row);
	publish_soon(t);
}

void cert_table_hurry(struct cert_table *t, const char *identity)
{
	struct cert_row *row = find(t, identity);

	if (row != NULL && row_state(row) == CERT_INITIALIZING)
		ask(row, URGENCY_REAL_TIME);
}

const struct cert_set *cert_table_set(const struct cert_table *t)
{
	return t->set;
}

struct cert_table_stats cert_table_stats(const struct cert_table *t)
{
	struct cert_table_stats s = t->stats;

	s.identities = (uint32_t)t->rows.count;
	map_for_each (it, &t->rows)
		s.available += map_entry(it, struct cert_row, node)->cfg != NULL;
	return s;
}

void cert_table_stop(struct cert_table *t)
{
	struct map_node *it;

	t->stopped = true;
	timer_disarm(&t->poll);
	loop_hook_cancel(&t->publish);
	while ((it = map_next(&t->rows, NULL)) != NULL)
		drop(t, map_entry(it, struct cert_row, node));
}

bool cert_table_idle(const struct cert_table *t)
{
	return t->fetching == 0;
}

void cert_table_free(struct cert_table *t)
{
	if (t == NULL)
		return;
	CHECK(t->stopped && t->fetching == 0);
	map_fini(&t->rows);
	snapshot_unref(&t->set->snap);
	free(t);
}
