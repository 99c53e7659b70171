/* SPDX-License-Identifier: Apache-2.0 */
#include "common/mesh/mesh_yaml_policy.h"

#include <string.h>

#include "common/base/check.h"

static const char *const string_match_names[] = {"Exact", "Prefix", "Suffix", "Presence"};

static void refuse_string_match(struct yaml_decode *d, const struct yaml_node *n)
{
	yaml_error(d, n->pos,
	           "expected a string match; write !Exact x, !Prefix x, !Suffix x or "
	           "!Presence []");
}

/* Presence takes no text: [], {} or nothing. */
static bool presence_value(const struct yaml_node *n)
{
	if (n->kind == YAML_SCALAR)
		return n->plain && n->text.n == 0;
	return n->count == 0;
}

/* value: what follows the kind, its tag (if that named the kind) already off. */
static void take_string_match(struct yaml_decode *d, struct span kind,
                              const struct yaml_node *value, struct string_match *out)
{
	for (size_t i = 0; i < ARRAY_LEN(string_match_names); i++) {
		if (!span_eq_str(kind, string_match_names[i]))
			continue;
		out->kind = (enum string_match_kind)i;
		if (out->kind == MATCH_PRESENCE) {
			if (!presence_value(value) && !(value->kind == YAML_SCALAR &&
			                                yaml_scalar_type(value) == YAML_TYPE_NULL))
				yaml_error(d, value->pos, "Presence takes no text; write []");
			return;
		}

		struct span text;

		if (!yaml_get_text(d, value, &text))
			return;
		out->text = span_of(mesh_intern(d->mesh, text), text.n);
		return;
	}
	refuse_string_match(d, value);
}

/* "!Exact x", or {Exact: x} as JSON has it. */
static void element_string_match(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	if (n->tag && n->tag[0] == '!') {
		struct yaml_node value = *n;

		value.tag = NULL;
		if (value.kind == YAML_SCALAR && value.text.n > 0)
			value.plain = false; /* !Exact 123 is text: the tag says so */
		take_string_match(d, span_str(n->tag + 1), &value, out);
		return;
	}
	if (n->kind != YAML_MAP || n->count != 1 || n->tag) {
		refuse_string_match(d, n);
		return;
	}
	yaml_enter(d, n->first->key->text, 0);
	take_string_match(d, n->first->key->text, n->first, out);
	yaml_leave(d);
}

static void field_string_matches(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	struct string_matches *list = out;

	list->v = yaml_decode_list(d, n, sizeof(*list->v), element_string_match, &list->n);
}

/* Principals are compared without their scheme. */
static void field_principals(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	static const char scheme[] = "spiffe://";
	const struct string_matches *list = out;

	field_string_matches(d, n, out);
	for (size_t i = 0; i < list->n; i++) {
		const struct string_match *m = &list->v[i];

		if ((m->kind == MATCH_EXACT || m->kind == MATCH_PREFIX) &&
		    m->text.n >= sizeof(scheme) - 1 &&
		    memcmp(m->text.p, scheme, sizeof(scheme) - 1) == 0)
			yaml_warning(d, n->pos,
			             "a principal is compared without \"spiffe://\": this "
			             "never matches; write td/ns/<ns>/sa/<sa>");
	}
}

static void element_account(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	static const struct yaml_field fields[] = {
		{"namespace", yaml_field_text, offsetof(struct account_match, namespace), true},
		{"serviceAccount", yaml_field_text, offsetof(struct account_match, service_account),
	         true},
	};
	struct account_match *a = out;

	a->namespace = a->service_account = "";
	yaml_decode_map(d, n, fields, ARRAY_LEN(fields), a);
}

static void field_accounts(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	struct account_matches *list = out;

	list->v = yaml_decode_list(d, n, sizeof(*list->v), element_account, &list->n);
}

static void element_prefix(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	char shown[YAML_SHOWN_MAX];
	struct span text;

	if (yaml_get_text(d, n, &text) && prefix_parse(text, out) != ERR_OK)
		yaml_error(d, n->pos, "\"%s\" is not an address or a range such as 10.0.0.0/8",
		           yaml_shown(text, shown));
}

