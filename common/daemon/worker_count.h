/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker_count - how many worker threads to run. Pure. The rule of contract 1.3.
 */
#ifndef COMMON_DAEMON_WORKER_COUNT_H
#define COMMON_DAEMON_WORKER_COUNT_H

#include <stdint.h>

#include "common/base/err.h"
#include "common/base/span.h"

enum {
	WORKERS_MAX = 64, /* what the listener slots of a pod in the kernel are laid out for */
	CPUS_MAX = 65536, /* of a CPU quantity */
};

/* What ZTUNNEL_WORKER_THREADS says. */
struct worker_wish {
	enum { WORKERS_UNSET, WORKERS_COUNT, WORKERS_PERCENT } kind;
	uint32_t count;         /* of COUNT; 0: all cores */
	uint32_t percent_milli; /* of PERCENT: thousandths, 1..100000 */
};

/* 0 stands for "not set" in the three quantities. */
struct worker_inputs {
	struct worker_wish wish; /* ZTUNNEL_WORKER_THREADS */
	uint32_t cpu_limit;      /* ZTUNNEL_CPU_LIMIT */
	uint32_t request_cpus;   /* ZTUNNEL_RESOURCE_CPU_REQUEST, rounded up */
	uint32_t limit_cpus;     /* ZTUNNEL_RESOURCE_CPU_LIMIT, rounded up */
	uint32_t logical_cpus;   /* of this machine */
};

/* 1..WORKERS_MAX. */
uint32_t worker_count(const struct worker_inputs *in);

/* "4", "0" or "50%" (decimals allowed), in (0,100]. Errs: ERR_PARSE */
MUST_CHECK enum err worker_wish_parse(struct span text, struct worker_wish *ret_wish);
/* A Kubernetes CPU quantity, rounded up to whole CPUs: "2", "1.5", "500m"; more than zero. Errs: ERR_PARSE */
MUST_CHECK enum err cpu_quantity_parse(struct span text, uint32_t *ret_cpus);

#endif
