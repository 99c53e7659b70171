/* SPDX-License-Identifier: Apache-2.0 */
#include "common/dns/dns_msg.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/rd.h"

/* The flags, RFC 1035 4.1.1, RFC 4035 3.1.6 and 3.2. */
enum {
	FLAG_QR = 0x8000,
	FLAG_AA = 0x0400,
	FLAG_TC = 0x0200,
	FLAG_RD = 0x0100,
	FLAG_RA = 0x0080,
	FLAG_AD = 0x0020,
	FLAG_CD = 0x0010,
	OPCODE_SHIFT = 11,
	OPCODE_MASK = 0xf,
	RCODE_MASK = 0xf,
};

enum {
	FLAGS_AT = 2,
	COUNTS_AT = 4,
	EDNS_DO = 0x8000,    /* of the TTL's lower half in OPT, RFC 6891 6.1.4 */
	EDNS_UDP_LEN = 1232, /* what we say we take: no fragments on any path, DNS flag day 2020 */
	QUESTION_POINTER = 0xc000 | DNS_HEADER_LEN,
	RECORD_LEN = 12, /* of a record at a pointer, without its data */
};

/* ---- reading ---- */

static uint16_t u16_at(struct span msg, size_t at)
{
	return (uint16_t)(msg.p[at] << 8 | msg.p[at + 1]);
}

