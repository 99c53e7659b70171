/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/mem.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"

void *mem_new(size_t size)
{
	void *p = calloc(1, size > 0 ? size : 1);

	CHECK(p != NULL);
	return p;
}

char *mem_str(struct span s)
{
	char *p = mem_new(s.n + 1);

	if (s.n > 0)
		memcpy(p, s.p, s.n);
	return p;
}

void mem_wipe(void *p, size_t n)
{
	if (n > 0)
		explicit_bzero(p, n);
}
