/* SPDX-License-Identifier: Apache-2.0 */
#include "common/tls/tls12.h"

#include <string.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/hash.h>
#include <wolfssl/wolfcrypt/kdf.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/rd.h"

enum {
	MESSAGE_CLIENT_HELLO = 1,
	MESSAGE_SERVER_HELLO = 2,
	EXT_EXTENDED_MASTER_SECRET = 23,
	VERSION_12 = 0x0303,
	BLOCK_MAX = 2 * (TLS_AEAD_KEY_MAX + TLS12_SALT),
};

static const struct {
	uint16_t suite;
	uint8_t key_len;
	int mac; /* of the PRF, as wolfCrypt counts */
} suites[] = {
	{0xc02c, 32, sha384_mac}, /* ECDHE-ECDSA-AES256-GCM-SHA384 */
	{0xc030, 32, sha384_mac}, /* ECDHE-RSA-AES256-GCM-SHA384 */
	{0xc02b, 16, sha256_mac}, /* ECDHE-ECDSA-AES128-GCM-SHA256 */
	{0xc02f, 16, sha256_mac}, /* ECDHE-RSA-AES128-GCM-SHA256 */
};

static void read_extensions(struct rd *body, struct tls12_hello *h)
{
	struct rd list;

	if (rd_left(body) == 0)
		return; /* a hello may have none */
	list = rd_of(rd_bytes(body, rd_u16(body)));
	while (rd_left(&list) > 0) {
		uint16_t type = rd_u16(&list);

		rd_skip(&list, rd_u16(&list));
		h->has_master_secret |= type == EXT_EXTENDED_MASTER_SECRET && !rd_failed(&list);
	}
	if (rd_failed(&list))
		rd_fail(body);
}

enum err tls12_read_hello(struct span flight, bool server, struct tls12_hello *ret)
{
	struct rd r = rd_of(flight), record, body;
	struct tls12_hello h = {0};
	struct span random;
	uint8_t type;

	type = rd_u8(&r);
	rd_skip(&r, 2); /* the record's version says nothing here */
	record = rd_of(rd_bytes(&r, rd_u16(&r)));
	if (type != TLS_CONTENT_HANDSHAKE ||
	    rd_u8(&record) != (server ? MESSAGE_SERVER_HELLO : MESSAGE_CLIENT_HELLO))
		return ERR_TLS;
	body = rd_of(rd_bytes(&record, rd_u24(&record)));
	if (rd_u16(&body) != VERSION_12)
		rd_fail(&body);
	random = rd_bytes(&body, TLS12_RANDOM);
	rd_skip(&body, rd_u8(&body)); /* session */
	if (server) {
		h.suite = rd_u16(&body);
		rd_skip(&body, 1); /* compression: the library knows none */
	} else {
		rd_skip(&body, rd_u16(&body));
		rd_skip(&body, rd_u8(&body));
	}
	read_extensions(&body, &h);
	if (rd_failed(&r) || rd_failed(&record) || rd_failed(&body) || rd_left(&body) != 0)
		return ERR_TLS;
	memcpy(h.random, random.p, TLS12_RANDOM);
	*ret = h;
	return ERR_OK;
}

enum err tls12_keys(const struct tls12_hello *client, const struct tls12_hello *server,
                    const uint8_t master[TLS12_MASTER], struct tls_traffic *ret)
{
	static const char label[] = "key expansion";
	uint8_t seed[2 * TLS12_RANDOM], block[BLOCK_MAX];
	size_t i = 0, key_len;
	enum err e = ERR_OK;

	while (i < ARRAY_LEN(suites) && suites[i].suite != server->suite)
		i++;
	if (i == ARRAY_LEN(suites) || !client->has_master_secret || !server->has_master_secret)
		return ERR_TLS;
	key_len = suites[i].key_len;
	memcpy(seed, server->random, TLS12_RANDOM);
	memcpy(seed + TLS12_RANDOM, client->random, TLS12_RANDOM);
	if (wc_PRF_TLS(block, (word32)(2 * (key_len + TLS12_SALT)), master, TLS12_MASTER,
	               (const uint8_t *)label, sizeof(label) - 1, seed, sizeof(seed), 1,
	               suites[i].mac, NULL, INVALID_DEVID) != 0)
		e = ERR_TLS;
	if (e == ERR_OK) {
		memcpy(ret->client, block, key_len);
		memcpy(ret->server, block + key_len, key_len);
		memcpy(ret->client + key_len, block + 2 * key_len, TLS12_SALT);
		memcpy(ret->server + key_len, block + 2 * key_len + TLS12_SALT, TLS12_SALT);
		ret->len = key_len;
		ret->v12 = true;
	}
	mem_wipe(block, sizeof(block));
	return e;
}