static void field_prefixes(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	struct prefixes *list = out;

	list->v = yaml_decode_list(d, n, sizeof(*list->v), element_prefix, &list->n);
}

static void field_ports(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	struct ports *list = out;

	list->v = yaml_decode_list(d, n, sizeof(*list->v), yaml_field_u16, &list->n);
}

#define OF_MATCH(member) offsetof(struct match, member)

static void element_match(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	static const struct yaml_field fields[] = {
		{"principals", field_principals, OF_MATCH(principals), false},
		{"notPrincipals", field_principals, OF_MATCH(not_principals), false},
		{"namespaces", field_string_matches, OF_MATCH(namespaces), false},
		{"notNamespaces", field_string_matches, OF_MATCH(not_namespaces), false},
		{"serviceAccounts", field_accounts, OF_MATCH(service_accounts), false},
		{"notServiceAccounts", field_accounts, OF_MATCH(not_service_accounts), false},
		{"sourceIps", field_prefixes, OF_MATCH(source_ips), false},
		{"notSourceIps", field_prefixes, OF_MATCH(not_source_ips), false},
		{"destinationIps", field_prefixes, OF_MATCH(destination_ips), false},
		{"notDestinationIps", field_prefixes, OF_MATCH(not_destination_ips), false},
		{"destinationPorts", field_ports, OF_MATCH(destination_ports), false},
		{"notDestinationPorts", field_ports, OF_MATCH(not_destination_ports), false},
	};
	size_t conditions = 0;

	yaml_decode_map(d, n, fields, ARRAY_LEN(fields), out);
	for (const struct yaml_node *c = n->first; c; c = c->next)
		conditions += c->count > 0;
	if (n->kind == YAML_MAP && conditions == 0)
		yaml_warning(d, n->pos, "a match without a condition never matches");
}

static void element_clause(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	struct clause *c = out;

	c->matches = yaml_decode_list(d, n, sizeof(*c->matches), element_match, &c->match_count);
}

static void element_rule(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	struct rule *r = out;

	r->pos = n->pos;
	r->clauses = yaml_decode_list(d, n, sizeof(*r->clauses), element_clause, &r->clause_count);
}

static void field_rules(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	struct policy *p = out;

	p->rules = yaml_decode_list(d, n, sizeof(*p->rules), element_rule, &p->rule_count);
}

static void field_scope(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	static const char *const names[] = {"Global", "Namespace", "WorkloadSelector"};
	unsigned int choice;

	if (yaml_get_choice(d, n, names, ARRAY_LEN(names), &choice))
		*(enum policy_scope *)out = (enum policy_scope)choice;
}

static void field_action(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	static const char *const names[] = {"Allow", "Deny"};
	unsigned int choice;

	if (yaml_get_choice(d, n, names, ARRAY_LEN(names), &choice))
		*(enum policy_action *)out = (enum policy_action)choice;
}

#define OF_POLICY(member) offsetof(struct policy, member)

void mesh_yaml_policy(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	static const struct yaml_field fields[] = {
		{"name", yaml_field_text, OF_POLICY(name), true},
		{"namespace", yaml_field_text, OF_POLICY(namespace), true},
		{"scope", field_scope, OF_POLICY(scope), true},
		{"action", field_action, OF_POLICY(action), true},
		{"dryRun", yaml_field_bool, OF_POLICY(dry_run), false},
		{"rules", field_rules, 0, true},
	};
	struct policy *p = out;

	p->pos = n->pos;
	yaml_decode_map(d, n, fields, ARRAY_LEN(fields), p);
	if (n->kind != YAML_MAP || p->rule_count > 0)
		return;
	if (p->action == POLICY_DENY)
		yaml_warning(d, n->pos, "a Deny policy without rules does nothing");
	else
		yaml_warning(d, n->pos, "an Allow policy without rules lets nobody in");
}
