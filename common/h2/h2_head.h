/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h2_head - collects one received header block into a struct h2_head, field by field, and refuses what
 * RFC 9113 section 8 calls malformed. Pure. What a request may mean is judged above (hbone_msg).
 */
#ifndef COMMON_H2_H2_HEAD_H
#define COMMON_H2_H2_HEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/span.h"
#include "common/h2/h2_session.h"

enum {
	H2_FIELDS_MAX = 32,     /* an HBONE head has six; room for a mesh's own additions */
	H2_FIELD_OVERHEAD = 32, /* what a field counts beside its octets, RFC 9113 6.5.2 */
};

struct h2_head_builder;

/* size_max: SETTINGS_MAX_HEADER_LIST_SIZE we enforce. NULL when out of memory. */
struct h2_head_builder *h2_head_builder_new(enum h2_role role, uint32_t size_max);
/* For trailers: no pseudo-header is allowed, none is needed (8.1). */
struct h2_head_builder *h2_head_builder_new_trailers(uint32_t size_max);
/* A copy of these fields in one block of memory; NULL when there is none. */
struct h2_head *h2_head_copy(const struct h2_field *fields, unsigned int count);
void h2_head_builder_free(struct h2_head_builder *b); /* NULL is allowed */

/*
 * Append one field; copies it.
 * Errs: ERR_H2 when malformed (8.2, 8.3); ERR_LIMIT past the count or the size; ERR_MEMORY
 */
MUST_CHECK enum err h2_head_builder_add(struct h2_head_builder *b, struct span name,
                                        struct span value);
/* The whole head, the caller's. Errs: ERR_H2 without :method (or :status), ERR_MEMORY. b stays to be freed. */
MUST_CHECK enum err h2_head_builder_finish(struct h2_head_builder *b, struct h2_head **ret_head);

#endif
