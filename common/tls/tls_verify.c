/* SPDX-License-Identifier: Apache-2.0 */
#include "common/tls/tls_verify.h"

#include "common/tls/spiffe_msg.h"
#include "common/tls/tls_host.h"
#include "common/tls/x509_msg.h"

static enum err check_dates(const struct x509_facts *f, int64_t now_s)
{
	if (now_s < f->not_before)
		return ERR_TLS_NOT_YET_VALID;
	if (now_s > f->not_after)
		return ERR_TLS_EXPIRED;
	return ERR_OK;
}

/* An X.509-SVID leaf: X509-SVID 4.1, 4.3, 4.4. */
static enum err check_leaf_usage(const struct x509_facts *leaf, enum tls_role role, bool svid)
{
	if (leaf->is_ca || leaf->may_sign_certs)
		return ERR_TLS_BAD_USAGE;
	if (leaf->has_key_usage ? !leaf->may_sign : svid)
		return ERR_TLS_BAD_USAGE;
	if (leaf->has_ext_key_usage && !(role == TLS_CLIENT ? leaf->may_serve : leaf->may_client))
		return ERR_TLS_BAD_USAGE;
	return ERR_OK;
}

static enum err check_intermediate_usage(const struct x509_facts *f)
{
	if (!f->is_ca || (f->has_key_usage && !f->may_sign_certs))
		return ERR_TLS_BAD_USAGE;
	return ERR_OK;
}

/* Ours, or one that was declared to be the same. */
static bool is_own_domain(const struct tls_verify_rule *rule, struct span domain)
{
	if (span_eq(domain, rule->trust_domain))
		return true;
	for (unsigned int i = 0; i < rule->alias_count; i++) {
		if (span_eq_str(domain, rule->aliases[i]))
			return true;
	}
	return false;
}

/* The same account of the same namespace, each of a domain that is our own by alias. */
static bool is_same_by_alias(const struct tls_verify_rule *rule, const struct spiffe_id *id,
                             struct span expected)
{
	struct spiffe_id other;

	return rule->alias_count > 0 && spiffe_parse(expected, &other) == ERR_OK &&
	       is_own_domain(rule, id->trust_domain) && is_own_domain(rule, other.trust_domain) &&
	       span_eq(id->namespace, other.namespace) &&
	       span_eq(id->service_account, other.service_account);
}

static bool is_expected(const struct tls_verify_rule *rule, struct span uri,
                        const struct spiffe_id *id)
{
	for (unsigned int i = 0; i < rule->expect->identity_count; i++) {
		const struct span expected = span_str(rule->expect->identities[i]);

		if (span_eq(uri, expected) || is_same_by_alias(rule, id, expected))
			return true;
	}
	return false;
}

/* A server that is known by name or address. */
static enum err check_host(const struct tls_verify_rule *rule, const struct x509_facts *leaf,
                           struct span *ret_identity)
{
	for (unsigned int i = 0; i < rule->expect->host_count; i++) {
		if (tls_host_named(leaf->alt_names, rule->expect->hosts[i])) {
			*ret_identity = span_str(rule->expect->hosts[i]);
			return ERR_OK;
		}
	}
	return ERR_TLS_WRONG_IDENTITY;
}

static enum err check_identity(const struct tls_verify_rule *rule, const struct x509_facts *leaf)
{
	struct spiffe_id id;

	if (leaf->uri_count > 1)
		return ERR_TLS_MANY_SPIFFE;
	if (leaf->uri_count == 0 || spiffe_parse(leaf->uri, &id) != ERR_OK)
		return ERR_TLS_NO_SPIFFE;
	switch (rule->role) {
	case TLS_SERVER:
		return is_own_domain(rule, id.trust_domain) ? ERR_OK : ERR_TLS_TRUST_DOMAIN;
	case TLS_CLIENT: return is_expected(rule, leaf->uri, &id) ? ERR_OK : ERR_TLS_WRONG_IDENTITY;
	}
	return ERR_TLS;
}

static bool is_root(const struct tls_verify_rule *rule, struct span name)
{
	for (unsigned int i = 0; i < rule->root_count; i++) {
		if (span_eq(rule->roots[i], name))
			return true;
	}
	return false;
}

/*
 * The names must lead from the leaf to a root through what was presented: the library remembers intermediates
 * of earlier handshakes and would otherwise accept a leaf that comes without its own.
 */
static enum err check_path(const struct tls_verify_rule *rule, const struct x509_facts *facts,
                           unsigned int n)
{
	struct span issuer = facts[0].issuer;

	for (unsigned int i = 1; i < n && !is_root(rule, issuer); i++) {
		if (!span_eq(facts[i].subject, issuer))
			return ERR_TLS_UNTRUSTED;
		issuer = facts[i].issuer;
	}
	return is_root(rule, issuer) ? ERR_OK : ERR_TLS_UNTRUSTED;
}

enum err tls_verify_chain(const struct tls_verify_rule *rule, const struct span *chain,
                          unsigned int chain_len, struct span *ret_identity)
{
	const bool by_host = rule->role == TLS_CLIENT && rule->expect->host_count > 0;
	struct x509_facts facts[TLS_CHAIN_MAX];
	enum err e;

	if (chain_len == 0)
		return ERR_TLS_NO_CERT;
	if (chain_len > TLS_CHAIN_MAX)
		return ERR_TLS_CHAIN_LEN;
	for (unsigned int i = 0; i < chain_len; i++) {
		e = x509_parse(chain[i], &facts[i]);
		if (e == ERR_OK)
			e = check_dates(&facts[i], rule->now_s);
		if (e == ERR_OK && i > 0)
			e = check_intermediate_usage(&facts[i]);
		if (e != ERR_OK)
			return e;
	}
	e = check_leaf_usage(&facts[0], rule->role, !by_host);
	if (e == ERR_OK)
		e = check_path(rule, facts, chain_len);
	if (e == ERR_OK && by_host)
		return check_host(rule, &facts[0], ret_identity);
	if (e == ERR_OK)
		e = check_identity(rule, &facts[0]);
	if (e == ERR_OK)
		*ret_identity = facts[0].uri;
	return e;
}
