/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_msg - DNS messages as octets: judges queries, builds answers, shortens and ages what others answered. Pure.
 * RFC 1035 section 4, RFC 6891 (EDNS), RFC 2181 section 9 (truncation), RFC 9619 (one question).
 *
 * Nothing here reads outside the message it is given; every loop is bounded by the length of that message.
 */
#ifndef COMMON_DNS_DNS_MSG_H
#define COMMON_DNS_DNS_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/netaddr.h"
#include "common/base/span.h"
#include "common/dns/dns_name.h"

enum {
	DNS_HEADER_LEN = 12,
	DNS_UDP_LEN = 512,   /* octets of an answer to who did not say more, RFC 1035 4.2.1 */
	DNS_MSG_MAX = 65535, /* what the two octets in front of a message over TCP can say */
	DNS_OPT_LEN = 11,    /* of an OPT record without options */
	DNS_TTL_S = 30,      /* of what we answer ourselves, contract 9.4 */
};

enum dns_type {
	DNS_TYPE_A = 1,
	DNS_TYPE_CNAME = 5,
	DNS_TYPE_SOA = 6,
	DNS_TYPE_AAAA = 28,
	DNS_TYPE_OPT = 41,
};

enum { DNS_CLASS_IN = 1 };
enum { DNS_OPCODE_QUERY = 0 };

enum dns_rcode {
	DNS_NOERROR = 0,
	DNS_FORMERR = 1,
	DNS_SERVFAIL = 2,
	DNS_NXDOMAIN = 3,
	DNS_NOTIMP = 4,
	DNS_REFUSED = 5,
	DNS_BADVERS = 16, /* needs EDNS to be said */
};

/* What a message that came from a client is. */
enum dns_verdict {
	DNS_DROP,   /* not even a header, or answering could go round in circles: say nothing */
	DNS_REFUSE, /* answer with query.refusal */
	DNS_ASK,    /* a question of one name: query is filled in */
	DNS_OPAQUE, /* another opcode: not ours to understand, but to forward */
};

struct dns_query {
	uint16_t id;
	uint8_t opcode;
	bool rd, cd, ad; /* recursion desired, checking disabled, authentic data */
	enum dns_rcode refusal;
	struct dns_name
		name; /* as asked, case preserved; len 0 without a question that can be read */
	uint16_t type, qclass;
	bool edns; /* an OPT record was there, and the answer has one */
	bool dnssec_ok;
	bool edns_options;    /* OPT carried some: the answer may depend on them */
	bool extra;           /* records other than OPT: the answer may depend on them */
	uint16_t udp_len_max; /* octets the client takes over UDP, never below DNS_UDP_LEN */
};

/* Always fills ret_query as far as the message could be read. */
enum dns_verdict dns_query_read(struct span msg, struct dns_query *ret_query);

/* An answer of our own. */
struct dns_reply {
	enum dns_rcode rcode;
	bool authoritative;
	struct dns_name
		alias; /* len 0: none; else a CNAME from the question to it, and the records are at it */
	const struct ip *addrs; /* borrowed; each becomes an A or AAAA record */
	size_t addr_count;
};

/*
 * Put the answer to q into out, which is empty; len_max: what fits, DNS_UDP_LEN..DNS_MSG_MAX. Records that do not fit
 * are left out, and TC says so. The question is echoed as it was asked.
 * Errs: ERR_LIMIT when out's own ceiling is lower
 */
MUST_CHECK enum err dns_reply_write(const struct dns_query *q, const struct dns_reply *reply,
                                    size_t len_max, struct buf *out);

/* One resource record, pointing into its message. */
struct dns_record {
	struct dns_name name;
	uint16_t type, rclass;
	uint32_t ttl;
	size_t ttl_at;  /* offset of the TTL in the message */
	size_t data_at; /* offset of the data: names in it may be compressed */
	struct span data;
	unsigned int section; /* 1 answer, 2 authority, 3 additional */
};

/* Walks the records of a message. */
struct dns_walk {
	struct span msg;
	size_t at;            /* private */
	unsigned int left[4]; /* private: per section */
	unsigned int section; /* private */
	bool failed;          /* the message is broken at this place */
};

/* Errs: ERR_PARSE: header or questions cannot be read */
MUST_CHECK enum err dns_walk_start(struct dns_walk *w, struct span msg);
/* false at the end, or when the rest cannot be read: then w->failed. */
bool dns_walk_next(struct dns_walk *w, struct dns_record *ret_record);

uint16_t dns_msg_id(struct span msg); /* of at least DNS_HEADER_LEN octets, as the next three */
bool dns_msg_truncated(struct span msg);
enum dns_rcode dns_msg_rcode(struct span msg); /* the four bits of the header */
void dns_msg_set_id(uint8_t *msg, uint16_t id);

/*
 * Make a whole answer fit into len_max octets, at least DNS_UDP_LEN, by leaving out whole records from the end; OPT stays, and TC is
 * set when an answer or an authority is gone. Returns the new length. One that cannot be read is cut to its header and question.
 */
size_t dns_msg_shorten(uint8_t *msg, size_t len, size_t len_max);

/* Take age_s off the TTL of every record but OPT, not below 0. msg was walked to its end before. */
void dns_msg_age(uint8_t *msg, size_t len, uint32_t age_s);

/* Make an answer from upstream one of ours: the client's id, and AA clear, as we are no authority. */
void dns_msg_pass_on(uint8_t *msg, uint16_t id);

/* Append a question for one name, as a recursive resolver is asked it. */
void dns_question_write(const struct dns_name *name, uint16_t type, uint16_t id, bool edns,
                        struct buf *out);

#endif
