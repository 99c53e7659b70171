/* SPDX-License-Identifier: Apache-2.0 */
#include "ztunnel/steward/steward.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "ztunnel/steward/steward_internal.h"

static enum err check_options(const struct steward_options *opt, char why[WHY_MAX])
{
	if (opt->pin_root == NULL)
		return why_not(why, ERR_CONFIG, "no pin root is given");
	if (opt->workers == 0 || opt->workers > STEWARD_WORKERS_MAX)
		return why_not(why, ERR_CONFIG, "%u workers: 1 to %d are possible", opt->workers,
		               (int)STEWARD_WORKERS_MAX);
	if ((opt->mark & CAPTURE_MARK_MASK) == CAPTURE_MARK)
		return why_not(why, ERR_CONFIG,
		               "PACKET_MARK %u: its low 12 bits are the mark of what is captured: "
		               "choose another",
		               opt->mark);
	return ERR_OK;
}

struct node {
	int fd;
	struct netns_identity id;
	uint64_t cookie;
};

static enum err ask_node_cookie(void *arg, char why[WHY_MAX])
{
	struct node *node = arg;

	return netns_cookie_here(&node->cookie, why);
}

/* The namespace node processes live in: where a kubelet's probes come from. */
static enum err find_node(struct steward *s, struct node *node, char why[WHY_MAX])
{
	enum err e;

	if (s->opt.node_netns != NULL)
		e = netns_open(s->opt.node_netns, &node->fd, why);
	else
		e = netns_own(&node->fd, why);
	if (e == ERR_OK)
		e = netns_identify(node->fd, &node->id, why);
	if (e == ERR_OK)
		e = netns_visit(s->home, node->fd, ask_node_cookie, node, why);
	return e;
}

enum err steward_start(const struct steward_options *opt, struct steward **ret_steward,
                       char why[STEWARD_WHY_MAX])
{
	struct node node = {.fd = -1};
	struct steward *s;
	enum err e = check_options(opt, why);

	if (e != ERR_OK)
		return e;
	s = mem_new(sizeof(*s));
	s->opt = *opt;
	s->refusals = mem_new(sizeof(*s->refusals));
	s->home = -1;
	memset(s->reserve, 0xff, sizeof(s->reserve)); /* all -1 */
	list_init(&s->enrolled);
	list_init(&s->watches);
	e = netns_own(&s->home, why);
	if (e == ERR_OK)
		e = find_node(s, &node, why);
	if (e == ERR_OK && !opt->without_capture)
		e = capture_start(opt->pin_root, opt->cgroup_root, node.cookie, &s->capture, why);
	if (node.fd >= 0)
		(void)close(node.fd);
	s->opt.pin_root = s->opt.cgroup_root = s->opt.node_netns = NULL; /* were lent */
	if (e != ERR_OK) {
		steward_free(s);
		return e;
	}
	s->node = node.id;
	reserve_take(s);
	if (s->capture != NULL)
		s->capture->without_tcx |= opt->guard_by_clsact;
	*ret_steward = s;
	return ERR_OK;
}

void steward_stop(struct steward *s)
{
	addr_watch_stop(s, 0);
}

bool steward_stopped(const struct steward *s)
{
	return list_empty(&s->watches);
}

void steward_free(struct steward *s)
{
	CHECK(steward_stopped(s));
	list_for_each_safe (it, next, &s->enrolled)
		enrolled_forget(list_entry(it, struct enrolled, link));
	reserve_give(s);
	if (s->capture != NULL)
		capture_stop(s->capture);
	if (s->home >= 0)
		(void)close(s->home);
	free(s->refusals);
	free(s);
}

void steward_counts(const struct steward *s, struct steward_counts *ret_counts)
{
	const struct capture_table *t;

	*ret_counts = (struct steward_counts){0};
	if (s->capture == NULL)
		return;
	t = &s->capture->table;
	*ret_counts = (struct steward_counts){
		.steered = capture_table_stat(t, CAPTURE_STAT_STEERED),
		.to_out = capture_table_stat(t, CAPTURE_STAT_TO_OUT),
		.to_inplain = capture_table_stat(t, CAPTURE_STAT_TO_INPLAIN),
		.to_hbone = capture_table_stat(t, CAPTURE_STAT_TO_HBONE),
		.to_dns = capture_table_stat(t, CAPTURE_STAT_TO_DNS),
		.passed = capture_table_stat(t, CAPTURE_STAT_PASSED),
		.refused = capture_table_stat(t, CAPTURE_STAT_NO_LISTENER),
		.guard_hits = capture_table_stat(t, CAPTURE_STAT_GUARD_HIT),
	};
}

void steward_refused_each(const struct steward *s, steward_refused_fn *fn, void *arg)
{
	refusals_each(s->refusals, fn, arg);
}

static enum err open_watch(void *arg, char why[WHY_MAX])
{
	return rtnl_watch_open(arg, why);
}

/* Without it the pod works as long as its addresses stay. */
static enum err watch(struct steward *s, struct loop *loop, const struct steward_pod *pod,
                      char why[WHY_MAX])
{
	struct enrolled *enrolled = enrolled_find(s, pod->cookie);
	int fd;
	enum err e;

	if (addr_watch_running(s, pod->cookie))
		return ERR_OK; /* of the enrollment this one replaced */
	e = netns_visit(s->home, pod->netns_fd, open_watch, &fd, why);
	if (e == ERR_OK)
		e = addr_watch_start(s, loop, pod->cookie, fd);
	/* what changed between the first look and the watch */
	if (e == ERR_OK)
		e = enrolled_refresh(s, enrolled, why);
	return e;
}

void steward_enroll(struct steward *s, struct loop *loop, struct steward_enroll_req *req,
                    op_done_fn *done)
{
	char again[WHY_MAX];

	req->ret_why[0] = '\0';
	req->ret_err = enroll_now(s, req);
	if (req->ret_err == ERR_OK) {
		req->ret_err = watch(s, loop, &req->ret_pod, req->ret_why);
		if (req->ret_err != ERR_OK) {
			if (release_now(s, req->ret_pod.cookie, again) != ERR_OK)
				log_at(LOG_SCOPE_CAPTURE, LOG_WARN,
				       "a failed enrollment left something behind",
				       LOG_S("error", again));
			steward_pod_fini(&req->ret_pod);
		}
	}
	refusals_note(s->refusals, STEWARD_ENROLL, req->ret_err);
	loop_post(loop, &req->op, 0, done);
}

void steward_uncapture(struct steward *s, struct loop *loop, struct steward_unenroll_req *req,
                       op_done_fn *done)
{
	req->ret_why[0] = '\0';
	req->ret_err = ERR_OK;
	uncapture_now(s, req->cookie);
	loop_post(loop, &req->op, 0, done);
}

void steward_release(struct steward *s, struct loop *loop, struct steward_unenroll_req *req,
                     op_done_fn *done)
{
	req->ret_why[0] = '\0';
	req->ret_err = release_now(s, req->cookie, req->ret_why);
	refusals_note(s->refusals, STEWARD_UNENROLL, req->ret_err);
	loop_post(loop, &req->op, 0, done);
}

void steward_sweep(struct steward *s, struct loop *loop, struct steward_sweep_req *req,
                   op_done_fn *done)
{
	req->ret_why[0] = '\0';
	req->ret_err = sweep_now(s, req->keep, req->keep_count, &req->ret_swept, req->ret_why);
	refusals_note(s->refusals, STEWARD_SWEEP, req->ret_err);
	loop_post(loop, &req->op, 0, done);
}
