/* SPDX-License-Identifier: Apache-2.0 */
#include "common/telemetry/cpu_profile.h"

#include <dirent.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/codec/pprof_codec.h"

enum {
	NAME_MAX_LEN = 32,
	PATH_LEN = 64,
	LINE_LEN = 4352, /* of /proc/self/maps: a path and its numbers */
	MAPPINGS_MAX = 256,
	RECORD_LEN = 24, /* of a sample: a header, an address, two ids */
	NS_PER_S = 1000000000,
};

#define KERNEL_START UINT64_C(0xffff800000000000) /* half of all addresses, on x86-64 and arm64 */

struct sampled_thread {
	char name[NAME_MAX_LEN];
	int fd;
	struct perf_event_mmap_page *ring; /* its data follow after a page */
	size_t ring_len;                   /* of the data: a power of two */
};

struct cpu_profile {
	struct sampled_thread threads[CPU_PROFILE_THREADS_MAX];
	size_t thread_count;
	unsigned int frequency;
	int64_t began_us;
	uint64_t began_ns;
};

/* Room for every sample a thread can make in this time. */
static size_t ring_len_for(unsigned int frequency, unsigned int seconds)
{
	size_t want = (size_t)RECORD_LEN * frequency * (seconds + 1);
	size_t len = (size_t)sysconf(_SC_PAGESIZE);

	while (len < want)
		len *= 2;
	return len;
}

/* Also in the kernel, if we may. A descriptor or -1. */
static int open_event(int tid, unsigned int frequency)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_freq = frequency,
		.sample_type = PERF_SAMPLE_IP | PERF_SAMPLE_TID,
		.freq = 1,
		.exclude_hv = 1,
	};
	int fd = (int)syscall(SYS_perf_event_open, &attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);

	if (fd >= 0 || (errno != EACCES && errno != EPERM))
		return fd;
	attr.exclude_kernel = 1;
	return (int)syscall(SYS_perf_event_open, &attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

/* 0 or -errno. */
static int sample_thread(struct sampled_thread *t, int tid, unsigned int frequency)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *at;

	t->fd = open_event(tid, frequency);
	if (t->fd < 0)
		return -errno;
	at = mmap(NULL, page + t->ring_len, PROT_READ | PROT_WRITE, MAP_SHARED, t->fd, 0);
	if (at == MAP_FAILED) {
		int res = -errno;

		(void)close(t->fd);
		return res;
	}
	t->ring = at;
	return 0;
}

static void name_thread(struct sampled_thread *t, const char *tid)
{
	char path[PATH_LEN];
	FILE *f;

	(void)snprintf(t->name, sizeof(t->name), "thread %.16s", tid);
	(void)snprintf(path, sizeof(path), "/proc/self/task/%.16s/comm", tid);
	f = fopen(path, "re");
	if (f == NULL)
		return;
	if (fgets(t->name, sizeof(t->name), f) != NULL)
		t->name[strcspn(t->name, "\n")] = '\0';
	(void)fclose(f);
}

static int sample_all(struct cpu_profile *p, unsigned int seconds)
{
	DIR *d = opendir("/proc/self/task");
	int res = 0;

	if (d == NULL)
		return -errno;
	for (struct dirent *e = readdir(d); e != NULL && res == 0; e = readdir(d)) {
		struct sampled_thread *t = &p->threads[p->thread_count];

		if (e->d_name[0] == '.' || p->thread_count == CPU_PROFILE_THREADS_MAX)
			continue;
		t->ring_len = ring_len_for(p->frequency, seconds);
		name_thread(t, e->d_name);
		res = sample_thread(t, (int)strtol(e->d_name, NULL, 10), p->frequency);
		if (res == 0)
			p->thread_count++;
		else if (res == -ESRCH)
			res = 0; /* it has just ended */
	}
	(void)closedir(d);
	return res;
}

enum err cpu_profile_start(unsigned int frequency, unsigned int seconds,
                           struct cpu_profile **ret_profile)
{
	struct cpu_profile *p = mem_new(sizeof(*p));
	int res;

	p->frequency = frequency;
	p->began_us = clock_wall_us();
	p->began_ns = clock_mono_ns();
	res = sample_all(p, seconds);
	if (res != 0) {
		cpu_profile_free(p);
		errno = -res;
		return ERR_SYSTEM;
	}
	*ret_profile = p;
	return ERR_OK;
}

void cpu_profile_free(struct cpu_profile *p)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	for (size_t i = 0; i < p->thread_count; i++) {
		(void)munmap(p->threads[i].ring, page + p->threads[i].ring_len);
		(void)close(p->threads[i].fd);
	}
	free(p);
}

