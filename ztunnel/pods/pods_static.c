/* SPDX-License-Identifier: Apache-2.0 */
#include "ztunnel/pods/pods_static.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/io/timer.h"

enum {
	RETRY_MS = 5000,     /* contract 2.6 */
	LOOK_MS = 20,        /* how often a draining pod is looked at */
	IDLE_LOOK_MS = 1000, /* and how often the others, for namespaces that are gone */
	LAND_MS = 1000,      /* for connections that were cut to be over */
	TEXTS = 7,           /* of a struct pod_wanted */
};

enum entry_state {
	ENTRY_PENDING, /* wanted, not enrolled: the next retry tries */
	ENTRY_ENROLLING,
	ENTRY_UP,
	ENTRY_UNCAPTURING, /* no new connections from here on */
	ENTRY_DRAINING,    /* its connections finish, or the deadline comes */
	ENTRY_RELEASING,
};

/* One pod, from being wanted until nothing of it is left. Owns its texts. */
struct entry {
	struct list link;
	struct pods_static *owner;
	enum entry_state state;
	bool wanted;
	bool again;      /* wanted again while going: enrolled anew once it is gone */
	bool tried;      /* at least one attempt ended */
	bool superseded; /* another entry has taken over its capture: nothing of it to be released */
	bool cut;        /* its connections were told to end */
	char *texts[TEXTS];
	struct pod_wanted as;
	struct pod *pod;
	uint64_t drain_until_ms;
	char virt_text[POD_TEXT_MAX]; /* as.virts, each name with a NUL in place of its comma */
	const char *virts[STEWARD_VIRTS_MAX + 1]; /* one too many is the steward's to refuse */
	struct steward_enroll_req enroll;
	struct steward_unenroll_req leave;
	char why[STEWARD_WHY_MAX];
};

struct pods_static {
	struct steward *steward;
	struct loop *loop;
	struct pods_static_options opt;
	struct pods_table table;
	struct list entries;
	struct steward_sweep_req sweep;
	char **keep; /* of a sweep in flight */
	size_t keep_count;
	bool applied, swept, stopping;
	uint32_t next_id;
	struct timer look;
	uint64_t retry_at_ms, gone_at_ms;
};

/* --- texts ---------------------------------------------------------------------------------- */

static const char *virts_of(const struct pod_wanted *w)
{
	return w->virts == NULL ? "" : w->virts;
}

static void copy_texts(struct entry *e, const struct pod_wanted *w)
{
	const char *const from[] = {w->uid,          w->name,  w->namespace, w->service_account,
	                            w->trust_domain, w->netns, virts_of(w)};
	const char **const to[] = {
		&e->as.uid,          &e->as.name,  &e->as.namespace, &e->as.service_account,
		&e->as.trust_domain, &e->as.netns, &e->as.virts};

	for (size_t i = 0; i < ARRAY_LEN(from); i++) {
		e->texts[i] = mem_str(span_str(from[i]));
		*to[i] = e->texts[i];
	}
	e->as.flags = w->flags;
}

static bool same_wish(const struct pod_wanted *a, const struct pod_wanted *b)
{
	return a->flags == b->flags && strcmp(a->uid, b->uid) == 0 &&
	       strcmp(a->name, b->name) == 0 && strcmp(a->namespace, b->namespace) == 0 &&
	       strcmp(a->service_account, b->service_account) == 0 &&
	       strcmp(a->trust_domain, b->trust_domain) == 0 && strcmp(a->netns, b->netns) == 0 &&
	       strcmp(virts_of(a), virts_of(b)) == 0;
}

/* The names of inner devices, as the steward takes them. */
static size_t split_virts(struct entry *e)
{
	struct span rest = span_str(e->as.virts);
	char *at = e->virt_text;
	size_t n = 0;

	while (rest.p != NULL && n < ARRAY_LEN(e->virts)) {
		struct span name = str_trim(str_split(&rest, ','));

		if (name.n == 0)
			continue;
		memcpy(at, name.p, name.n);
		at[name.n] = '\0';
		e->virts[n++] = at;
		at += name.n + 1;
	}
	return n;
}