static void set_u16(uint8_t *p, unsigned int v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void set_u32(uint8_t *p, uint32_t v)
{
	set_u16(p, v >> 16);
	set_u16(p + 2, v & 0xffff);
}

uint16_t dns_msg_id(struct span msg)
{
	return u16_at(msg, 0);
}

bool dns_msg_truncated(struct span msg)
{
	return (u16_at(msg, FLAGS_AT) & FLAG_TC) != 0;
}

enum dns_rcode dns_msg_rcode(struct span msg)
{
	return (enum dns_rcode)(u16_at(msg, FLAGS_AT) & RCODE_MASK);
}

void dns_msg_set_id(uint8_t *msg, uint16_t id)
{
	set_u16(msg, id);
}

enum err dns_walk_start(struct dns_walk *w, struct span msg)
{
	struct dns_name name;

	*w = (struct dns_walk){.msg = msg, .at = DNS_HEADER_LEN};
	if (msg.n < DNS_HEADER_LEN)
		return ERR_PARSE;
	for (unsigned int i = 0; i < 4; i++)
		w->left[i] = u16_at(msg, COUNTS_AT + 2 * (size_t)i);
	for (; w->left[0] > 0; w->left[0]--) {
		if (dns_name_read(msg, &w->at, &name) != ERR_OK || msg.n - w->at < 4)
			return ERR_PARSE;
		w->at += 4;
	}
	return ERR_OK;
}

bool dns_walk_next(struct dns_walk *w, struct dns_record *ret_record)
{
	struct dns_record r;
	struct rd fields;
	size_t at = w->at;

	while (w->section < 4 && w->left[w->section] == 0)
		w->section++;
	if (w->section == 4 || w->failed)
		return false;
	w->failed = true;
	if (dns_name_read(w->msg, &at, &r.name) != ERR_OK)
		return false;
	fields = rd_of(span_of(w->msg.p + at, w->msg.n - at));
	r.type = rd_u16(&fields);
	r.rclass = rd_u16(&fields);
	r.ttl = rd_u32(&fields);
	r.data = rd_bytes(&fields, rd_u16(&fields));
	if (rd_failed(&fields))
		return false;
	r.ttl_at = at + 4;
	r.data_at = at + 10;
	r.section = w->section;
	w->left[w->section]--;
	w->at = r.data_at + r.data.n;
	w->failed = false;
	*ret_record = r;
	return true;
}

/* Options are whole, RFC 6891 6.1.2. */
static bool options_are_whole(struct span data)
{
	struct rd r = rd_of(data);

	while (rd_left(&r) > 0) {
		rd_skip(&r, 2);
		rd_skip(&r, rd_u16(&r));
	}
	return !rd_failed(&r);
}

/* false: no such OPT may be in a query. */
static bool read_opt(const struct dns_record *r, struct dns_query *q)
{
	if (q->edns || r->section != 3 || r->name.len != 1 || !options_are_whole(r->data))
		return false;
	q->edns = true;
	q->edns_options = r->data.n > 0;
	q->dnssec_ok = (r->ttl & EDNS_DO) != 0;
	if (r->rclass > q->udp_len_max)
		q->udp_len_max = r->rclass;
	if ((r->ttl >> 16 & 0xff) != 0) /* version */
		q->refusal = DNS_BADVERS;
	return true;
}

/* The question, and whatever follows it. false: FORMERR. */
static bool read_query(struct span msg, struct dns_query *q)
{
	struct dns_walk w;
	struct dns_record r;
	struct dns_name name;
	size_t at = DNS_HEADER_LEN;

	if (u16_at(msg, COUNTS_AT) != 1 || dns_name_read(msg, &at, &name) != ERR_OK ||
	    msg.n - at < 4)
		return false;
	q->name = name;
	q->type = u16_at(msg, at);
	q->qclass = u16_at(msg, at + 2);
	if (dns_walk_start(&w, msg) != ERR_OK)
		return false;
	while (dns_walk_next(&w, &r)) {
		if (r.type != DNS_TYPE_OPT)
			q->extra = true;
		else if (!read_opt(&r, q))
			return false;
	}
	return !w.failed;
}

enum dns_verdict dns_query_read(struct span msg, struct dns_query *ret_query)
{
	struct dns_query *q = ret_query;
	uint16_t flags;

	*q = (struct dns_query){.udp_len_max = DNS_UDP_LEN};
	if (msg.n < DNS_HEADER_LEN)
		return DNS_DROP;
	flags = u16_at(msg, FLAGS_AT);
	q->id = dns_msg_id(msg);
	q->opcode = flags >> OPCODE_SHIFT & OPCODE_MASK;
	q->rd = (flags & FLAG_RD) != 0;
	q->cd = (flags & FLAG_CD) != 0;
	q->ad = (flags & FLAG_AD) != 0;
	q->refusal = DNS_FORMERR;
	if ((flags & FLAG_QR) != 0) /* FORMERR to a FORMERR would never end */
		return (flags & RCODE_MASK) == DNS_FORMERR ? DNS_DROP : DNS_REFUSE;
	if (q->opcode != DNS_OPCODE_QUERY)
		return DNS_OPAQUE;
	q->refusal = DNS_NOERROR;
	if (!read_query(msg, q)) {
		q->refusal = DNS_FORMERR;
		return DNS_REFUSE;
	}
	return q->refusal == DNS_NOERROR ? DNS_ASK : DNS_REFUSE;
}

/* ---- writing ---- */

static void put_u16(struct buf *out, unsigned int v)
{
	buf_put_u8(out, (uint8_t)(v >> 8));
	buf_put_u8(out, (uint8_t)v);
}

static void put_u32(struct buf *out, uint32_t v)
{
	put_u16(out, v >> 16);
	put_u16(out, v & 0xffff);
}

static void put_name(struct buf *out, const struct dns_name *n)
{
	buf_put(out, span_of(n->wire, n->len));
}

static void put_opt(struct buf *out, unsigned int udp_len, uint32_t ttl)
{
	buf_put_u8(out, 0);
	put_u16(out, DNS_TYPE_OPT);
	put_u16(out, udp_len);
	put_u32(out, ttl);
	put_u16(out, 0);
}

static void put_record_head(struct buf *out, unsigned int pointer, unsigned int type, size_t len)
{
	put_u16(out, pointer);
	put_u16(out, type);
	put_u16(out, DNS_CLASS_IN);
	put_u32(out, DNS_TTL_S);
	put_u16(out, (unsigned int)len);
}

static unsigned int reply_flags(const struct dns_query *q, const struct dns_reply *reply)
{
	return FLAG_QR | (unsigned int)q->opcode << OPCODE_SHIFT |
	       (reply->authoritative ? FLAG_AA : 0) | (q->rd ? FLAG_RD : 0) | FLAG_RA |
	       (q->cd ? FLAG_CD : 0) | ((unsigned int)reply->rcode & RCODE_MASK);
}

/* As many records as len_max has room for; returns how many. *ret_cut: there were more. */
static unsigned int put_answers(const struct dns_reply *reply, size_t len_max, struct buf *out,
                                bool *ret_cut)
{
	unsigned int count = 0, owner = QUESTION_POINTER;

	*ret_cut = false;
	if (reply->alias.len > 0) {
		*ret_cut = out->n + RECORD_LEN + reply->alias.len > len_max;
		if (*ret_cut)
			return 0;
		owner = 0xc000 | (unsigned int)(out->n + RECORD_LEN);
		put_record_head(out, QUESTION_POINTER, DNS_TYPE_CNAME, reply->alias.len);
		put_name(out, &reply->alias);
		count++;
	}
	for (size_t i = 0; i < reply->addr_count; i++) {
		bool v4 = reply->addrs[i].family == IP_V4;
		size_t len = v4 ? 4 : 16;

		*ret_cut = out->n + RECORD_LEN + len > len_max || count == UINT16_MAX;
		if (*ret_cut)
			break;
		put_record_head(out, owner, v4 ? DNS_TYPE_A : DNS_TYPE_AAAA, len);
		buf_put(out, span_of(reply->addrs[i].bytes, len));
		count++;
	}
	return count;
}

enum err dns_reply_write(const struct dns_query *q, const struct dns_reply *reply, size_t len_max,
                         struct buf *out)
{
	bool has_question = q->name.len > 0, was_cut;
	unsigned int flags = reply_flags(q, reply), count;
	uint32_t opt_ttl = ((uint32_t)reply->rcode >> 4) << 24 | (q->dnssec_ok ? EDNS_DO : 0);
	enum err e;

	CHECK(out->n == 0 && len_max >= DNS_UDP_LEN && len_max <= DNS_MSG_MAX);
	put_u16(out, q->id);
	put_u16(out, flags);
	put_u16(out, has_question);
	put_u16(out, 0);
	put_u16(out, 0);
	put_u16(out, q->edns);
	if (has_question) {
		put_name(out, &q->name);
		put_u16(out, q->type);
		put_u16(out, q->qclass);
	}
	count = put_answers(reply, len_max - (q->edns ? DNS_OPT_LEN : 0), out, &was_cut);
	if (q->edns)
		put_opt(out, q->udp_len_max, opt_ttl);
	e = buf_status(out);
	if (e != ERR_OK)
		return e;
	set_u16(out->p + FLAGS_AT, flags | (was_cut ? FLAG_TC : 0));
	set_u16(out->p + COUNTS_AT + 2, count);
	return ERR_OK;
}

void dns_question_write(const struct dns_name *name, uint16_t type, uint16_t id, bool edns,
                        struct buf *out)
{
	put_u16(out, id);
	put_u16(out, FLAG_RD);
	put_u16(out, 1);
	put_u16(out, 0);
	put_u16(out, 0);
	put_u16(out, edns);
	put_name(out, name);
	put_u16(out, type);
	put_u16(out, DNS_CLASS_IN);
	if (edns)
		put_opt(out, EDNS_UDP_LEN, 0);
}

/* ---- changing what others answered ---- */

void dns_msg_pass_on(uint8_t *msg, uint16_t id)
{
	set_u16(msg, id);
	msg[FLAGS_AT] &= (uint8_t) ~(FLAG_AA >> 8);
}

/* What is kept of a message that is too long. */
struct shortened {
	size_t end;            /* behind the last record that stays, OPT not counted */
	unsigned int count[4]; /* of each section that stays */
	struct span opt;       /* {NULL, 0}: none */
	bool lost;             /* of the answer or authority */
};

/* Choose the longest run of records from the front that fits together with OPT. */
static struct shortened choose(struct span msg, size_t len_max)
{
	struct shortened s = {.end = DNS_HEADER_LEN, .lost = true}; /* until it could be read */
	struct dns_walk w;
	struct dns_record r;
	size_t at;
	bool full = false;

	if (dns_walk_start(&w, msg) != ERR_OK)
		return s;
	s.end = w.at;
	s.lost = false;
	s.count[0] = u16_at(msg, COUNTS_AT);
	for (at = w.at; dns_walk_next(&w, &r); at = w.at)
		if (r.type == DNS_TYPE_OPT && r.section == 3)
			s.opt = span_of(msg.p + at, w.at - at);
	if (dns_walk_start(&w, msg) != ERR_OK)
		return s;
	for (at = w.at; dns_walk_next(&w, &r); at = w.at) {
		size_t len = w.at - at;

		if (r.type == DNS_TYPE_OPT && r.section == 3)
			continue;
		/* what stood behind OPT moves: its pointers stay right only when nothing pointed behind OPT */
		full = full || s.end + len + s.opt.n > len_max ||
		       (s.opt.n > 0 && msg.p + at > s.opt.p);
		s.lost = s.lost || (full && r.section < 3);
		if (!full) {
			s.end = at + len;
			s.count[r.section]++;
		}
	}
	s.lost = s.lost || w.failed;
	return s;
}

size_t dns_msg_shorten(uint8_t *msg, size_t len, size_t len_max)
{
	struct shortened s;
	unsigned int flags;

	CHECK(len >= DNS_HEADER_LEN && len_max >= DNS_UDP_LEN);
	if (len <= len_max)
		return len;
	s = choose(span_of(msg, len), len_max);
	if (s.end + s.opt.n > len_max) { /* cannot be read, or questions without end */
		s = (struct shortened){.end = DNS_HEADER_LEN, .lost = true};
	}
	if (s.opt.n > 0) {
		memmove(msg + s.end, s.opt.p, s.opt.n);
		s.end += s.opt.n;
		s.count[3]++;
	}
	flags = u16_at(span_of(msg, len), FLAGS_AT);
	set_u16(msg + FLAGS_AT, flags | (s.lost ? FLAG_TC : 0));
	for (size_t i = 0; i < 4; i++)
		set_u16(msg + COUNTS_AT + 2 * i, s.count[i]);
	return s.end;
}

void dns_msg_age(uint8_t *msg, size_t len, uint32_t age_s)
{
	struct dns_walk w;
	struct dns_record r;

	if (dns_walk_start(&w, span_of(msg, len)) != ERR_OK)
		return;
	while (dns_walk_next(&w, &r))
		if (r.type != DNS_TYPE_OPT)
			set_u32(msg + r.ttl_at, r.ttl > age_s ? r.ttl - age_s : 0);
}
