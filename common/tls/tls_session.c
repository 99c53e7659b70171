/* SPDX-License-Identifier: Apache-2.0 */
#include "common/tls/tls_session.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/rd.h"
#include "common/tls/revocation.h"
#include "common/tls/tls_config_impl.h"
#include "common/tls/tls_handshake.h"
#include "common/tls/tls_record.h"

enum {
	IDLE_RECORDS_MAX =
		32, /* in a row without application bytes: padding, tickets, key updates */
	MESSAGE_MAX =
		32 *
		1024, /* octets of a message after the handshake; tickets carry a chain at worst */
	MESSAGE_NEW_SESSION_TICKET = 4,
	MESSAGE_KEY_UPDATE = 24,
	MESSAGE_HEAD = 4,
	TICKET_LIFETIME_MAX = 604800, /* seconds, RFC 8446 4.6.1 */
	ALERT_LEN = 2,
	ALERT_LEVEL_WARNING = 1,
	ALERT_LEVEL_FATAL = 2,
	SMALL_RECORD_MAX = TLS_RECORD_HEAD + TLS_RECORD_TAIL + 8,
};

struct tls_session {
	struct tls_config *cfg;
	struct tls_handshake *handshake; /* NULL once established */
	struct tls_direction rx, tx;     /* valid once established */
	struct buf message; /* part of a message that spans records; nearly always empty */
	char *peer;
	struct peer_chain *chain; /* NULL: no lists are kept, or untracked */
	enum tls_role role;
	enum err cause;       /* not OK: dead */
	uint8_t idle_records; /* see IDLE_RECORDS_MAX */
	uint8_t alert_due;    /* enum tls_alert, when has_alert */
	bool has_alert;       /* tell the peer why the session died */
	bool update_due;      /* change our key */
	bool ask_peer;        /* and have the peer change its own */
	bool peer_closed;     /* close_notify came */
	bool closed;          /* our close_notify was made */
};

struct tls_session *tls_session_new(struct tls_config *cfg, enum tls_role role,
                                    const struct tls_expect *expect)
{
	struct tls_session *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->handshake = tls_handshake_new(cfg, role, expect);
	if (s->handshake == NULL) {
		free(s);
		return NULL;
	}
	s->cfg = tls_config_ref(cfg);
	s->role = role;
	buf_init(&s->message, MESSAGE_MAX);
	return s;
}

void tls_session_free(struct tls_session *s)
{
	if (s == NULL)
		return;
	tls_handshake_free(s->handshake);
	tls_direction_fini(&s->rx);
	tls_direction_fini(&s->tx);
	buf_fini(&s->message);
	tls_config_unref(s->cfg);
	free(s->peer);
	peer_chain_free(s->chain);
	free(s);
}

static enum err die(struct tls_session *s, enum err e)
{
	if (s->cause == ERR_OK)
		s->cause = e;
	return e;
}

/* The peer broke a rule: it is told by tls_session_pending. */
static enum err refuse(struct tls_session *s, enum tls_alert alert)
{
	if (!s->has_alert && s->cause == ERR_OK) {
		s->has_alert = true;
		s->alert_due = (uint8_t)alert;
	}
	return die(s, ERR_TLS);
}

static enum err init_direction(struct tls_direction *d, struct span secret,
                               const struct tls_traffic *t)
{
	if (t->v12)
		return tls_direction_init_12(d, secret, span_of(secret.p + secret.n, TLS12_SALT));
	return tls_direction_init(d, secret);
}

/* Take over from the library: two secrets, two counters at zero. */
static enum err establish(struct tls_session *s)
{
	const struct tls_traffic *t = tls_handshake_traffic(s->handshake);
	const struct span client = span_of(t->client, t->len), server = span_of(t->server, t->len);
	enum err e = init_direction(&s->rx, s->role == TLS_CLIENT ? server : client, t);

