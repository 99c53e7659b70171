/* SPDX-License-Identifier: Apache-2.0 */
/*
 * yaml_tree - one YAML (or JSON) document as a tree of nodes that know where they were written. Pure.
 * YAML 1.2 by libyaml, without anchors and aliases.
 */
#ifndef COMMON_MESH_YAML_TREE_H
#define COMMON_MESH_YAML_TREE_H

#include "common/base/err.h"
#include "common/base/span.h"
#include "common/mesh/mesh.h"
#include "common/mesh/mesh_arena.h"
#include "common/mesh/yaml_report.h"

enum {
	YAML_DEPTH_MAX = 32,                     /* the state file needs 9 */
	YAML_NODES_MAX = 8 * 1000000,            /* 100,000 workloads of 80 */
	YAML_SCALAR_LEN_MAX = IDENTITY_TEXT_MAX, /* nothing is longer than an identity */
};

enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAP };

struct yaml_node {
	enum yaml_kind kind;
	bool plain; /* a scalar without quotes */
	struct source_pos pos;
	const char *tag;                /* "!Exact"; NULL: none, or one of YAML's own */
	struct span text;               /* of a scalar; NUL-terminated */
	size_t count;                   /* children */
	struct yaml_node *first, *last; /* children */
	struct yaml_node *next;         /* sibling */
	struct yaml_node *key;          /* scalar; NULL unless the parent is a map */
};

struct yaml_tree {
	struct mesh_arena *arena;
	struct yaml_node *root;
};

/*
 * Syntax errors, duplicate keys, keys that are no text, anchors and aliases, and excess of the limits are
 * reported to r, and ret_tree is then untouched. Errs: ERR_CONFIG, ERR_LIMIT
 */
MUST_CHECK enum err yaml_tree_parse(struct yaml_report *r, struct yaml_tree *ret_tree);
void yaml_tree_free(struct yaml_tree *t);

/* What a plain scalar means by YAML 1.2's core schema. A quoted one is text. */
enum yaml_type { YAML_TYPE_TEXT, YAML_TYPE_NULL, YAML_TYPE_BOOL, YAML_TYPE_NUMBER };
enum yaml_type yaml_scalar_type(const struct yaml_node *n);

#endif