/* What a thread's ring holds, each sample by itself. Nothing was taken from it before, so it begins at 0. */
static size_t take_samples(const struct cpu_profile *p, size_t thread, struct pprof_sample *out)
{
	const struct sampled_thread *t = &p->threads[thread];
	const uint8_t *data = (const uint8_t *)t->ring + sysconf(_SC_PAGESIZE);
	uint64_t head = __atomic_load_n(&t->ring->data_head, __ATOMIC_ACQUIRE);
	struct perf_event_header h;
	size_t n = 0;

	for (uint64_t at = 0; at + sizeof(h) <= head && at + RECORD_LEN <= t->ring_len;
	     at += h.size) {
		memcpy(&h, data + at, sizeof(h));
		if (h.size < sizeof(h))
			break;
		if (h.type != PERF_RECORD_SAMPLE)
			continue;
		out[n] = (struct pprof_sample){.thread = (uint32_t)thread, .count = 1};
		memcpy(&out[n].address, data + at + sizeof(h), sizeof(out[n].address));
		if (out[n].address > KERNEL_START) /* where exactly is nobody's business */
			out[n].address = KERNEL_START;
		n++;
	}
	return n;
}

static int compare(const void *a, const void *b)
{
	const struct pprof_sample *x = a, *y = b;

	if (x->thread != y->thread)
		return x->thread < y->thread ? -1 : 1;
	return x->address < y->address ? -1 : x->address > y->address;
}

/* Those of one thread at one address become one. */
static size_t add_up(struct pprof_sample *s, size_t n)
{
	size_t kept = 0;

	qsort(s, n, sizeof(*s), compare);
	for (size_t i = 0; i < n; i++) {
		if (kept > 0 && compare(&s[kept - 1], &s[i]) == 0)
			s[kept - 1].count++;
		else
			s[kept++] = s[i];
	}
	return kept;
}

struct mappings {
	struct pprof_mapping list[MAPPINGS_MAX];
	size_t count;
	char line[LINE_LEN]; /* the one being read; too large for a stack */
};

/* "start-end mode offset device inode   path", proc(5): as the kernel writes it. False: no program text. */
static bool read_mapping(char *line, struct pprof_mapping *ret_mapping)
{
	char *rest = line, *word[5];
	char *end;

	line[strcspn(line, "\n")] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(word); i++)
		word[i] = strsep(&rest, " ");
	if (rest == NULL || strchr(word[1], 'x') == NULL)
		return false;
	ret_mapping->start = strtoull(word[0], &end, 16);
	if (*end != '-')
		return false;
	ret_mapping->end = strtoull(end + 1, NULL, 16);
	ret_mapping->offset = strtoull(word[2], NULL, 16);
	ret_mapping->file = mem_str(str_trim(span_str(rest)));
	return true;
}

static void read_mappings(struct mappings *m)
{
	FILE *f = fopen("/proc/self/maps", "re");

	while (f != NULL && m->count < MAPPINGS_MAX - 1 &&
	       fgets(m->line, sizeof(m->line), f) != NULL) {
		if (read_mapping(m->line, &m->list[m->count]))
			m->count++;
	}
	if (f != NULL)
		(void)fclose(f);
	if (m->count > 0 && m->list[m->count - 1].start >= KERNEL_START) { /* vsyscall */
		m->count--;
		free((void *)(uintptr_t)m->list[m->count].file);
	}
	m->list[m->count++] = (struct pprof_mapping){
		.start = KERNEL_START,
		.end = UINT64_MAX,
		.file = mem_str(span_str("[kernel.kallsyms]")),
	};
}

static void free_mappings(struct mappings *m)
{
	for (size_t i = 0; i < m->count; i++)
		free((void *)(uintptr_t)m->list[i].file);
	free(m);
}

void cpu_profile_finish(struct cpu_profile *p, struct buf *out)
{
	const char *names[CPU_PROFILE_THREADS_MAX];
	struct mappings *m = mem_new(sizeof(*m));
	struct pprof_sample *samples;
	size_t room = 1, n = 0;

	for (size_t i = 0; i < p->thread_count; i++) {
		(void)ioctl(p->threads[i].fd, PERF_EVENT_IOC_DISABLE, 0);
		room += p->threads[i].ring_len / RECORD_LEN;
		names[i] = p->threads[i].name;
	}
	samples = mem_new(room * sizeof(*samples));
	for (size_t i = 0; i < p->thread_count; i++)
		n += take_samples(p, i, &samples[n]);
	read_mappings(m);
	pprof_write(
		&(struct pprof){
			.mappings = m->list,
			.mapping_count = m->count,
			.samples = samples,
			.sample_count = add_up(samples, n),
			.threads = names,
			.thread_count = p->thread_count,
			.began_ns = p->began_us * 1000,
			.duration_ns = clock_mono_ns() - p->began_ns,
			.period_ns = NS_PER_S / p->frequency,
		},
		out);
	free(samples);
	free_mappings(m);
	cpu_profile_free(p);
}