	if (e == ERR_OK)
		e = init_direction(&s->tx, s->role == TLS_CLIENT ? client : server, t);
	if (e != ERR_OK)
		return e;
	s->peer = tls_handshake_take_peer(s->handshake);
	s->chain = tls_handshake_take_chain(s->handshake);
	tls_handshake_free(s->handshake);
	s->handshake = NULL;
	return tls_session_recheck(s); /* a list that came since the peer was verified */
}

enum err tls_session_recheck(const struct tls_session *s)
{
	return s->chain != NULL && peer_chain_revoked(s->chain) ? ERR_TLS_REVOKED : ERR_OK;
}

bool tls_session_untracked(const struct tls_session *s)
{
	return s->chain == NULL && tls_config_policy(s->cfg)->revocation != NULL;
}

enum err tls_session_handshake(struct tls_session *s, struct span in, size_t *ret_used,
                               struct buf *out)
{
	bool done = false;
	size_t used = 0;
	enum err e;

	*ret_used = 0;
	if (s->cause != ERR_OK)
		return s->cause;
	if (s->handshake == NULL)
		return ERR_OK;
	e = tls_handshake_step(s->handshake, in, &used, out, &done);
	*ret_used = used;
	if (e == ERR_OK && done)
		e = establish(s);
	return e == ERR_OK ? ERR_OK : die(s, e);
}

bool tls_session_established(const struct tls_session *s)
{
	return s->handshake == NULL && s->cause == ERR_OK;
}

const char *tls_session_peer(const struct tls_session *s)
{
	return s->peer;
}

enum err tls_record_len(struct span in, size_t *ret_len)
{
	size_t len;

	*ret_len = 0;
	if (in.n < TLS_RECORD_HEAD)
		return ERR_OK;
	len = TLS_RECORD_HEAD + (size_t)(in.p[3] << 8 | in.p[4]);
	if (in.p[0] < TLS_CONTENT_CHANGE_CIPHER_SPEC || in.p[0] > TLS_CONTENT_DATA ||
	    in.p[1] != 3 || len > TLS_RECORD_MAX)
		return ERR_TLS;
	if (len <= in.n)
		*ret_len = len;
	return ERR_OK;
}

void tls_session_cool(struct tls_session *s)
{
	tls_direction_cool(&s->rx);
	tls_direction_cool(&s->tx);
}

size_t tls_session_bytes(const struct tls_session *s)
{
	return sizeof(*s) + tls_aead_bytes(s->rx.key) + tls_aead_bytes(s->tx.key) + s->message.cap +
	       peer_chain_bytes(s->chain) + (s->peer == NULL ? 0 : strlen(s->peer) + 1);
}

/* RFC 8446 4.6.1. We never resume: it only has to be well-formed. */
static enum err read_ticket(struct tls_session *s, struct span body)
{
	struct rd r = rd_of(body);
	struct span ticket;
	uint32_t lifetime_s;

	if (s->role != TLS_CLIENT)
		return refuse(s, TLS_ALERT_UNEXPECTED_MESSAGE);
	lifetime_s = rd_u32(&r);
	(void)rd_u32(&r); /* age_add */
	rd_skip(&r, rd_u8(&r));
	ticket = rd_bytes(&r, rd_u16(&r));
	rd_skip(&r, rd_u16(&r)); /* extensions */
	if (rd_failed(&r) || rd_left(&r) != 0 || ticket.n == 0 || lifetime_s > TICKET_LIFETIME_MAX)
		return refuse(s, TLS_ALERT_DECODE_ERROR);
	return ERR_OK;
}

/* RFC 8446 4.6.3. last: nothing follows in its record, as must be when the key changes. */
static enum err read_key_update(struct tls_session *s, struct span body, bool last)
{
	if (body.n != 1 || body.p[0] > 1)
		return refuse(s, TLS_ALERT_DECODE_ERROR);
	if (!last)
		return refuse(s, TLS_ALERT_UNEXPECTED_MESSAGE);
	if (tls_direction_update(&s->rx) != ERR_OK)
		return refuse(s, TLS_ALERT_INTERNAL_ERROR);
	if (body.p[0] == 1 && !s->closed)
		s->update_due = true;
	return ERR_OK;
}

