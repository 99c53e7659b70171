/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers questions about policies, for the oracle to compare with its own. On standard input:
 *
 *	mesh LEN		LEN octets of a state file and a newline follow
 *	ask UID SOURCE DESTINATION IDENTITY		"10.0.0.1", "10.0.0.2:80"; identity "-": plaintext
 *
 * To every question one line: VERDICT WHY POLICY RULE, then POLICY RULE of each dry-run note; "-" where there is
 * none, rules from 0. Every answer is asked for with and without the indexes; if they differ the program aborts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/mesh/authz.h"
#include "common/mesh/mesh_table.h"
#include "common/mesh/mesh_yaml.h"

static struct mesh *read_mesh(size_t len)
{
	char *text = malloc(len + 1);
	struct mesh *m = NULL;
	struct buf messages;

	CHECK(text && fread(text, 1, len, stdin) == len);
	buf_init(&messages, 1 << 20);
	if (mesh_yaml_parse(span_of(text, len), "oracle", &messages, &m) != ERR_OK) {
		(void)fprintf(stderr, "%.*s\n%.*s", (int)len, text, (int)messages.n,
		              (const char *)messages.p);
		exit(1);
	}
	buf_fini(&messages);
	free(text);
	return m;
}

static void print_policy(const struct policy *p, size_t rule)
{
	if (p)
		printf(" %s %zu", p->key, rule);
	else
		printf(" - -");
}

static void print_answer(const struct authz_answer *a)
{
	const char *why = a->cause == ERR_POLICY_DENY       ? "denied"
	                  : a->cause == ERR_POLICY_NO_ALLOW ? "not-allowed"
	                                                    : "fine";

	printf("%s %s", a->verdict == AUTHZ_ALLOW ? "allow" : "deny", why);
	print_policy(a->policy, a->rule);
	for (size_t i = 0; i < a->note_count; i++)
		print_policy(a->notes[i].policy, a->notes[i].rule);
	printf("%s\n", a->notes_cut ? " cut" : "");
}

static void check_same(const struct authz_answer *a, const struct authz_answer *b)
{
	CHECK(a->verdict == b->verdict && a->cause == b->cause && a->policy == b->policy);
	CHECK(a->rule == b->rule && a->note_count == b->note_count);
	for (size_t i = 0; i < a->note_count; i++)
		CHECK(a->notes[i].policy == b->notes[i].policy &&
		      a->notes[i].rule == b->notes[i].rule);
}

/* The next word of a line, cut off its front; "" at its end. */
static const char *word(char **line)
{
	char *found = strsep(line, " \n");

	return found ? found : "";
}

static void answer(const struct mesh *m, char *line)
{
	const char *uid = word(&line), *source = word(&line), *destination = word(&line);
	const char *identity = word(&line);
	struct authz_facts facts = {.identity = strcmp(identity, "-") == 0 ? NULL : identity};
	struct authz_answer fast, plain;

	CHECK(ip_parse(span_str(source), &facts.source_ip) == ERR_OK);
	CHECK(endpoint_parse(span_str(destination), &facts.destination) == ERR_OK);

	const struct workload *w = m ? mesh_workload_by_uid(m, uid) : NULL;

	CHECK(w);
	authz_check(m, w, &facts, &fast);
	authz_check_plainly(m, w, &facts, &plain);
	check_same(&fast, &plain);
	print_answer(&fast);
}

int main(void)
{
	struct mesh *m = NULL;
	char *line = NULL;
	size_t room = 0;

	while (getline(&line, &room, stdin) > 0) {
		char *rest = line;

		if (strcmp(word(&rest), "ask") == 0) {
			answer(m, rest);
			continue;
		}
		mesh_unref(m);
		m = read_mesh(strtoul(word(&rest), NULL, 10));
		CHECK(getchar() == '\n');
	}
	free(line);
	mesh_unref(m);
	return 0;
}
