/* SPDX-License-Identifier: Apache-2.0 */
/* A ProxyConfig of any octets, merged over a good one: refused with a message, or within every bound. */
#include <stdint.h>
#include <string.h>

#include "common/base/check.h"
#include "common/daemon/proxy_config.h"
#include "common/daemon/worker_count.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static const char good[] = "concurrency: 2\nstatsPort: 1\nproxyMetadata: {ISTIO_META_A: b}\n";

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	enum proxy_config_kind kind =
		n > 0 && p[0] == '#' ? PROXY_CONFIG_ALONE : PROXY_CONFIG_OF_MESH;
	struct proxy_config pc;
	struct buf errors;

	proxy_config_init(&pc);
	buf_init(&errors, 65536);
	CHECK(proxy_config_merge(&pc, PROXY_CONFIG_ALONE, "good", span_str(good), &errors) ==
	      ERR_OK);
	if (proxy_config_merge(&pc, kind, "fuzzed", span_of(p, n), &errors) == ERR_OK) {
		CHECK(errors.n == 0 && pc.stats_port > 0);
		CHECK(pc.concurrency >= 0 && pc.concurrency <= WORKERS_MAX);
		CHECK(pc.metadata_count >= 1 && strcmp(pc.metadata[0].name, "A") == 0);
	} else {
		CHECK(errors.n > 0 || errors.failed);
	}
	buf_fini(&errors);
	proxy_config_fini(&pc);
	return 0;
}
