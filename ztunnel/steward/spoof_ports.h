/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spoof_ports - which source ports a worker may use towards an application of one pod. Pure.
 *
 * Inbound, the application must see the client's address C. The connection accepted from the client is
 * (pod:P <- C:c), the one made to the application is (pod:P <- C:e); both live in the pod's one socket
 * table, so e must differ from every live c of that client towards that port, and from every other e.
 * One table per (pod, worker), nothing shared: worker w owns the ports e with (e >> 1) % workers == w,
 * and the kernel hands worker w exactly the plaintext clients with such a c (capture_shared.h).
 */
#ifndef ZTUNNEL_STEWARD_SPOOF_PORTS_H
#define ZTUNNEL_STEWARD_SPOOF_PORTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/netaddr.h"

enum {
	SPOOF_PORT_FIRST =
		61000, /* above Linux's default ephemeral range, so clients rarely are there */
	SPOOF_PORT_LAST = 65535,
	SPOOF_FALLBACK_FIRST = 10240, /* below that range, once the upper one is exhausted */
	SPOOF_FALLBACK_LAST = 32767,
	SPOOF_TRIES_MAX =
		8, /* fresh sockets to try when bind or connect says the address is in use */
};

struct spoof_port_entry;

/* A range walked whole in vain: it stays full for this client and port until something is released. */
struct spoof_ports_full {
	struct ip client;
	uint16_t dst_port;
	bool known;
};

struct spoof_ports {
	struct spoof_port_entry *slots; /* private: open addressing */
	size_t cap, used, live;         /* private: power of two or 0; slots not empty; entries */
	uint64_t dice, hash_seed;       /* private */
	struct spoof_ports_full upper_full, lower_full; /* private */
	uint16_t worker, workers;
};

/* seed: any value, best random. No memory is held until the first entry. */
void spoof_ports_init(struct spoof_ports *sp, unsigned int worker, unsigned int workers,
                      uint64_t seed);
void spoof_ports_fini(struct spoof_ports *sp);

/*
 * A plaintext connection from client (address and port) to dst_port was accepted: its port is taken until
 * released. Noting twice counts twice.
 *
 * Errs: ERR_MEMORY
 */
MUST_CHECK enum err spoof_ports_note(struct spoof_ports *sp, const struct endpoint *client,
                                     uint16_t dst_port);
/*
 * Choose a port at random and take it. Release it when the connection to the application is over.
 *
 * Errs: ERR_OVERLOAD when no port of this worker is left for that client and dst_port; ERR_MEMORY
 */
MUST_CHECK enum err spoof_ports_pick(struct spoof_ports *sp, const struct ip *client,
                                     uint16_t dst_port, uint16_t *ret_port);
/* Undo one note, or give back a picked port. Unknown entries are ignored. */
void spoof_ports_release(struct spoof_ports *sp, const struct endpoint *client, uint16_t dst_port);

#endif
