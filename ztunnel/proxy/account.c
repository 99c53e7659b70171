/* SPDX-License-Identifier: Apache-2.0 */
#include "ztunnel/proxy/account.h"

#include <string.h>

#include "common/hbone/baggage.h"

/* The texts of a line, in the order they are packed. */
enum text {
	TEXT_SRC_WORKLOAD,
	TEXT_SRC_NAMESPACE,
	TEXT_SRC_IDENTITY,
	TEXT_SRC_CLUSTER,
	TEXT_HBONE_ADDR,
	TEXT_SERVICE,
	TEXT_DST_WORKLOAD,
	TEXT_DST_NAMESPACE,
	TEXT_DST_IDENTITY,
	TEXT_DST_CLUSTER,
};

_Static_assert(TEXT_DST_CLUSTER + 1 == ACCOUNT_TEXTS, "every text has its offset");

enum {
	PEER_TEXT_MAX = 254, /* a Kubernetes name and its NUL; a longer one is cut */
};

/* What a peer says of itself, as texts. */
struct peer_texts {
	char workload[PEER_TEXT_MAX], namespace[PEER_TEXT_MAX], cluster[PEER_TEXT_MAX];
	char service[PEER_TEXT_MAX], version[PEER_TEXT_MAX];
	char region[PEER_TEXT_MAX], zone[PEER_TEXT_MAX];
};

static void copy_text(char out[PEER_TEXT_MAX], struct span s)
{
	size_t n = s.n < PEER_TEXT_MAX - 1 ? s.n : PEER_TEXT_MAX - 1;

	if (n > 0)
		memcpy(out, s.p, n);
	out[n] = '\0';
}

static void copy_peer(const struct baggage *b, struct peer_texts *out)
{
	static const struct baggage nothing;

	if (b == NULL)
		b = &nothing;
	copy_text(out->workload, b->workload);
	copy_text(out->namespace, b->namespace);
	copy_text(out->cluster, b->cluster);
	copy_text(out->service, b->service);
	copy_text(out->version, b->version);
	copy_text(out->region, b->region);
	copy_text(out->zone, b->zone);
}

static void label_source(struct traffic_labels *l, const struct account_facts *f,
                         const struct peer_texts *peer)
{
	const struct workload *w = f->src_workload;

	l->source_principal = f->src_identity;
	l->source_workload = w != NULL ? w->workload_name : peer->workload;
	l->source_canonical_service = w != NULL ? w->canonical_name : peer->service;
	l->source_canonical_revision = w != NULL ? w->canonical_revision : peer->version;
	l->source_workload_namespace = w != NULL ? w->namespace : peer->namespace;
	l->source_app = w != NULL ? w->canonical_name : peer->workload;
	l->source_version = w != NULL ? w->canonical_revision : peer->version;
	l->source_cluster = w != NULL ? w->cluster_id : peer->cluster;
	l->source_region = w != NULL ? w->locality.region : peer->region;
	l->source_zone = w != NULL ? w->locality.zone : peer->zone;
}

static void label_destination(struct traffic_labels *l, const struct account_facts *f,
                              const struct peer_texts *peer)
{
	const struct workload *w = f->dst_workload;

	if (f->service != NULL) {
		l->destination_service = f->service->hostname;
		l->destination_service_namespace = f->service->namespace;
		l->destination_service_name = f->service->name;
	}
	l->destination_principal = w != NULL ? w->identity : f->dst_identity;
	l->destination_workload = w != NULL ? w->workload_name : peer->workload;
	l->destination_canonical_service = w != NULL ? w->canonical_name : peer->service;
	l->destination_canonical_revision = w != NULL ? w->canonical_revision : peer->version;
	l->destination_workload_namespace = w != NULL ? w->namespace : peer->namespace;
	l->destination_app = w != NULL ? w->canonical_name : peer->workload;
	l->destination_version = w != NULL ? w->canonical_revision : peer->version;
	l->destination_cluster = w != NULL ? w->cluster_id : peer->cluster;
	l->destination_region = w != NULL ? w->locality.region : peer->region;
	l->destination_zone = w != NULL ? w->locality.zone : peer->zone;
}

static const char *first_of(const char *a, const char *b)
{
	return a != NULL && a[0] != '\0' ? a : b;
}

static void list_workload(const char **texts, enum text name, const struct workload *w)
{
	texts[name] = first_of(w->name, w->canonical_name);
	texts[name + 1] = w->namespace;
	texts[name + 3] = w->cluster_id;
}

