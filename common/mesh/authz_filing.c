/* SPDX-License-Identifier: Apache-2.0 */
#include "common/mesh/authz_filing.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/mesh/authz_needs.h"

struct entry {
	uint64_t key;
	uint32_t place;
};

/* A rule without a key to be filed under. */
struct loose {
	enum rule_audience audience;
	struct atom veto;
	uint64_t veto_key;
	uint32_t place;
};

struct numbers {
	uint32_t *v;
	size_t n, room;
};

struct filing {
	struct mesh *m;
	struct authz_index *x;
	struct authz_rule_ref *rules;
	struct key_counts needed, vetoing;
	struct entry *entries;
	size_t entry_count, entry_room;
	struct loose *loose;
	size_t loose_count;
	struct numbers lens[2][2]; /* of principals, namespaces; prefixes, suffixes */
};

/* Room for one more element of this size. */
static void *grown(void *v, size_t n, size_t *room, size_t size)
{
	if (n < *room)
		return v;
	*room = *room ? *room * 2 : 64;

	void *more = mem_new(*room * size);

	if (n > 0)
		memcpy(more, v, n * size);
	free(v);
	return more;
}

static const struct rule *rule_at(const struct filing *f, uint32_t place)
{
	return &f->rules[place].policy->rules[f->rules[place].rule];
}

/* ---- which rules there are ---- */

static bool wanted(const struct policy *p, enum policy_action action, bool dry_run)
{
	return p->action == action && p->dry_run == dry_run;
}

static size_t count_policies(struct policy_list list, enum policy_action action, bool dry_run,
                             size_t *ret_rules)
{
	size_t n = 0;

	*ret_rules = 0;
	for (size_t i = 0; i < list.n; i++) {
		if (!wanted(list.v[i], action, dry_run))
			continue;
		n++;
		*ret_rules += list.v[i]->rule_count;
	}
	return n;
}

static void list_rules(struct filing *f, struct policy_list list, bool dry_run)
{
	for (size_t i = 0; i < list.n; i++) {
		if (!wanted(list.v[i], f->x->action, dry_run))
			continue;
		for (uint32_t k = 0; k < list.v[i]->rule_count; k++)
			f->rules[f->x->rule_count++] = (struct authz_rule_ref){list.v[i], k};
	}
	f->x->rules = f->rules;
}

struct likeness {
	uint64_t hash;
	uint32_t place;
};

static int likeness_cmp(const void *a, const void *b)
{
	const struct likeness *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return (x->place > y->place) - (x->place < y->place);
}

/*
 * The places worth filing: rules that can hold at all, each meaning once, as the first to hold is the
 * one that is reported. Not so of dry runs, where every policy is reported.
 */
static uint32_t *places_to_file(const struct filing *f, bool dry_run, size_t *ret_count)
{
	size_t n = f->x->rule_count, kept = 0;
	struct likeness *all = mem_new(n * sizeof(*all));
	uint32_t *places = mem_new(n * sizeof(*places));
	const struct rule *leader = NULL;
	uint64_t leader_hash = 0;

	for (uint32_t i = 0; i < n; i++)
		all[i] = (struct likeness){dry_run ? i : rule_hash(rule_at(f, i)), i};
	qsort(all, n, sizeof(*all), likeness_cmp);
	for (size_t i = 0; i < n; i++) {
		const struct rule *r = rule_at(f, all[i].place);

		if (leader && leader_hash == all[i].hash && rule_same(leader, r))
			continue;
		leader = r;
		leader_hash = all[i].hash;
		if (rule_can_hold(r, f->x->action))
			places[kept++] = all[i].place;
	}
	free(all);
	*ret_count = kept;
	return places;
}

/* ---- filing one rule ---- */

static void use_len(struct filing *f, const struct atom *a, const struct string_match *text)
{
	bool suffix = text->kind == MATCH_SUFFIX;
	struct numbers *lens = &f->lens[a->field == ATOM_NAMESPACES][suffix];

	if (text->text.n > IDENTITY_TEXT_MAX)
		return; /* no peer has such a text */
	lens->v = grown(lens->v, lens->n, &lens->room, sizeof(*lens->v));
	lens->v[lens->n++] = (uint32_t)text->text.n;
}

