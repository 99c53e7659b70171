/* SPDX-License-Identifier: Apache-2.0 */
#include "common/dns/udp_packet.h"

#include <string.h>

enum {
	UDP_HEAD = 8,
	IP_TTL_HOPS = 64,
	CHECKSUM_AT = 6, /* in the UDP header */
};

static void put_u16(struct buf *out, unsigned int v)
{
	buf_put_u8(out, (uint8_t)(v >> 8));
	buf_put_u8(out, (uint8_t)v);
}

/* Add octets as 16-bit words, RFC 1071. */
static uint32_t sum(uint32_t acc, struct span s)
{
	for (size_t i = 0; i + 1 < s.n; i += 2)
		acc += (uint32_t)(s.p[i] << 8 | s.p[i + 1]);
	if (s.n % 2 != 0)
		acc += (uint32_t)s.p[s.n - 1] << 8;
	return (acc & 0xffff) + (acc >> 16);
}

static unsigned int checksum(const struct endpoint *from, const struct endpoint *to,
                             struct span udp)
{
	size_t addr_len = from->ip.family == IP_V4 ? 4 : 16;
	uint32_t acc = (uint32_t)udp.n + IPPROTO_UDP;

	acc = sum(acc, span_of(from->ip.bytes, addr_len));
	acc = sum(acc, span_of(to->ip.bytes, addr_len));
	acc = sum(acc, udp);
	acc = (acc & 0xffff) + (acc >> 16);
	acc = ~acc & 0xffff;
	return acc != 0 ? acc : 0xffff; /* 0 would say that there is none */
}

static void put_ip_head(struct buf *out, const struct endpoint *from, const struct endpoint *to,
                        size_t udp_len)
{
	if (from->ip.family == IP_V4) {
		put_u16(out, 0x4500);
		put_u16(out, (unsigned int)udp_len + 20);
		put_u16(out, 0); /* id */
		put_u16(out, 0);
		buf_put_u8(out, IP_TTL_HOPS);
		buf_put_u8(out, IPPROTO_UDP);
		put_u16(out, 0); /* checksum */
		buf_put(out, span_of(from->ip.bytes, 4));
		buf_put(out, span_of(to->ip.bytes, 4));
		return;
	}
	put_u16(out, 0x6000);
	put_u16(out, 0);
	put_u16(out, (unsigned int)udp_len);
	buf_put_u8(out, IPPROTO_UDP);
	buf_put_u8(out, IP_TTL_HOPS);
	buf_put(out, span_of(from->ip.bytes, 16));
	buf_put(out, span_of(to->ip.bytes, 16));
}

enum err udp_packet_write(const struct endpoint *from, const struct endpoint *to,
                          struct span payload, struct buf *out)
{
	size_t udp_at;
	unsigned int check;

	if (from->ip.family != to->ip.family || from->ip.family == IP_NONE)
		return ERR_CONFIG;
	if (payload.n > UDP_PAYLOAD_MAX)
		return ERR_LIMIT;
	put_ip_head(out, from, to, UDP_HEAD + payload.n);
	udp_at = out->n;
	put_u16(out, from->port);
	put_u16(out, to->port);
	put_u16(out, (unsigned int)(UDP_HEAD + payload.n));
	put_u16(out, 0);
	buf_put(out, payload);
	if (buf_status(out) != ERR_OK)
		return ERR_LIMIT;
	check = checksum(from, to, span_of(out->p + udp_at, out->n - udp_at));
	out->p[udp_at + CHECKSUM_AT] = (uint8_t)(check >> 8);
	out->p[udp_at + CHECKSUM_AT + 1] = (uint8_t)check;
	return ERR_OK;
}
