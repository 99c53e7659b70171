/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * capture_logic - what the capture programs decide. Pure: also compiled on the host by tests/bpf.
 */
#ifndef BPF_CAPTURE_LOGIC_H
#define BPF_CAPTURE_LOGIC_H

#include "bpf/capture_shared.h"

#ifndef CAPTURE_INLINE
#define CAPTURE_INLINE static inline __attribute__((always_inline))
#endif

/* Two network-order bytes, wherever this is compiled. */
CAPTURE_INLINE __u16 capture_swap16(__u16 v)
{
	return (__u16)__builtin_bswap16(v);
}

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define CAPTURE_NET16(v) capture_swap16((__u16)(v))
#define CAPTURE_NET32(v) __builtin_bswap32((__u32)(v))
#else
#define CAPTURE_NET16(v) ((__u16)(v))
#define CAPTURE_NET32(v) ((__u32)(v))
#endif

CAPTURE_INLINE struct capture_addr capture_addr_of_v4(__u32 net_order)
{
	return (struct capture_addr){{0, 0, CAPTURE_NET32(0xffff), net_order}};
}

CAPTURE_INLINE int capture_addr_eq(const struct capture_addr *a, const struct capture_addr *b)
{
	return ((a->w[0] ^ b->w[0]) | (a->w[1] ^ b->w[1]) | (a->w[2] ^ b->w[2]) |
	        (a->w[3] ^ b->w[3])) == 0;
}

/* 127.0.0.0/8, mapped or not, and ::1. */
CAPTURE_INLINE int capture_addr_is_loopback(const struct capture_addr *a)
{
	if (a->w[0] | a->w[1])
		return 0;
	if (a->w[2] == CAPTURE_NET32(0xffff))
		return (a->w[3] & CAPTURE_NET32(0xff000000)) == CAPTURE_NET32(0x7f000000);
	return a->w[2] == 0 && a->w[3] == CAPTURE_NET32(1);
}

CAPTURE_INLINE __u32 capture_mark(__u32 old)
{
	return (old & ~CAPTURE_MARK_MASK) | CAPTURE_MARK;
}

/* What becomes of a connect(), seen before its SYN is built. */
enum capture_connect {
	CAPTURE_CONNECT_LEAVE,       /* as it is */
	CAPTURE_CONNECT_RECORD_NODE, /* as it is, and not captured where it arrives */
	CAPTURE_CONNECT_RECORD_POD,  /* the same, made by the pod's own proxy */
	CAPTURE_CONNECT_STEER,       /* to the proxy */
};

struct capture_connect_facts {
	int from_node; /* the socket is of the node's own namespace */
	int to_loopback;
	int to_pod;      /* the destination is an address of an enrolled pod */
	__u32 pod_flags; /* of the socket's namespace; 0 when not enrolled */
	__u32 zt_kind;   /* enum capture_ztsock_kind */
};

CAPTURE_INLINE enum capture_connect capture_decide_connect(const struct capture_connect_facts *f)
{
	if (f->from_node)
		return f->to_pod && !f->to_loopback ? CAPTURE_CONNECT_RECORD_NODE
		                                    : CAPTURE_CONNECT_LEAVE;
	if (f->zt_kind == CAPTURE_ZT_APP)
		return CAPTURE_CONNECT_RECORD_POD;
	if (f->zt_kind != CAPTURE_ZT_NONE)
		return CAPTURE_CONNECT_LEAVE;
	if (!(f->pod_flags & CAPTURE_POD_OUT) || f->to_loopback)
		return CAPTURE_CONNECT_LEAVE;
	return CAPTURE_CONNECT_STEER;
}

/* What becomes of a packet that opens something inside a pod. */
enum capture_arrival {
	CAPTURE_ARRIVAL_PASS,
	CAPTURE_ARRIVAL_OUT, /* the pod's own, on its way out: CAPTURE_OUT */
	CAPTURE_ARRIVAL_DNS, /* the same, to a resolver: capture_dns_kind */
	CAPTURE_ARRIVAL_INBOUND, /* from elsewhere: CAPTURE_INPLAIN or _HBONE unless its tuple is recorded */
};

