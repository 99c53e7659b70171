/* SPDX-License-Identifier: Apache-2.0 */
#include "common/mesh/yaml_tree.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "common/base/check.h"
#include "common/base/mem.h"

/* A container being filled, and in a map the key that waits for its value. */
struct level {
	struct yaml_node *node;
	struct yaml_node *key;
};

struct build {
	struct yaml_report *report;
	struct mesh_arena *arena;
	struct yaml_node *root;
	struct level levels[YAML_DEPTH_MAX];
	size_t depth;
	size_t node_count;
	unsigned int documents;
};

static struct source_pos pos_of(const yaml_mark_t *mark)
{
	return (struct source_pos){.line = (uint32_t)mark->line + 1,
	                           .column = (uint32_t)mark->column + 1};
}

static void limit_reached(struct build *b, struct source_pos pos, const char *what, size_t max)
{
	b->report->limit = true;
	yaml_report_at(b->report, YAML_ERROR, pos, "", "%s than %zu; split or shorten the file",
	               what, max);
}

/* YAML's own tags say what the syntax says already, but for !!str: what looks like a number is text. */
static const char *own_tag(struct build *b, const yaml_char_t *tag, bool *plain)
{
	static const char core[] = "tag:yaml.org,2002:";
	const char *text = (const char *)tag;

	if (!text || text[0] == '\0' || strcmp(text, "!") == 0) {
		if (text && text[0] == '!')
			*plain = false;
		return NULL;
	}
	if (strncmp(text, core, sizeof(core) - 1) == 0) {
		if (strcmp(text + sizeof(core) - 1, "str") == 0)
			*plain = false;
		return NULL;
	}
	return mesh_arena_intern(b->arena, span_str(text));
}

static struct yaml_node *node_new(struct build *b, enum yaml_kind kind, struct source_pos pos)
{
	if (++b->node_count > YAML_NODES_MAX) {
		limit_reached(b, pos, "more values", YAML_NODES_MAX);
		return NULL;
	}

	struct yaml_node *n = mesh_arena_alloc(b->arena, sizeof(*n));

	n->kind = kind;
	n->pos = pos;
	n->text = span_of("", 0);
	return n;
}

static struct yaml_node *scalar_new(struct build *b, const yaml_event_t *e)
{
	struct source_pos pos = pos_of(&e->start_mark);
	size_t len = e->data.scalar.length;
	size_t max = b->report->scalar_len_max > 0 ? b->report->scalar_len_max
	                                           : (size_t)YAML_SCALAR_LEN_MAX;

	if (len > max) {
		limit_reached(b, pos, "a text longer", max);
		return NULL;
	}
	if (memchr(e->data.scalar.value, '\0', len)) {
		yaml_report_at(b->report, YAML_ERROR, pos, "", "a NUL inside a text; remove it");
		return NULL;
	}

	struct yaml_node *n = node_new(b, YAML_SCALAR, pos);

	if (!n)
		return NULL;
	n->plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	n->tag = own_tag(b, e->data.scalar.tag, &n->plain);
	n->text = span_of(mesh_arena_intern(b->arena, span_of(e->data.scalar.value, len)), len);
	return n;
}

/* Hang a finished or begun node where it belongs. */
static bool attach(struct build *b, struct yaml_node *n)
{
	if (b->depth == 0) {
		b->root = n;
		return true;
	}

	struct level *top = &b->levels[b->depth - 1];

	CHECK(top->node);
	if (top->node->kind == YAML_MAP && !top->key) {
		if (n->kind != YAML_SCALAR) {
			yaml_report_at(b->report, YAML_ERROR, n->pos, "",
			               "a key must be a text, this is a list or a map");
			return false;
		}
		top->key = n;
		return true;
	}
	n->key = top->key;
	top->key = NULL;
	if (top->node->last)
		top->node->last->next = n;
	else
		top->node->first = n;
	top->node->last = n;
	top->node->count++;
	return true;
}

