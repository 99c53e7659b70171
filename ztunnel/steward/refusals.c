/* SPDX-License-Identifier: Apache-2.0 */
#include "ztunnel/steward/refusals.h"

#include <errno.h>
#include <stddef.h>

static const char *const request_names[STEWARD_REQUESTS] = {
	[STEWARD_ENROLL] = "enroll", [STEWARD_UNENROLL] = "unenroll", [STEWARD_SWEEP] = "sweep",
	[STEWARD_SOCKET] = "socket", [STEWARD_RESOLVER] = "resolver",
};

/* Those an operator can do something about, by name; the last is all others. */
static const struct {
	const char *name;
	int errnum;
	enum err err;
} reasons[REFUSAL_REASONS] = {
	{"EMFILE", EMFILE, ERR_OK},
	{"ENFILE", ENFILE, ERR_OK},
	{"EPERM", EPERM, ERR_OK},
	{"EACCES", EACCES, ERR_OK},
	{"ENOMEM", ENOMEM, ERR_OK},
	{"ENOBUFS", ENOBUFS, ERR_OK},
	{"EADDRINUSE", EADDRINUSE, ERR_OK},
	{"EADDRNOTAVAIL", EADDRNOTAVAIL, ERR_OK},
	{"CONFIG", 0, ERR_CONFIG},
	{"SYSTEM", 0, ERR_SYSTEM},
	{"LIMIT", 0, ERR_LIMIT},
	{"other", 0, ERR_OK},
};

static void note(struct refusals *r, enum steward_request request, size_t reason)
{
	atomic_fetch_add_explicit(&r->count[request][reason], 1, memory_order_relaxed);
}

void refusals_note_errno(struct refusals *r, enum steward_request request, int errnum)
{
	size_t i = 0;

	while (i < REFUSAL_REASONS - 1 && (reasons[i].errnum == 0 || reasons[i].errnum != errnum))
		i++;
	note(r, request, i);
}

void refusals_note(struct refusals *r, enum steward_request request, enum err e)
{
	size_t i = 0;

	if (e == ERR_OK)
		return;
	while (i < REFUSAL_REASONS - 1 && reasons[i].err != e)
		i++;
	note(r, request, i);
}

void refusals_each(struct refusals *r, steward_refused_fn *fn, void *arg)
{
	for (size_t q = 0; q < STEWARD_REQUESTS; q++) {
		for (size_t i = 0; i < REFUSAL_REASONS; i++) {
			uint64_t n = atomic_load_explicit(&r->count[q][i], memory_order_relaxed);

			if (n > 0)
				fn(arg, request_names[q], reasons[i].name, n);
		}
	}
}
