/* SPDX-License-Identifier: Apache-2.0 */
/*
 * settings - what the environment asks for: read once, checked whole, then never changed. Pure. Contract 1.3.
 * Rows are in settings.def; a variable of the contract is honoured, warned about, or refused, never passed over.
 *
 * How to use it:
 *   struct settings_report report;
 *   settings_report_init(&report);
 *   err = settings_read(&(struct settings_sources){.env = ...}, &app->settings, &report);
 *   print report.errors (lines) on stderr and exit 1 when err; log each line of report.warnings
 * To add a knob: add a row. To honour one that was NOT_YET: change the word in its row.
 */
#ifndef COMMON_DAEMON_SETTINGS_H
#define COMMON_DAEMON_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/netaddr.h"
#include "common/codec/json_write.h"
#include "common/daemon/proxy_config.h"
#include "common/daemon/worker_count.h"

/* The CHOICEs, in the order of their rows. */
enum setting_ca { SETTING_CA_DEV, SETTING_CA_FILES };
enum setting_mode { SETTING_MODE_SHARED, SETTING_MODE_DEDICATED };
enum setting_io { SETTING_IO_AUTO, SETTING_IO_URING };
enum setting_guard { SETTING_GUARD_OFF, SETTING_GUARD_COUNT, SETTING_GUARD_ENFORCE };

enum setting {
#define SETTING(field, env, type, def, min, max, allowed, json, state, why) SETTING_OF_##field,
#define SETTING_PREFIX(env, state, why)
#include "common/daemon/settings.def"
#undef SETTING
#undef SETTING_PREFIX
	SETTING_COUNT,
};

#define SETTING_TYPE_BOOL     bool
#define SETTING_TYPE_U16      uint16_t
#define SETTING_TYPE_U32      uint32_t
#define SETTING_TYPE_U64      uint64_t
#define SETTING_TYPE_DURATION uint64_t
#define SETTING_TYPE_TEXT     char *
#define SETTING_TYPE_CHOICE   unsigned int
#define SETTING_TYPE_WORKERS  struct worker_wish
#define SETTING_TYPE_CPUS     uint32_t

struct settings {
#define SETTING(field, env, type, def, min, max, allowed, json, state, why) \
	SETTING_TYPE_##type field;
#define SETTING_PREFIX(env, state, why)
#include "common/daemon/settings.def"
#undef SETTING
#undef SETTING_PREFIX
	bool is_set
		[SETTING_COUNT]; /* by enum setting: it has a value, its own or a default's; texts that are not are NULL */

	bool given[SETTING_COUNT]; /* by enum setting: its value is not the default's */

	/* worked out */
	const char *cluster_id;  /* points into this */
	uint32_t workers;        /* threads to run */
	uint64_t drain_grace_ms; /* how long open connections may go on */
	bool log_json;
	bool authz_info;
	char *discovery_address; /* of ProxyConfig: what stands for an XDS_ADDRESS that is not set; or NULL */
	bool dns;                /* answer the questions of pods */
	struct endpoint dns_at4, dns_at6; /* where, in each pod */
	struct settings_metadata metadata[SETTINGS_METADATA_MAX];
	size_t metadata_count;
};

/* Lines for people, each ending in '\n'. Values are quoted and cut; those that may be secret are not shown. */
struct settings_report {
	struct buf errors;
	struct buf warnings;
};

void settings_report_init(struct settings_report *r);
void settings_report_fini(struct settings_report *r);

/* Later ones win: the mesh file, PROXY_CONFIG, the other variables. Metadata is united. */
struct settings_sources {
	const char *const *env;    /* NAME=value texts up to a NULL, as environ */
	struct span mesh_file;     /* what stands in it (mesh_file.h), or nothing */
	unsigned int logical_cpus; /* of this machine */
};

/*
 * Lines that stand in report->errors already count like its own: the start is refused.
 *
 * Errs: ERR_CONFIG: report->errors names each variable, its value and what is allowed; *ret_settings untouched
 */
MUST_CHECK enum err settings_read(const struct settings_sources *from,
                                  struct settings *ret_settings, struct settings_report *report);
void settings_fini(struct settings *s);

/* The value of "config" in the config dump (contract 11.2): what is in force, no secrets. */
void settings_json(const struct settings *s, const char *proxy_args, struct json_write *w);

#endif