static bool open_container(struct build *b, const yaml_event_t *e, enum yaml_kind kind)
{
	struct source_pos pos = pos_of(&e->start_mark);
	bool plain = true;

	if (b->depth == YAML_DEPTH_MAX) {
		limit_reached(b, pos, "values nested deeper", YAML_DEPTH_MAX);
		return false;
	}

	struct yaml_node *n = node_new(b, kind, pos);

	if (!n)
		return false;
	n->tag = own_tag(b,
	                 kind == YAML_MAP ? e->data.mapping_start.tag : e->data.sequence_start.tag,
	                 &plain);
	if (!attach(b, n))
		return false;
	b->levels[b->depth++] = (struct level){.node = n};
	return true;
}

static int key_cmp(const void *a, const void *b)
{
	const struct yaml_node *x = (*(struct yaml_node *const *)a)->key;
	const struct yaml_node *y = (*(struct yaml_node *const *)b)->key;
	int c = strcmp((const char *)x->text.p, (const char *)y->text.p);

	if (c)
		return c;
	if (x->pos.line != y->pos.line)
		return x->pos.line < y->pos.line ? -1 : 1;
	return x->pos.column < y->pos.column ? -1 : 1;
}

static void report_duplicates(struct build *b, const struct yaml_node *map)
{
	struct yaml_node **sorted;
	size_t n = 0;

	if (map->count < 2)
		return;
	sorted = mem_new(map->count * sizeof(struct yaml_node *));
	for (struct yaml_node *child = map->first; child; child = child->next)
		sorted[n++] = child;
	qsort(sorted, n, sizeof(struct yaml_node *), key_cmp);
	for (size_t i = 1; i < n; i++) {
		char shown[YAML_SHOWN_MAX];
		const struct yaml_node *first = sorted[i - 1]->key, *again = sorted[i]->key;

		if (!span_eq(first->text, again->text))
			continue;
		yaml_report_at(b->report, YAML_ERROR, again->pos, yaml_shown(again->text, shown),
		               "this key is here twice, first at line %u; remove one",
		               first->pos.line);
	}
	free(sorted);
}

static bool close_container(struct build *b)
{
	const struct yaml_node *n = b->levels[--b->depth].node;

	CHECK(n);
	if (n->kind == YAML_MAP)
		report_duplicates(b, n);
	return true;
}

static bool refuse_anchor(struct build *b, const yaml_event_t *e)
{
	yaml_report_at(b->report, YAML_ERROR, pos_of(&e->start_mark), "",
	               "anchors (&x) and aliases (*x) are not supported; write the value out");
	return false;
}

static bool start_document(struct build *b, const yaml_event_t *e)
{
	if (++b->documents == 1)
		return true;
	yaml_report_at(b->report, YAML_ERROR, pos_of(&e->start_mark), "",
	               "a second document; remove the \"---\" or use one file each");
	return false;
}

/* false: stop. */
static bool take_event(struct build *b, const yaml_event_t *e)
{
	struct yaml_node *n;

	switch (e->type) {
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_STREAM_END_EVENT:
	case YAML_DOCUMENT_END_EVENT: return true;
	case YAML_DOCUMENT_START_EVENT: return start_document(b, e);
	case YAML_ALIAS_EVENT: return refuse_anchor(b, e);
	case YAML_SCALAR_EVENT:
		if (e->data.scalar.anchor)
			return refuse_anchor(b, e);
		n = scalar_new(b, e);
		return n && attach(b, n);
	case YAML_SEQUENCE_START_EVENT:
		if (e->data.sequence_start.anchor)
			return refuse_anchor(b, e);
		return open_container(b, e, YAML_LIST);
	case YAML_MAPPING_START_EVENT:
		if (e->data.mapping_start.anchor)
			return refuse_anchor(b, e);
		return open_container(b, e, YAML_MAP);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT: return close_container(b);
	}
	return false;
}

