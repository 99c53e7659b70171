/* SPDX-License-Identifier: Apache-2.0 */
#include "common/hbone/hbone_msg.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/str.h"
#include "common/hbone/forwarded.h"

enum {
	TRACEPARENT_LEN = 55, /* W3C: version, trace id, parent id, flags */
	TRACE_ID_AT = 3,
	TRACE_ID_HEX = 32,
};

void hbone_fields_init(struct hbone_fields *f)
{
	*f = (struct hbone_fields){.count = 0};
	buf_init(&f->text, HBONE_TEXT_MAX);
}

void hbone_fields_fini(struct hbone_fields *f)
{
	buf_fini(&f->text);
	f->count = 0;
}

/* Its value is what text holds from here to the next open_field or close_fields. */
static void open_field(struct hbone_fields *f, const char *name)
{
	struct h2_field *field = &f->field[f->count++];

	field->name = span_str(name);
	field->value = span_of(NULL, f->text.n); /* where it starts, until text stops moving */
}

static enum err close_fields(struct hbone_fields *f)
{
	size_t end = f->text.n;

	if (buf_status(&f->text) != ERR_OK)
		return ERR_LIMIT;
	for (unsigned int i = f->count; i > 0; i--) {
		struct span *v = &f->field[i - 1].value;
		size_t start = v->n;

		*v = end > start ? span_of(f->text.p + start, end - start) : span_str("");
		end = start;
	}
	return ERR_OK;
}

static void put_hex(struct buf *out, const uint8_t *p, size_t n)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		buf_put_u8(out, (uint8_t)digits[p[i] >> 4]);
		buf_put_u8(out, (uint8_t)digits[p[i] & 15]);
	}
}

static void put_traceparent(struct buf *out, const struct hbone_ask *ask)
{
	buf_put_str(out, "00-");
	put_hex(out, ask->trace_id, HBONE_TRACE_ID_LEN);
	buf_put_u8(out, '-');
	put_hex(out, ask->span_id, HBONE_SPAN_ID_LEN);
	buf_put_str(out, "-00");
}

enum err hbone_request_build(const struct hbone_ask *ask, struct hbone_fields *f)
{
	char authority[HTTP_AUTHORITY_TEXT_MAX];

	open_field(f, ":method");
	buf_put_str(&f->text, "CONNECT");
	open_field(f, ":authority");
	buf_put_str(&f->text, http_authority_format(ask->authority, authority));
	open_field(f, "baggage");
	baggage_build(&ask->baggage, &f->text);
	open_field(f, "forwarded");
	forwarded_build(&ask->client, ask->service, &f->text);
	open_field(f, "traceparent");
	put_traceparent(&f->text, ask);
	if (ask->inner) {
		open_field(f, "x-forwarded-network");
		buf_put(&f->text, ask->network);
	}
	return close_fields(f);
}

enum err hbone_response_build(uint16_t status, const struct baggage *baggage,
                              struct hbone_fields *f)
{
	open_field(f, ":status");
	buf_printf(&f->text, "%u", status);
	if (baggage && status == 200) {
		open_field(f, "baggage");
		baggage_build(baggage, &f->text);
	}
	return close_fields(f);
}

/* The value of the only field of that name; false when it is missing or there more than once. */
static bool only(const struct h2_head *head, const char *name, struct span *ret_value)
{
	bool found = false;

	for (uint32_t i = 0; i < head->count; i++) {
		if (!span_eq_str(head->fields[i].name, name))
			continue;
		if (found)
			return false;
		found = true;
		*ret_value = head->fields[i].value;
	}
	return found;
}

static bool plain_connect(const struct h2_head *head)
{
	struct span method;

	return only(head, ":method", &method) && span_eq_str(method, "CONNECT") &&
	       !h2_head_find(head, ":scheme") && !h2_head_find(head, ":path") &&
	       !h2_head_find(head, ":protocol");
}

static bool same_nocase(struct span a, struct span b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++) {
		bool letter = (a.p[i] | 0x20) >= 'a' && (a.p[i] | 0x20) <= 'z';

		if (a.p[i] != b.p[i] && !(letter && (a.p[i] ^ b.p[i]) == 0x20))
			return false;
	}
	return true;
}

static bool hosts_agree(const struct h2_head *head, struct span authority)
{
	for (uint32_t i = 0; i < head->count; i++) {
		if (span_eq_str(head->fields[i].name, "host") &&
		    !same_nocase(head->fields[i].value, authority))
			return false;
	}
	return true;
}

static bool lower_hex(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
			return false;
	}
	return true;
}

/* The trace id of a traceparent of any version; empty when malformed. */
static struct span trace_id_of(struct span v)
{
	struct span id;

	if (v.n < TRACEPARENT_LEN || v.p[2] != '-' || v.p[TRACE_ID_AT + TRACE_ID_HEX] != '-')
		return (struct span){0};
	id = span_of(v.p + TRACE_ID_AT, TRACE_ID_HEX);
	return lower_hex(id) ? id : (struct span){0};
}

enum err hbone_request_parse(const struct h2_head *head, struct hbone_request *ret_request)
{
	struct hbone_request r = {0};
	const struct h2_field *f;
	struct span authority;

	if (!plain_connect(head))
		return ERR_HBONE_METHOD;
	if (!only(head, ":authority", &authority) || !hosts_agree(head, authority) ||
	    http_authority_parse(authority, &r.authority) != ERR_OK)
		return ERR_HBONE_AUTHORITY;
	baggage_parse(head, &r.baggage);
	f = h2_head_find(head, "forwarded");
	if (f)
		r.forwarded_host = forwarded_host(f->value);
	f = h2_head_find(head, "traceparent");
	if (f)
		r.trace_id = trace_id_of(f->value);
	f = h2_head_find(head, "x-forwarded-network");
	if (f) {
		r.has_network = true;
		r.network = f->value;
	}
	*ret_request = r;
	return ERR_OK;
}

enum err hbone_response_parse(const struct h2_head *head, uint16_t *ret_status)
{
	struct span text;
	uint64_t status = 0;

	if (!only(head, ":status", &text) || text.n != 3 ||
	    str_parse_u64(text, 999, &status) != ERR_OK)
		status = 0;
	*ret_status = (uint16_t)status;
	return status == 200 ? ERR_OK : ERR_HBONE_STATUS;
}

enum { REQUEST_SPANS = 11 };

static void spans_of(struct hbone_request *r, struct span *out[REQUEST_SPANS])
{
	struct baggage *b = &r->baggage;
	struct span *all[REQUEST_SPANS] = {&b->cluster,  &b->namespace, &b->workload_type,
	                                   &b->workload, &b->service,   &b->version,
	                                   &b->region,   &b->zone,      &r->forwarded_host,
	                                   &r->trace_id, &r->network};

	memcpy(out, all, sizeof(all));
}

struct hbone_request *hbone_request_copy(const struct hbone_request *r)
{
	struct hbone_request head = *r, *copy;
	struct span *spans[REQUEST_SPANS];
	size_t text_len = 0;
	uint8_t *text;

	spans_of(&head, spans);
	for (size_t i = 0; i < REQUEST_SPANS; i++)
		text_len += spans[i]->n;
	copy = malloc(sizeof(*copy) + text_len);
	if (copy == NULL)
		return NULL;
	*copy = head;
	text = (uint8_t *)(copy + 1);
	spans_of(copy, spans);
	for (size_t i = 0; i < REQUEST_SPANS; i++) {
		if (spans[i]->n > 0)
			memcpy(text, spans[i]->p, spans[i]->n);
		spans[i]->p = text;
		text += spans[i]->n;
	}
	return copy;
}
