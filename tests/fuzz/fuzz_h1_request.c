/* SPDX-License-Identifier: Apache-2.0 */
/* Any octets as a request: what is accepted lies within the input, and more octets never change the verdict. */
#include <stdint.h>
#include <stdlib.h>

#include "common/admin/h1_request.h"
#include "common/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void check_query(struct span rest)
{
	struct buf name, value;
	struct h1_param param = {.name = &name, .value = &value};
	bool bad = false;

	buf_init(&name, H1_REQUEST_LEN_MAX);
	buf_init(&value, H1_REQUEST_LEN_MAX);
	while (h1_query_next(&rest, &param, &bad))
		CHECK(!bad && name.n <= H1_REQUEST_LEN_MAX && value.n <= H1_REQUEST_LEN_MAX);
	buf_fini(&name);
	buf_fini(&value);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct h1_request r, part;
	unsigned int status = h1_request_parse(span_of(p, n), &r);

	CHECK(status != H1_MORE || n < H1_REQUEST_LEN_MAX);
	if (status == H1_OK) {
		size_t len = r.head_len + r.body_len;

		CHECK(len <= n && len <= H1_REQUEST_LEN_MAX && r.path.n > 0 && r.path.p[0] == '/');
		CHECK(h1_request_parse(span_of(p, len), &part) == H1_OK);
		CHECK(part.head_len == r.head_len && part.body_len == r.body_len);
		CHECK(h1_request_parse(span_of(p, len - 1), &part) == H1_MORE);
		(void)h1_request_host_is_local(&r);
		CHECK(h1_request_coding_weight(&r, "gzip") <= H1_WEIGHT_MAX);
		(void)h1_request_mentions(&r, "accept", "application/openmetrics-text");
		check_query(r.query);
	}
	return 0;
}
