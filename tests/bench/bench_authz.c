/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a policy decision costs, through the indexes and by asking every rule, in one run. Each world has the size
 * of the reference's benchmark: 10,000 policies of everywhere with ten rules each. Compare within a run only.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/mesh/authz.h"
#include "common/mesh/mesh_arena.h"

enum { POLICIES = 10000, RULES = 10 };

typedef void fill_fn(struct mesh *m, struct match *match, unsigned int number);

static struct string_matches text_list(struct mesh *m, enum string_match_kind kind,
                                       const char *head, unsigned int number, const char *tail)
{
	struct string_match *v = mesh_alloc(m, sizeof(*v));
	char text[128];

	(void)snprintf(text, sizeof(text), "%s%u%s", head, number, tail);
	*v = (struct string_match){.kind = kind, .text = span_str(mesh_intern(m, span_str(text)))};
	return (struct string_matches){v, 1};
}

static struct ports port_list(struct mesh *m, unsigned int port)
{
	uint16_t *v = mesh_alloc(m, sizeof(*v));

	*v = (uint16_t)port;
	return (struct ports){v, 1};
}

static struct prefixes prefix_list(struct mesh *m, unsigned int number, uint8_t len)
{
	struct prefix *v = mesh_alloc(m, sizeof(*v));

	*v = (struct prefix){
		.ip = {IP_V4,
	               {172, (uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number}},
		.len = len};
	return (struct prefixes){v, 1};
}

static struct string_matches presence(struct mesh *m)
{
	struct string_match *v = mesh_alloc(m, sizeof(*v));

	v->kind = MATCH_PRESENCE;
	return (struct string_matches){v, 1};
}

static void fill_same(struct mesh *m, struct match *match, unsigned int number)
{
	(void)number;
	match->namespaces = text_list(m, MATCH_EXACT, "bogus", 0, "");
	match->destination_ports = port_list(m, 1);
	match->not_source_ips = prefix_list(m, 0, 8);
}

static void fill_exact(struct mesh *m, struct match *match, unsigned int number)
{
	match->principals = text_list(m, MATCH_EXACT, "cluster.local/ns/bogus/sa/sa-", number, "");
	match->destination_ports = port_list(m, 8080);
}

static void fill_prefix(struct mesh *m, struct match *match, unsigned int number)
{
	match->principals = text_list(m, MATCH_PREFIX, "cluster.local/ns/bogus-", number, "/");
	match->not_namespaces = text_list(m, MATCH_EXACT, "system", 0, "");
}

static void fill_suffix(struct mesh *m, struct match *match, unsigned int number)
{
	match->principals = text_list(m, MATCH_SUFFIX, "/sa/sa-", number, "");
}

static void fill_source(struct mesh *m, struct match *match, unsigned int number)
{
	match->source_ips = prefix_list(m, number, (uint8_t)(24 + number % 9));
	match->not_principals = text_list(m, MATCH_SUFFIX, "/sa/sa-", number, "");
}

/* STRICT by port: plaintext and one of a thousand ports. */
static void fill_strict(struct mesh *m, struct match *match, unsigned int number)
{
	match->not_principals = presence(m);
	match->destination_ports = port_list(m, 10000 + number % 50000);
}

/* Nothing positive, and the peer is always among the excepted. */
static void fill_negations(struct mesh *m, struct match *match, unsigned int number)
{
	struct prefix *v = mesh_alloc(m, 2 * sizeof(*v));

	v[0] = prefix_list(m, number, 32).v[0];
	v[1] = (struct prefix){.ip = {IP_V4, {10}}, .len = 8};
	match->not_source_ips = (struct prefixes){v, 2};
	match->not_destination_ports = port_list(m, number);
}

/* Anyone with an identity but the ones excepted, of whom the peer is one. */
static void fill_present(struct mesh *m, struct match *match, unsigned int number)
{
	fill_negations(m, match, number);
	match->principals = presence(m);
}

static struct mesh *world(fill_fn *fill, size_t *ret_bytes, double *ret_ms)
{
	struct mesh *m = mesh_new("");
	struct workload *w = mesh_workload_new(m);
	unsigned int number = 0;

