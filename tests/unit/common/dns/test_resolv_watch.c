/* SPDX-License-Identifier: Apache-2.0 */
#include "common/dns/resolv_watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "tests/sim/sim.h"

struct lab {
	struct loop *loop;
	struct snapshot_cell *cell;
	struct resolv_watch *watch;
	struct snapshot *held;
	uint64_t generation;
	char folder[64], path[96];
};

/* As an editor does it: a new file in the place of the old. */
static void write_file(const struct lab *l, const char *text)
{
	char other[112];
	FILE *f;

	(void)snprintf(other, sizeof(other), "%s.new", l->path);
	f = fopen(other, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(rename(other, l->path), 0);
}

static struct lab *lab_new(const char *text)
{
	struct lab *l = mem_new(sizeof(*l));

	(void)snprintf(l->folder, sizeof(l->folder), "/tmp/cvt-resolv-XXXXXX");
	assert_non_null(mkdtemp(l->folder));
	(void)snprintf(l->path, sizeof(l->path), "%s/resolv.conf", l->folder);
	if (text != NULL)
		write_file(l, text);
	l->loop = sim_new(NULL);
	l->cell = snapshot_cell_new();
	l->watch = resolv_watch_new(l->loop, l->path, l->cell);
	return l;
}

static void lab_free(struct lab *l)
{
	resolv_watch_free(l->watch);
	snapshot_unref(l->held);
	snapshot_cell_free(l->cell);
	loop_free(l->loop);
	(void)unlink(l->path);
	assert_int_equal(rmdir(l->folder), 0);
	free(l);
}

/* How many nameservers are in force; *ret_new: something was published since the last look. */
static size_t servers(struct lab *l, bool *ret_new)
{
	*ret_new = snapshot_refresh(l->cell, &l->generation, &l->held);
	assert_non_null(l->held);
	return container_of(l->held, struct resolv_conf, snapshot)->server_count;
}

static void let_it_look(struct lab *l)
{
	sim_advance(l->loop, RESOLV_WATCH_MS);
	for (unsigned int i = 0; i < 3; i++)
		loop_turn(l->loop, 0);
}

static void a_change_is_published_and_no_change_is_not(void **state)
{
	struct lab *l = lab_new("nameserver 10.0.0.1\n");
	bool fresh;

	(void)state;
	assert_int_equal(servers(l, &fresh), 1);
	assert_true(fresh);
	let_it_look(l);
	assert_int_equal(servers(l, &fresh), 1);
	assert_false(fresh);
	write_file(l, "nameserver 10.0.0.1\nnameserver 10.0.0.2\n");
	let_it_look(l);
	assert_int_equal(servers(l, &fresh), 2);
	assert_true(fresh);
	lab_free(l);
}

static void a_file_that_goes_away_leaves_the_last_in_force(void **state)
{
	struct lab *l = lab_new("nameserver 10.0.0.1\n");
	bool fresh;

	(void)state;
	assert_int_equal(unlink(l->path), 0);
	let_it_look(l);
	assert_int_equal(servers(l, &fresh), 1);
	write_file(l, "nameserver 10.0.0.3\nnameserver 10.0.0.4\n");
	let_it_look(l);
	assert_int_equal(servers(l, &fresh), 2);
	lab_free(l);
}

static void without_a_file_there_are_no_nameservers_until_it_comes(void **state)
{
	struct lab *l = lab_new(NULL);
	bool fresh;

	(void)state;
	assert_int_equal(servers(l, &fresh), 0);
	write_file(l, "nameserver 10.0.0.1\n");
	let_it_look(l);
	assert_int_equal(servers(l, &fresh), 1);
	lab_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_change_is_published_and_no_change_is_not),
		cmocka_unit_test(a_file_that_goes_away_leaves_the_last_in_force),
		cmocka_unit_test(without_a_file_there_are_no_nameservers_until_it_comes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
