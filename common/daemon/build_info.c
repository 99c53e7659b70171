/* SPDX-License-Identifier: Apache-2.0 */
#include "common/daemon/build_info.h"

#include <string.h>

#include "build_revision.h" /* made by meson from the repository */

const struct build_info *build_info(void)
{
	static const struct build_info info = {
		.version = BUILD_VERSION,
		.git_revision = BUILD_GIT_REVISION,
		.compiler = BUILD_COMPILER,
		.profile = BUILD_PROFILE,
	};

	return &info;
}

static const char *git_status(const char *revision)
{
	if (strcmp(revision, "unknown") == 0)
		return "unknown";
	return strstr(revision, "-dirty") != NULL ? "Modified" : "Clean";
}

void build_info_json(struct json_write *w, const char *istio_version, const char *crypto)
{
	const struct build_info *b = build_info();

	json_object_open(w);
	json_kv_str(w, "version", b->version);
	json_kv_str(w, "gitRevision", b->git_revision);
	json_kv_str(w, "rustVersion", ""); /* readers of the contract's form expect the key */
	json_kv_str(w, "compiler", b->compiler);
	json_kv_str(w, "buildProfile", b->profile);
	json_kv_str(w, "buildStatus", git_status(b->git_revision));
	json_kv_str(w, "istioVersion", istio_version);
	json_kv_str(w, "cryptoProvider", crypto);
	json_object_close(w);
}
