/* SPDX-License-Identifier: Apache-2.0 */
#include "ztunnel/capture/datagram.h"

#include <netinet/in.h>
#include <string.h>

enum {
	IP4_HEAD = 20,
	IP6_HEAD = 40,
	UDP_HEAD = 8,
	HOPS = 64, /* it goes over loopback, or one device further */
};

bool datagram_original_dst(const struct msghdr *msg, struct endpoint *ret_dst)
{
	/* CMSG_NXTHDR asks for a header it could write to */
	struct msghdr *m = (struct msghdr *)(uintptr_t)msg;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
		struct sockaddr_storage ss = {0};
		size_t n;

		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_ORIGDSTADDR)
			n = sizeof(struct sockaddr_in);
		else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_ORIGDSTADDR)
			n = sizeof(struct sockaddr_in6);
		else
			continue;
		if (c->cmsg_len < CMSG_LEN(n))
			continue;
		memcpy(&ss, CMSG_DATA(c), n);
		*ret_dst = endpoint_of_sockaddr(&ss);
		if (ret_dst->ip.family != IP_NONE)
			return true;
	}
	return false;
}

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* One's complement sum of 16-bit words, RFC 1071; an odd last octet is the upper half of a word. */
static uint32_t sum(uint32_t acc, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i + 1 < n; i += 2)
		acc += (uint32_t)p[i] << 8 | p[i + 1];
	if (n % 2 != 0)
		acc += (uint32_t)p[n - 1] << 8;
	while (acc > 0xffff)
		acc = (acc & 0xffff) + (acc >> 16);
	return acc;
}

static void put_udp(uint8_t *udp, const struct endpoint *from, const struct endpoint *to,
                    struct span payload)
{
	size_t addr_len = from->ip.family == IP_V4 ? 4 : 16;
	uint32_t len = (uint32_t)(UDP_HEAD + payload.n);
	uint32_t acc = IPPROTO_UDP + len; /* of the pseudo header */

	put16(udp, from->port);
	put16(udp + 2, to->port);
	put16(udp + 4, len);
	put16(udp + 6, 0);
	acc = sum(acc, from->ip.bytes, addr_len);
	acc = sum(acc, to->ip.bytes, addr_len);
	acc = sum(acc, udp, UDP_HEAD);
	acc = ~sum(acc, payload.p, payload.n) & 0xffff;
	put16(udp + 6, acc == 0 ? 0xffff : acc); /* 0 would mean: none */
}

static void put_ip4(uint8_t *ip, const struct endpoint *from, const struct endpoint *to,
                    size_t total)
{
	memset(ip, 0, IP4_HEAD);
	ip[0] = 0x45;
	put16(ip + 2, (uint32_t)total);
	ip[8] = HOPS;
	ip[9] = IPPROTO_UDP;
	memcpy(ip + 12, from->ip.bytes, 4);
	memcpy(ip + 16, to->ip.bytes, 4);
	put16(ip + 10, ~sum(0, ip, IP4_HEAD) & 0xffff);
}

static void put_ip6(uint8_t *ip, const struct endpoint *from, const struct endpoint *to, size_t len)
{
	memset(ip, 0, IP6_HEAD);
	ip[0] = 0x60;
	put16(ip + 4, (uint32_t)len);
	ip[6] = IPPROTO_UDP;
	ip[7] = HOPS;
	memcpy(ip + 8, from->ip.bytes, 16);
	memcpy(ip + 24, to->ip.bytes, 16);
}

size_t datagram_head(const struct endpoint *from, const struct endpoint *to, struct span payload,
                     uint8_t head[DATAGRAM_HEAD_MAX])
{
	bool v4 = from->ip.family == IP_V4;
	size_t ip_head = v4 ? IP4_HEAD : IP6_HEAD;

	if (from->ip.family != to->ip.family || from->ip.family == IP_NONE ||
	    payload.n > DATAGRAM_BYTES_MAX)
		return 0;
	if (v4)
		put_ip4(head, from, to, IP4_HEAD + UDP_HEAD + payload.n);
	else
		put_ip6(head, from, to, UDP_HEAD + payload.n);
	put_udp(head + ip_head, from, to, payload);
	return ip_head + UDP_HEAD;
}
