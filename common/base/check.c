/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/check.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void check_failed(const char *file, int line, const char *what)
{
	(void)fprintf(stderr, "%s:%d: CHECK failed: %s\n", file, line, what);
	abort();
}