/* Handle every whole message in s->message; what is left is the start of one. */
static enum err read_messages(struct tls_session *s)
{
	size_t at = 0;
	enum err e = ERR_OK;

	while (e == ERR_OK && s->message.n - at >= MESSAGE_HEAD) {
		struct rd r = rd_of(span_of(s->message.p + at, s->message.n - at));
		uint8_t type = rd_u8(&r);
		size_t len = rd_u24(&r);
		struct span body;

		if (len > MESSAGE_MAX - MESSAGE_HEAD)
			return refuse(s, TLS_ALERT_DECODE_ERROR);
		if (len > rd_left(&r))
			break;
		body = rd_bytes(&r, len);
		at += MESSAGE_HEAD + len;
		if (type == MESSAGE_NEW_SESSION_TICKET)
			e = read_ticket(s, body);
		else if (type == MESSAGE_KEY_UPDATE)
			e = read_key_update(s, body, rd_left(&r) == 0);
		else
			e = refuse(s, TLS_ALERT_UNEXPECTED_MESSAGE);
	}
	buf_consume(&s->message, at);
	return e;
}

static enum err take_handshake(struct tls_session *s, const struct tls_record_inner *in)
{
	enum err e;

	/* in TLS 1.2 nothing comes after Finished but a renegotiation, which we do not do */
	if (in->n == 0 || s->rx.v12)
		return refuse(s, TLS_ALERT_UNEXPECTED_MESSAGE);
	buf_put(&s->message, span_of(in->p, in->n));
	if (buf_status(&s->message) != ERR_OK)
		return refuse(s, TLS_ALERT_INTERNAL_ERROR);
	e = read_messages(s);
	if (s->message.n == 0) {
		buf_fini(&s->message);
		buf_init(&s->message, MESSAGE_MAX);
	}
	return e;
}

static enum err take_alert(struct tls_session *s, const struct tls_record_inner *in,
                           struct tls_opened *ret)
{
	if (in->n != ALERT_LEN)
		return refuse(s, TLS_ALERT_DECODE_ERROR);
	switch (in->p[1]) {
	case TLS_ALERT_CLOSE_NOTIFY:
		s->peer_closed = true;
		ret->kind = TLS_OPENED_CLOSE;
		return ERR_OK;
	case TLS_ALERT_USER_CANCELED: return ERR_OK; /* close_notify follows, RFC 8446 6.1 */
	default: return die(s, ERR_TLS_ALERT);
	}
}

static enum err take_inner(struct tls_session *s, const struct tls_record_inner *in,
                           struct tls_opened *ret)
{
	if (in->type == TLS_CONTENT_DATA && in->n > 0)
		s->idle_records = 0;
	else if (++s->idle_records > IDLE_RECORDS_MAX)
		return refuse(s, TLS_ALERT_UNEXPECTED_MESSAGE);
	if (s->message.n > 0 && in->type != TLS_CONTENT_HANDSHAKE)
		return refuse(s, TLS_ALERT_UNEXPECTED_MESSAGE); /* RFC 8446 5.1 */

	switch (in->type) {
	case TLS_CONTENT_HANDSHAKE: return take_handshake(s, in);
	case TLS_CONTENT_ALERT: return take_alert(s, in, ret);
	case TLS_CONTENT_DATA:
		ret->kind = in->n > 0 ? TLS_OPENED_DATA : TLS_OPENED_NOTHING;
		ret->p = in->p;
		ret->n = in->n;
		return ERR_OK;
	case TLS_CONTENT_CHANGE_CIPHER_SPEC: break;
	}
	return refuse(s, TLS_ALERT_UNEXPECTED_MESSAGE);
}

enum err tls_session_open(struct tls_session *s, uint8_t *record, size_t len,
                          struct tls_opened *ret)
{
	struct tls_opened opened = {.kind = TLS_OPENED_NOTHING};
	enum tls_alert alert = TLS_ALERT_INTERNAL_ERROR;
	struct tls_record_inner inner;
	enum err e;

