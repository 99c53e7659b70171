/* SPDX-License-Identifier: Apache-2.0 */
/* Headers split at newlines; what was read and can be written is read again unchanged. */
#include "common/base/check.h"
#include "common/base/str.h"
#include "common/hbone/baggage.h"

enum { HEADERS_MAX = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct h2_field fields[HEADERS_MAX];
	struct h2_head head = {.fields = fields};
	struct span rest = span_of(p, n);
	struct baggage a, b;
	struct buf out;

	while (rest.p && head.count < HEADERS_MAX)
		fields[head.count++] =
			(struct h2_field){span_str("baggage"), str_split(&rest, '\n')};
	baggage_parse(&head, &a);
	a.workload_type = span_str("pod");
	buf_init(&out, BAGGAGE_TEXT_MAX);
	baggage_build(&a, &out);
	CHECK(buf_status(&out) == ERR_OK);
	fields[0].value = buf_span(&out);
	head.count = 1;
	baggage_parse(&head, &b);
	CHECK(b.workload.n == 0 || span_eq(a.workload, b.workload));
	CHECK(b.cluster.n == 0 || span_eq(a.cluster, b.cluster));
	CHECK(b.namespace.n == 0 || span_eq(a.namespace, b.namespace));
	CHECK(b.zone.n == 0 || span_eq(a.zone, b.zone));
	buf_fini(&out);
	return 0;
}
