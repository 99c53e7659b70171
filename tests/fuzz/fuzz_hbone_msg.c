/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A head, one "name=value" to a line: judged as a request and as an answer. What is accepted is a plain CONNECT, and
 * written by us with the same authority it is accepted again, unchanged.
 */
#include <string.h>

#include "common/base/check.h"
#include "common/base/str.h"
#include "common/hbone/hbone_msg.h"

enum { FIELDS_MAX = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static unsigned int count(const struct h2_head *head, const char *name)
{
	unsigned int found = 0;

	for (uint32_t i = 0; i < head->count; i++)
		found += span_eq_str(head->fields[i].name, name);
	return found;
}

static bool within(struct span inner, const uint8_t *p, size_t n)
{
	return inner.n == 0 || (inner.p >= p && inner.p + inner.n <= p + n);
}

static void check_again(const struct hbone_request *r)
{
	struct hbone_ask ask = {.authority = &r->authority,
	                        .baggage = r->baggage,
	                        .client = {.ip = {.family = IP_V4}, .port = 1},
	                        .inner = r->has_network,
	                        .network = r->network};
	char before[HTTP_AUTHORITY_TEXT_MAX], after[HTTP_AUTHORITY_TEXT_MAX];
	struct hbone_request again;
	struct hbone_fields f;
	struct h2_head head;

	hbone_fields_init(&f);
	if (hbone_request_build(&ask, &f) == ERR_OK) {
		head = (struct h2_head){.count = f.count, .fields = f.field};
		CHECK(hbone_request_parse(&head, &again) == ERR_OK);
		CHECK(strcmp(http_authority_format(&r->authority, before),
		             http_authority_format(&again.authority, after)) == 0);
		CHECK(again.has_network == r->has_network);
		CHECK(again.trace_id.n == HBONE_TRACE_ID_LEN * 2);
	}
	hbone_fields_fini(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct h2_field fields[FIELDS_MAX];
	struct h2_head head = {.fields = fields};
	struct span rest = span_of(p, n);
	struct hbone_request r;
	uint16_t status = 1;

	while (rest.p && head.count < FIELDS_MAX) {
		struct span line = str_split(&rest, '\n');
		struct span name = str_split(&line, '=');

		fields[head.count++] = (struct h2_field){name, line.p ? line : span_of(name.p, 0)};
	}
	if (hbone_request_parse(&head, &r) == ERR_OK) {
		CHECK(count(&head, ":method") == 1 && count(&head, ":authority") == 1);
		CHECK(count(&head, ":path") == 0 && count(&head, ":scheme") == 0);
		CHECK(count(&head, ":protocol") == 0);
		CHECK(r.trace_id.n == 0 || r.trace_id.n == HBONE_TRACE_ID_LEN * 2);
		CHECK(within(r.trace_id, p, n) && within(r.network, p, n));
		CHECK(within(r.forwarded_host, p, n) && within(r.baggage.workload, p, n));
		check_again(&r);
	}
	if (hbone_response_parse(&head, &status) == ERR_OK)
		CHECK(status == 200 && count(&head, ":status") == 1);
	else
		CHECK(status != 200 && status <= 999);
	return 0;
}
