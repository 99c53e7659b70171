/* SPDX-License-Identifier: Apache-2.0 */
#include "common/mesh/authz_index.h"

#include "common/base/check.h"

/* One question: the first places found to hold so far, of different policies. */
struct search {
	const struct authz_index *x;
	const struct authz_peer *peer;
	size_t want, n;
	uint32_t found[AUTHZ_FIND_MAX]; /* ascending */
};

/* From here on a rule can change nothing. */
static uint32_t search_end(const struct search *s)
{
	return s->n < s->want ? UINT32_MAX : s->found[s->n - 1];
}

/* Put place among the found in order; it takes the room of at, which is at or behind where it belongs. */
static void put(struct search *s, uint32_t place, size_t at)
{
	for (; at > 0 && s->found[at - 1] > place; at--)
		s->found[at] = s->found[at - 1];
	s->found[at] = place;
}

static void ask(struct search *s, uint32_t place)
{
	const struct authz_rule_ref *ref = &s->x->rules[place];
	size_t room = s->n < s->want ? s->n : s->n - 1;

	for (size_t i = 0; i < s->n; i++) {
		if (s->x->rules[s->found[i]].policy != ref->policy)
			continue;
		if (s->found[i] <= place)
			return; /* an earlier rule of the policy holds already */
		room = i;
	}
	if (!rule_holds(&ref->policy->rules[ref->rule], s->x->action, s->peer))
		return;
	s->n += room == s->n;
	put(s, place, room);
}

static void ask_each(struct search *s, const uint32_t *places, size_t n)
{
	for (size_t i = 0; i < n && places[i] < search_end(s); i++)
		ask(s, places[i]);
}

static void ask_filed(struct search *s, uint64_t key)
{
	const struct authz_index *x = s->x;
	const uint32_t *range = &x->directory[key >> (64 - x->directory_bits)];
	size_t low = range[0], high = range[1];

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (x->keys[mid] < key)
			low = mid + 1;
		else
			high = mid;
	}
	if (low < range[1] && x->keys[low] == key)
		ask_each(s, x->places + x->starts[low], x->starts[low + 1] - x->starts[low]);
}

static void ask_forwards(struct search *s, enum atom_field field, const struct authz_texts *in_use,
                         struct span text)
{
	const struct authz_places *lens = &in_use->prefix_lens;
	uint64_t run = atom_run_start();
	size_t next = 0;

	for (size_t i = 0; i <= text.n; i++) {
		if (next < lens->n && lens->v[next] == i) {
			ask_filed(s, atom_key_text(field, MATCH_PREFIX, run, i));
			next++;
		}
		if (i < text.n)
			run = atom_run_add(run, text.p[i]);
	}
	if (in_use->exact)
		ask_filed(s, atom_key_text(field, MATCH_EXACT, run, text.n));
}

static void ask_backwards(struct search *s, enum atom_field field, const struct authz_places *lens,
                          struct span text)
{
	uint64_t run = atom_run_start();
	size_t done = 0;

	for (size_t i = 0; i < lens->n && lens->v[i] <= text.n; i++) {
		for (; done < lens->v[i]; done++)
			run = atom_run_add(run, text.p[text.n - 1 - done]);
		ask_filed(s, atom_key_text(field, MATCH_SUFFIX, run, done));
	}
}

static void ask_text(struct search *s, enum atom_field field, const struct authz_texts *in_use,
                     struct span text)
{
	if (in_use->exact || in_use->prefix_lens.n > 0)
		ask_forwards(s, field, in_use, text);
	ask_backwards(s, field, &in_use->suffix_lens, text);
}

static void ask_address(struct search *s, enum atom_field field, const bool *lens,
                        const struct ip *ip)
{
	/* from 1: "everywhere" rules nothing out, so nothing is filed under it */
	for (unsigned int len = 1; len <= atom_full_len(ip); len++) {
		if (lens[len])
			ask_filed(s, atom_key_prefix(field, ip, len));
	}
}

static void ask_all_filed(struct search *s)
{
	const struct authz_index *x = s->x;
	const struct authz_peer *peer = s->peer;

	if (x->ports)
		ask_filed(s, atom_key_port(peer->destination.port));
	if (x->accounts && peer->identified)
		ask_filed(s, atom_key_account(peer->id.namespace, peer->id.service_account));
	if (peer->identified)
		ask_text(s, ATOM_PRINCIPALS, &x->principals, peer->id.principal);
	ask_text(s, ATOM_NAMESPACES, &x->namespaces, peer->id.namespace);
	ask_address(s, ATOM_SOURCES, x->source_lens, &peer->source_ip);
	ask_address(s, ATOM_DESTINATIONS, x->destination_lens, &peer->destination.ip);
}

static void ask_groups(struct search *s, enum rule_audience audience)
{
	const struct authz_groups *groups = &s->x->groups[audience];

	for (size_t i = 0; i < groups->n; i++) {
		const struct authz_group *g = &groups->v[i];

		if (g->rules.v[0] >= search_end(s))
			return;
		if (!g->veto.match || !atom_holds(&g->veto, s->peer))
			ask_each(s, g->rules.v, g->rules.n);
	}
}

size_t authz_index_find(const struct authz_index *x, const struct authz_peer *peer,
                        struct authz_hit *out, size_t want)
{
	struct search s = {.x = x, .peer = peer, .want = want};

	CHECK(want > 0 && want <= AUTHZ_FIND_MAX);
	if (x->key_count > 0)
		ask_all_filed(&s);
	ask_groups(&s, FOR_EVERYBODY);
	ask_groups(&s, peer->identified ? FOR_IDENTIFIED : FOR_PLAINTEXT);
	for (size_t i = 0; i < s.n; i++) {
		const struct authz_rule_ref *ref = &x->rules[s.found[i]];

		out[i] = (struct authz_hit){.policy = ref->policy, .rule = ref->rule};
	}
	return s.n;
}
