/* SPDX-License-Identifier: Apache-2.0 */
#include "common/admin/pprof_server.h"

#include <errno.h>
#include <string.h>

#include "common/base/str.h"
#include "common/telemetry/cpu_profile.h"

enum { SECONDS = 10, FREQUENCY = 100, MS_PER_S = 1000 }; /* when not said (contract 11.1) */

struct wish {
	uint64_t seconds, frequency;
	bool fine;
};

static void read_number(const struct buf *value, uint64_t max, uint64_t *ret_v, bool *fine)
{
	uint64_t v;

	if (str_parse_u64(buf_span(value), max, &v) == ERR_OK && v > 0)
		*ret_v = v;
	else
		*fine = false;
}

static struct wish read_wish(struct span query)
{
	struct wish w = {.seconds = SECONDS, .frequency = FREQUENCY, .fine = true};
	struct buf name, value;
	struct h1_param p = {.name = &name, .value = &value};
	bool bad = false;

	buf_init(&name, H1_REQUEST_LEN_MAX);
	buf_init(&value, H1_REQUEST_LEN_MAX);
	while (h1_query_next(&query, &p, &bad)) {
		if (span_eq_str(buf_span(&name), "seconds"))
			read_number(&value, CPU_PROFILE_SECONDS_MAX, &w.seconds, &w.fine);
		else if (span_eq_str(buf_span(&name), "frequency"))
			read_number(&value, CPU_PROFILE_FREQUENCY_MAX, &w.frequency, &w.fine);
	}
	buf_fini(&name);
	buf_fini(&value);
	w.fine = w.fine && !bad;
	return w;
}

/* The time is over, or nobody waits for it. */
static void finish_profile(void *arg, struct http1_response *res)
{
	struct pprof_pages *pages = arg;
	struct cpu_profile *p = pages->running;

	pages->running = NULL;
	if (res == NULL) {
		cpu_profile_free(p);
		return;
	}
	res->content_type = "application/octet-stream";
	cpu_profile_finish(p, &res->body);
}

static void page_profile(void *arg, const struct h1_request *req, struct http1_response *res)
{
	struct pprof_pages *pages = arg;
	struct wish w = read_wish(req->query);

	if (!w.fine) {
		res->status = 400;
		buf_printf(&res->body, "seconds is 1 to %d, frequency 1 to %d\n",
		           CPU_PROFILE_SECONDS_MAX, CPU_PROFILE_FREQUENCY_MAX);
		return;
	}
	if (pages->running != NULL) {
		res->status = 500;
		buf_put_str(&res->body, "another profile is being taken: ask again later\n");
		return;
	}
	if (cpu_profile_start((unsigned int)w.frequency, (unsigned int)w.seconds,
	                      &pages->running) != ERR_OK) {
		res->status = 500;
		buf_printf(&res->body, "the kernel does not let us sample: %s\n", strerror(errno));
		return;
	}
	res->later_ms = (uint32_t)(w.seconds * MS_PER_S);
	res->later = finish_profile;
	res->later_arg = pages;
}

static void page_heap(void *arg, const struct h1_request *req, struct http1_response *res)
{
	(void)arg;
	(void)req;
	res->status = 500;
	buf_put_str(&res->body, "heap profiles are not built in\n");
}

static void page_heap_profiling(void *arg, const struct h1_request *req, struct http1_response *res)
{
	(void)arg;
	(void)req;
	buf_put_str(&res->body, "heap profiling active: false\n");
}

void pprof_pages_add(struct admin *a, struct pprof_pages *pages)
{
	admin_page(a, ADMIN_ANY, "/debug/pprof/profile",
	           "where processor time goes, for pprof: ?seconds=10&frequency=100", page_profile,
	           pages);
	admin_page(a, ADMIN_ANY, "/debug/pprof/heap", "not built in", page_heap, NULL);
	admin_page(a, ADMIN_ANY, "/debug/pprof/heap/profiling", "whether heap profiling is active",
	           page_heap_profiling, NULL);
}
