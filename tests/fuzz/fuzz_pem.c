/* SPDX-License-Identifier: Apache-2.0 */
/* Every block lies inside the text and brings us further; what it encodes, written again, is read as the same. */
#include "common/base/check.h"
#include "common/tls/pem_msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static bool inside(struct span part, const uint8_t *p, size_t n)
{
	return part.p >= p && part.p + part.n <= p + n;
}

/* A label that holds marks of its own cannot be written. */
static bool plain(struct span label)
{
	return label.n < 64 && memchr(label.p, '\0', label.n) == NULL &&
	       memmem(label.p, label.n, "--", 2) == NULL;
}

static void write_again(struct span label, struct span der)
{
	char name[64] = "";
	struct buf text, back;
	struct pem_block block;
	struct span rest;

	memcpy(name, label.p, label.n);
	buf_init(&text, PEM_TEXT_MAX);
	buf_init(&back, PEM_TEXT_MAX);
	pem_put(&text, name, der);
	CHECK(buf_status(&text) == ERR_OK);
	rest = buf_span(&text);
	CHECK(pem_next(&rest, &block) == ERR_OK);
	CHECK(span_eq(block.label, label));
	CHECK(pem_decode(&block, &back) == ERR_OK);
	CHECK(span_eq(buf_span(&back), der));
	CHECK(pem_next(&rest, &block) == ERR_EOF);
	buf_fini(&text);
	buf_fini(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct span rest = span_of(p, n);
	struct pem_block block;
	size_t before = n + 1;

	while (rest.n < before && pem_next(&rest, &block) == ERR_OK) {
		struct buf der;

		before = rest.p == NULL ? 0 : (size_t)(p + n - rest.p) + 1;
		CHECK(inside(block.label, p, n) && inside(block.body, p, n));
		CHECK(rest.n < n);
		buf_init(&der, PEM_TEXT_MAX);
		if (pem_decode(&block, &der) == ERR_OK && der.n > 0 && plain(block.label))
			write_again(block.label, buf_span(&der));
		buf_fini(&der);
	}
	return 0;
}
