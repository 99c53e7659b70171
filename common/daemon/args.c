/* SPDX-License-Identifier: Apache-2.0 */
#include "common/daemon/args.h"

#include <stdio.h>
#include <string.h>

static enum args_verb verb_of(const char *word)
{
	if (word == NULL || strcmp(word, "proxy") == 0)
		return ARGS_RUN;
	if (strcmp(word, "version") == 0)
		return ARGS_VERSION;
	if (strcmp(word, "help") == 0)
		return ARGS_HELP;
	return ARGS_BAD;
}

void args_parse(int argc, char *const argv[], struct args *ret_args)
{
	size_t n = 0;

	ret_args->verb = verb_of(argc > 1 ? argv[1] : NULL);
	ret_args->text[0] = '\0';
	for (int i = 1; i < argc; i++) {
		int len = snprintf(ret_args->text + n, sizeof(ret_args->text) - n, "%s%s",
		                   i > 1 ? " " : "", argv[i]);

		if (len < 0 || (size_t)len >= sizeof(ret_args->text) - n)
			return;
		n += (size_t)len;
	}
}

int args_usage(const char *program, char *out, size_t out_len)
{
	return snprintf(out, out_len,
	                "Usage: %s [proxy | version | help]\n"
	                "\n"
	                "  proxy    run (the same as no argument)\n"
	                "  version  print what this binary is\n"
	                "  help     print this\n"
	                "\n"
	                "Settings come from environment variables: see docs/settings.md.\n",
	                program);
}
