/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reclaim - back into slots that stand empty. During an upgrade the successor's listeners are in the slots, and leave
 * them with the successor should it die: whoever still serves then takes its pods back.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "ztunnel/steward/steward_internal.h"

/* The sockets of the DNS proxy that have slots. */
static const struct {
	enum steward_dns socket;
	enum capture_kind kind;
} dns_slots[STEWARD_DNS_SLOTS] = {
	{STEWARD_DNS_UDP4, CAPTURE_DNS_UDP},
	{STEWARD_DNS_TCP4, CAPTURE_DNS_TCP},
	{STEWARD_DNS_UDP6, CAPTURE_DNS_UDP6},
	{STEWARD_DNS_TCP6, CAPTURE_DNS_TCP6},
};

enum err dns_slots_fill(const struct capture_pod_maps *m, const struct steward_pod *pod,
                        char why[WHY_MAX])
{
	enum err err = ERR_OK;

	for (size_t i = 0; i < ARRAY_LEN(dns_slots) && err == ERR_OK; i++) {
		int fd = pod->dns[dns_slots[i].socket];

		if (fd >= 0)
			err = capture_pod_set_listener(m, dns_slots[i].kind, 0, fd, why);
		capture_pod_clear_listeners(m, dns_slots[i].kind, fd >= 0 ? 1 : 0);
	}
	return err;
}

void held_keep(struct enrolled *e, const struct steward_pod *pod)
{
	for (size_t i = 0; i < ARRAY_LEN(dns_slots); i++) {
		int fd = pod->dns[dns_slots[i].socket];

		e->held_dns[i] = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
	}
	e->held_count = (size_t)LISTENER_KINDS * pod->workers;
	e->held = mem_new(e->held_count * sizeof(int));
	for (size_t i = 0; i < e->held_count; i++)
		e->held[i] =
			fcntl(pod->listeners[i], F_DUPFD_CLOEXEC, 0); /* -1: not to be taken back */
}

void held_close(struct enrolled *e)
{
	for (size_t i = 0; i < e->held_count; i++) {
		if (e->held[i] >= 0)
			(void)close(e->held[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(dns_slots) && e->held != NULL; i++) {
		if (e->held_dns[i] >= 0)
			(void)close(e->held_dns[i]);
	}
	free(e->held);
	e->held = NULL;
	e->held_count = 0;
}

/* Whether the pod was nobody's and is ours again. The first slot stands for all: a process fills them together. */
static bool take_back(struct enrolled *e)
{
	uint32_t workers = (uint32_t)(e->held_count / LISTENER_KINDS);
	char why[WHY_MAX];

	if (e->held_count == 0 ||
	    !capture_pod_refill_listener(&e->maps, CAPTURE_OUT, 0, e->held[0]))
		return false;
	for (uint32_t i = 1; i < e->held_count; i++)
		(void)capture_pod_refill_listener(&e->maps, (enum capture_kind)(i / workers),
		                                  i % workers, e->held[i]);
	for (size_t i = 0; i < ARRAY_LEN(dns_slots); i++)
		(void)capture_pod_refill_listener(&e->maps, dns_slots[i].kind, 0, e->held_dns[i]);
	if (capture_pod_configure(&e->maps, &e->cfg, why) != ERR_OK)
		log_at(LOG_SCOPE_CAPTURE, LOG_WARN, "a pod was not taken back whole",
		       LOG_S("netns", e->state.netns), LOG_S("error", why));
	return true;
}

uint32_t steward_reclaim(struct steward *s)
{
	uint32_t n = 0;

	list_for_each (it, &s->enrolled) {
		if (take_back(list_entry(it, struct enrolled, link)))
			n++;
	}
	return n;
}

void steward_let_go(struct steward *s)
{
	list_for_each (it, &s->enrolled)
		held_close(list_entry(it, struct enrolled, link));
}
