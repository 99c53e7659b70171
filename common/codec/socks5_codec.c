/* SPDX-License-Identifier: Apache-2.0 */
#include "common/codec/socks5_codec.h"

#include <string.h>

#include "common/base/check.h"

enum {
	VERSION = 5,
	GREETING_HEAD = 2, /* version, count of methods */
	REQUEST_HEAD = 4,  /* version, command, reserved, address type */
	PORT_LEN = 2,
	METHOD_NONE = 0,
	METHOD_NO_MATCH = 0xff,
	COMMAND_CONNECT = 1,
	TYPE_V4 = 1,
	TYPE_NAME = 3,
	TYPE_V6 = 4,
};

void socks5_reader_init(struct socks5_reader *r)
{
	*r = (struct socks5_reader){.wanted = GREETING_HEAD};
}

uint8_t *socks5_reader_room(struct socks5_reader *r, size_t *ret_len)
{
	CHECK(r->n < r->wanted && r->wanted <= sizeof(r->msg));
	*ret_len = r->wanted - r->n;
	return r->msg + r->n;
}

/* The message is at least so long. false: it is there. */
static bool wants(struct socks5_reader *r, size_t len)
{
	r->wanted = len;
	return r->n < len;
}

static enum socks5_step read_greeting(struct socks5_reader *r)
{
	size_t methods = r->msg[1];

	if (r->msg[0] != VERSION)
		return SOCKS5_STRANGER;
	if (wants(r, GREETING_HEAD + methods))
		return SOCKS5_MORE;
	if (memchr(r->msg + GREETING_HEAD, METHOD_NONE, methods) == NULL)
		return SOCKS5_NO_METHOD;
	r->greeted = true;
	r->n = 0;
	r->wanted = REQUEST_HEAD;
	return SOCKS5_GREETED;
}

static enum socks5_step bad(struct socks5_reader *r, enum socks5_code code)
{
	r->code = code;
	return SOCKS5_BAD_REQUEST;
}

static enum socks5_step asked(struct socks5_reader *r)
{
	const uint8_t *port = r->msg + r->n - PORT_LEN;

	r->to.port = (uint16_t)(port[0] << 8 | port[1]);
	return r->to.port == 0 ? bad(r, SOCKS5_FAILED) : SOCKS5_ASKED;
}

static enum socks5_step read_address(struct socks5_reader *r, size_t len)
{
	if (wants(r, REQUEST_HEAD + len + PORT_LEN))
		return SOCKS5_MORE;
	if (ip_of_bytes(span_of(r->msg + REQUEST_HEAD, len), &r->to.ip) != ERR_OK)
		return bad(r, SOCKS5_FAILED);
	return asked(r);
}

/* Many a client sends an address as text, as if it were a name. */
static enum socks5_step read_name(struct socks5_reader *r)
{
	const uint8_t *name = r->msg + REQUEST_HEAD + 1;
	size_t len;

	if (wants(r, REQUEST_HEAD + 1))
		return SOCKS5_MORE;
	len = r->msg[REQUEST_HEAD];
	if (wants(r, REQUEST_HEAD + 1 + len + PORT_LEN))
		return SOCKS5_MORE;
	if (len == 0 || memchr(name, '\0', len) != NULL)
		return bad(r, SOCKS5_FAILED);
	if (ip_parse(span_of(name, len), &r->to.ip) != ERR_OK) {
		r->to.ip = (struct ip){.family = IP_NONE};
		memcpy(r->name, name, len);
		r->name[len] = '\0';
	}
	return asked(r);
}

static enum socks5_step read_request(struct socks5_reader *r)
{
	if (r->msg[0] != VERSION)
		return bad(r, SOCKS5_FAILED);
	if (r->msg[1] != COMMAND_CONNECT)
		return bad(r, SOCKS5_NO_SUCH_COMMAND);
	switch (r->msg[3]) {
	case TYPE_V4: return read_address(r, 4);
	case TYPE_V6: return read_address(r, 16);
	case TYPE_NAME: return read_name(r);
	default: return bad(r, SOCKS5_NO_SUCH_ADDRESS_TYPE);
	}
}

enum socks5_step socks5_reader_put(struct socks5_reader *r, size_t n)
{
	CHECK(n <= r->wanted - r->n);
	r->n += n;
	if (r->n < r->wanted)
		return SOCKS5_MORE;
	return r->greeted ? read_request(r) : read_greeting(r);
}

void socks5_choice_write(bool accepted, uint8_t out[SOCKS5_CHOICE_LEN])
{
	out[0] = VERSION;
	out[1] = accepted ? METHOD_NONE : METHOD_NO_MATCH;
}

void socks5_reply_write(enum socks5_code code, uint8_t out[SOCKS5_REPLY_LEN])
{
	memset(out, 0, SOCKS5_REPLY_LEN);
	out[0] = VERSION;
	out[1] = (uint8_t)code;
	out[3] = TYPE_V4;
}