static void report_syntax(struct build *b, const yaml_parser_t *parser)
{
	struct source_pos pos = pos_of(&parser->problem_mark);

	if (parser->error == YAML_READER_ERROR)
		yaml_report_at(b->report, YAML_ERROR, (struct source_pos){0}, "",
		               "not UTF-8 text: %s at octet %zu",
		               parser->problem ? parser->problem : "unreadable",
		               parser->problem_offset);
	else
		yaml_report_at(b->report, YAML_ERROR, pos, "", "not valid YAML: %s%s%s",
		               parser->problem ? parser->problem : "out of memory",
		               parser->context ? " " : "", parser->context ? parser->context : "");
}

static void read_events(struct build *b, yaml_parser_t *parser)
{
	for (bool more = true; more;) {
		yaml_event_t e;

		if (!yaml_parser_parse(parser, &e)) {
			report_syntax(b, parser);
			return;
		}
		more = e.type != YAML_STREAM_END_EVENT && take_event(b, &e);
		yaml_event_delete(&e);
	}
}

enum err yaml_tree_parse(struct yaml_report *r, struct yaml_tree *ret_tree)
{
	struct build b = {.report = r, .arena = mesh_arena_new()};
	yaml_parser_t parser;

	CHECK(yaml_parser_initialize(&parser));
	yaml_parser_set_input_string(&parser, r->text.p, r->text.n);
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	read_events(&b, &parser);
	yaml_parser_delete(&parser);
	if (r->errors == 0 && !b.root)
		yaml_report_at(r, YAML_ERROR, (struct source_pos){0}, "",
		               "the file is empty; write at least \"workloads: []\"");
	if (r->errors > 0) {
		mesh_arena_free(b.arena);
		return r->limit ? ERR_LIMIT : ERR_CONFIG;
	}
	*ret_tree = (struct yaml_tree){.arena = b.arena, .root = b.root};
	return ERR_OK;
}

void yaml_tree_free(struct yaml_tree *t)
{
	mesh_arena_free(t->arena);
	*t = (struct yaml_tree){0};
}

static bool one_of(const char *text, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(text, words[i]) == 0)
			return true;
	}
	return false;
}

static const char *skip_digits(const char *p)
{
	while (isdigit((unsigned char)*p))
		p++;
	return p;
}

/* YAML 1.2 10.3.2: the core schema's int and float. */
static bool is_number(const char *p)
{
	static const char *const special[] = {".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN"};
	const char *digits;
	bool some;

	if (*p == '-' || *p == '+')
		p++;
	if (one_of(p, special, ARRAY_LEN(special)))
		return true;
	if (p[0] == '0' && (p[1] == 'x' || p[1] == 'o') && p[2] != '\0')
		return strspn(p + 2, p[1] == 'x' ? "0123456789abcdefABCDEF" : "01234567") ==
		       strlen(p + 2);
	digits = skip_digits(p);
	some = digits > p;
	p = digits;
	if (*p == '.') {
		digits = skip_digits(p + 1);
		some |= digits > p + 1;
		p = digits;
	}
	if (!some)
		return false;
	if (*p == 'e' || *p == 'E') {
		p++;
		if (*p == '-' || *p == '+')
			p++;
		digits = skip_digits(p);
		if (digits == p)
			return false;
		p = digits;
	}
	return *p == '\0';
}

enum yaml_type yaml_scalar_type(const struct yaml_node *n)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
	static const char *const bools[] = {"true", "True", "TRUE", "false", "False", "FALSE"};
	const char *text = (const char *)n->text.p;

	if (!n->plain || n->tag)
		return YAML_TYPE_TEXT;
	if (one_of(text, nulls, ARRAY_LEN(nulls)))
		return YAML_TYPE_NULL;
	if (one_of(text, bools, ARRAY_LEN(bools)))
		return YAML_TYPE_BOOL;
	return is_number(text) ? YAML_TYPE_NUMBER : YAML_TYPE_TEXT;
}
