/* SPDX-License-Identifier: Apache-2.0 */
#include "common/dns/dns_answer.h"

#include <stdio.h>
#include <string.h>

#include "common/base/str.h"
#include "common/dns/dns_msg.h"
#include "common/mesh/mesh_table.h"

/* A name that may be a service's, and how it came from the question. */
struct candidate {
	char text[DNS_DOMAIN_MAX];
	size_t stripped_len; /* characters of the question that were kept; 0: no search domain was taken off */
};

struct finding {
	const struct service *service; /* NULL: none */
	bool wildcard;
	size_t stripped_len;
};

struct search {
	const struct dns_zone *zone;
	const struct dns_asker *asker;
	struct finding match;
};

/*
 * Lower case, labels joined by dots. Errs: ERR_PARSE for the root, and for names with characters no host name has in
 * our texts, which therefore are nobody's here
 */
static enum err domain_of_name(const struct dns_name *name, struct dns_domain *ret_domain)
{
	struct dns_name n = dns_name_lower(name);
	size_t at = 0, out = 0;

	if (n.len <= 1)
		return ERR_PARSE;
	while (n.wire[at] != 0) {
		size_t len = n.wire[at++];

		if (out > 0)
			ret_domain->text[out++] = '.';
		for (size_t i = 0; i < len; i++) {
			uint8_t c = n.wire[at++];

			if (c <= ' ' || c >= 0x7f || c == '.')
				return ERR_PARSE;
			ret_domain->text[out++] = (char)c;
		}
	}
	ret_domain->text[out] = '\0'; /* 255 octets of wire are at most 253 characters */
	return ERR_OK;
}

enum err dns_domain_parse(struct span text, struct dns_domain *ret_domain)
{
	struct dns_domain d;
	struct dns_name n;

	if (dns_name_parse(text, &n) != ERR_OK || domain_of_name(&n, &d) != ERR_OK)
		return ERR_PARSE;
	*ret_domain = d;
	return ERR_OK;
}

enum err dns_zone_init(struct dns_zone *z, const char *cluster_domain)
{
	*z = (struct dns_zone){.search_count = 0};
	return dns_domain_parse(span_str(cluster_domain), &z->cluster_domain);
}

/* text ends with ".suffix", or with suffix where dot is false. */
static bool ends_with(const char *text, const char *suffix)
{
	size_t n = strlen(text), k = strlen(suffix);

	return n >= k && memcmp(text + n - k, suffix, k) == 0;
}

/* The host name of a service of Kubernetes, which may have no address of its own. */
static bool is_kube(const struct dns_zone *z, const char *hostname)
{
	size_t n = strlen(hostname), k = strlen(z->cluster_domain.text);

	return n > k + 5 && strncmp(hostname + n - k - 5, ".svc.", 5) == 0 &&
	       str_eq_nocase(span_of(hostname + n - k, k), z->cluster_domain.text);
}

static bool eligible(const struct search *s, const struct service *service)
{
	return (service->visibility == VISIBILITY_PUBLIC ||
	        strcmp(service->namespace, s->asker->namespace) == 0) &&
	       (service->vip_count > 0 || is_kube(s->zone, service->hostname));
}

/* Contract 9.3: the client's own namespace, then canonical, then the preferred namespace. */
static int preference(const struct search *s, const struct service *service)
{
	const char *prefered = s->zone->prefered_namespace;

	if (strcmp(service->namespace, s->asker->namespace) == 0)
		return 3;
	if (service->canonical)
		return 2;
	return prefered != NULL && strcmp(service->namespace, prefered) == 0 ? 1 : 0;
}

static const struct service *best_named(const struct search *s, const char *hostname)
{
	struct service_list named = mesh_services_named(s->asker->mesh, hostname);
	const struct service *best = NULL;

	for (size_t i = 0; i < named.n; i++) {
		if (!eligible(s, named.v[i]))
			continue;
		if (best == NULL || preference(s, named.v[i]) > preference(s, best))
			best = named.v[i];
	}
	return best;
}

/* The host itself, then wildcards over it, the longest suffix first. true: found. */
static bool try_candidate(struct search *s, const struct candidate *c)
{
	char wildcard[DNS_DOMAIN_MAX + 1] = "*";
	const char *rest;

	s->match.stripped_len = c->stripped_len;
	s->match.wildcard = false;
	s->match.service = best_named(s, c->text);
	for (rest = strchr(c->text, '.'); rest != NULL && s->match.service == NULL;
	     rest = strchr(rest + 1, '.')) {
		memcpy(wildcard + 1, rest, strlen(rest) + 1);
		s->match.wildcard = true;
		s->match.service = best_named(s, wildcard);
	}
	return s->match.service != NULL;
}

/* Try c with what Kubernetes lets people leave out of a name behind it. */
static bool try_expansion(struct search *s, const struct candidate *c, const char *namespace,
                          const char *svc)
{
	const char *domain = s->zone->cluster_domain.text;
	struct candidate e = {.stripped_len = c->stripped_len};
	int n = namespace != NULL
	                ? snprintf(e.text, sizeof(e.text), "%s.%s%s.%s", c->text, namespace, svc,
	                           domain)
	                : snprintf(e.text, sizeof(e.text), "%s%s.%s", c->text, svc, domain);

	return n > 0 && (size_t)n < sizeof(e.text) && try_candidate(s, &e);
}

static unsigned int count_labels(const char *text)
{
	unsigned int count = 1;

	for (; *text != '\0'; text++)
		count += *text == '.';
	return count;
}

