/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/load_wire.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { HISTOGRAM_STEPS = 32, HISTOGRAM_STEP_BITS = 5 };

uint64_t load_now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

static unsigned int histogram_slot(uint64_t ns)
{
	if (ns < HISTOGRAM_STEPS)
		return (unsigned int)ns;

	unsigned int octave = 63U - (unsigned int)__builtin_clzll(ns);
	unsigned int shift = octave - HISTOGRAM_STEP_BITS;
	return (shift + 1) * HISTOGRAM_STEPS + (unsigned int)(ns >> shift) - HISTOGRAM_STEPS;
}

static uint64_t histogram_upper_end(unsigned int slot)
{
	if (slot < HISTOGRAM_STEPS)
		return slot;

	unsigned int shift = slot / HISTOGRAM_STEPS - 1;
	uint64_t step = slot % HISTOGRAM_STEPS + HISTOGRAM_STEPS;
	return ((step + 1) << shift) - 1;
}

void load_histogram_add(struct load_histogram *h, uint64_t ns)
{
	h->slots[histogram_slot(ns)]++;
	h->count++;
	if (ns > h->max_ns)
		h->max_ns = ns;
}

uint64_t load_histogram_quantile(const struct load_histogram *h, double part)
{
	uint64_t rank = (uint64_t)((double)h->count * part);
	uint64_t seen = 0;

	for (unsigned int i = 0; i < sizeof(h->slots) / sizeof(h->slots[0]); i++) {
		seen += h->slots[i];
		if (seen > rank)
			return histogram_upper_end(i) < h->max_ns ? histogram_upper_end(i)
			                                          : h->max_ns;
	}
	return h->max_ns;
}

bool load_cpu_parse(struct load_cpu *cpu, const char *list)
{
	memset(cpu, 0, sizeof(*cpu));
	while (list && *list) {
		char *end = NULL;
		long pid = strtol(list, &end, 10);

		if (end == list || pid <= 0 || cpu->pid_count == LOAD_PIDS_MAX)
			return false;
		if (*end != ',' && *end != '\0')
			return false;
		cpu->pids[cpu->pid_count++] = (pid_t)pid;
		list = *end ? end + 1 : end;
	}
	return true;
}

static bool read_line(const char *path, char *line, int size)
{
	FILE *f = fopen(path, "re");

	if (!f)
		return false;

	bool got = fgets(line, size, f) != NULL;
	(void)fclose(f);
	return got;
}

static uint64_t ticks_to_us(unsigned long long ticks)
{
	return (uint64_t)(ticks * 1000000ULL / (unsigned long long)sysconf(_SC_CLK_TCK));
}

static uint64_t process_us(pid_t pid)
{
	char path[64];
	char line[1024];
	unsigned long long user = 0;
	unsigned long long system = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (!read_line(path, line, sizeof(line)))
		load_die("process %d is gone", (int)pid);

	/* The name may hold anything; the numbers begin behind its closing bracket. */
	const char *rest = strrchr(line, ')');
	if (!rest || sscanf(rest + 1, "%*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu %llu",
	                    &user, &system) != 2)
		load_die("%s is not as expected", path);
	return ticks_to_us(user + system);
}

static uint64_t machine_us(void)
{
	char line[512];
	unsigned long long user, nice, system, idle, iowait, irq, softirq;

	if (!read_line("/proc/stat", line, sizeof(line)) ||
	    sscanf(line, "cpu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle,
	           &iowait, &irq, &softirq) != 7)
		load_die("/proc/stat is not as expected");
	return ticks_to_us(user + nice + system + irq + softirq);
}

void load_cpu_read(struct load_cpu *cpu)
{
	for (unsigned int i = 0; i < cpu->pid_count; i++)
		cpu->used_us[i] = process_us(cpu->pids[i]);
	cpu->machine_busy_us = machine_us();
}

void load_die(const char *format, ...)
{
	va_list words;

	(void)fputs("load: ", stderr);
	va_start(words, format);
	(void)vfprintf(stderr, format, words);
	va_end(words);
	(void)fputc('\n', stderr);
	exit(1);
}

socklen_t load_address(const char *text, uint16_t port, struct sockaddr_storage *ret_address)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

	memset(ret_address, 0, sizeof(*ret_address));
	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
		memcpy(ret_address, &v4, sizeof(v4));
		return sizeof(v4);
	}
	if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1) {
		memcpy(ret_address, &v6, sizeof(v6));
		return sizeof(v6);
	}
	load_die("%s is not an address", text);
}

void load_raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}
