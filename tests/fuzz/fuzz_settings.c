/* SPDX-License-Identifier: Apache-2.0 */
/* An environment of any lines: refused or read whole, and then within every bound and fit to be dumped. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/daemon/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

enum { LINES_MAX = 64 };

/* The lines of text as an environment. */
static void split(char *text, const char *env[LINES_MAX + 1])
{
	size_t count = 0;
	char *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line != NULL && count < LINES_MAX;
	     line = strtok_r(NULL, "\n", &save))
		env[count++] = line;
	env[count] = NULL;
}

static void check_settings(const struct settings *s)
{
	struct json_write w;
	struct buf out;

	CHECK(s->workers >= 1 && s->workers <= WORKERS_MAX);
	CHECK(s->pool_max_streams >= 1 && s->h2_frame_size >= 16384 && s->cluster_id != NULL);
	buf_init(&out, 1 << 24);
	json_write_init(&w, &out, true);
	settings_json(s, "", &w);
	CHECK(json_write_complete(&w) && buf_status(&out) == ERR_OK);
	buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const char *env[LINES_MAX + 1];
	struct settings_report report;
	struct settings s;
	char *text = malloc(n + 1);

	if (text == NULL)
		return 0;
	if (n > 0)
		memcpy(text, p, n);
	text[n] = '\0';
	split(text, env);
	settings_report_init(&report);
	if (settings_read(&(struct settings_sources){.env = env, .logical_cpus = 8}, &s, &report) ==
	    ERR_OK) {
		check_settings(&s);
		settings_fini(&s);
	} else {
		CHECK(report.errors.n > 0 || report.errors.failed);
	}
	settings_report_fini(&report);
	free(text);
	return 0;
}
