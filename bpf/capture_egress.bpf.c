/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * capture_egress - sockops at the root cgroup, once per node.
 *
 * Just before the SYN of an enrolled pod's connect is built, its socket gets a mark; the kernel drops the
 * cached route for it and the pod's rule delivers the packet locally, where capture_ingress takes it.
 * Source and destination are already chosen and stay true.
 */
#include "bpf/capture_maps.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CAPTURE_PODS_MAX);
	__type(key, __u64); /* netns cookie */
	__type(value, struct capture_pod);
} pods SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64); /* netns cookie of the node */
} hostns SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CAPTURE_PODIPS_MAX);
	__type(key, struct capture_addr);
	__type(value, __u32); /* id of the pod */
} podip SEC(".maps");

struct passconn_map passconn SEC(".maps");
struct ztsock_map ztsock SEC(".maps");

#define SOL_SOCKET 1
#define SO_MARK    36

/* Values of enum in the kernel's tcp_states.h. */
#define TCP_FIN_WAIT2 5
#define TCP_TIME_WAIT 6
#define TCP_CLOSE     7

/* The connection as the end it goes to sees it. */
static __always_inline int tuple_of(struct bpf_sock_ops *skops, __u32 id, struct capture_tuple *t)
{
	__u32 family = CTX_U32(skops, struct bpf_sock_ops, family);

	if (family == AF_INET) {
		t->local = capture_addr_of_v4(CTX_U32(skops, struct bpf_sock_ops, remote_ip4));
		t->remote = capture_addr_of_v4(CTX_U32(skops, struct bpf_sock_ops, local_ip4));
	} else if (family == AF_INET6) {
		t->local = CTX_ADDR6(skops, struct bpf_sock_ops, remote_ip6);
		t->remote = CTX_ADDR6(skops, struct bpf_sock_ops, local_ip6);
	} else {
		return 0;
	}
	/* remote_port: network order in the upper half of a big-endian word; local_port: host order */
	t->local_port = CAPTURE_NET16(
		CAPTURE_NET32(CTX_U32(skops, struct bpf_sock_ops, remote_port)) & 0xffff);
	t->remote_port = CAPTURE_NET16(CTX_U32(skops, struct bpf_sock_ops, local_port));
	t->id = id;
	return 1;
}

static __always_inline void record(struct bpf_sock_ops *skops, struct capture_tuple *t)
{
	__u64 now = bpf_ktime_get_ns();

	bpf_map_update_elem(&passconn, t, &now, BPF_ANY);
	bpf_sock_ops_cb_flags_set(skops, skops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
}

static __always_inline void on_connect(struct bpf_sock_ops *skops, __u64 cookie, int from_node)
{
	struct capture_connect_facts f = {.from_node = from_node};
	struct capture_tuple t = {};
	struct capture_pod *pod = 0;
	struct bpf_sock *sk = skops->sk;
	__u32 mark;

	if (!from_node) {
		pod = bpf_map_lookup_elem(&pods, &cookie);
		if (!pod)
			return;
		f.pod_flags = pod->flags;
	}
	if (!sk || !tuple_of(skops, from_node ? CAPTURE_ID_NODE : (__u32)cookie, &t))
		return;
	f.to_loopback = capture_addr_is_loopback(&t.local);
	if (from_node) {
		f.to_pod = bpf_map_lookup_elem(&podip, &t.local) != 0;
	} else {
		struct capture_ztsock *zt = bpf_sk_storage_get(&ztsock, sk, 0, 0);

		f.zt_kind = zt ? zt->kind : CAPTURE_ZT_NONE;
	}
	switch (capture_decide_connect(&f)) {
	case CAPTURE_CONNECT_LEAVE: return;
	case CAPTURE_CONNECT_RECORD_NODE:
		count(CAPTURE_STAT_NODE_SOCKET);
		record(skops, &t);
		return;
	case CAPTURE_CONNECT_RECORD_POD:
		count(CAPTURE_STAT_PROXY_SOCKET);
		record(skops, &t);
		return;
	case CAPTURE_CONNECT_STEER:
		mark = capture_mark(sk->mark);
		bpf_setsockopt(skops, SOL_SOCKET, SO_MARK, &mark, sizeof(mark));
		count(CAPTURE_STAT_STEERED);
		return;
	}
}

static __always_inline void on_state(struct bpf_sock_ops *skops, __u64 cookie, int from_node)
{
	struct capture_tuple t = {};
	__u32 next = skops->args[1];

	if (next != TCP_CLOSE && next != TCP_FIN_WAIT2 && next != TCP_TIME_WAIT)
		return;
	if (tuple_of(skops, from_node ? CAPTURE_ID_NODE : (__u32)cookie, &t))
		bpf_map_delete_elem(&passconn, &t);
}

SEC("sockops")
int capture_egress(struct bpf_sock_ops *skops)
{
	__u32 zero = 0;
	__u64 *node, cookie;
	int from_node;

	if (skops->op != BPF_SOCK_OPS_TCP_CONNECT_CB && skops->op != BPF_SOCK_OPS_STATE_CB)
		return 1;
	cookie = bpf_get_netns_cookie(skops);
	node = bpf_map_lookup_elem(&hostns, &zero);
	from_node = node && *node == cookie;
	if (skops->op == BPF_SOCK_OPS_TCP_CONNECT_CB)
		on_connect(skops, cookie, from_node);
	else
		on_state(skops, cookie, from_node);
	return 1;
}

char _license[] SEC("license") = "Dual BSD/GPL";
