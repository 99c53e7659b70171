/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation of loading a mesh fails in turn: the process ends, and no mesh ever lacks a part. */
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/common/mesh/mesh_text.h"

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

static long long allocations_left = -1; /* negative: they never fail */

void *__wrap_calloc(size_t n, size_t size)
{
	if (allocations_left == 0)
		return NULL;
	if (allocations_left > 0)
		allocations_left--;
	return __real_calloc(n, size);
}

static const char text[] =
	"workloads:\n- {uid: w, namespace: a, workloadIps: [10.0.0.1], services: {a/s: {80: 80}}, "
	"authorizationPolicies: [a/p]}\n"
	"services:\n- {name: s, namespace: a, hostname: s, vips: [/10.1.0.1], ports: {80: 80}}\n"
	"policies:\n- {name: p, namespace: a, scope: WorkloadSelector, action: Deny, rules: "
	"[[[{principals: [!Exact a, !Prefix b, !Suffix c]}]], [[{namespaces: [!Exact d]}]], "
	"[[{destinationPorts: [1]}]], [[{notDestinationPorts: [2]}]], [[{sourceIps: [10.0.0.1]}]], "
	"[[{sourceIps: [10.0.0.2]}]], [[{sourceIps: [10.0.0.3]}]], [[{sourceIps: [10.0.0.4]}]], "
	"[[{sourceIps: [10.0.0.5]}]]]}\n";

enum { LOADED = 0, STOPPED_SHORT = 1 };

/* In a child: load with n allocations; how it ends is how this ends. */
static int load_with(long long n)
{
	pid_t child = fork();
	int status = 0;

	assert_true(child >= 0);
	if (child == 0) {
		(void)close(STDERR_FILENO);
		allocations_left = n;
		struct mesh *m = mesh_of(text);

		_exit(m->policy_count == 1 && allocations_left != 0 ? LOADED : STOPPED_SHORT);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) && WEXITSTATUS(status) == LOADED ? LOADED : STOPPED_SHORT;
}

static void without_memory_there_is_no_mesh_rather_than_half_of_one(void **state)
{
	enum { PLENTY = 100000 };
	long long needed = 0;

	(void)state;
	assert_int_equal(load_with(PLENTY), LOADED);
	while (load_with(needed) != LOADED)
		needed++;
	assert_in_range(needed, 20, 500); /* the injection reaches us, and each was tried */
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_memory_there_is_no_mesh_rather_than_half_of_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