static struct entry *entry_of(struct list *it)
{
	return list_entry(it, struct entry, link);
}

static struct entry *find_same(struct pods_static *ps, const struct pod_wanted *w)
{
	list_for_each (it, &ps->entries) {
		struct entry *e = entry_of(it);

		if (same_wish(&e->as, w) && (e->state <= ENTRY_UP || e->again))
			return e;
	}
	return NULL;
}

static void free_entry(struct entry *e)
{
	list_remove(&e->link);
	for (size_t i = 0; i < TEXTS; i++)
		free(e->texts[i]);
	free(e);
}

/* --- one pod's life --------------------------------------------------------------------------- */

static void step(struct entry *e);

static bool netns_changed(const struct entry *e)
{
	const struct steward_pod *p = &e->pod->enrolled;
	char path[POD_TEXT_MAX + 16];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s%s", e->as.netns[0] == '/' ? "" : "/run/netns/",
	               e->as.netns);
	if (stat(path, &st) != 0)
		return errno == ENOENT;
	return st.st_dev != p->netns_dev || st.st_ino != p->netns_ino;
}

static bool same_netns(const struct entry *a, const struct entry *b)
{
	return a != b && strcmp(a->as.netns, b->as.netns) == 0;
}

/* Another entry is busy with the namespace: this one's turn comes after it. */
static bool netns_is_busy(const struct entry *e)
{
	list_for_each (it, &e->owner->entries) {
		const struct entry *o = entry_of(it);

		if (same_netns(o, e) && !o->superseded && o->state != ENTRY_PENDING &&
		    o->state != ENTRY_UP)
			return true;
	}
	return false;
}

/* The entry that runs and is no longer wanted as it is; e takes over its capture without a gap. */
static struct entry *predecessor_of(const struct entry *e)
{
	list_for_each (it, &e->owner->entries) {
		struct entry *o = entry_of(it);

		if (same_netns(o, e) && o->state == ENTRY_UP && !o->wanted)
			return o;
	}
	return NULL;
}

static bool has_successor(const struct entry *e)
{
	list_for_each (it, &e->owner->entries) {
		const struct entry *o = entry_of(it);

		if (same_netns(o, e) && o->wanted && o->state <= ENTRY_ENROLLING)
			return true;
	}
	return false;
}

/* Its connections finish, new ones go to someone else. With its namespace gone there is nobody to finish them. */
static void drain(struct entry *e)
{
	struct pods_static *ps = e->owner;

	e->state = ENTRY_DRAINING;
	e->cut = false;
	e->drain_until_ms = loop_now_ms(ps->loop) + (netns_changed(e) ? 0 : ps->opt.drain_ms);
	timer_arm(ps->loop, &ps->look, 0);
	ps->opt.events.pod_down(ps->opt.events.arg, e->pod);
}

/* e runs. Whoever ran in the same namespace before is only drained; of another namespace, it goes as always. */
static void up(struct entry *e)
{
	struct pods_static *ps = e->owner;
	struct entry *old = predecessor_of(e);

	if (old != NULL && old->pod->enrolled.cookie == e->pod->enrolled.cookie)
		old->superseded = true;
	e->state = ENTRY_UP;
	e->why[0] = '\0';
	if (old != NULL && old->superseded)
		pods_table_remove(&ps->table, old->pod);
	pods_table_add(&ps->table, e->pod);
	if (ps->stopping)
		return;
	ps->opt.events.pod_up(ps->opt.events.arg, e->pod);
	if (old != NULL && old->superseded)
		drain(old);
}

