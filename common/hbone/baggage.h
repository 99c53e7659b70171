/* SPDX-License-Identifier: Apache-2.0 */
/*
 * baggage - the header that tells the other side which workload is talking: for its labels, never for its
 * policy. Pure. Contract 6.2.
 */
#ifndef COMMON_HBONE_BAGGAGE_H
#define COMMON_HBONE_BAGGAGE_H

#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/span.h"
#include "common/h2/h2_session.h"

enum {
	BAGGAGE_TEXT_MAX = 2048, /* of what we write: seven values of 253 octets and their keys */
};

/* All borrowed; empty: not known. */
struct baggage {
	struct span cluster;   /* k8s.cluster.name */
	struct span namespace; /* k8s.namespace.name */
	struct span
		workload_type; /* "deployment", "cronjob", "pod", "job": build only, parse leaves it empty */
	struct span workload;     /* k8s.<type>.name */
	struct span service;      /* service.name: canonical name */
	struct span version;      /* service.version: canonical revision */
	struct span region, zone; /* cloud.region, cloud.availability_zone */
};

/*
 * Append the header's value, values that are empty left out. A value with an octet that would break the list
 * (comma, '=', not visible ASCII) is left out too.
 */
void baggage_build(const struct baggage *b, struct buf *out);
/*
 * Every baggage field of the head, in order; the last value of a key wins. A field that is not visible ASCII makes
 * all of it empty. Values borrow from the head.
 */
void baggage_parse(const struct h2_head *head, struct baggage *ret_baggage);

#endif
