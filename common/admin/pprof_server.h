/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pprof_server - the pages below /debug/pprof: a profile of the processor's time; and that there is none of the heap.
 * Contract 11.1.
 */
#ifndef COMMON_ADMIN_PPROF_SERVER_H
#define COMMON_ADMIN_PPROF_SERVER_H

#include "common/admin/admin_server.h"

/* One profile at a time. */
struct pprof_pages {
	/* private */
	struct cpu_profile *running;
};

/* Before admin_start. pages: lent until the server ended */
void pprof_pages_add(struct admin *a, struct pprof_pages *pages);

#endif
