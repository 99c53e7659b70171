/* SPDX-License-Identifier: Apache-2.0 */
#include "common/dns/resolv_conf.h"

#include <stdio.h>
#include <string.h>

#include "common/base/str.h"

enum {
	TIMEOUT_S_DEFAULT = 5, /* as resolv.conf(5), and its ceilings */
	TIMEOUT_S_MAX = 30,
	TRIES_DEFAULT = 2,
	TRIES_MAX = 5,
};

struct parser {
	struct resolv_conf *conf;
	resolv_bad_fn *bad;
	void *arg;
	unsigned int line;
};

static void complain(const struct parser *p, const char *what, struct span text)
{
	char why[RESOLV_WHY_MAX];

	if (p->bad == NULL)
		return;
	(void)snprintf(why, sizeof(why), "%s: \"%.*s\"", what, text.n < 80 ? (int)text.n : 80,
	               (const char *)text.p);
	p->bad(p->arg, p->line, why);
}

/* The next word; n 0: there is none. */
static struct span word(struct span *rest)
{
	size_t from = 0, to;

	while (from < rest->n && strchr(" \t\r", rest->p[from]) != NULL && rest->p[from] != '\0')
		from++;
	to = from;
	while (to < rest->n && rest->p[to] != ' ' && rest->p[to] != '\t' && rest->p[to] != '\r')
		to++;

	struct span w = span_of(rest->p + from, to - from);

	*rest = span_of(rest->p + to, rest->n - to);
	return w;
}

static void parse_server(const struct parser *p, struct span rest)
{
	struct span w = word(&rest);
	struct ip ip;

	if (ip_parse(w, &ip) != ERR_OK)
		complain(p, "nameserver needs an IP address without a zone; the line is ignored",
		         w);
	else if (p->conf->server_count == RESOLV_SERVERS_MAX)
		complain(p, "more nameservers than are used", w);
	else
		p->conf->servers[p->conf->server_count++] = ip;
}

/* The last "search" or "domain" line counts. */
static void parse_search(const struct parser *p, struct span rest, size_t max)
{
	p->conf->search_count = 0;
	for (struct span w = word(&rest); w.n > 0; w = word(&rest)) {
		struct dns_domain d;

		if (span_eq_str(w, "."))
			continue;
		if (dns_domain_parse(w, &d) != ERR_OK)
			complain(p, "search needs domain names", w);
		else if (p->conf->search_count == max)
			complain(p, "more search domains than are used", w);
		else
			p->conf->search[p->conf->search_count++] = d;
	}
}

/* "name:number", the number cut to max as glibc does. true: it is this option. */
static bool number_option(const struct parser *p, struct span w, const char *name, uint64_t max,
                          uint32_t *ret_v)
{
	size_t n = strlen(name);
	uint64_t v;

	if (w.n <= n || memcmp(w.p, name, n) != 0)
		return false;
	if (str_parse_u64(span_of(w.p + n, w.n - n), UINT32_MAX, &v) != ERR_OK)
		complain(p, "options: not a number", w);
	else
		*ret_v = (uint32_t)(v == 0 ? 1 : v < max ? v : max);
	return true;
}

/* What is about how glibc asks, such as ndots and edns0, is not for us and no mistake. */
static void parse_options(const struct parser *p, struct span rest)
{
	for (struct span w = word(&rest); w.n > 0; w = word(&rest)) {
		uint32_t timeout_s = 0;

		if (number_option(p, w, "timeout:", TIMEOUT_S_MAX, &timeout_s)) {
			if (timeout_s > 0)
				p->conf->timeout_ms = timeout_s * 1000;
		} else if (!number_option(p, w, "attempts:", TRIES_MAX, &p->conf->tries) &&
		           span_eq_str(w, "rotate")) {
			p->conf->rotate = true;
		}
	}
}

static void parse_line(const struct parser *p, struct span line)
{
	struct span key = word(&line);

	if (key.n == 0 || key.p[0] == '#' || key.p[0] == ';')
		return;
	if (span_eq_str(key, "nameserver"))
		parse_server(p, line);
	else if (span_eq_str(key, "search"))
		parse_search(p, line, DNS_SEARCH_MAX);
	else if (span_eq_str(key, "domain"))
		parse_search(p, line, 1);
	else if (span_eq_str(key, "options"))
		parse_options(p, line);
	else if (!span_eq_str(key, "sortlist"))
		complain(p, "unknown keyword; the line is ignored", key);
}

void resolv_conf_parse(struct span text, struct resolv_conf *ret_conf, resolv_bad_fn *bad,
                       void *arg)
{
	struct parser p = {.conf = ret_conf, .bad = bad, .arg = arg};

	*ret_conf = (struct resolv_conf){
		.timeout_ms = TIMEOUT_S_DEFAULT * 1000,
		.tries = TRIES_DEFAULT,
	};
	if (text.n > RESOLV_TEXT_MAX) {
		complain(&p, "longer than any resolv.conf; only its beginning is read",
		         span_of(text.p, 0));
		text.n = RESOLV_TEXT_MAX;
	}
	while (text.n > 0) {
		const uint8_t *end = memchr(text.p, '\n', text.n);
		size_t len = end != NULL ? (size_t)(end - text.p) : text.n;

		p.line++;
		parse_line(&p, span_of(text.p, len));
		len += end != NULL;
		text = span_of(text.p + len, text.n - len);
	}
}