static void on_enrolled(struct op *op)
{
	struct entry *e = container_of(op, struct entry, enroll.op);
	struct pods_static *ps = e->owner;
	enum err err;

	e->tried = true;
	e->state = ENTRY_PENDING;
	if (e->enroll.ret_err == ERR_OK) {
		err = pod_new(++ps->next_id, &e->as, &e->enroll.ret_pod, &e->pod);
		CHECK(err == ERR_OK); /* its texts were looked at by check_wanted */
		up(e);
	} else {
		(void)snprintf(e->why, sizeof(e->why), "%s", e->enroll.ret_why);
		log_at(LOG_SCOPE_INPOD, LOG_ERROR, "pod not enrolled, will be tried again",
		       LOG_S("uid", e->as.uid), LOG_S("netns", e->as.netns),
		       LOG_S("reason", e->why));
	}
	step(e);
}

static void try_enroll(struct entry *e)
{
	struct pods_static *ps = e->owner;

	if (ps->stopping || netns_is_busy(e))
		return;
	e->state = ENTRY_ENROLLING;
	e->enroll.replace = predecessor_of(e) != NULL;
	e->enroll.netns = e->as.netns;
	e->enroll.flags = e->as.flags;
	e->enroll.virts = e->virts;
	e->enroll.virt_count = split_virts(e);
	steward_enroll(ps->steward, ps->loop, &e->enroll, on_enrolled);
}

static void on_released(struct op *op)
{
	struct entry *e = container_of(op, struct entry, leave.op);
	struct pods_static *ps = e->owner;
	bool again = e->again;

	if (e->leave.ret_err != ERR_OK)
		log_at(LOG_SCOPE_INPOD, LOG_ERROR, "pod not cleaned up", LOG_S("uid", e->as.uid),
		       LOG_S("reason", e->leave.ret_why));
	if (again) {
		e->again = false;
		e->wanted = true;
		e->state = ENTRY_PENDING;
	} else {
		free_entry(e);
	}
	if (ps->stopping)
		return;
	ps->retry_at_ms = 0; /* whoever waited for this namespace may go on */
	timer_arm(ps->loop, &ps->look, 0);
}

static void release(struct entry *e)
{
	e->state = ENTRY_RELEASING;
	e->leave.cookie = e->pod->enrolled.cookie;
	pod_unref(e->pod);
	e->pod = NULL;
	steward_release(e->owner->steward, e->owner->loop, &e->leave, on_released);
}

static void on_uncaptured(struct op *op)
{
	struct entry *e = container_of(op, struct entry, leave.op);
	struct pods_static *ps = e->owner;

	if (e->leave.ret_err != ERR_OK)
		log_at(LOG_SCOPE_INPOD, LOG_ERROR, "capture of a pod did not end",
		       LOG_S("uid", e->as.uid), LOG_S("reason", e->leave.ret_why));
	pods_table_remove(&ps->table, e->pod);
	drain(e);
}

/* All of its connections are over, or their time is. */
static void drained(struct entry *e)
{
	if (!e->superseded) {
		release(e);
		return;
	}
	pod_unref(e->pod);
	free_entry(e);
}

static void step_draining(struct entry *e)
{
	struct pods_static *ps = e->owner;
	uint64_t now = loop_now_ms(ps->loop);

	if (pod_is_idle(e->pod) || (e->cut && now >= e->drain_until_ms)) {
		drained(e);
	} else if (!e->cut && now >= e->drain_until_ms) {
		e->cut = true;
		e->drain_until_ms = now + LAND_MS;
		ps->opt.events.pod_cut(ps->opt.events.arg, e->pod);
	}
}

/* What this pod's state asks for next. */
static void step(struct entry *e)
{
	struct pods_static *ps = e->owner;

	if (ps->stopping)
		return;
	if (e->state == ENTRY_PENDING && !e->wanted) {
		free_entry(e);
	} else if (e->state == ENTRY_UP && !e->wanted && !has_successor(e)) {
		e->state = ENTRY_UNCAPTURING;
		e->leave.cookie = e->pod->enrolled.cookie;
		steward_uncapture(ps->steward, ps->loop, &e->leave, on_uncaptured);
	} else if (e->state == ENTRY_DRAINING) {
		step_draining(e);
	}
}