	if (s->cause != ERR_OK)
		return s->cause;
	CHECK(s->handshake == NULL);
	if (s->peer_closed) { /* what comes after close_notify is ignored, RFC 8446 6.1 */
		opened.kind = TLS_OPENED_CLOSE;
		*ret = opened;
		return ERR_OK;
	}
	e = tls_record_open(&s->rx, record, len, &inner, &alert);
	if (e == ERR_MEMORY)
		return die(s, e);
	if (e != ERR_OK)
		return refuse(s, alert);
	e = take_inner(s, &inner, &opened);
	if (e != ERR_OK)
		return e;
	opened.want_send = tls_session_wants_send(s);
	*ret = opened;
	return ERR_OK;
}

enum err tls_session_seal(struct tls_session *s, uint8_t *record, size_t plain_len, size_t *ret_len)
{
	enum err e;

	if (s->cause != ERR_OK)
		return s->cause;
	CHECK(s->handshake == NULL && !s->closed && plain_len > 0);
	e = tls_record_seal(&s->tx, TLS_CONTENT_DATA, record, plain_len, ret_len);
	return e == ERR_OK ? ERR_OK : die(s, e);
}

/* Append one sealed record of our own. */
static enum err put_record(struct tls_session *s, enum tls_content type, struct span content,
                           struct buf *out)
{
	uint8_t *record = buf_reserve(out, SMALL_RECORD_MAX);
	size_t len = 0;
	enum err e;

	if (record == NULL)
		return ERR_LIMIT;
	CHECK(content.n <= SMALL_RECORD_MAX - TLS_RECORD_HEAD - TLS_RECORD_TAIL);
	memcpy(record + TLS_RECORD_HEAD, content.p, content.n);
	e = tls_record_seal(&s->tx, type, record, content.n, &len);
	if (e == ERR_OK)
		buf_added(out, len);
	return e;
}

static enum err put_alert(struct tls_session *s, uint8_t alert, struct buf *out)
{
	const uint8_t level =
		alert == TLS_ALERT_CLOSE_NOTIFY ? ALERT_LEVEL_WARNING : ALERT_LEVEL_FATAL;
	const uint8_t content[ALERT_LEN] = {level, alert};

	return put_record(s, TLS_CONTENT_ALERT, span_of(content, sizeof(content)), out);
}

static enum err put_key_update(struct tls_session *s, struct buf *out)
{
	const uint8_t content[] = {MESSAGE_KEY_UPDATE, 0, 0, 1, s->ask_peer ? 1 : 0};
	enum err e = put_record(s, TLS_CONTENT_HANDSHAKE, span_of(content, sizeof(content)), out);

	if (e != ERR_OK)
		return e;
	s->update_due = false;
	s->ask_peer = false;
	return tls_direction_update(&s->tx);
}

bool tls_session_wants_send(const struct tls_session *s)
{
	if (s->handshake != NULL || s->closed)
		return false;
	if (s->cause != ERR_OK)
		return s->has_alert;
	return !s->tx.v12 && (s->update_due || s->tx.seq >= TLS_KEY_RECORDS_SOFT);
}

enum err tls_session_pending(struct tls_session *s, struct buf *out)
{
	enum err e;

	if (!tls_session_wants_send(s))
		return ERR_OK;
	if (s->has_alert) {
		s->has_alert = false;
		return put_alert(s, s->alert_due, out);
	}
	e = put_key_update(s, out);
	return e == ERR_OK || e == ERR_LIMIT ? e : die(s, e);
}

void tls_session_key_update(struct tls_session *s, bool ask_peer)
{
	s->update_due = true;
	s->ask_peer |= ask_peer;
}

enum err tls_session_close_notify(struct tls_session *s, struct buf *out)
{
	enum err e;

	if (s->handshake != NULL || s->closed || s->cause != ERR_OK)
		return ERR_OK;
	e = put_alert(s, TLS_ALERT_CLOSE_NOTIFY, out);
	if (e == ERR_OK)
		s->closed = true;
	return e;
}
