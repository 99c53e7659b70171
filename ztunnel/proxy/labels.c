/* SPDX-License-Identifier: Apache-2.0 */
#include "ztunnel/proxy/labels.h"

#include "common/base/span.h"

struct baggage labels_baggage(const struct workload *w)
{
	return (struct baggage){
		.cluster = span_str(w->cluster_id),
		.namespace = span_str(w->namespace),
		.workload_type = span_str(w->workload_type),
		.workload = span_str(w->workload_name),
		.service = span_str(w->canonical_name),
		.version = span_str(w->canonical_revision),
		.region = span_str(w->locality.region),
		.zone = span_str(w->locality.zone),
	};
}
