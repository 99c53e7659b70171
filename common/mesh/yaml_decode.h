/* SPDX-License-Identifier: Apache-2.0 */
/*
 * yaml_decode - a node tree into structs, by tables of keys; knows its path, reports and goes on. Pure.
 */
#ifndef COMMON_MESH_YAML_DECODE_H
#define COMMON_MESH_YAML_DECODE_H

#include "common/mesh/mesh.h"
#include "common/mesh/yaml_report.h"
#include "common/mesh/yaml_tree.h"

/* One step of a path: a key, or an index when key.p is NULL. */
struct yaml_step {
	struct span key;
	size_t index;
};

struct yaml_decode {
	struct yaml_report *report;
	struct mesh *mesh;                      /* whose arena texts and lists go to */
	struct yaml_step steps[YAML_DEPTH_MAX]; /* private */
	size_t depth;                           /* private */
};

/* Decode n into out; on a mistake, report and leave out as it was. */
typedef void yaml_field_fn(struct yaml_decode *d, const struct yaml_node *n, void *out);

struct yaml_field {
	const char *key;
	yaml_field_fn *fn;
	size_t offset; /* of what fn fills */
	bool required; /* else absent and null both leave the default */
};

/* A map with these keys and no others. */
void yaml_decode_map(struct yaml_decode *d, const struct yaml_node *n,
                     const struct yaml_field *fields, size_t field_count, void *out);

/* A list: an array of element_size each, filled by fn, in the mesh's arena; NULL and 0 if not one. */
void *yaml_decode_list(struct yaml_decode *d, const struct yaml_node *n, size_t element_size,
                       yaml_field_fn *fn, size_t *ret_count);

/* Reports unless n is of this kind and carries no tag. */
bool yaml_is(struct yaml_decode *d, const struct yaml_node *n, enum yaml_kind kind);

/* Walk into a child and out again, so that reports name it. key.p NULL: by index. */
void yaml_enter(struct yaml_decode *d, struct span key, size_t index);
void yaml_leave(struct yaml_decode *d);

/* A text, not a number, bool or null. false: reported. */
bool yaml_get_text(struct yaml_decode *d, const struct yaml_node *n, struct span *ret_text);
/* Decimal digits. false: reported. */
bool yaml_get_number(struct yaml_decode *d, const struct yaml_node *n, uint32_t max,
                     uint32_t *ret_v);
/* One of names, as its index. false: reported. */
bool yaml_get_choice(struct yaml_decode *d, const struct yaml_node *n, const char *const *names,
                     size_t name_count, unsigned int *ret_choice);

/* Field functions of the plain kinds: const char *, bool, uint16_t, uint32_t. */
yaml_field_fn yaml_field_text, yaml_field_bool, yaml_field_u16, yaml_field_u32;

void yaml_error(struct yaml_decode *d, struct source_pos pos, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void yaml_warning(struct yaml_decode *d, struct source_pos pos, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
