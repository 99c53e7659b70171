/* SPDX-License-Identifier: Apache-2.0 */
#include "common/daemon/process.h"

#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

enum err process_raise_nofile(uint64_t *ret_limit)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) != 0)
		return ERR_SYSTEM;
	l.rlim_cur = l.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &l) != 0)
		return ERR_SYSTEM;
	*ret_limit = l.rlim_cur;
	return ERR_OK;
}

enum err process_forbid_dumps(void)
{
	struct rlimit none = {0};

	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || setrlimit(RLIMIT_CORE, &none) != 0)
		return ERR_SYSTEM;
	return ERR_OK;
}

unsigned int process_cpu_count(void)
{
	cpu_set_t set;
	long online = sysconf(_SC_NPROCESSORS_ONLN);

	if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
		return (unsigned int)CPU_COUNT(&set);
	return online > 0 ? (unsigned int)online : 1; /* more CPUs than a cpu_set_t holds */
}
