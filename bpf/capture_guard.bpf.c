/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * capture_guard - egress of a pod's uplink: a second line behind capture_egress.
 *
 * A TCP connection that leaves an enrolled pod was opened by the proxy or it is a leak: a raw socket, a forwarded
 * packet of a nested namespace, or our mistake.
 *
 * And the first line for questions to resolvers: a datagram has no moment like a connect at which its socket could be
 * marked, so it is turned round here, marked, into lo, where the mark's rule delivers it. A rule by port would do
 * as well on the way out, but also be asked about the way back of every answer, which then has the wrong device.
 *
 * Attached by tcx, before Linux 6.6 by clsact.
 */
#include "bpf/capture_maps.h"

struct cfg_map cfg SEC(".maps");
struct ztsock_map ztsock SEC(".maps");

#define TCX_NEXT (-1) /* also TC_ACT_UNSPEC: whoever comes after us decides */
#define TCX_DROP 2    /* also TC_ACT_SHOT */

#define LO_IFINDEX 1

#define ETH_LEN     14
#define ETH_P_IP    0x0800
#define ETH_P_IPV6  0x86dd
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define EXT_MAX     6 /* IPv6 extension headers looked through; more is hiding */

static __always_inline enum capture_leaving tcp_leaving(struct __sk_buff *skb, __u32 at,
                                                        __u32 frag_offset)
{
	__u8 flags = 0;
	int have = frag_offset == 0 && bpf_skb_load_bytes(skb, at + 13, &flags, 1) == 0;

	return capture_decide_leaving(frag_offset, have, flags);
}

static __always_inline enum capture_leaving udp_leaving(struct __sk_buff *skb, __u32 at,
                                                        __u32 frag_offset)
{
	__u16 port = 0;
	int have = frag_offset == 0 && bpf_skb_load_bytes(skb, at + 2, &port, 2) == 0;

	return capture_decide_datagram(frag_offset, have, CAPTURE_NET16(port));
}

static __always_inline enum capture_leaving leaving_v4(struct __sk_buff *skb, __u32 at)
{
	__u8 head[20];
	__u32 frag;

	if (bpf_skb_load_bytes(skb, at, head, sizeof(head)))
		return CAPTURE_LEAVING_FINE;
	frag = (((__u32)head[6] & 0x1f) << 8 | head[7]) * 8;
	if (head[9] == IPPROTO_UDP)
		return udp_leaving(skb, at + (head[0] & 0x0f) * 4u, frag);
	if (head[9] != IPPROTO_TCP)
		return CAPTURE_LEAVING_FINE;
	return tcp_leaving(skb, at + (head[0] & 0x0f) * 4u, frag);
}

static __always_inline enum capture_leaving leaving_v6(struct __sk_buff *skb, __u32 at)
{
	__u8 next, ext[8];
	__u32 frag = 0;

	if (bpf_skb_load_bytes(skb, at + 6, &next, 1))
		return CAPTURE_LEAVING_FINE;
	at += 40;
#pragma unroll
	for (int i = 0; i < EXT_MAX; i++) {
		if (next == IPPROTO_TCP)
			return tcp_leaving(skb, at, frag);
		if (next == IPPROTO_UDP)
			return udp_leaving(skb, at, frag);
		if (next != 0 && next != 43 && next != 44 && next != 60 && next != 51)
			return CAPTURE_LEAVING_FINE; /* another protocol */
		if (bpf_skb_load_bytes(skb, at, ext, sizeof(ext)))
			return CAPTURE_LEAVING_FINE; /* nothing behind it: no TCP either */
		if (next == 44) {
			frag = ((__u32)ext[2] << 8 | ext[3]) & 0xfff8;
			at += 8;
		} else if (next == 51) {
			at += ((__u32)ext[1] + 2) * 4;
		} else {
			at += ((__u32)ext[1] + 1) * 8;
		}
		next = ext[0];
	}
	return CAPTURE_LEAVING_HIDES;
}

static __always_inline int is_proxy_socket(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;

	if (!sk)
		return 0;
	sk = bpf_sk_fullsock(sk);
	return sk && bpf_sk_storage_get(&ztsock, sk, 0, 0) != 0;
}

/* Into the namespace again, by lo; addresses, and so the resolver that was asked, stay. */
static __always_inline int turn(struct __sk_buff *skb)
{
	const __u8 to_lo[6] = {0}; /* its hardware address, or it would be somebody else's packet */

	if (bpf_skb_store_bytes(skb, 0, to_lo, sizeof(to_lo), 0))
		return TCX_DROP;
	skb->mark = capture_mark(skb->mark);
	count(CAPTURE_STAT_TURNED);
	return bpf_redirect(LO_IFINDEX, BPF_F_INGRESS);
}

static __always_inline int guard(struct __sk_buff *skb, __u32 at)
{
	enum capture_leaving leaving = CAPTURE_LEAVING_FINE;
	struct capture_cfg *c;
	__u32 zero = 0;

	if (skb->protocol == CAPTURE_NET16(ETH_P_IP))
		leaving = leaving_v4(skb, at);
	else if (skb->protocol == CAPTURE_NET16(ETH_P_IPV6))
		leaving = leaving_v6(skb, at);
	if (leaving == CAPTURE_LEAVING_FINE ||
	    (leaving != CAPTURE_LEAVING_HIDES && is_proxy_socket(skb)))
		return TCX_NEXT;
	c = bpf_map_lookup_elem(&cfg, &zero);
	if (!c)
		return TCX_NEXT;
	if (leaving == CAPTURE_LEAVING_ASKS)
		return c->flags & CAPTURE_POD_DNS ? turn(skb) : TCX_NEXT;
	if (c->guard == CAPTURE_GUARD_OFF)
		return TCX_NEXT;
	count(CAPTURE_STAT_GUARD_HIT);
	return c->guard == CAPTURE_GUARD_ENFORCE ? TCX_DROP : TCX_NEXT;
}

SEC("tc")
int capture_guard(struct __sk_buff *skb)
{
	return guard(skb, ETH_LEN);
}

char _license[] SEC("license") = "Dual BSD/GPL";
