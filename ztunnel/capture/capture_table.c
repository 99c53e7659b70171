/* SPDX-License-Identifier: Apache-2.0 */
#include "ztunnel/capture/capture_table.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"

struct capture_addr capture_addr_of(const struct ip *ip)
{
	uint8_t bytes[16];
	struct capture_addr a;

	ip_to_mapped(ip, bytes);
	memcpy(&a, bytes, sizeof(a));
	return a;
}

enum err capture_table_set_node(const struct capture_table *t, uint64_t cookie, char why[WHY_MAX])
{
	uint32_t zero = 0;

	if (bpf_map_update_elem(t->hostns, &zero, &cookie, BPF_ANY) != 0)
		return why_not(why, ERR_SYSTEM, "map hostns: %s", strerror(errno));
	return ERR_OK;
}

enum err capture_table_add_pod(const struct capture_table *t, uint64_t cookie, uint32_t flags,
                               char why[WHY_MAX])
{
	struct capture_pod pod = {.flags = flags, .id = capture_id(cookie)};

	if (bpf_map_update_elem(t->pods, &cookie, &pod, BPF_ANY) != 0)
		return why_not(why, ERR_SYSTEM, "map pods: %s (at most %d pods)", strerror(errno),
		               (int)CAPTURE_PODS_MAX);
	return ERR_OK;
}

void capture_table_drop_pod(const struct capture_table *t, uint64_t cookie)
{
	(void)bpf_map_delete_elem(t->pods, &cookie);
}

size_t capture_table_pods(const struct capture_table *t, uint64_t *out, size_t max)
{
	uint64_t *prev = NULL;
	size_t n = 0;

	while (n < max && bpf_map_get_next_key(t->pods, prev, &out[n]) == 0)
		prev = &out[n++];
	return n;
}

enum err capture_table_add_addr(const struct capture_table *t, const struct ip *ip, uint64_t cookie,
                                char why[WHY_MAX])
{
	struct capture_addr key = capture_addr_of(ip);
	uint32_t id = capture_id(cookie);

	if (bpf_map_update_elem(t->podip, &key, &id, BPF_ANY) != 0)
		return why_not(why, ERR_SYSTEM, "map podip: %s (at most %d addresses)",
		               strerror(errno), (int)CAPTURE_PODIPS_MAX);
	return ERR_OK;
}

static bool addr_is_of(const struct capture_table *t, const void *key, uint32_t id)
{
	uint32_t owner;

	return bpf_map_lookup_elem(t->podip, key, &owner) == 0 && owner == id;
}

static bool tuple_is_of(const struct capture_table *t, const void *key, uint32_t id)
{
	const struct capture_tuple *tuple = key;

	(void)t;
	return tuple->id == id;
}

/* Delete every key of a hash map that belongs to id. Keys are gathered first: deleting while walking restarts the walk. */
static void forget_in(const struct capture_table *t, int fd, size_t key_len, size_t keys_max,
                      uint32_t id,
                      bool (*belongs)(const struct capture_table *, const void *, uint32_t))
{
	uint8_t *keys = mem_new(key_len * (keys_max + 1));
	size_t n = 0, seen = 0;
	const uint8_t *prev = NULL;
	uint8_t *cur = keys + key_len * keys_max;

	/* next key goes behind those kept; cur remembers where the walk is */
	while (n < keys_max && seen++ < 2 * keys_max) {
		uint8_t *next = keys + n * key_len;

		if (bpf_map_get_next_key(fd, prev, next) != 0)
			break;
		memcpy(cur, next, key_len);
		prev = cur;
		if (belongs(t, cur, id))
			n++;
	}
	for (size_t i = 0; i < n; i++)
		(void)bpf_map_delete_elem(fd, keys + i * key_len);
	free(keys);
}

void capture_table_forget(const struct capture_table *t, uint64_t cookie)
{
	uint32_t id = capture_id(cookie);

	forget_in(t, t->podip, sizeof(struct capture_addr), CAPTURE_PODIPS_MAX, id, addr_is_of);
	forget_in(t, t->passconn, sizeof(struct capture_tuple), CAPTURE_PASSCONN_MAX, id,
	          tuple_is_of);
}

int capture_table_own_socket(const struct capture_table *t, int fd, enum capture_ztsock_kind kind)
{
	struct capture_ztsock value = {.kind = kind};

	return bpf_map_update_elem(t->ztsock, &fd, &value, BPF_ANY) == 0 ? 0 : -errno;
}

uint64_t capture_table_stat(const struct capture_table *t, enum capture_stat which)
{
	int cpus = libbpf_num_possible_cpus();
	uint32_t key = which;
	uint64_t sum = 0, *per_cpu;

	if (cpus <= 0)
		return 0;
	per_cpu = mem_new((size_t)cpus * sizeof(*per_cpu));
	if (bpf_map_lookup_elem(t->stats, &key, per_cpu) == 0) {
		for (int i = 0; i < cpus; i++)
			sum += per_cpu[i];
	}
	free(per_cpu);
	return sum;
}
