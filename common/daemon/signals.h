/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signals - TERM, INT and HUP as a descriptor to read; PIPE ignored (contract 12.3).
 */
#ifndef COMMON_DAEMON_SIGNALS_H
#define COMMON_DAEMON_SIGNALS_H

#include <stdbool.h>

#include "common/base/err.h"

enum signal_ask {
	SIGNAL_NONE,     /* nothing to do */
	SIGNAL_DRAIN,    /* TERM, or the first INT: shut down gracefully */
	SIGNAL_EXIT_NOW, /* INT once shutdown has begun: exit with 0 at once */
	SIGNAL_RELOAD,   /* HUP: read the configuration again */
};

/* Embedded by app. */
struct signals {
	int fd; /* readable when a signal came; poll it on the loop, then call signals_next */
	bool draining; /* private */
};

/* Before any other thread starts: they inherit what is blocked. Errs: ERR_SYSTEM, errno tells */
MUST_CHECK enum err signals_init(struct signals *s);
void signals_fini(struct signals *s);
/* The next thing asked for; SIGNAL_NONE when there is no more. Never blocks. */
enum signal_ask signals_next(struct signals *s);
/* What signal number signo asks for, given what came before. Pure but for s. */
enum signal_ask signals_judge(struct signals *s, int signo);

#endif
