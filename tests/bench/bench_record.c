/* SPDX-License-Identifier: Apache-2.0 */
/* How fast one core seals TLS records, by AEAD provider and size. Orientation only: run it twice. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/tls/tls_aead.h"

enum { RUN_NS = 200 * 1000 * 1000 };

static double gigabytes_per_second(struct tls_aead *a, size_t n)
{
	static uint8_t p[16384 + TLS_AEAD_TAG];
	static const uint8_t head[5] = {23, 3, 3, 64, 17};
	uint8_t nonce[TLS_AEAD_NONCE] = {0};
	const uint64_t start = clock_thread_ns();
	uint64_t rounds = 0, now;

	do {
		for (int i = 0; i < 64; i++, rounds++) {
			memcpy(nonce, &rounds, sizeof(rounds));
			tls_aead_seal(a, nonce, span_of(head, sizeof(head)), p, n);
		}
		now = clock_thread_ns();
	} while (now - start < RUN_NS);
	return (double)rounds * (double)n / (double)(now - start);
}

int main(void)
{
	static const size_t sizes[] = {64, 1024, 4096, 16384};
	static const uint8_t key[32] = {1};

	tls_aead_global_init();
	printf("%-16s %-8s %8s %10s\n", "provider", "key", "octets", "seal GB/s");
	for (int provider = TLS_AEAD_WOLFCRYPT; provider < TLS_AEAD_PROVIDERS; provider++) {
		for (size_t bits = 128; bits <= 256; bits += 128) {
			struct tls_aead *a = tls_aead_new((enum tls_aead_provider)provider,
			                                  span_of(key, bits / 8));

			for (size_t i = 0; a != NULL && i < sizeof(sizes) / sizeof(sizes[0]); i++)
				printf("%-16s AES-%-4zu %8zu %10.2f\n",
				       tls_aead_provider_text((enum tls_aead_provider)provider),
				       bits, sizes[i], gigabytes_per_second(a, sizes[i]));
			tls_aead_free(a);
		}
	}
	tls_aead_global_fini();
	return 0;
}