	w->uid = "w";
	w->namespace = "default";
	mesh_add_workload(m, w);
	for (unsigned int i = 0; i < POLICIES; i++) {
		struct policy *p = mesh_policy_new(m);
		struct rule *rules = mesh_alloc(m, RULES * sizeof(*rules));
		char name[32];

		(void)snprintf(name, sizeof(name), "p%05u", i);
		p->name = mesh_intern(m, span_str(name));
		p->namespace = "istio-system";
		p->action = POLICY_DENY;
		p->rules = rules;
		p->rule_count = RULES;
		for (unsigned int k = 0; k < RULES; k++) {
			struct clause *c = mesh_alloc(m, sizeof(*c));
			struct match *match = mesh_alloc(m, sizeof(*match));

			fill(m, match, number++);
			*c = (struct clause){match, 1};
			rules[k] = (struct rule){.clauses = c, .clause_count = 1};
		}
		mesh_add_policy(m, p);
	}
	size_t before = mesh_arena_bytes(m->arena);
	uint64_t start = clock_thread_ns();

	mesh_seal(m);
	*ret_ms = (double)(clock_thread_ns() - start) / 1e6;
	*ret_bytes = mesh_arena_bytes(m->arena) - before;
	return m;
}

typedef void check_fn(const struct mesh *m, const struct workload *dst,
                      const struct authz_facts *facts, struct authz_answer *ret_answer);

static double microseconds(check_fn *check, const struct mesh *m, const struct authz_facts *facts,
                           unsigned int run_ms, unsigned int batch)
{
	struct authz_answer a;
	uint64_t start = clock_thread_ns(), now, rounds = 0;

	do {
		for (unsigned int i = 0; i < batch; i++, rounds++)
			check(m, m->workloads[0], facts, &a);
		now = clock_thread_ns();
	} while (now - start < (uint64_t)run_ms * 1000000);
	CHECK(a.verdict == AUTHZ_ALLOW); /* nothing ends the search early */
	return (double)(now - start) / 1e3 / (double)rounds;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		fill_fn *fill;
	} worlds[] = {
		{"the same rule over and over", fill_same},
		{"an exact principal each", fill_exact},
		{"a principal's beginning each", fill_prefix},
		{"a principal's end each", fill_suffix},
		{"a range of sources each", fill_source},
		{"no plaintext to a port each", fill_strict},
		{"negations only", fill_negations},
		{"presence and negations", fill_present},
	};
	static const char *const peers[] = {NULL, "spiffe://cluster.local/ns/default/sa/client"};
	unsigned int run_ms = argc > 1 && strcmp(argv[1], "--smoke") == 0 ? 5 : 200;
	struct authz_facts facts = {.source_ip = {IP_V4, {10, 0, 0, 1}},
	                            .destination = {.ip = {IP_V4, {10, 0, 0, 2}}, .port = 8080}};

	printf("%u policies of %u rules; microseconds a decision\n%-30s %-10s %10s %10s %8s %10s "
	       "%9s\n",
	       POLICIES, RULES, "rules", "peer", "indexed", "plainly", "ratio", "seal ms",
	       "index MB");
	for (size_t i = 0; i < ARRAY_LEN(worlds); i++) {
		size_t bytes;
		double seal_ms;
		struct mesh *m = world(worlds[i].fill, &bytes, &seal_ms);

		for (size_t k = 0; k < ARRAY_LEN(peers); k++) {
			facts.identity = peers[k];
			double indexed = microseconds(authz_check, m, &facts, run_ms, 256);
			double plainly = microseconds(authz_check_plainly, m, &facts, run_ms, 1);

			printf("%-30s %-10s %10.3f %10.1f %7.0fx %10.1f %9.1f\n", worlds[i].name,
			       peers[k] ? "mTLS" : "plaintext", indexed, plainly, plainly / indexed,
			       seal_ms, (double)bytes / 1e6);
		}
		mesh_unref(m);
	}
	return 0;
}
