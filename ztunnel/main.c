/* SPDX-License-Identifier: Apache-2.0 */
/* The command line and the environment, checked whole before anything starts. Contract 1.2, 1.3. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/codec/json_write.h"
#include "common/daemon/args.h"
#include "common/daemon/build_info.h"
#include "common/daemon/mesh_file.h"
#include "common/daemon/process.h"
#include "common/daemon/settings.h"
#include "common/tls/tls_config.h"
#include "ztunnel/app.h"

static int print_usage(FILE *to, const char *program, int status)
{
	char text[2048]; /* the usage fills a screen */

	(void)args_usage(program, text, sizeof(text));
	(void)fputs(text, to);
	return status;
}

static int print_version(void)
{
	const struct build_info *b = build_info();

	if (tls_global_init() != ERR_OK) /* tries the ciphers, so that the fastest can be named */
		return 1;
	(void)printf("culvert ztunnel %s (%s, %s, %s; %s)\n", b->version, b->git_revision,
	             b->compiler, b->profile, tls_provider());
	return 0;
}

/* Before logging is up, and for eyes at a terminal or a pod's log alike: stderr. */
static void print_report(const struct settings_report *r)
{
	if (r->errors.n > 0)
		(void)fwrite(r->errors.p, 1, r->errors.n, stderr);
	if (r->warnings.n > 0)
		(void)fwrite(r->warnings.p, 1, r->warnings.n, stderr);
}

static int run(const struct args *args)
{
	struct settings_report report;
	struct settings *settings = calloc(1, sizeof(*settings));
	struct settings_sources from;
	struct buf mesh_file;
	enum err e;
	int status = 1;

	if (settings == NULL)
		return status;
	settings_report_init(&report);
	e = mesh_file_read(&mesh_file, &report.errors);
	from = (struct settings_sources){
		.env = (const char *const *)environ,
		.mesh_file = e == ERR_OK ? buf_span(&mesh_file) : (struct span){0},
		.logical_cpus = process_cpu_count(),
	};
	e = settings_read(&from, settings, &report);
	print_report(&report);
	buf_fini(&mesh_file);
	settings_report_fini(&report);
	if (e == ERR_OK) {
		status = app_run(settings, args);
		settings_fini(settings);
	}
	free(settings);
	return status;
}

int main(int argc, char *argv[])
{
	static struct args args; /* too large for the stack's budget */

	args_parse(argc, argv, &args);
	switch (args.verb) {
	case ARGS_VERSION: return print_version();
	case ARGS_HELP: return print_usage(stdout, argv[0], 0);
	case ARGS_BAD: return print_usage(stderr, argv[0], 1);
	case ARGS_RUN: break;
	}
	return run(&args);
}