/* Keys like a's will be looked for. */
static void use_kind(struct filing *f, const struct atom *a)
{
	struct authz_index *x = f->x;
	const struct string_match *text = atom_text(a);
	struct authz_texts *texts = a->field == ATOM_PRINCIPALS ? &x->principals : &x->namespaces;

	if (text && text->kind == MATCH_EXACT)
		texts->exact = true;
	else if (text)
		use_len(f, a, text);
	else if (a->field == ATOM_PORTS)
		x->ports = true;
	else if (a->field == ATOM_ACCOUNTS)
		x->accounts = true;
	else if (a->field == ATOM_SOURCES)
		x->source_lens[atom_prefix_len(a)] = true;
	else
		x->destination_lens[atom_prefix_len(a)] = true;
}

static void file_under(struct filing *f, uint64_t key, uint32_t place)
{
	f->entries = grown(f->entries, f->entry_count, &f->entry_room, sizeof(*f->entries));
	f->entries[f->entry_count++] = (struct entry){key, place};
}

/* Under everything the clause's matches need, each by its rarest field. */
static void file_clause(struct filing *f, const struct clause *c, uint32_t place)
{
	for (size_t i = 0; i < c->match_count; i++) {
		struct match_need need = match_need_of(&c->matches[i], &f->needed);

		if (match_is_dead(&c->matches[i], f->x->action))
			continue;
		for (uint32_t k = 0; k < atom_count(&c->matches[i], need.field); k++) {
			struct atom a = {&c->matches[i], need.field, k};

			use_kind(f, &a);
			file_under(f, atom_key(&a), place);
		}
	}
}

static void file_rule(struct filing *f, uint32_t place)
{
	const struct clause *c = rule_key_clause(rule_at(f, place), f->x->action, &f->needed);

	if (c)
		file_clause(f, c, place);
	else
		f->loose[f->loose_count++].place = place;
}

/* ---- keys, and the places under them ---- */

static int entry_cmp(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return (x->place > y->place) - (x->place < y->place);
}

enum { DIRECTORY_BITS_MAX = 20 };

static void make_directory(struct filing *f, const uint64_t *keys, size_t n)
{
	unsigned int bits = 1;

	while (bits < DIRECTORY_BITS_MAX && ((size_t)1 << bits) < n)
		bits++;

	size_t slots = (size_t)1 << bits, at = 0;
	uint32_t *directory = mesh_alloc(f->m, (slots + 1) * sizeof(*directory));

	for (size_t slot = 0; slot <= slots; slot++) {
		while (at < n && keys[at] >> (64 - bits) < slot)
			at++;
		directory[slot] = (uint32_t)at;
	}
	f->x->directory = directory;
	f->x->directory_bits = bits;
}

static void make_keys(struct filing *f)
{
	size_t n = f->entry_count, distinct = 0, kept = 0;

	if (n == 0)
		return;
	qsort(f->entries, n, sizeof(*f->entries), entry_cmp);
	for (size_t i = 0; i < n; i++)
		distinct += i == 0 || f->entries[i].key != f->entries[i - 1].key;

	uint64_t *keys = mesh_alloc(f->m, distinct * sizeof(*keys));
	uint32_t *starts = mesh_alloc(f->m, (distinct + 1) * sizeof(*starts));
	uint32_t *places = mesh_alloc(f->m, n * sizeof(*places));

	distinct = 0;
	for (size_t i = 0; i < n; i++) {
		const struct entry *e = &f->entries[i];

		if (i > 0 && entry_cmp(e, e - 1) == 0)
			continue;
		if (i == 0 || e->key != e[-1].key) {
			keys[distinct] = e->key;
			starts[distinct++] = (uint32_t)kept;
		}
		places[kept++] = e->place;
	}
	starts[distinct] = (uint32_t)kept;
	f->x->keys = keys;
	f->x->key_count = distinct;
	f->x->starts = starts;
	f->x->places = places;
	make_directory(f, keys, distinct);
}

