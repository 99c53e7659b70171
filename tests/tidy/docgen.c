/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docgen errors|metrics|settings - print a page of the reference from the table the product is built from.
 * "ninja docs" writes them, the test "docs" compares them with what is in docs/.
 */
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"

static const char head[] =
	"<!-- SPDX-License-Identifier: Apache-2.0 -->\n"
	"<!-- Made from %s by \"ninja docs\": change that file, not this one. -->\n";

/* A cell of a table: '|' and what looks like markup are escaped. */
static void cell(const char *text)
{
	(void)putchar(' ');
	for (; *text != '\0'; text++) {
		if (strchr("|<>*_\\", *text) != NULL)
			(void)putchar('\\');
		(void)putchar(*text);
	}
	(void)fputs(" |", stdout);
}

static void code(const char *text)
{
	if (text[0] == '\0') {
		(void)fputs(" |", stdout);
		return;
	}
	(void)fputs(" `", stdout);
	for (; *text != '\0'; text++) {
		if (*text == '|')
			(void)putchar('\\');
		(void)putchar(*text);
	}
	(void)fputs("` |", stdout);
}

struct error_row {
	const char *name, *blame, *flag, *words;
	unsigned int http, h2;
};

static const struct error_row errors[] = {
#define ERR(name, blame, http, h2, flag, words) {#name, #blame, flag, words, http, h2},
#include "common/base/err.def"
#undef ERR
};

static void print_errors(void)
{
	(void)printf(head, "common/base/err.def");
	(void)printf(
		"\n# Errors\n\n"
		"Every way a connection or a start can fail. The name is the `reason` label of our metrics, "
		"the flag is `response_flags`\nof the traffic metrics, the words end up in the `error` field of "
		"the access log. Who has to act: local is this proxy or its\nmachine, peer the other end, "
		"policy and config an administrator, control the certificate authority.\n\n"
		"| Name | Who has to act | CONNECT status | HTTP/2 code | Flag | Words |\n"
		"|---|---|---|---|---|---|\n");
	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		const struct error_row *e = &errors[i];

		(void)printf("|");
		code(e->name);
		cell(e->blame);
		(void)printf(" %u | 0x%x |", e->http, e->h2);
		code(e->flag);
		cell(e->words);
		(void)printf("\n");
	}
}

struct metric_row {
	const char *type, *name, *unit, *stability, *labels, *help;
};

static const struct metric_row metrics[] = {
#define METRIC(id, type, name, unit, stability, labels, help) \
	{#type, name, unit, #stability, labels, help},
#include "common/telemetry/metrics.def"
#undef METRIC
};

static const char *const traffic_labels[] = {
#define TRAFFIC_FIXED(name)    #name,
#define TRAFFIC_LABEL(name)    #name,
#define TRAFFIC_LOCALITY(name) #name,
#include "common/telemetry/traffic_label.def"
#undef TRAFFIC_FIXED
#undef TRAFFIC_LABEL
#undef TRAFFIC_LOCALITY
};

static void print_metrics(void)
{
	(void)printf(head, "common/telemetry/metrics.def");
	(void)printf(
		"\n# Metrics\n\n"
		"Served as OpenMetrics text at `/metrics` and `/stats/prometheus` of port 15020. A family is shown "
		"once it has a\nsample. Names of stable families do not change; those of unstable ones may.\n\n"
		"| Sample | Type | Stable | Labels | Meaning |\n|---|---|---|---|---|\n");
	for (size_t i = 0; i < ARRAY_LEN(metrics); i++) {
		const struct metric_row *m = &metrics[i];
		char sample[128];
		int is_traffic = strcmp(m->type, "TRAFFIC") == 0;
		int is_total = is_traffic || strcmp(m->type, "COUNTER") == 0;

		(void)snprintf(sample, sizeof(sample), "%s%s", m->name, is_total ? "_total" : "");
		(void)printf("|");
		code(sample);
		cell(is_traffic ? "COUNTER" : m->type);
		cell(strcmp(m->stability, "STABLE") == 0 ? "yes" : "no");
		cell(m->labels);
		cell(m->help);
		(void)printf("\n");
	}
	(void)printf(
		"\n## Labels of traffic families\n\n"
		"In this order; a value that is not known is `unknown`. The last four appear together, or not at "
		"all.\n\n");
	for (size_t i = 0; i < ARRAY_LEN(traffic_labels); i++)
		(void)printf("%zu. `%s`\n", i + 1, traffic_labels[i]);
}

struct setting_row {
	const char *env, *type, *value_default, *allowed, *state, *why;
};

static const struct setting_row settings[] = {
#define SETTING(field, env, type, def, min, max, allowed, json, state, why) \
	{env, #type, def, allowed, #state, why},
#define SETTING_PREFIX(env, state, why) {env "*", "TEXT", NULL, "", #state, why},
#include "common/daemon/settings.def"
#undef SETTING
#undef SETTING_PREFIX
};

static const char *state_words(const char *state)
{
	return strcmp(state, "HONOURED") == 0  ? "yes"
	       : strcmp(state, "NOT_YET") == 0 ? "not yet: a warning when set"
	       : strcmp(state, "REFUSED") == 0 ? "no: the start stops"
	                                       : "changes nothing";
}

static void print_settings(void)
{
	(void)printf(head, "common/daemon/settings.def");
	(void)printf(
		"\n# Settings\n\n"
		"All settings are environment variables. A value that is not understood stops the start with a "
		"message that names the\nvariable, the value and what is allowed. Durations are `500ms`, `5s`, "
		"`10m`, `1h`, `1d`, sums like `1h30m`, or bare\nnumbers of seconds.\n\n"
		"| Variable | Type | Default | Allowed | Honoured | Meaning |\n|---|---|---|---|---|---|\n");
	for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
		const struct setting_row *s = &settings[i];

		(void)printf("|");
		code(s->env);
		cell(s->type);
		code(s->value_default != NULL ? s->value_default : "");
		code(s->allowed);
		cell(state_words(s->state));
		cell(s->why);
		(void)printf("\n");
	}
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "errors") == 0)
		print_errors();
	else if (argc == 2 && strcmp(argv[1], "metrics") == 0)
		print_metrics();
	else if (argc == 2 && strcmp(argv[1], "settings") == 0)
		print_settings();
	else
		return fputs("usage: docgen errors|metrics|settings\n", stderr) < 0 ? 1 : 64;
	return ferror(stdout) != 0;
}
