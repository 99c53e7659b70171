/* SPDX-License-Identifier: Apache-2.0 */
#include "common/tls/der_msg.h"

#include <stdio.h>
#include <time.h>

#include "common/base/check.h"

enum {
	DER_LEN_OCTETS_MAX = 3, /* of a long-form length: 16 MB is more than any certificate */
	DER_ROOM = 4,           /* what der_begin leaves: tag and 0x82 nn nn */
};

struct span der_any(struct rd *r, uint8_t *ret_tag)
{
	uint8_t tag = rd_u8(r);
	size_t len = rd_u8(r);

	if ((tag & 0x1f) == 0x1f)
		rd_fail(r); /* high tag numbers do not occur in what we read */
	if (len >= 0x80) {
		size_t octets = len & 0x7f;

		if (octets == 0 || octets > DER_LEN_OCTETS_MAX) {
			rd_fail(r);
			octets = 1;
		}
		len = rd_uint(r, octets);
		if (len < 0x80 || len >> (8 * (octets - 1)) == 0)
			rd_fail(r);
	}
	*ret_tag = tag;
	return rd_bytes(r, len);
}

struct span der_get(struct rd *r, uint8_t tag)
{
	uint8_t got = 0;
	struct span s = der_any(r, &got);

	if (!rd_failed(r) && got == tag)
		return s;
	rd_fail(r);
	return span_of(NULL, 0);
}

bool der_maybe(struct rd *r, uint8_t tag, struct span *ret_content)
{
	if (rd_left(r) == 0 || r->p[0] != tag)
		return false;
	*ret_content = der_get(r, tag);
	return !rd_failed(r);
}

struct span der_whole(struct rd *r, uint8_t tag)
{
	const uint8_t *start = r->p;
	struct span s = der_get(r, tag);

	return rd_failed(r) ? s : span_of(start, (size_t)(s.p + s.n - start));
}

bool der_bool(struct rd *r)
{
	struct span s = der_get(r, DER_BOOLEAN);

	if (s.n != 1 || (s.p[0] != 0 && s.p[0] != 0xff)) {
		rd_fail(r);
		return false;
	}
	return s.p[0] != 0;
}

static int two_digits(struct rd *r)
{
	uint8_t tens = rd_u8(r), ones = rd_u8(r);

	if (tens < '0' || tens > '9' || ones < '0' || ones > '9') {
		rd_fail(r);
		return 0;
	}
	return (tens - '0') * 10 + (ones - '0');
}

int64_t der_time(struct rd *r)
{
	struct tm tm = {0}, back = {0};
	uint8_t tag = 0;
	struct rd t = rd_of(der_any(r, &tag));
	int year;
	time_t wall;

	year = two_digits(&t);
	if (tag == DER_GENERALIZED_TIME)
		year = year * 100 + two_digits(&t);
	else
		year += year < 50 ? 2000 : 1900; /* RFC 5280 4.1.2.5.1 */
	tm.tm_year = year - 1900;
	tm.tm_mon = two_digits(&t) - 1;
	tm.tm_mday = two_digits(&t);
	tm.tm_hour = two_digits(&t);
	tm.tm_min = two_digits(&t);
	tm.tm_sec = two_digits(&t);
	if (rd_u8(&t) != 'Z' || rd_left(&t) != 0 || rd_failed(&t) ||
	    (tag != DER_UTC_TIME && tag != DER_GENERALIZED_TIME)) {
		rd_fail(r);
		return 0;
	}
	back = tm;
	wall = timegm(&back);
	if (back.tm_mon != tm.tm_mon || back.tm_mday != tm.tm_mday || back.tm_hour != tm.tm_hour ||
	    back.tm_min != tm.tm_min || back.tm_sec != tm.tm_sec) {
		rd_fail(r); /* the 31st of June */
		return 0;
	}
	return wall;
}

size_t der_begin(struct buf *b, uint8_t tag)
{
	const uint8_t room[DER_ROOM] = {tag};
	size_t mark = b->n;

	buf_put(b, span_of(room, sizeof(room)));
	return mark;
}

void der_end(struct buf *b, size_t mark)
{
	size_t len, spare;
	uint8_t *head;

	if (b->failed)
		return;
	head = b->p + mark;
	len = b->n - mark - DER_ROOM;
	CHECK(len <= UINT16_MAX);
	if (len >= 0x100) {
		head[1] = 0x82;
		head[2] = (uint8_t)(len >> 8);
		head[3] = (uint8_t)len;
		return;
	}
	if (len >= 0x80) {
		head[1] = 0x81;
		head[2] = (uint8_t)len;
		spare = 1;
	} else {
		head[1] = (uint8_t)len;
		spare = 2;
	}
	memmove(head + DER_ROOM - spare, head + DER_ROOM, len);
	b->n -= spare;
}

void der_put(struct buf *b, uint8_t tag, struct span content)
{
	size_t mark = der_begin(b, tag);

	buf_put(b, content);
	der_end(b, mark);
}

void der_put_bool(struct buf *b, bool v)
{
	const uint8_t octet = v ? 0xff : 0;

	der_put(b, DER_BOOLEAN, span_of(&octet, 1));
}

void der_put_small(struct buf *b, uint8_t v)
{
	der_put(b, DER_INTEGER, span_of(&v, 1));
}

void der_put_unsigned(struct buf *b, struct span big_endian)
{
	size_t mark = der_begin(b, DER_INTEGER);

	while (big_endian.n > 1 && big_endian.p[0] == 0)
		big_endian = span_of(big_endian.p + 1, big_endian.n - 1);
	if (big_endian.n == 0 || (big_endian.p[0] & 0x80) != 0)
		buf_put_u8(b, 0);
	buf_put(b, big_endian);
	der_end(b, mark);
}

void der_put_time(struct buf *b, int64_t wall_s)
{
	struct tm tm = {0};
	char text[64];
	time_t wall = wall_s;
	bool utc;
	int year;

	(void)gmtime_r(&wall, &tm);
	year = tm.tm_year + 1900;
	utc = year >= 1950 && year < 2050; /* RFC 5280 4.1.2.5 */
	(void)snprintf(text, sizeof(text), "%0*d%02d%02d%02d%02d%02dZ", utc ? 2 : 4,
	               utc ? year % 100 : year, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
	               tm.tm_sec);
	der_put(b, utc ? DER_UTC_TIME : DER_GENERALIZED_TIME, span_str(text));
}
