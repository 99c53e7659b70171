/* SPDX-License-Identifier: Apache-2.0 */
#include "common/telemetry/process_metrics.h"

#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/str.h"

#define NS_PER_S INT64_C(1000000000)

/* -1 when /proc is not there. */
static int64_t open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int64_t n = -3; /* ".", ".." and the one we are reading with */

	if (d == NULL)
		return -1;
	while (readdir(d) != NULL)
		n++;
	(void)closedir(d);
	return n;
}

/* The second number of statm: resident pages. -1 when it cannot be read. */
static int64_t resident_bytes(void)
{
	char text[128]; /* seven numbers */
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));
	struct span rest = span_of(text, n > 0 ? (size_t)n : 0);
	uint64_t pages;

	if (fd >= 0)
		(void)close(fd);
	(void)str_split(&rest, ' ');
	if (str_parse_u64(str_split(&rest, ' '), INT32_MAX, &pages) != ERR_OK)
		return -1;
	return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

/* What was allocated and not given back: unlike resident memory it is not at the mercy of how holes are used. */
static int64_t heap_bytes(void)
{
	struct mallinfo2 heap = mallinfo2();

	return (int64_t)(heap.uordblks + heap.hblkhd);
}

static void collect(struct metrics_collector *c)
{
	struct process_metrics *p = container_of(c, struct process_metrics, collector);
	struct rlimit limit;
	struct timespec cpu;

	metrics_set(p->shard, METRIC_PROCESS_OPEN_FDS, open_fds());
	metrics_set(p->shard, METRIC_PROCESS_RESIDENT_MEMORY, resident_bytes());
	metrics_set(p->shard, METRIC_HEAP_BYTES, heap_bytes());
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		metrics_set(p->shard, METRIC_PROCESS_MAX_FDS, (int64_t)limit.rlim_cur);
	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu) == 0)
		metrics_set(p->shard, METRIC_PROCESS_CPU, cpu.tv_sec * NS_PER_S + cpu.tv_nsec);
	metrics_set(p->shard, METRIC_LOG_DROPPED, (int64_t)log_dropped());
}

void process_metrics_init(struct process_metrics *p, struct metrics *m, const char *component,
                          const char *tag)
{
	p->shard = metrics_shard_new(m);
	p->collector.fn = collect;
	metrics_set_for(p->shard, METRIC_BUILD, METRIC_LABELS(component, tag), 1);
	metrics_set(p->shard, METRIC_PROCESS_START_TIME, clock_wall_us() * 1000);
	metrics_collector_add(m, &p->collector);
}
