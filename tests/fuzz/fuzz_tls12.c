/* SPDX-License-Identifier: Apache-2.0 */
/* Hellos and records of TLS 1.2 from anybody: no hello is read past its end, and no record opens that we did not seal. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/tls/tls12.h"
#include "common/tls/tls_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void hellos(struct span text)
{
	const uint8_t master[TLS12_MASTER] = {1};
	struct tls12_hello client = {0}, server = {0};
	struct tls_traffic t;

	if (tls12_read_hello(text, true, &server) == ERR_OK) {
		client.has_master_secret = true;
		if (tls12_keys(&client, &server, master, &t) == ERR_OK)
			must(server.has_master_secret && (t.len == 16 || t.len == 32));
	}
	(void)tls12_read_hello(text, false, &client);
}

static void records(struct span text)
{
	static uint8_t record[TLS_RECORD_MAX];
	static const uint8_t key[16] = {7}, salt[TLS12_SALT] = {8};
	struct tls_direction d;
	struct tls_record_inner in;
	enum tls_alert alert = TLS_ALERT_CLOSE_NOTIFY;

	if (text.n > sizeof(record))
		return;
	must(tls_direction_init_12(&d, span_of(key, sizeof(key)), span_of(salt, sizeof(salt))) ==
	     ERR_OK);
	memcpy(record, text.p, text.n);
	must(tls_record_open(&d, record, text.n, &in, &alert) != ERR_OK);
	tls_direction_fini(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	hellos(span_of(p, n));
	if (n > 0)
		records(span_of(p, n));
	return 0;
}
