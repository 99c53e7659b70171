/* SPDX-License-Identifier: Apache-2.0 */
/*
 * labels - a workload as the other side is told of it, in baggage. Pure. Contract 6.2.
 */
#ifndef ZTUNNEL_PROXY_LABELS_H
#define ZTUNNEL_PROXY_LABELS_H

#include "common/hbone/baggage.h"
#include "common/mesh/mesh.h"

/* Borrows from w. */
struct baggage labels_baggage(const struct workload *w);

#endif
