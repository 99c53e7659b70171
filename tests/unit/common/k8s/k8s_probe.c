/* SPDX-License-Identifier: Apache-2.0 */
/*
 * k8s_probe - a k8s_client on a real loop, for tests/e2e: what it is told goes to stdout, a line each; orders come on
 * stdin: "GET path", "PATCH path body", "POST path body"; its end is the end.
 *
 * k8s_probe HOST PORT FOLDER PATH SELECTOR
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/k8s/k8s_client.h"

enum { LINE_MAX_OCTETS = 65536, CALL_MS = 5000, DRAIN_MS = 1000 };

struct probe {
	struct loop *loop;
	struct h2_events scratch;
	struct k8s_config config;
	struct k8s_client client;
	struct k8s_watch watch;
	struct op input;
	size_t n;
	char line[LINE_MAX_OCTETS];
};

struct order {
	struct k8s_call call;
};

static void on_connected(struct k8s_client *c)
{
	(void)c;
	(void)puts("connected");
}

static void on_disconnected(struct k8s_client *c, enum err cause, const char *why)
{
	(void)c;
	(void)printf("disconnected %s %s\n", err_info(cause)->name, why);
}

static void on_watch_failed(struct k8s_client *c, struct k8s_watch *w)
{
	(void)c;
	(void)printf("failed %s\n", w->session.why);
}

static void on_landed(struct k8s_client *c)
{
	loop_stop(c->loop);
}

static const struct k8s_client_owner owner = {.connected = on_connected,
                                              .disconnected = on_disconnected,
                                              .watch_failed = on_watch_failed,
                                              .landed = on_landed};

static void on_object(struct k8s_session *s, enum k8s_event kind, const json_t *object)
{
	static const char *const words[] = {"relist", "object", "deleted", "synced"};

	(void)s;
	if (object)
		(void)printf("%s %s/%s %s\n", words[kind],
		             k8s_json_text(object, "metadata.namespace"),
		             k8s_json_text(object, "metadata.name"),
		             k8s_json_text(object, "metadata.labels.v"));
	else
		(void)puts(words[kind]);
}

static void on_answered(struct k8s_call *a, const struct k8s_answer *answer)
{
	(void)printf("answer %s %u %llu %.*s\n", err_info(answer->cause)->name, answer->status,
	             (unsigned long long)answer->retry_after_ms, (int)answer->body.n,
	             answer->body.n ? (const char *)answer->body.p : "");
	free(container_of(a, struct order, call));
}

static void obey(struct probe *p, char *line)
{
	static const char *const verbs[] = {"GET", "PATCH", "POST"};
	struct k8s_request req = {.answer_max = LINE_MAX_OCTETS, .timeout_ms = CALL_MS};
	struct order *o = calloc(1, sizeof(*o));
	char *rest = NULL;
	const char *verb = strtok_r(line, " ", &rest);
	enum err e;

	CHECK(o != NULL && verb != NULL);
	for (unsigned int i = 0; i < ARRAY_LEN(verbs); i++) {
		if (strcmp(verb, verbs[i]) == 0)
			req.verb = (enum k8s_verb)i;
	}
	req.path = strtok_r(NULL, " ", &rest);
	req.body = span_str(rest ? rest : "");
	CHECK(req.path != NULL);
	e = k8s_call_start(&o->call, &p->client, &req, on_answered);
	if (e == ERR_OK)
		return;
	(void)printf("answer %s 0 0 \n", err_info(e)->name);
	free(o);
}

static void on_input(struct op *op)
{
	struct probe *p = container_of(op, struct probe, input);
	ssize_t n = read(STDIN_FILENO, p->line + p->n, sizeof(p->line) - p->n - 1);
	char *nl;

	if (n <= 0) {
		k8s_client_stop(&p->client, DRAIN_MS);
		return;
	}
	p->n += (size_t)n;
	p->line[p->n] = '\0';
	while ((nl = strchr(p->line, '\n')) != NULL) {
		*nl = '\0';
		obey(p, p->line);
		p->n -= (size_t)(nl + 1 - p->line);
		memmove(p->line, nl + 1, p->n + 1);
	}
	loop_poll(p->loop, op, STDIN_FILENO, POLLIN, on_input);
}

int main(int argc, char *argv[])
{
	static struct probe p;
	struct k8s_client_setup setup = {
		.owner = &owner, .config = &p.config, .scratch = &p.scratch};
	struct k8s_config_source from = {0};
	char why[K8S_CONFIG_WHY_MAX];

	if (argc != 6)
		return 2;
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	from.host = argv[1];
	from.port = argv[2];
	from.folder = argv[3];
	if (k8s_config_load(&from, &p.config, why) != ERR_OK) {
		(void)fprintf(stderr, "%s\n", why);
		return 1;
	}
	if (tls_global_init() != ERR_OK || loop_uring_new(NULL, &p.loop) != ERR_OK)
		return 1;
	h2_events_init(&p.scratch);
	k8s_client_start(&p.client, p.loop, &setup);
	k8s_watch_start(&p.watch, &p.client, argv[4], argv[5], on_object);
	loop_poll(p.loop, &p.input, STDIN_FILENO, POLLIN, on_input);
	loop_run(p.loop);
	k8s_watch_stop(&p.watch);
	k8s_client_fini(&p.client);
	h2_events_fini(&p.scratch);
	loop_free(p.loop);
	tls_global_fini();
	return 0;
}
