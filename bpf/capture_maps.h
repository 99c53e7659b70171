/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * capture_maps - maps more than one program uses, and small reads of program contexts.
 */
#ifndef BPF_CAPTURE_MAPS_H
#define BPF_CAPTURE_MAPS_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "bpf/capture_logic.h"

/*
 * Read a u32 of a context at its constant offset. Plain C lets clang merge the reads of two branches
 * into one read at a computed offset, which the verifier refuses.
 */
#define CTX_U32_AT(ctx, offset)                                                            \
	({                                                                                 \
		__u32 v_;                                                                  \
		asm volatile("%0 = *(u32 *)(%1 + %2)" : "=r"(v_) : "r"(ctx), "i"(offset)); \
		v_;                                                                        \
	})
#define CTX_U32(ctx, type, field) CTX_U32_AT(ctx, __builtin_offsetof(type, field))
#define CTX_ADDR6(ctx, type, field)                                                   \
	((struct capture_addr){{CTX_U32_AT(ctx, __builtin_offsetof(type, field)),     \
	                        CTX_U32_AT(ctx, __builtin_offsetof(type, field) + 4), \
	                        CTX_U32_AT(ctx, __builtin_offsetof(type, field) + 8), \
	                        CTX_U32_AT(ctx, __builtin_offsetof(type, field) + 12)}})

#define AF_INET  2
#define AF_INET6 10

/* Shared by the whole node. */
struct passconn_map {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, CAPTURE_PASSCONN_MAX);
	__type(key, struct capture_tuple);
	__type(value, __u64);
};

struct ztsock_map {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct capture_ztsock);
};

struct stats_map {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CAPTURE_STATS);
	__type(key, __u32);
	__type(value, __u64);
};

/* One per pod. */
struct cfg_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct capture_cfg);
};

struct stats_map stats SEC(".maps");

static __always_inline void count(enum capture_stat which)
{
	__u32 key = which;
	__u64 *n = bpf_map_lookup_elem(&stats, &key);

	if (n)
		*n += 1;
}

#endif
