/* SPDX-License-Identifier: Apache-2.0 */
#include "common/telemetry/access_log.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/base/check.h"

static void line_push(struct access_line *l, struct log_field f)
{
	if (f.form != LOG_NUMBER && (f.text == NULL || f.text[0] == '\0'))
		return;
	CHECK(l->count < ACCESS_FIELDS_MAX);
	l->fields[l->count++] = f;
}

static const char *direction_text(const struct access_record *r)
{
	return r->direction == ACCESS_INBOUND ? "inbound" : "outbound";
}

static const char *cause_text(const struct access_record *r)
{
	return r->cause_words != NULL ? r->cause_words : err_info(r->cause)->words;
}

void access_line_opened(const struct access_record *r, struct access_line *ret_line)
{
	ret_line->count = 0;
	line_push(ret_line, LOG_A("src.addr", endpoint_format(&r->src, ret_line->src)));
	line_push(ret_line, LOG_S("src.workload", r->src_workload));
	line_push(ret_line, LOG_S("src.namespace", r->src_namespace));
	line_push(ret_line, LOG_S("src.identity", r->src_identity));
	line_push(ret_line, LOG_S("src.cluster", r->src_cluster));
	line_push(ret_line, LOG_A("dst.addr", endpoint_format(&r->dst, ret_line->dst)));
	line_push(ret_line, LOG_A("dst.hbone_addr", r->dst_hbone_addr));
	line_push(ret_line, LOG_S("dst.service", r->dst_service));
	line_push(ret_line, LOG_S("dst.workload", r->dst_workload));
	line_push(ret_line, LOG_S("dst.namespace", r->dst_namespace));
	line_push(ret_line, LOG_S("dst.identity", r->dst_identity));
	line_push(ret_line, LOG_S("dst.cluster", r->dst_cluster));
	line_push(ret_line, LOG_S("direction", direction_text(r)));
}

void access_line_complete(const struct access_record *r, struct access_line *ret_line)
{
	/* What the local workload sent: it is the client of what goes out, the server of what comes in. */
	bool client = r->direction == ACCESS_OUTBOUND;

	access_line_opened(r, ret_line);
	line_push(ret_line, LOG_N("bytes_sent", client ? r->received_bytes : r->sent_bytes));
	line_push(ret_line, LOG_N("bytes_recv", client ? r->sent_bytes : r->received_bytes));
	(void)snprintf(ret_line->duration, sizeof(ret_line->duration), "%" PRIu64 "ms",
	               r->duration_ms);
	line_push(ret_line, LOG_S("duration", ret_line->duration));
	if (r->cause != ERR_OK)
		line_push(ret_line, LOG_S("error", cause_text(r)));
}

void access_line_failed(const struct access_record *r, struct access_line *ret_line)
{
	ret_line->count = 0;
	line_push(ret_line, LOG_A("src.addr", endpoint_format(&r->src, ret_line->src)));
	line_push(ret_line, LOG_A("dst.addr", endpoint_format(&r->dst, ret_line->dst)));
	line_push(ret_line, LOG_S("direction", direction_text(r)));
	line_push(ret_line, LOG_S("error", cause_text(r)));
}

void access_log_opened(const struct access_record *r)
{
	struct access_line l;

	if (!log_enabled(LOG_SCOPE_ACCESS, LOG_DEBUG))
		return;
	access_line_opened(r, &l);
	log_write(LOG_SCOPE_ACCESS, LOG_DEBUG, "connection opened", l.fields, l.count);
}

void access_log_complete(const struct access_record *r)
{
	enum log_level level = r->cause == ERR_OK ? LOG_INFO : LOG_ERROR;
	struct access_line l;

	if (!log_enabled(LOG_SCOPE_ACCESS, level))
		return;
	access_line_complete(r, &l);
	log_write(LOG_SCOPE_ACCESS, level, "connection complete", l.fields, l.count);
}

void access_log_failed(const struct access_record *r)
{
	struct access_line l;

	if (!log_enabled(LOG_SCOPE_ACCESS, LOG_WARN))
		return;
	access_line_failed(r, &l);
	log_write(LOG_SCOPE_ACCESS, LOG_WARN, "connection failed", l.fields, l.count);
}
