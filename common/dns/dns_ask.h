/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_ask - the seam between who needs an answer from a nameserver and who gets one.
 */
#ifndef COMMON_DNS_DNS_ASK_H
#define COMMON_DNS_DNS_ASK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/list.h"
#include "common/base/span.h"

struct dns_ask;
typedef void dns_ask_fn(struct dns_ask *a);

/*
 * One question on its way. Embedded by the waiter, valid until done.
 *
 * done() runs once, never inside dns_ask(). ret_answer points into the forwarder and is good inside done() only; it has
 * the question's id and AA clear. Errs (ret_err): ERR_DNS no nameserver gave an answer in time, ERR_OVERLOAD too many questions are on their way,
 * ERR_CANCELLED after dns_ask_cancel or the end of the forwarder
 */
struct dns_ask {
	struct span query; /* borrowed until done: the whole message */
	dns_ask_fn *done;
	struct span ret_answer;
	enum err ret_err;
	bool ret_cached;  /* no nameserver was asked */
	struct list link; /* private to the forwarder, as the next */
	void *impl;
};

struct dns_forwarder {
	void (*ask)(struct dns_forwarder *f, struct dns_ask *a);
	void (*cancel)(struct dns_forwarder *f, struct dns_ask *a);
};

/* a->query and a->done are set. */
static inline void dns_ask(struct dns_forwarder *f, struct dns_ask *a)
{
	f->ask(f, a);
}

/* done() follows soon. Harmless when it has run. */
static inline void dns_ask_cancel(struct dns_forwarder *f, struct dns_ask *a)
{
	f->cancel(f, a);
}

#endif
