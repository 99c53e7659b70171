/* SPDX-License-Identifier: Apache-2.0 */
/*
 * why - room for one sentence on a failure: what, where, what to do. Pure.
 */
#ifndef ZTUNNEL_CAPTURE_WHY_H
#define ZTUNNEL_CAPTURE_WHY_H

#include <stdarg.h>
#include <stdio.h>

#include "common/base/err.h"

enum { WHY_MAX = 256 }; /* with the NUL; longer sentences are cut */

/* Write the sentence and answer e, for "return why_not(why, ERR_SYSTEM, ...)". */
__attribute__((format(printf, 3, 4))) static inline enum err why_not(char why[WHY_MAX], enum err e,
                                                                     const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(why, WHY_MAX, fmt, args);
	va_end(args);
	return e;
}

#endif
