/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * capture_shared - the contract between the eBPF programs and ztunnel/capture: map keys, values, marks.
 *
 * Everything here outlives a process in pinned maps: a change of layout needs a new CAPTURE_LAYOUT.
 */
#ifndef BPF_CAPTURE_SHARED_H
#define BPF_CAPTURE_SHARED_H

#include <linux/types.h>

#define CAPTURE_LAYOUT 1u /* of all structs below; kept in struct capture_state */

/* Packets with this mark are delivered locally instead of leaving the pod. */
#define CAPTURE_MARK      0x111u
#define CAPTURE_MARK_MASK 0xfffu /* an application's own bits above stay */
enum {
	CAPTURE_WORKERS_MAX = 64,
	CAPTURE_PODS_MAX = 4096,
	CAPTURE_PODIPS_MAX = 16384,
	CAPTURE_PASSCONN_MAX = 65536,
	CAPTURE_OWN_MAX = 64,
	CAPTURE_VIRT_MAX = 16,
	CAPTURE_NETNS_TEXT_MAX = 256,
};

/*
 * Which listener inside the pod; its slot for worker w is kind * CAPTURE_WORKERS_MAX + w. Those for DNS have one slot
 * each, that of worker 0, as one worker answers all questions of a pod; and one per family, as they are bound to
 * loopback addresses.
 */
enum capture_kind {
	CAPTURE_OUT,
	CAPTURE_INPLAIN,
	CAPTURE_HBONE,
	CAPTURE_DNS_TCP,
	CAPTURE_DNS_UDP,
	CAPTURE_DNS_TCP6,
	CAPTURE_DNS_UDP6,
	CAPTURE_KINDS,
};
#define CAPTURE_SLOTS (CAPTURE_KINDS * CAPTURE_WORKERS_MAX)

/* Flags of a pod. */
#define CAPTURE_POD_OUT     1u
#define CAPTURE_POD_DNS     2u
#define CAPTURE_POD_INBOUND 8u

/* IPv6, or ::ffff:a.b.c.d; network order. */
struct capture_addr {
	__u32 w[4];
};

/* A connection that is not to be captured where it arrives. local: the end the SYN goes to. */
struct capture_tuple {
	struct capture_addr local, remote;
	__u16 local_port, remote_port; /* network order */
	__u32 id;                      /* CAPTURE_ID_NODE, or the pod whose proxy made it */
};
#define CAPTURE_ID_NODE 0u /* made by a process of the node itself: a kubelet's probe */

/* The pod's id: low half of its netns cookie. */
struct capture_pod {
	__u32 flags;
	__u32 id;
};

enum capture_guard_mode { CAPTURE_GUARD_OFF, CAPTURE_GUARD_COUNT, CAPTURE_GUARD_ENFORCE };

/* Per pod settings of the programs in its namespace. */
struct capture_cfg {
	__u32 flags;
	__u32 id;
	__u32 workers; /* 1..CAPTURE_WORKERS_MAX */
	__u32 guard;   /* enum capture_guard_mode */
};

/* A socket of the proxy, recognised by holding this storage; only a holder of the map can create it. */
struct capture_ztsock {
	__u32 kind; /* enum capture_ztsock_kind */
};
enum capture_ztsock_kind { CAPTURE_ZT_NONE, CAPTURE_ZT_UPSTREAM, CAPTURE_ZT_APP };

/* What user space must remember about a pod across its own restarts; no program reads it. */
struct capture_state {
	__u32 layout;
	__u32 sysctl_saved;  /* bit i: sysctl_old[i] holds the value from before */
	__s32 sysctl_old[8]; /* by enum pod_sysctl */
	__u32 by_clsact;     /* the guard is a filter, not a pinned link */
	__u32 zero;
	__u64 netns_dev, netns_ino;
	char netns[CAPTURE_NETNS_TEXT_MAX];
};

enum capture_stat {
	CAPTURE_STAT_STEERED,      /* connects sent to the proxy */
	CAPTURE_STAT_PROXY_SOCKET, /* connects of the proxy inside a pod */
	CAPTURE_STAT_NODE_SOCKET,  /* connects of node processes to a pod */
	CAPTURE_STAT_TO_OUT,       /* given to a listener, by kind */
	CAPTURE_STAT_TO_INPLAIN,
	CAPTURE_STAT_TO_HBONE,
	CAPTURE_STAT_TO_DNS,
	CAPTURE_STAT_PASSED,      /* inbound not captured, as its tuple was recorded */
	CAPTURE_STAT_NO_LISTENER, /* refused: no proxy was there */
	CAPTURE_STAT_GUARD_HIT,   /* SYNs that left, or would have left, past the proxy */
	CAPTURE_STAT_TURNED,      /* questions to resolvers, turned back to the proxy */
	CAPTURE_STATS,
};

_Static_assert(sizeof(struct capture_addr) == 16, "map layout");
_Static_assert(sizeof(struct capture_tuple) == 40, "map layout");
_Static_assert(sizeof(struct capture_pod) == 8, "map layout");
_Static_assert(sizeof(struct capture_cfg) == 16, "map layout");
_Static_assert(sizeof(struct capture_ztsock) == 4, "map layout");
_Static_assert(sizeof(struct capture_state) == 320, "map layout");

#endif
