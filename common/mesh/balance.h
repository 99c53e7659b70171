/* SPDX-License-Identifier: Apache-2.0 */
/*
 * balance - pick one endpoint of a service: eligibility, locality rank, weight. Pure. Contract 7.3.
 */
#ifndef COMMON_MESH_BALANCE_H
#define COMMON_MESH_BALANCE_H

#include <stdint.h>

#include "common/base/err.h"
#include "common/mesh/mesh.h"

enum balance_use {
	BALANCE_STANDARD, /* for the service itself */
	BALANCE_WAYPOINT, /* the service is a waypoint, the port its HBONE port */
};

struct balance_query {
	const struct service *service;
	const struct workload *source; /* whose locality counts */
	uint16_t port;                 /* the service port */
	enum balance_use use;
	uint64_t dice;
};

struct balance_pick {
	const struct service_endpoint *endpoint;
	uint16_t port; /* where that endpoint listens */
};

/* Errs: ERR_NO_UPSTREAM: nothing is eligible. */
MUST_CHECK enum err balance_pick(const struct balance_query *q, struct balance_pick *ret_pick);

/* The next number of a sequence that starts at the caller's dice. */
uint64_t dice_roll(uint64_t *dice);
/* A number below bound (> 0), each alike to within bound / 2^64. */
uint64_t dice_below(uint64_t *dice, uint64_t bound);

#endif