static int number_cmp(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static struct authz_places distinct_lens(struct filing *f, struct numbers *lens)
{
	uint32_t *v = mesh_alloc(f->m, lens->n * sizeof(*v));
	size_t n = 0;

	if (lens->n > 0)
		qsort(lens->v, lens->n, sizeof(*lens->v), number_cmp);
	for (size_t i = 0; i < lens->n; i++) {
		if (n == 0 || v[n - 1] != lens->v[i])
			v[n++] = lens->v[i];
	}
	free(lens->v);
	return (struct authz_places){v, n};
}

/* ---- groups ---- */

static int loose_cmp(const void *a, const void *b)
{
	const struct loose *x = a, *y = b;

	if (x->audience != y->audience)
		return x->audience < y->audience ? -1 : 1;
	if (x->veto_key != y->veto_key)
		return x->veto_key < y->veto_key ? -1 : 1;
	return (x->place > y->place) - (x->place < y->place);
}

static bool same_group(const struct loose *a, const struct loose *b)
{
	if (a->audience != b->audience || !a->veto.match != !b->veto.match)
		return false;
	return !a->veto.match || atom_same(&a->veto, &b->veto);
}

static int group_cmp(const void *a, const void *b)
{
	uint32_t x = ((const struct authz_group *)a)->rules.v[0];
	uint32_t y = ((const struct authz_group *)b)->rules.v[0];

	return (x > y) - (x < y);
}

static void find_vetoes(struct filing *f)
{
	for (size_t i = 0; i < f->loose_count; i++)
		rule_count_vetoes(rule_at(f, f->loose[i].place), f->x->action, &f->vetoing);
	for (size_t i = 0; i < f->loose_count; i++) {
		struct loose *l = &f->loose[i];
		const struct rule *r = rule_at(f, l->place);

		l->audience = rule_audience(r, f->x->action);
		if (rule_veto(r, f->x->action, &f->vetoing, &l->veto))
			l->veto_key = atom_key(&l->veto);
	}
}

static void make_groups(struct filing *f)
{
	struct authz_group *groups = mesh_alloc(f->m, f->loose_count * sizeof(*groups));
	uint32_t *places = mesh_alloc(f->m, f->loose_count * sizeof(*places));
	struct authz_group *g = groups;

	find_vetoes(f);
	qsort(f->loose, f->loose_count, sizeof(*f->loose), loose_cmp);
	for (size_t i = 0; i < f->loose_count; i++) {
		const struct loose *l = &f->loose[i];
		struct authz_groups *of = &f->x->groups[l->audience];

		places[i] = l->place;
		if (i == 0 || !same_group(l - 1, l)) {
			*g = (struct authz_group){l->veto, {places + i, 0}};
			if (!of->v)
				of->v = g;
			of->n++;
			g++;
		}
		g[-1].rules.n++;
	}
	for (size_t start = 0, a = 0; a < RULE_AUDIENCES; start += f->x->groups[a].n, a++)
		qsort(groups + start, f->x->groups[a].n, sizeof(*groups), group_cmp);
}

/* ---- the whole ---- */

static void file_all(struct filing *f, bool dry_run)
{
	size_t n;
	uint32_t *places = places_to_file(f, dry_run, &n);

	key_counts_init(&f->needed, n);
	key_counts_init(&f->vetoing, n);
	f->loose = mem_new(n * sizeof(*f->loose));
	for (size_t i = 0; i < n; i++)
		rule_count_needs(rule_at(f, places[i]), f->x->action, &f->needed);
	for (size_t i = 0; i < n; i++)
		file_rule(f, places[i]);
	make_keys(f);
	make_groups(f);
	f->x->principals.prefix_lens = distinct_lens(f, &f->lens[0][0]);
	f->x->principals.suffix_lens = distinct_lens(f, &f->lens[0][1]);
	f->x->namespaces.prefix_lens = distinct_lens(f, &f->lens[1][0]);
	f->x->namespaces.suffix_lens = distinct_lens(f, &f->lens[1][1]);
	key_counts_fini(&f->needed);
	key_counts_fini(&f->vetoing);
	free(f->entries);
	free(f->loose);
	free(places);
}

const struct authz_index *authz_filing_new(struct mesh *m, struct policy_list list,
                                           enum policy_action action, bool dry_run)
{
	size_t rules;

	if (count_policies(list, action, dry_run, &rules) == 0)
		return NULL;

	struct authz_index *x = mesh_alloc(m, sizeof(*x));
	struct filing f = {.m = m, .x = x, .rules = mesh_alloc(m, rules * sizeof(*f.rules))};

	x->action = action;
	list_rules(&f, list, dry_run);
	file_all(&f, dry_run);
	return x;
}