/* c itself, then its expansions: contract 9.3, items 1 and 2. */
static bool try_all(struct search *s, const struct candidate *c)
{
	const char *ns = s->asker->namespace;
	bool ends_svc = ends_with(c->text, ".svc");

	if (try_candidate(s, c))
		return true;
	switch (count_labels(c->text)) {
	case 1: return try_expansion(s, c, ns, ".svc");
	case 2: return try_expansion(s, c, NULL, ".svc") || try_expansion(s, c, ns, ".svc");
	case 3:
		return (ends_svc && try_expansion(s, c, NULL, "")) ||
		       try_expansion(s, c, NULL, ".svc");
	case 4: return ends_svc && try_expansion(s, c, NULL, "");
	default: return false;
	}
}

/* Without the search domain, if name ends with it and is longer. */
static bool try_stripped(struct search *s, const char *name, const char *domain)
{
	size_t n = strlen(name), k = strlen(domain);
	struct candidate c;

	if (n < k + 2 || name[n - k - 1] != '.' || memcmp(name + n - k, domain, k) != 0)
		return false;
	c.stripped_len = n - k - 1;
	memcpy(c.text, name, c.stripped_len);
	c.text[c.stripped_len] = '\0';
	return try_all(s, &c);
}

static bool try_search(struct search *s, const char *name)
{
	const char *domain = s->zone->cluster_domain.text;
	char text[2 * DNS_DOMAIN_MAX];

	for (size_t i = 0; i < s->zone->search_count; i++)
		if (try_stripped(s, name, s->zone->search[i].text))
			return true;
	if (s->zone->search_count > 0)
		return false;
	(void)snprintf(text, sizeof(text), "%s.svc.%s", s->asker->namespace, domain);
	return try_stripped(s, name, text) ||
	       try_stripped(s, name, text + strlen(s->asker->namespace) + 1) ||
	       try_stripped(s, name, domain);
}

/* ---- addresses ---- */

struct lot {
	struct ip *addrs;
	size_t count; /* kept */
	size_t seen;
	uint8_t family;
	struct rand *dice;
};

/* Keep ip, or by lot one of those before it, so that each of any number has the same chance. */
static void lot_add(struct lot *l, const struct ip *ip)
{
	size_t at = l->seen++;

	if (at >= DNS_ADDRS_MAX)
		at = (size_t)rand_below(l->dice, l->seen);
	if (at >= DNS_ADDRS_MAX)
		return;
	l->addrs[at] = *ip;
	l->count = at >= l->count ? at + 1 : l->count;
}

static void lot_shuffle(struct lot *l)
{
	for (size_t i = l->count; i > 1; i--) {
		size_t j = (size_t)rand_below(l->dice, i);
		struct ip one = l->addrs[i - 1];

		l->addrs[i - 1] = l->addrs[j];
		l->addrs[j] = one;
	}
}

static bool family_allowed(const struct service *s, uint8_t family)
{
	switch (s->ip_families) {
	case FAMILIES_V4: return family == IP_V4;
	case FAMILIES_V6: return family == IP_V6;
	case FAMILIES_AUTOMATIC:
	case FAMILIES_DUAL: break;
	}
	return true;
}

static void add_vips(struct lot *l, const struct service *s, const char *network)
{
	for (size_t i = 0; i < s->vip_count; i++)
		if (s->vips[i].prefix.ip.family == l->family &&
		    strcmp(s->vips[i].network, network) == 0)
			lot_add(l, &s->vips[i].prefix.ip);
}

/* Of a headless service; on another network an endpoint's address means nothing, or somebody else. */
static void add_endpoints(struct lot *l, const struct service *s, const char *network)
{
	for (size_t i = 0; i < s->endpoint_count; i++) {
		const struct workload *w = s->endpoints[i].workload;

		if (strcmp(w->network, network) != 0)
			continue;
		for (size_t k = 0; k < w->ip_count; k++) {
			if (w->ips[k].family == l->family) {
				lot_add(l, &w->ips[k]);
				break;
			}
		}
	}
}

/* The first len characters of name, which are whole labels, case preserved. */
static struct dns_name front_of(const struct dns_name *name, size_t len)
{
	struct dns_name out = {.len = (uint8_t)(len + 1)}; /* a length octet more than dots */

	memcpy(out.wire, name->wire, out.len);
	out.wire[out.len++] = 0;
	return out;
}

enum dns_outcome dns_answer(const struct dns_zone *z, const struct dns_asker *asker,
                            const struct dns_name *name, uint16_t type, struct rand *dice,
                            struct dns_answer *answer)
{
	struct search s = {.zone = z, .asker = asker};
	struct lot l = {.addrs = answer->addrs, .dice = dice};
	struct candidate whole = {.stripped_len = 0};
	struct dns_domain domain;

	if (type != DNS_TYPE_A && type != DNS_TYPE_AAAA)
		return DNS_FORWARD;
	if (domain_of_name(name, &domain) != ERR_OK)
		return DNS_FORWARD;
	memcpy(whole.text, domain.text, sizeof(whole.text));
	if (!try_all(&s, &whole) && !try_search(&s, domain.text))
		return DNS_FORWARD;
	l.family = type == DNS_TYPE_A ? IP_V4 : IP_V6;
	if (family_allowed(s.match.service, l.family) && (z->ipv6 || l.family == IP_V4)) {
		if (s.match.service->vip_count > 0)
			add_vips(&l, s.match.service, asker->network);
		else
			add_endpoints(&l, s.match.service, asker->network);
	}
	lot_shuffle(&l);
	answer->service = s.match.service;
	answer->addr_count = l.count;
	answer->alias.len = 0;
	if (s.match.stripped_len > 0 && !s.match.wildcard)
		answer->alias = front_of(name, s.match.stripped_len);
	return DNS_LOCAL;
}