static struct account_texts *texts_of(struct account_cache *cache, const struct account_facts *f,
                                      const struct peer_texts *src, const struct peer_texts *dst)
{
	const char *texts[ACCOUNT_TEXTS] = {
		[TEXT_SRC_WORKLOAD] = src->workload,
		[TEXT_SRC_NAMESPACE] = src->namespace,
		[TEXT_SRC_IDENTITY] = f->src_identity,
		[TEXT_SRC_CLUSTER] = src->cluster,
		[TEXT_DST_WORKLOAD] = dst->workload,
		[TEXT_DST_NAMESPACE] = dst->namespace,
		[TEXT_DST_CLUSTER] = dst->cluster,
		[TEXT_HBONE_ADDR] = f->hbone_addr,
		[TEXT_SERVICE] = f->service == NULL ? NULL : f->service->hostname,
		[TEXT_DST_IDENTITY] = f->dst_identity,
	};

	if (f->src_workload != NULL)
		list_workload(texts, TEXT_SRC_WORKLOAD, f->src_workload);
	if (f->dst_workload != NULL)
		list_workload(texts, TEXT_DST_WORKLOAD, f->dst_workload);
	return account_texts_get(cache, texts);
}

static const char *text_of(const struct account *a, enum text which)
{
	return account_text(a->texts, which);
}

static void fill_record(const struct account *a, const struct endpoint *src,
                        const struct endpoint *dst, struct access_record *r)
{
	*r = (struct access_record){
		.src = *src,
		.src_workload = text_of(a, TEXT_SRC_WORKLOAD),
		.src_namespace = text_of(a, TEXT_SRC_NAMESPACE),
		.src_identity = text_of(a, TEXT_SRC_IDENTITY),
		.src_cluster = text_of(a, TEXT_SRC_CLUSTER),
		.dst = *dst,
		.dst_hbone_addr = text_of(a, TEXT_HBONE_ADDR),
		.dst_service = text_of(a, TEXT_SERVICE),
		.dst_workload = text_of(a, TEXT_DST_WORKLOAD),
		.dst_namespace = text_of(a, TEXT_DST_NAMESPACE),
		.dst_identity = text_of(a, TEXT_DST_IDENTITY),
		.dst_cluster = text_of(a, TEXT_DST_CLUSTER),
		.direction = a->direction,
		.received_bytes = a->received,
		.sent_bytes = a->sent,
	};
}

void account_open(struct account *a, struct metrics_shard *shard, struct account_cache *cache,
                  const struct account_facts *f, uint64_t now_ms)
{
	struct traffic_labels l = {
		.reporter =
			f->direction == ACCESS_OUTBOUND ? REPORTER_SOURCE : REPORTER_DESTINATION,
		.mutual_tls = f->src_identity != NULL,
		.has_locality = f->src_workload != NULL || f->dst_workload != NULL ||
	                        f->src_baggage != NULL || f->dst_baggage != NULL,
	};
	static const struct peer_texts nobody;
	const struct peer_texts *src = &nobody, *dst = &nobody;
	struct peer_texts peer;

	copy_peer(f->src_baggage != NULL ? f->src_baggage : f->dst_baggage, &peer);
	if (f->src_baggage != NULL)
		src = &peer;
	else if (f->dst_baggage != NULL)
		dst = &peer;
	*a = (struct account){.started_ms = now_ms, .direction = f->direction};
	label_source(&l, f, src);
	label_destination(&l, f, dst);
	a->series = metrics_traffic_open(shard, &l);
	a->texts = texts_of(cache, f, src, dst);
	if (log_enabled(LOG_SCOPE_ACCESS, LOG_DEBUG)) {
		struct access_record r;

		fill_record(a, &f->src, &f->dst, &r);
		access_log_opened(&r);
	}
}

const char *account_service(const struct account *a)
{
	return text_of(a, TEXT_SERVICE);
}

void account_moved(struct account *a, bool client_to_server, size_t n)
{
	if (client_to_server) {
		a->received += n;
		traffic_received(a->series, n);
	} else {
		a->sent += n;
		traffic_sent(a->series, n);
	}
}

void account_close(struct account *a, const struct account_end *end)
{
	struct access_record r;

	traffic_closed(a->series, end->cause);
	fill_record(a, &end->src, &end->dst, &r);
	r.duration_ms = end->now_ms - a->started_ms;
	r.cause = end->cause;
	r.cause_words = end->words;
	access_log_complete(&r);
	account_texts_unref(a->texts);
	a->texts = NULL;
}

void account_reset(struct metrics_shard *shard, enum err cause)
{
	bool theirs = cause == ERR_H2_STREAM_RESET || cause == ERR_H2_STREAM_REFUSED;

	metrics_add_for(shard, METRIC_H2_STREAM_RESETS, METRIC_LABELS(theirs ? "peer" : "us"), 1);
}

void account_refused(struct metrics_shard *shard, enum access_direction direction,
                     const struct endpoint *src, const struct endpoint *dst, enum err cause,
                     const char *words)
{
	struct access_record r = {.src = *src,
	                          .dst = *dst,
	                          .direction = direction,
	                          .cause = cause,
	                          .cause_words = words};

	metrics_add_for(shard, METRIC_CONNECTIONS_REFUSED, METRIC_LABELS(err_info(cause)->name), 1);
	access_log_failed(&r);
}
