/* SPDX-License-Identifier: Apache-2.0 */
/*
 * args - the command line (contract 1.2). Pure.
 */
#ifndef COMMON_DAEMON_ARGS_H
#define COMMON_DAEMON_ARGS_H

#include <stddef.h>

enum args_verb {
	ARGS_RUN,     /* nothing, or "proxy" */
	ARGS_VERSION, /* print build_info, exit 0 */
	ARGS_HELP,    /* print the usage, exit 0 */
	ARGS_BAD,     /* print the usage on stderr, exit 1 */
};

enum { ARGS_TEXT_MAX = 4096 };

struct args {
	enum args_verb verb;
	char text
		[ARGS_TEXT_MAX]; /* all arguments joined by spaces: proxyArgs of the config dump; cut to fit */
};

void args_parse(int argc, char *const argv[], struct args *ret_args);
/* program: its name. Written with line ends. Returns the length that the whole text has, as snprintf. */
int args_usage(const char *program, char *out, size_t out_len);

#endif