struct capture_arrival_facts {
	int udp;
	int local_is_loopback;
	int local_is_own, remote_is_own; /* an address of this pod */
	int ends_equal;                  /* both addresses are the same one */
	int from_lo, from_virt;          /* arrived by loopback, by an inner bridge */
	__u16 local_port;                /* host order */
	__u32 flags;                     /* CAPTURE_POD_* */
};

/*
 * from_lo is not the device: a packet through lo to an address of eth0 reports eth0. Hence what is the pod's own
 * is told by the addresses first.
 */
CAPTURE_INLINE enum capture_arrival capture_decide_arrival(const struct capture_arrival_facts *f)
{
	if ((f->udp && f->local_port != 53) || f->local_is_loopback)
		return CAPTURE_ARRIVAL_PASS;
	if (!f->local_is_own && (f->from_lo || f->remote_is_own || f->from_virt)) {
		if (f->udp)
			return f->flags & CAPTURE_POD_DNS ? CAPTURE_ARRIVAL_DNS
			                                  : CAPTURE_ARRIVAL_PASS;
		if (f->local_port == 53 && (f->flags & CAPTURE_POD_DNS))
			return CAPTURE_ARRIVAL_DNS;
		return CAPTURE_ARRIVAL_OUT;
	}
	if (f->udp || !(f->flags & CAPTURE_POD_INBOUND))
		return CAPTURE_ARRIVAL_PASS;
	if (f->remote_is_own || f->ends_equal)
		return CAPTURE_ARRIVAL_PASS; /* the pod to itself */
	return CAPTURE_ARRIVAL_INBOUND;
}

/* The listener for a question to a resolver. */
CAPTURE_INLINE enum capture_kind capture_dns_kind(int udp, int v6)
{
	if (udp)
		return v6 ? CAPTURE_DNS_UDP6 : CAPTURE_DNS_UDP;
	return v6 ? CAPTURE_DNS_TCP6 : CAPTURE_DNS_TCP;
}

/*
 * The listener slot. Not a hash: the worker must be predictable from the client's port, as a worker chooses
 * the ports it spoofs among its own (spoof_ports.h). Linux gives connect() even ports first, hence the shift.
 */
CAPTURE_INLINE __u32 capture_slot(enum capture_kind kind, __u16 remote_port_host, __u32 workers)
{
	if (workers == 0 || workers > CAPTURE_WORKERS_MAX)
		workers = 1;
	return (__u32)kind * CAPTURE_WORKERS_MAX + ((__u32)remote_port_host >> 1) % workers;
}

/* What the guard makes of a packet that leaves the pod. */
enum capture_leaving {
	CAPTURE_LEAVING_FINE,
	CAPTURE_LEAVING_OPENS, /* a SYN: fine only from a socket of the proxy */
	CAPTURE_LEAVING_HIDES, /* TCP, but its flags cannot be seen: nobody sends that in good faith */
	CAPTURE_LEAVING_ASKS, /* a question to a resolver: goes to the proxy, but its own */
};

/* flags: octet 13 of the TCP header, meaningful with have_flags. frag_offset: in octets. */
CAPTURE_INLINE enum capture_leaving capture_decide_leaving(__u32 frag_offset, int have_flags,
                                                           __u8 flags)
{
	if (frag_offset > 0)
		return frag_offset < 20 ? CAPTURE_LEAVING_HIDES : CAPTURE_LEAVING_FINE;
	if (!have_flags)
		return CAPTURE_LEAVING_HIDES;
	return (flags & 0x12) == 0x02 ? CAPTURE_LEAVING_OPENS : CAPTURE_LEAVING_FINE;
}

/* The same of a datagram; port: its destination's, meaningful with have_port. A later fragment has none. */
CAPTURE_INLINE enum capture_leaving capture_decide_datagram(__u32 frag_offset, int have_port,
                                                            __u16 port_host)
{
	return frag_offset == 0 && have_port && port_host == 53 ? CAPTURE_LEAVING_ASKS
	                                                        : CAPTURE_LEAVING_FINE;
}

#endif
