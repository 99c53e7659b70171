/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/mailbox.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/mem.h"

struct mailbox {
	_Atomic(struct letter *) newest; /* a stack, linked from newest to oldest */
	struct loop *loop;               /* borrowed */
	struct op wake;
	int fd; /* eventfd, owned; written by whoever finds the stack empty */
	bool stopped;
};

/* Run everything posted so far, oldest first. */
static void deliver(struct mailbox *m)
{
	struct letter *l = atomic_exchange_explicit(&m->newest, NULL, memory_order_acquire);
	struct letter *oldest = NULL;

	while (l != NULL) {
		struct letter *next = l->next;

		l->next = oldest;
		oldest = l;
		l = next;
	}
	while (oldest != NULL) {
		l = oldest;
		oldest = l->next;
		l->fn(l);
	}
}

static void on_wake(struct op *op)
{
	struct mailbox *m = container_of(op, struct mailbox, wake);
	uint64_t count;

	if (m->stopped)
		return;
	/* emptied before the letters are taken: one posted in between wakes us again */
	(void)!read(m->fd, &count, sizeof(count));
	deliver(m);
	if (!m->stopped)
		loop_poll(m->loop, &m->wake, m->fd, POLLIN, on_wake);
}

enum err mailbox_new(struct loop *loop, struct mailbox **ret_mailbox)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct mailbox *m;

	if (fd < 0)
		return ERR_SYSTEM;
	m = mem_new(sizeof(*m));
	m->loop = loop;
	m->fd = fd;
	loop_poll(loop, &m->wake, fd, POLLIN, on_wake);
	*ret_mailbox = m;
	return ERR_OK;
}

void mailbox_stop(struct mailbox *m)
{
	if (m->stopped)
		return;
	deliver(m);
	m->stopped = true;
	loop_cancel(m->loop, &m->wake);
}

void mailbox_free(struct mailbox *m)
{
	if (m == NULL)
		return;
	CHECK(!m->wake.pending);
	CHECK(close(m->fd) == 0);
	free(m);
}

void mailbox_post(struct mailbox *m, struct letter *l, letter_fn *fn)
{
	struct letter *newest = atomic_load_explicit(&m->newest, memory_order_relaxed);
	const uint64_t one = 1;

	l->fn = fn;
	do
		l->next = newest;
	while (!atomic_compare_exchange_weak_explicit(&m->newest, &newest, l, memory_order_release,
	                                              memory_order_relaxed));
	/* a stack that was not empty has a wake-up on its way */
	if (newest == NULL)
		CHECK(write(m->fd, &one, sizeof(one)) == sizeof(one) || errno == EAGAIN);
}
