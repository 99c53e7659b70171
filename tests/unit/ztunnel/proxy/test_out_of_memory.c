/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole connections of which one allocation fails, for each there is from the accept to the last free: they go on or
 * are reset, are never cut short by what looks like an end, and nothing is left. Leaks are the sanitizer's to find.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/iobuf.h"
#include "tests/sim/sim_socket.h"
#include "tests/unit/ztunnel/proxy/proxy_lab.h"

enum { ALLOCATIONS_MAX = 20000, SEEDS = 4 };

static uint64_t taken, fail_at, fail_count; /* from the fail_at-th on, so many fail; 0: none */

void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
void *__real_calloc(size_t count, size_t n);
void *__wrap_calloc(size_t count, size_t n);
void *__real_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n);
char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
void *__real_mem_new(size_t n);
void *__wrap_mem_new(size_t n);
struct iobuf *__real_iobuf_take(struct iobuf_pool *pool, enum iobuf_class cls);
struct iobuf *__wrap_iobuf_take(struct iobuf_pool *pool, enum iobuf_class cls);
ssize_t __real_sim_net_write(struct sim_net *net, int fd, const void *mem, size_t n);
ssize_t __wrap_sim_net_write(struct sim_net *net, int fd, const void *mem, size_t n);

static bool fails_now(void)
{
	if (plab_safe > 0 || fail_at == 0)
		return false;
	taken++;
	return taken >= fail_at && taken < fail_at + fail_count;
}

void *__wrap_malloc(size_t n)
{
	return fails_now() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t count, size_t n)
{
	return fails_now() ? NULL : __real_calloc(count, n);
}

void *__wrap_realloc(void *p, size_t n)
{
	return fails_now() ? NULL : __real_realloc(p, n);
}

char *__wrap_strdup(const char *text)
{
	return fails_now() ? NULL : __real_strdup(text);
}

/* It never fails: the process ends instead. Not for the data path, so none of it is met here. */
void *__wrap_mem_new(size_t n)
{
	void *p;

	plab_safe++;
	p = __real_mem_new(n);
	plab_safe--;
	return p;
}

struct iobuf *__wrap_iobuf_take(struct iobuf_pool *pool, enum iobuf_class cls)
{
	return fails_now() ? NULL : __real_iobuf_take(pool, cls);
}

/* The simulator's own. */
ssize_t __wrap_sim_net_write(struct sim_net *net, int fd, const void *mem, size_t n)
{
	ssize_t res;

	plab_safe++;
	res = __real_sim_net_write(net, fd, mem, n);
	plab_safe--;
	return res;
}

static void plan(struct plab_path *p, size_t up, size_t down)
{
	p->app[0].ending = END_ORDERLY;
	p->app[0].total = up;
	p->app[1].ending = END_AFTER_FIN;
	p->app[1].total = down;
}

/* One run in which count allocations from the n-th on fail; false when there was no n-th. */
static bool run_without(enum path_kind kind, uint64_t seed, uint64_t n, uint64_t count)
{
	struct plab_options opt = {.sim = {.seed = seed, .eager = seed == 1}};
	bool met;

	plab_init(&opt);
	taken = 0;
	fail_at = n;
	fail_count = count;
	plan(plab_open(kind), 20000, 30000);
	for (unsigned int t = 0; t < 5; t++)
		plab_turn();
	plan(plab_open(kind), 10, 10); /* and one that shares what the first one made */
	plab_run();
	met = taken >= n;
	plab_fini();
	fail_at = 0;
	return met;
}

static void run_all(enum path_kind kind, uint64_t count, uint64_t step, uint64_t at_least)
{
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		uint64_t n = 1;

		while (n < ALLOCATIONS_MAX && run_without(kind, seed, n, count))
			n += step;
		assert_in_range(n, at_least, ALLOCATIONS_MAX - 1);
	}
}

static void without_any_one_allocation_connections_go_on_or_are_reset(void **state)
{
	(void)state;
	run_all(PATH_HBONE, 1, 1, 200);
	run_all(PATH_PLAIN_OUT, 1, 1, 20);
	run_all(PATH_PLAIN_IN, 1, 1, 20);
	run_all(PATH_FAR, 1, 1, 300);
}

static void without_any_twenty_allocations_in_a_row_connections_go_on_or_are_reset(void **state)
{
	(void)state;
	run_all(PATH_HBONE, 20, 7, 200);
	run_all(PATH_PLAIN_OUT, 20, 1, 20);
	run_all(PATH_PLAIN_IN, 20, 1, 20);
	run_all(PATH_FAR, 20, 7, 300);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_any_one_allocation_connections_go_on_or_are_reset),
		cmocka_unit_test(
			without_any_twenty_allocations_in_a_row_connections_go_on_or_are_reset),
	};

	return cmocka_run_group_tests(tests, plab_set_up, plab_tear_down);
}
