/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mem - heap memory for set-up and control code: never NULL, the process ends when there is none.
 * Not for the data path, which works within budgets and answers ERR_OVERLOAD.
 */
#ifndef COMMON_BASE_MEM_H
#define COMMON_BASE_MEM_H

#include <stddef.h>

#include "common/base/span.h"

/* Zeroed; give back with free(). */
void *mem_new(size_t size) __attribute__((malloc, alloc_size(1), returns_nonnull));
/* s as a NUL-terminated string; give back with free(). */
char *mem_str(struct span s) __attribute__((malloc, returns_nonnull));
/* Overwrite a secret; not optimised away. */
void mem_wipe(void *p, size_t n);

#endif
