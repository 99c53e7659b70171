/* SPDX-License-Identifier: Apache-2.0 */
/* Any octets as a label value: the exposition keeps its lines, its quotes and UTF-8. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/telemetry/metrics.h"
#include "common/telemetry/prometheus_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* The octet behind the value's closing quote; stops at the end of the text. */
static const uint8_t *end_of_value(const uint8_t *at)
{
	while (*at != '"') {
		CHECK(*at != '\0' && *at != '\n');
		if (*at == '\\')
			CHECK(at[1] == '\\' || at[1] == '"' || at[1] == 'n');
		at += *at == '\\' ? 2 : 1;
	}
	return at + 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const char sample[] = "\nculvert_connections_refused_total{reason=\"";
	struct metrics *m = metrics_new(0);
	char *value = malloc(n + 1);
	const uint8_t *at;
	struct buf out;

	CHECK(value != NULL);
	if (n > 0)
		memcpy(value, p, n);
	value[n] = '\0';
	metrics_add_for(metrics_shard_new(m), METRIC_CONNECTIONS_REFUSED, METRIC_LABELS(value), 7);
	buf_init(&out, 1 << 20);
	CHECK(prometheus_write(m, &out) == ERR_OK);
	buf_put_u8(&out, '\0');
	at = memmem(out.p, out.n, sample, sizeof(sample) - 1);
	CHECK(at != NULL);
	at = end_of_value(at + sizeof(sample) - 1);
	CHECK(memcmp(at, "} 7\n", 4) == 0);
	buf_fini(&out);
	metrics_free(m);
	free(value);
	return 0;
}
