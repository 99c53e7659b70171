/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_gate - how many steps of handshakes a worker takes in one turn of its loop. A step costs a fifth of a
 * millisecond of public-key arithmetic; whoever comes beyond the limit waits for a later turn, in order, so that a
 * flood of handshakes costs live traffic a bounded delay each turn and no more.
 *
 * One thread. Embedded in the worker; connections wait in it with an entry of their own.
 */
#ifndef COMMON_TLS_TLS_GATE_H
#define COMMON_TLS_TLS_GATE_H

#include <stdbool.h>

#include "common/base/list.h"
#include "common/io/loop.h"

enum { TLS_GATE_STEPS = 8 }; /* in a turn: under two milliseconds */

struct tls_gate_entry {
	struct list link;
	void (*run)(struct tls_gate_entry *e); /* its turn has come */
};

/* Fields are private. */
struct tls_gate {
	struct loop *loop;
	struct list waiting;
	unsigned int used; /* steps of this turn */
	struct op op;      /* brings the next turn while somebody waits */
	struct loop_hook hook;
};

void tls_gate_init(struct tls_gate *g, struct loop *loop);
void tls_gate_fini(struct tls_gate *g); /* after the loop's last turn; nobody waits any more */
void tls_gate_entry_init(struct tls_gate_entry *e, void (*run)(struct tls_gate_entry *e));
/* true: go on now. false: e->run is called from a later turn, unless tls_gate_leave comes before. */
bool tls_gate_pass(struct tls_gate *g, struct tls_gate_entry *e);
bool tls_gate_waits(const struct tls_gate_entry *e);
void tls_gate_leave(struct tls_gate_entry *e); /* harmless when it does not wait */

#endif