/* A namespace that is gone, or another one under its name: what ran there is over. */
static void look_for_netns(struct entry *e)
{
	bool serves = e->state == ENTRY_UP && e->wanted;

	if ((!serves && e->state != ENTRY_DRAINING) || !netns_changed(e))
		return;
	if (serves) {
		e->wanted = false;
		e->again = true;
	} else if (!e->cut) {
		e->drain_until_ms = 0;
	}
}

static void on_look(struct timer *t)
{
	struct pods_static *ps = container_of(t, struct pods_static, look);
	bool retry = loop_now_ms(ps->loop) >= ps->retry_at_ms;
	bool look_gone = loop_now_ms(ps->loop) >= ps->gone_at_ms;
	bool draining = false;

	if (ps->stopping)
		return;
	list_for_each_safe (it, tmp, &ps->entries) {
		struct entry *e = entry_of(it);

		if (look_gone)
			look_for_netns(e);
		draining |= e->state == ENTRY_DRAINING;
		if (retry && e->state == ENTRY_PENDING && e->wanted)
			try_enroll(e);
		else
			step(e);
	}
	if (retry)
		ps->retry_at_ms = loop_now_ms(ps->loop) + RETRY_MS;
	if (look_gone)
		ps->gone_at_ms = loop_now_ms(ps->loop) + IDLE_LOOK_MS;
	timer_arm(ps->loop, t, draining ? LOOK_MS : IDLE_LOOK_MS);
}

/* --- the list ----------------------------------------------------------------------------------- */

static void free_keep(struct pods_static *ps)
{
	for (size_t i = 0; i < ps->keep_count; i++)
		free(ps->keep[i]);
	free(ps->keep);
	ps->keep = NULL;
	ps->keep_count = 0;
}

static void on_swept(struct op *op)
{
	struct pods_static *ps = container_of(op, struct pods_static, sweep.op);

	if (ps->sweep.ret_err != ERR_OK)
		log_at(LOG_SCOPE_INPOD, LOG_ERROR, "leftovers of earlier runs were not cleaned up",
		       LOG_S("reason", ps->sweep.ret_why));
	else if (ps->sweep.ret_swept > 0)
		log_at(LOG_SCOPE_INPOD, LOG_INFO, "cleaned up after an earlier run",
		       LOG_N("pods", ps->sweep.ret_swept));
	ps->swept = true;
	free_keep(ps);
}

static void start_sweep(struct pods_static *ps, const struct pod_wanted *wanted, size_t count)
{
	ps->keep = mem_new((count + 1) * sizeof(*ps->keep));
	for (size_t i = 0; i < count; i++)
		ps->keep[i] = mem_str(span_str(wanted[i].netns));
	ps->keep_count = count;
	ps->sweep.keep = (const char *const *)ps->keep;
	ps->sweep.keep_count = count;
	steward_sweep(ps->steward, ps->loop, &ps->sweep, on_swept);
}

static bool texts_fit(const struct pod_wanted *w)
{
	const char *const texts[] = {w->uid,          w->name,  w->namespace, w->service_account,
	                             w->trust_domain, w->netns, virts_of(w)};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		if (strnlen(texts[i], POD_TEXT_MAX) == POD_TEXT_MAX)
			return false;
	}
	return true;
}

/* Each uid and each namespace at most once. */
static enum err check_wanted(const struct pod_wanted *wanted, size_t count, char *why)
{
	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < i; j++) {
			bool uid = strcmp(wanted[i].uid, wanted[j].uid) == 0;

			if (!uid && strcmp(wanted[i].netns, wanted[j].netns) != 0)
				continue;
			(void)snprintf(why, STEWARD_WHY_MAX,
			               "%s %.100s is wanted twice, by %.40s and %.40s: each pod "
			               "needs its own",
			               uid ? "uid" : "netns", uid ? wanted[i].uid : wanted[i].netns,
			               wanted[j].name, wanted[i].name);
			return ERR_CONFIG;
		}
		if (!texts_fit(&wanted[i])) {
			(void)snprintf(why, STEWARD_WHY_MAX,
			               "workload %.100s: a text has %d octets or more",
			               wanted[i].name, (int)POD_TEXT_MAX);
			return ERR_LIMIT;
		}
		if (wanted[i].uid[0] == '\0') {
			(void)snprintf(why, STEWARD_WHY_MAX,
			               "workload %.100s has a netns but no uid: give it one",
			               wanted[i].name);
			return ERR_CONFIG;
		}
	}
	return ERR_OK;
}

