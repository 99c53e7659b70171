/* SPDX-License-Identifier: Apache-2.0 */
/*
 * socks5_codec - the server's side of SOCKS 5: who wants to be connected to what. Pure. RFC 1928; contract 7.8.
 *
 * No authentication, CONNECT alone. The reader says how many octets it wants, never more than the message has, so that
 * whatever the client sent behind its request is still in the socket when the request is read.
 */
#ifndef COMMON_CODEC_SOCKS5_CODEC_H
#define COMMON_CODEC_SOCKS5_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/netaddr.h"
#include "common/base/span.h"

enum {
	SOCKS5_MESSAGE_MAX = 4 + 1 + 255 + 2, /* a request for the longest name */
	SOCKS5_NAME_MAX = 256,                /* with the NUL */
	SOCKS5_CHOICE_LEN = 2,
	SOCKS5_REPLY_LEN = 10,
};

/* Replies, RFC 1928 section 6. */
enum socks5_code {
	SOCKS5_GRANTED = 0,
	SOCKS5_FAILED = 1,
	SOCKS5_NOT_ALLOWED = 2,
	SOCKS5_NETWORK_UNREACHABLE = 3,
	SOCKS5_HOST_UNREACHABLE = 4,
	SOCKS5_REFUSED = 5,
	SOCKS5_NO_SUCH_COMMAND = 7,
	SOCKS5_NO_SUCH_ADDRESS_TYPE = 8,
};

enum socks5_step {
	SOCKS5_MORE,        /* go on reading */
	SOCKS5_GREETED,     /* say socks5_choice_write(true), then go on reading */
	SOCKS5_ASKED,       /* name or to is the destination; nothing more is to be read here */
	SOCKS5_NO_METHOD,   /* say socks5_choice_write(false) and close */
	SOCKS5_BAD_REQUEST, /* say socks5_reply_write(code) and close */
	SOCKS5_STRANGER,    /* not SOCKS 5: close */
};

struct socks5_reader {
	struct endpoint to;         /* ip is IP_NONE when there is a name; port is always there */
	char name[SOCKS5_NAME_MAX]; /* "" when it is an address; no NUL was in it */
	enum socks5_code code;      /* of SOCKS5_BAD_REQUEST */
	uint8_t msg[SOCKS5_MESSAGE_MAX]; /* private, as all that follows */
	size_t n, wanted;                /* octets of msg: there, and at which to look again */
	bool greeted;
};

void socks5_reader_init(struct socks5_reader *r);
/* Where to put how many octets next: 1..SOCKS5_MESSAGE_MAX, while steps are MORE or GREETED. */
uint8_t *socks5_reader_room(struct socks5_reader *r, size_t *ret_len);
/* n octets were put there, at most as many as there was room for. */
enum socks5_step socks5_reader_put(struct socks5_reader *r, size_t n);

void socks5_choice_write(bool accepted, uint8_t out[SOCKS5_CHOICE_LEN]);
/* Bound to 0.0.0.0:0: which address it went out from means nothing to a client (contract 7.8). */
void socks5_reply_write(enum socks5_code code, uint8_t out[SOCKS5_REPLY_LEN]);

#endif
