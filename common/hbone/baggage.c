/* SPDX-License-Identifier: Apache-2.0 */
#include "common/hbone/baggage.h"

#include <stdbool.h>

#include "common/base/check.h"
#include "common/base/str.h"

enum {
	VALUE_MAX = 253, /* longest name of Kubernetes */
	TYPE_MAX = 16,   /* "deployment" */
};

/* The octets a header value may have without becoming opaque: what the reference's parser takes. */
static bool visible(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if ((s.p[i] < 0x20 && s.p[i] != '\t') || s.p[i] >= 0x7f)
			return false;
	}
	return true;
}

static bool writable(struct span v, size_t len_max)
{
	if (v.n == 0 || v.n > len_max)
		return false;
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] <= 0x20 || v.p[i] >= 0x7f || v.p[i] == ',' || v.p[i] == '=')
			return false;
	}
	return true;
}

static void put_pair(struct buf *out, size_t start, const char *key, struct span value)
{
	if (!writable(value, VALUE_MAX))
		return;
	if (out->n > start)
		buf_put_u8(out, ',');
	buf_put_str(out, key);
	buf_put_u8(out, '=');
	buf_put(out, value);
}

void baggage_build(const struct baggage *b, struct buf *out)
{
	size_t start = out->n;
	char key[4 + TYPE_MAX + 5 + 1] = "k8s.";

	put_pair(out, start, "k8s.cluster.name", b->cluster);
	put_pair(out, start, "k8s.namespace.name", b->namespace);
	if (writable(b->workload_type, TYPE_MAX)) {
		memcpy(key + 4, b->workload_type.p, b->workload_type.n);
		memcpy(key + 4 + b->workload_type.n, ".name", sizeof(".name"));
		put_pair(out, start, key, b->workload);
	}
	put_pair(out, start, "service.name", b->service);
	put_pair(out, start, "service.version", b->version);
	put_pair(out, start, "cloud.region", b->region);
	put_pair(out, start, "cloud.availability_zone", b->zone);
}

static struct span *slot_of(struct baggage *b, struct span key)
{
	const struct {
		const char *key;
		struct span *slot;
	} known[] = {
		{"k8s.cluster.name", &b->cluster},     {"k8s.namespace.name", &b->namespace},
		{"k8s.deployment.name", &b->workload}, {"k8s.cronjob.name", &b->workload},
		{"k8s.pod.name", &b->workload},        {"k8s.job.name", &b->workload},
		{"service.name", &b->service},         {"service.version", &b->version},
		{"cloud.region", &b->region},          {"cloud.availability_zone", &b->zone},
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (span_eq_str(key, known[i].key))
			return known[i].slot;
	}
	return NULL;
}

static void parse_list(struct span list, struct baggage *b)
{
	while (list.p) {
		struct span item = str_trim(str_split(&list, ','));
		struct span key = str_split(&item, '=');
		struct span *slot = item.p ? slot_of(b, key) : NULL;

		if (slot)
			*slot = str_split(&item, '='); /* "k=v=w" is v */
	}
}

void baggage_parse(const struct h2_head *head, struct baggage *ret_baggage)
{
	*ret_baggage = (struct baggage){0};
	for (uint32_t i = 0; i < head->count; i++) {
		const struct h2_field *f = &head->fields[i];

		if (!span_eq_str(f->name, "baggage"))
			continue;
		if (!visible(f->value)) {
			*ret_baggage = (struct baggage){0};
			return;
		}
		parse_list(f->value, ret_baggage);
	}
}
