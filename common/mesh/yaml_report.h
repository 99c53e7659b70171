/* SPDX-License-Identifier: Apache-2.0 */
/*
 * yaml_report - errors and warnings about a text, compiler style. Pure.
 *
 *   mesh.yaml:14:9: error: workloads[0].nmae: unknown key, did you mean "name"?
 *      14 |   nmae: web
 *         |   ^
 */
#ifndef COMMON_MESH_YAML_REPORT_H
#define COMMON_MESH_YAML_REPORT_H

#include "common/base/buf.h"
#include "common/base/span.h"
#include "common/mesh/mesh.h"

enum {
	YAML_ERRORS_MAX = 20, /* a page; more would only repeat the first mistake */
	YAML_WARNINGS_MAX = 20,
};

struct yaml_report {
	struct buf *out;     /* borrowed */
	const char *source;  /* borrowed: the name of the text */
	struct span text;    /* borrowed */
	unsigned int errors; /* all of them, printed or not */
	unsigned int warnings;
	bool limit;            /* one of the errors was a limit */
	size_t scalar_len_max; /* of one text; 0: YAML_SCALAR_LEN_MAX */
};

enum yaml_severity { YAML_ERROR, YAML_WARNING };

/* path: what it is about, "" = the whole. Line 0 prints no position. */
void yaml_report_at(struct yaml_report *r, enum yaml_severity severity, struct source_pos pos,
                    const char *path, const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* Say how many were left out, if any. */
void yaml_report_close(struct yaml_report *r);

/* The one of names closest to what was written, or NULL if none is near. */
const char *yaml_nearest(struct span written, const char *const *names, size_t name_count);

/* Text of others, fit to be shown: control and non-ASCII octets as '?', cut. Returns out. */
enum { YAML_SHOWN_MAX = 72 };
const char *yaml_shown(struct span text, char out[YAML_SHOWN_MAX]);

#endif