static void add_entry(struct pods_static *ps, const struct pod_wanted *w)
{
	struct entry *e = mem_new(sizeof(*e));

	copy_texts(e, w);
	e->owner = ps;
	e->wanted = true;
	list_init(&e->link);
	list_push(&ps->entries, &e->link);
}

enum err pods_static_apply(struct pods_static *ps, const struct pod_wanted *wanted, size_t count,
                           char why[STEWARD_WHY_MAX])
{
	enum err err = check_wanted(wanted, count, why);

	if (err != ERR_OK)
		return err;
	list_for_each (it, &ps->entries) {
		entry_of(it)->wanted = false;
		entry_of(it)->again = false;
	}
	for (size_t i = 0; i < count; i++) {
		struct entry *e = find_same(ps, &wanted[i]);

		if (e != NULL)
			e->wanted = true;
		else
			add_entry(ps, &wanted[i]);
	}
	if (!ps->applied)
		start_sweep(ps, wanted, count);
	ps->applied = true;
	ps->retry_at_ms = 0;
	timer_arm(ps->loop, &ps->look, 0);
	return ERR_OK;
}

size_t pods_static_pending(const struct pods_static *ps, const char **ret_why)
{
	size_t n = 0;

	if (ret_why != NULL)
		*ret_why = "";
	for (const struct list *it = ps->entries.next; it != &ps->entries; it = it->next) {
		const struct entry *e = entry_of((struct list *)(uintptr_t)it);

		if (!e->wanted || e->state == ENTRY_UP)
			continue;
		n++;
		if (ret_why != NULL && e->why[0] != '\0')
			*ret_why = e->why;
	}
	return n;
}

bool pods_static_synced(const struct pods_static *ps)
{
	if (!ps->applied || !ps->swept)
		return false;
	for (const struct list *it = ps->entries.next; it != &ps->entries; it = it->next) {
		const struct entry *e = entry_of((struct list *)(uintptr_t)it);

		if (e->wanted && !e->tried && e->state <= ENTRY_ENROLLING)
			return false;
	}
	return true;
}

const struct pods_table *pods_static_table(const struct pods_static *ps)
{
	return &ps->table;
}

/* --- life ------------------------------------------------------------------------------------------ */

enum err pods_static_new(struct steward *steward, struct loop *loop,
                         const struct pods_static_options *opt, struct pods_static **ret_pods)
{
	struct pods_static *ps = mem_new(sizeof(*ps));

	ps->steward = steward;
	ps->loop = loop;
	ps->opt = *opt;
	pods_table_init(&ps->table);
	list_init(&ps->entries);
	timer_init(&ps->look, on_look);
	*ret_pods = ps;
	return ERR_OK;
}

void pods_static_stop(struct pods_static *ps)
{
	ps->stopping = true;
	timer_disarm(&ps->look);
}

bool pods_static_stopped(const struct pods_static *ps)
{
	if (ps->sweep.op.pending)
		return false;
	for (const struct list *it = ps->entries.next; it != &ps->entries; it = it->next) {
		const struct entry *e = entry_of((struct list *)(uintptr_t)it);

		if (e->enroll.op.pending || e->leave.op.pending)
			return false;
	}
	return ps->stopping;
}

void pods_static_free(struct pods_static *ps)
{
	CHECK(pods_static_stopped(ps));
	list_for_each_safe (it, tmp, &ps->entries) {
		struct entry *e = entry_of(it);

		if (e->state <= ENTRY_UNCAPTURING && e->pod != NULL)
			pods_table_remove(&ps->table, e->pod);
		pod_unref(e->pod);
		free_entry(e);
	}
	free_keep(ps);
	free(ps);
}
