/* SPDX-License-Identifier: Apache-2.0 */
#include "common/tls/tls_gate.h"

#include "common/base/check.h"

static void on_turn(struct op *op)
{
	struct tls_gate *g = container_of(op, struct tls_gate, op);
	struct list *link;

	while (g->used < TLS_GATE_STEPS && (link = list_shift(&g->waiting)) != NULL) {
		struct tls_gate_entry *e = list_entry(link, struct tls_gate_entry, link);

		g->used++;
		e->run(e);
	}
	loop_at_turn_end(g->loop, &g->hook);
}

static void on_turn_end(struct loop_hook *h)
{
	struct tls_gate *g = container_of(h, struct tls_gate, hook);

	g->used = 0;
	if (!list_empty(&g->waiting) && !g->op.pending)
		loop_post(g->loop, &g->op, 0, on_turn);
}

void tls_gate_init(struct tls_gate *g, struct loop *loop)
{
	*g = (struct tls_gate){.loop = loop};
	list_init(&g->waiting);
	loop_hook_init(&g->hook, on_turn_end);
}

void tls_gate_fini(struct tls_gate *g)
{
	CHECK(list_empty(&g->waiting) && !g->op.pending);
}

void tls_gate_entry_init(struct tls_gate_entry *e, void (*run)(struct tls_gate_entry *e))
{
	list_init(&e->link);
	e->run = run;
}

bool tls_gate_pass(struct tls_gate *g, struct tls_gate_entry *e)
{
	loop_at_turn_end(g->loop, &g->hook);
	if (g->used < TLS_GATE_STEPS && list_empty(&g->waiting)) {
		g->used++;
		return true;
	}
	if (!tls_gate_waits(e))
		list_push(&g->waiting, &e->link);
	return false;
}

bool tls_gate_waits(const struct tls_gate_entry *e)
{
	return !list_empty(&e->link);
}

void tls_gate_leave(struct tls_gate_entry *e)
{
	list_remove(&e->link);
}
