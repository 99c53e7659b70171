/* SPDX-License-Identifier: Apache-2.0 */
#include "common/hbone/proxy_v2.h"

#include <string.h>

#include "common/base/rd.h"

static const uint8_t signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
                                      0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

enum {
	COMMAND_LOCAL = 0x20,
	COMMAND_PROXY = 0x21,
	TCP_OVER_V4 = 0x11,
	TCP_OVER_V6 = 0x21,
};

static uint8_t *put_u16(uint8_t *p, size_t v)
{
	*p++ = (uint8_t)(v >> 8);
	*p++ = (uint8_t)v;
	return p;
}

static uint8_t *put_ip(uint8_t *p, const struct ip *ip, bool v4)
{
	if (v4) {
		memcpy(p, ip->bytes, 4);
		return p + 4;
	}
	ip_to_mapped(ip, p);
	return p + 16;
}

enum err proxy_v2_build(const struct proxy_v2 *h, uint8_t out[PROXY_V2_LEN_MAX], size_t *ret_len)
{
	bool v4 = h->source.ip.family == IP_V4 && h->destination.ip.family == IP_V4;
	uint8_t *p = out, *len_at;

	if (h->identity.n > PROXY_V2_IDENTITY_MAX)
		return ERR_LIMIT;
	memcpy(p, signature, sizeof(signature));
	p += sizeof(signature);
	*p++ = COMMAND_PROXY;
	*p++ = v4 ? TCP_OVER_V4 : TCP_OVER_V6;
	len_at = p;
	p += 2;
	p = put_ip(p, &h->source.ip, v4);
	p = put_ip(p, &h->destination.ip, v4);
	p = put_u16(p, h->source.port);
	p = put_u16(p, h->destination.port);
	if (h->identity.n > 0) {
		*p++ = PROXY_V2_TLV_IDENTITY;
		p = put_u16(p, h->identity.n);
		memcpy(p, h->identity.p, h->identity.n);
		p += h->identity.n;
	}
	(void)put_u16(len_at, (size_t)(p - out) - PROXY_V2_HEAD);
	*ret_len = (size_t)(p - out);
	return ERR_OK;
}

static void read_ip(struct rd *r, size_t len, struct ip *ip)
{
	struct span b = rd_bytes(r, len);

	if (b.n != len || ip_of_bytes(b, ip) != ERR_OK)
		rd_fail(r);
}

static void read_tlvs(struct rd *r, struct proxy_v2 *h)
{
	while (rd_left(r) > 0) {
		uint8_t type = rd_u8(r);
		uint16_t len = rd_u16(r);
		struct span value = rd_bytes(r, len);

		if (type == PROXY_V2_TLV_IDENTITY && value.n > PROXY_V2_IDENTITY_MAX)
			rd_fail(r);
		else if (type == PROXY_V2_TLV_IDENTITY)
			h->identity = value;
	}
}

enum err proxy_v2_parse(struct span in, struct proxy_v2 *ret_header, size_t *ret_len)
{
	struct proxy_v2 h = {0};
	struct rd r = rd_of(in);
	uint8_t command, family;
	uint16_t len;
	size_t ip_len;

	rd_skip(&r, sizeof(signature));
	command = rd_u8(&r);
	family = rd_u8(&r);
	len = rd_u16(&r);
	ip_len = family == TCP_OVER_V4 ? 4 : 16;
	if (in.n > 0 &&
	    memcmp(in.p, signature, in.n < sizeof(signature) ? in.n : sizeof(signature)) != 0)
		return ERR_PARSE;
	if (rd_failed(&r))
		return ERR_EOF;
	if (command != COMMAND_PROXY)
		return command == COMMAND_LOCAL ? ERR_UNSUPPORTED : ERR_PARSE;
	if (family != TCP_OVER_V4 && family != TCP_OVER_V6)
		return ERR_UNSUPPORTED;
	if (rd_left(&r) < len)
		return ERR_EOF;
	r = rd_of(span_of(in.p + PROXY_V2_HEAD, len));
	read_ip(&r, ip_len, &h.source.ip);
	read_ip(&r, ip_len, &h.destination.ip);
	h.source.port = rd_u16(&r);
	h.destination.port = rd_u16(&r);
	read_tlvs(&r, &h);
	if (rd_failed(&r))
		return ERR_PARSE;
	*ret_header = h;
	*ret_len = PROXY_V2_HEAD + (size_t)len;
	return ERR_OK;
}
