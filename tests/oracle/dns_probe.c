/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The DNS codec for compare_dns.py, a line in, a line out. Octets are hexadecimal, names one escaped text.
 *
 *   read MSG                   "drop", "opaque", "refuse CODE" or "ask NAME TYPE CLASS RD CD EDNS UDP_LEN DO EXTRA"
 *   write QUERY MAX ALIAS IP,..  the answer to a question; ALIAS "-": none, IP "-": none
 *   records MSG                "SECTION NAME TYPE CLASS TTL" and a tab for each in order, then "end" or "broken"
 *   shorten MSG MAX            the message made to fit
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/str.h"
#include "common/dns/dns_msg.h"

enum { LINE_MAX_LEN = 300000, ADDRS_MAX = 1000 };

struct bytes {
	uint8_t *p; /* exactly as long as the message, so that a sanitizer sees what is beyond */
	size_t n;
};

static struct bytes bytes_of(struct span hex)
{
	struct bytes b = {.p = malloc(hex.n / 2 + 1), .n = hex.n / 2};
	static const char digits[] = "0123456789abcdef";

	CHECK(b.p != NULL);
	for (size_t i = 0; i < b.n; i++)
		b.p[i] = (uint8_t)((strchr(digits, hex.p[2 * i]) - digits) << 4 |
		                   (strchr(digits, hex.p[2 * i + 1]) - digits));
	b.p = realloc(b.p, b.n != 0 ? b.n : 1);
	CHECK(b.p != NULL);
	return b;
}

static void print_hex(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		printf("%02x", s.p[i]);
	putchar('\n');
}

static struct span word(struct span *rest)
{
	return rest->p != NULL ? str_split(rest, ' ') : span_of("", 0);
}

static void do_read(struct span rest)
{
	struct bytes b = bytes_of(word(&rest));
	char text[DNS_TEXT_MAX];
	struct dns_query q;

	switch (dns_query_read(span_of(b.p, b.n), &q)) {
	case DNS_DROP: puts("drop"); break;
	case DNS_OPAQUE: puts("opaque"); break;
	case DNS_REFUSE: printf("refuse %d\n", (int)q.refusal); break;
	case DNS_ASK:
		printf("ask %s %u %u %d %d %d %u %d %d\n", dns_name_format(&q.name, text), q.type,
		       q.qclass, q.rd, q.cd, q.edns, q.udp_len_max, q.dnssec_ok, q.extra);
		break;
	}
	free(b.p);
}

static void do_write(struct span rest)
{
	struct bytes b = bytes_of(word(&rest));
	struct span max_text = word(&rest), alias = word(&rest), list = word(&rest);
	struct dns_reply r = {.authoritative = true};
	static struct ip addrs[ADDRS_MAX];
	struct dns_query q;
	struct buf out;
	uint64_t max;

	CHECK(dns_query_read(span_of(b.p, b.n), &q) == DNS_ASK);
	CHECK(str_parse_u64(max_text, DNS_MSG_MAX, &max) == ERR_OK);
	if (!span_eq_str(alias, "-"))
		CHECK(dns_name_parse(alias, &r.alias) == ERR_OK);
	while (list.p != NULL && !span_eq_str(list, "-") && r.addr_count < ADDRS_MAX)
		CHECK(ip_parse(str_split(&list, ','), &addrs[r.addr_count++]) == ERR_OK);
	r.addrs = addrs;
	buf_init(&out, DNS_MSG_MAX);
	CHECK(dns_reply_write(&q, &r, max, &out) == ERR_OK);
	print_hex(buf_span(&out));
	buf_fini(&out);
	free(b.p);
}

static void do_records(struct span rest)
{
	struct bytes b = bytes_of(word(&rest));
	char text[DNS_TEXT_MAX];
	struct dns_record r;
	struct dns_walk w;
	bool broken = dns_walk_start(&w, span_of(b.p, b.n)) != ERR_OK;

	while (!broken && dns_walk_next(&w, &r))
		printf("%u %s %u %u %u\t", r.section, dns_name_format(&r.name, text), r.type,
		       r.rclass, r.ttl);
	puts(broken || w.failed ? "broken" : "end");
	free(b.p);
}

static void do_shorten(struct span rest)
{
	struct bytes b = bytes_of(word(&rest));
	uint64_t max;

	CHECK(str_parse_u64(word(&rest), DNS_MSG_MAX, &max) == ERR_OK);
	b.n = dns_msg_shorten(b.p, b.n, max);
	print_hex(span_of(b.p, b.n));
	free(b.p);
}

int main(void)
{
	char *line = malloc(LINE_MAX_LEN);

	CHECK(line != NULL);
	while (fgets(line, LINE_MAX_LEN, stdin) != NULL) {
		struct span rest = span_of(line, strcspn(line, "\n"));
		struct span verb = word(&rest);

		if (span_eq_str(verb, "read"))
			do_read(rest);
		else if (span_eq_str(verb, "write"))
			do_write(rest);
		else if (span_eq_str(verb, "records"))
			do_records(rest);
		else if (span_eq_str(verb, "shorten"))
			do_shorten(rest);
		else
			return EXIT_FAILURE;
		CHECK(fflush(stdout) == 0);
	}
	free(line);
	return EXIT_SUCCESS;
}
