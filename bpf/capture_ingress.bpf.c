/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * capture_ingress - sk_lookup, one instance per pod: picks the proxy's listener inside the pod.
 *
 * Runs only for packets no connection claims. Never fails open: without a listener the packet is refused.
 */
#include "bpf/capture_maps.h"

#include <bpf/bpf_core_read.h>

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, CAPTURE_SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} socks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CAPTURE_OWN_MAX);
	__type(key, struct capture_addr);
	__type(value, __u32);
} own SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CAPTURE_VIRT_MAX);
	__type(key, __u32); /* ifindex */
	__type(value, __u32);
} virt SEC(".maps");

struct cfg_map cfg SEC(".maps");
struct passconn_map passconn SEC(".maps");

#define IPPROTO_UDP 17
#define LO_IFINDEX  1

/* To ask the running kernel's types whether the field is there (5.17). */
struct bpf_sk_lookup___ifindex {
	__u32 ingress_ifindex;
} __attribute__((preserve_access_index));

static __always_inline int assign(struct bpf_sk_lookup *lookup, enum capture_kind kind,
                                  __u32 workers, enum capture_stat stat)
{
	__u32 slot = capture_slot(
		kind, CAPTURE_NET16(CTX_U32(lookup, struct bpf_sk_lookup, remote_port) & 0xffff),
		workers);
	struct bpf_sock *sk = bpf_map_lookup_elem(&socks, &slot);
	long failed;

	if (!sk) {
		count(CAPTURE_STAT_NO_LISTENER);
		return SK_DROP;
	}
	/* NO_REUSEPORT: a listener of another generation must not get its share */
	failed = bpf_sk_assign(lookup, sk, BPF_SK_LOOKUP_F_REPLACE | BPF_SK_LOOKUP_F_NO_REUSEPORT);
	bpf_sk_release(sk);
	count(failed ? CAPTURE_STAT_NO_LISTENER : stat);
	return failed ? SK_DROP : SK_PASS;
}

static __always_inline int is_recorded(struct capture_tuple *t, __u32 id)
{
	t->id = CAPTURE_ID_NODE;
	if (bpf_map_lookup_elem(&passconn, t))
		return 1;
	t->id = id;
	return bpf_map_lookup_elem(&passconn, t) != 0;
}

static __always_inline int ends_of(struct bpf_sk_lookup *lookup, struct capture_tuple *t)
{
	__u32 family = CTX_U32(lookup, struct bpf_sk_lookup, family);

	if (family == AF_INET) {
		t->local = capture_addr_of_v4(CTX_U32(lookup, struct bpf_sk_lookup, local_ip4));
		t->remote = capture_addr_of_v4(CTX_U32(lookup, struct bpf_sk_lookup, remote_ip4));
	} else if (family == AF_INET6) {
		t->local = CTX_ADDR6(lookup, struct bpf_sk_lookup, local_ip6);
		t->remote = CTX_ADDR6(lookup, struct bpf_sk_lookup, remote_ip6);
	} else {
		return 0;
	}
	t->local_port = CAPTURE_NET16(CTX_U32(lookup, struct bpf_sk_lookup, local_port));
	t->remote_port = CTX_U32(lookup, struct bpf_sk_lookup, remote_port) & 0xffff;
	return 1;
}

SEC("sk_lookup")
int capture_ingress(struct bpf_sk_lookup *lookup)
{
	struct capture_arrival_facts f = {};
	struct capture_tuple t = {};
	struct capture_cfg *c;
	__u32 zero = 0, ifindex;
	int v6;

	c = bpf_map_lookup_elem(&cfg, &zero);
	if (!c || !ends_of(lookup, &t))
		return SK_PASS;
	f.udp = CTX_U32(lookup, struct bpf_sk_lookup, protocol) == IPPROTO_UDP;
	f.local_port = CAPTURE_NET16(t.local_port);
	f.flags = c->flags;
	f.local_is_loopback = capture_addr_is_loopback(&t.local);
	f.local_is_own = bpf_map_lookup_elem(&own, &t.local) != 0;
	f.remote_is_own = bpf_map_lookup_elem(&own, &t.remote) != 0;
	f.ends_equal = capture_addr_eq(&t.local, &t.remote);
	if (bpf_core_field_exists(((struct bpf_sk_lookup___ifindex *)0)->ingress_ifindex)) {
		ifindex = CTX_U32(lookup, struct bpf_sk_lookup, ingress_ifindex);
		f.from_lo = ifindex == LO_IFINDEX;
		f.from_virt = bpf_map_lookup_elem(&virt, &ifindex) != 0;
	} else {
		f.from_lo = 1; /* a foreign destination is then told by its address alone */
	}

	switch (capture_decide_arrival(&f)) {
	case CAPTURE_ARRIVAL_PASS: return SK_PASS;
	case CAPTURE_ARRIVAL_OUT:
		return assign(lookup, CAPTURE_OUT, c->workers, CAPTURE_STAT_TO_OUT);
	case CAPTURE_ARRIVAL_DNS:
		v6 = CTX_U32(lookup, struct bpf_sk_lookup, family) == AF_INET6;
		return assign(lookup, capture_dns_kind(f.udp, v6), 1, CAPTURE_STAT_TO_DNS);
	case CAPTURE_ARRIVAL_INBOUND: break;
	}
	if (is_recorded(&t, c->id)) {
		count(CAPTURE_STAT_PASSED);
		return SK_PASS;
	}
	if (f.local_port == 15008)
		return assign(lookup, CAPTURE_HBONE, c->workers, CAPTURE_STAT_TO_HBONE);
	return assign(lookup, CAPTURE_INPLAIN, c->workers, CAPTURE_STAT_TO_INPLAIN);
}

char _license[] SEC("license") = "Dual BSD/GPL";
