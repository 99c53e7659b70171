/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_session - one TLS 1.3 connection as a pure state machine: cipher bytes in and out, plain bytes in and
 * out, no socket, no clock of its own. RFC 8446. TLS 1.2 (RFC 5246, AES-GCM alone) where the policy allows it.
 *
 * wolfSSL does the handshake. After it, records are sealed and opened in place by our own record layer with
 * the traffic secrets, and the wolfSSL object is freed: an idle session is two keys, two IVs, two counters.
 */
#ifndef COMMON_TLS_TLS_SESSION_H
#define COMMON_TLS_TLS_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/span.h"
#include "common/tls/tls_config.h"

enum tls_role { TLS_CLIENT, TLS_SERVER };

enum {
	TLS_RECORD_HEAD = 5,
	/* Room behind the plain octets: content type and AEAD tag; in TLS 1.2 they are moved by the explicit nonce. */
	TLS_RECORD_TAIL = 24,
	TLS_RECORD_MAX = 5 + 16384 + 256, /* RFC 8446 5.2: largest record a peer may send */
	TLS_HANDSHAKE_IN_MAX = 64 * 1024, /* octets a peer may make us read before it is known */
};

/* Whom we accept. All borrowed until the handshake is over. */
struct tls_expect {
	/* client role: the peer's one URI must equal one of these; none listed = refuse everybody (contract 5.5) */
	const char *const *identities;
	unsigned int identity_count;
	/* client role, instead: the peer's certificate names one of these hosts (tls_host), and no SPIFFE id is asked for */
	const char *const *hosts;
	unsigned int host_count;
	/* server role: the peer's trust domain must be that of our own leaf, or an alias of it (contract 5.4) */
};

struct tls_session;

/* cfg: shared, a reference is taken. NULL when out of memory. */
struct tls_session *tls_session_new(struct tls_config *cfg, enum tls_role role,
                                    const struct tls_expect *expect);
void tls_session_free(struct tls_session *s); /* wipes keys; NULL is allowed */

/*
 * Advance the handshake. Call it once with empty input to start a client.
 *
 * in:       cipher bytes not yet consumed, oldest first
 * ret_used: how many of them were; the rest (an incomplete record, or application records that came right
 *           behind the handshake) is presented again or opened with tls_session_open
 * out:      receives bytes to send, also when an error is returned (the alert)
 * Errs:     ERR_TLS_*, exact about the peer's certificate (err.def); the session is then dead
 */
MUST_CHECK enum err tls_session_handshake(struct tls_session *s, struct span in, size_t *ret_used,
                                          struct buf *out);
bool tls_session_established(const struct tls_session *s);
/* The peer's verified SPIFFE id; borrowed while s lives; NULL before the handshake is over. */
const char *tls_session_peer(const struct tls_session *s);

/*
 * Is the peer still not revoked, now that the lists may have changed? Established sessions only; any that is said to be
 * revoked must be closed. Errs: ERR_TLS_REVOKED
 */
MUST_CHECK enum err tls_session_recheck(const struct tls_session *s);
/* There was no memory to keep the peer's chain: tls_session_recheck finds nothing. */
bool tls_session_untracked(const struct tls_session *s);

/* Octets of the record at the front of in, or 0 when in is shorter than that. Errs: ERR_TLS for a bad header. */
MUST_CHECK enum err tls_record_len(struct span in, size_t *ret_len);

/*
 * Give back the memory a quiet session does not need: the expanded keys. They are made again on the next
 * record. Established sessions only.
 */
void tls_session_cool(struct tls_session *s);
/* Heap octets the session holds now, itself included; the shared config is not counted. */
size_t tls_session_bytes(const struct tls_session *s);

enum tls_opened_kind {
	TLS_OPENED_DATA,    /* application bytes */
	TLS_OPENED_NOTHING, /* a ticket, a key update: handled or ignored */
	TLS_OPENED_CLOSE,   /* close_notify: the peer will send no more */
};
struct tls_opened {
	enum tls_opened_kind kind;
	uint8_t *p; /* DATA: plain bytes, inside the record */
	size_t n;
	bool want_send; /* something must be sent back (a KeyUpdate answer): see tls_session_pending */
};
/*
 * Open one whole record in place; established sessions only.
 * Errs: ERR_TLS (bad tag, bad content, too long, key-update flood), ERR_TLS_ALERT. The session is dead.
 */
MUST_CHECK enum err tls_session_open(struct tls_session *s, uint8_t *record, size_t len,
                                     struct tls_opened *ret);

/*
 * Seal plain_len (1..16384) octets of application data at record + TLS_RECORD_HEAD in place. The memory must
 * have TLS_RECORD_TAIL writable octets behind them. Returns the record's length on the wire.
 * Errs: ERR_TLS when the key's record budget is spent and no update is possible (never in practice).
 */
MUST_CHECK enum err tls_session_seal(struct tls_session *s, uint8_t *record, size_t plain_len,
                                     size_t *ret_len);

/*
 * Append what the session itself has to say: a KeyUpdate that is due (because the peer asked, or the key has
 * sealed much), or the alert that goes with an error of tls_session_open. Cheap when nothing is due: call it
 * once per turn after sealing, and after an error. Errs: ERR_LIMIT when out is full.
 */
MUST_CHECK enum err tls_session_pending(struct tls_session *s, struct buf *out);
bool tls_session_wants_send(const struct tls_session *s);
/* Change our sending key at the next tls_session_pending; ask_peer: and have the peer change its own. */
void tls_session_key_update(struct tls_session *s, bool ask_peer);
/* Append close_notify; nothing can be sealed afterwards. Errs: ERR_LIMIT when out is full. */
MUST_CHECK enum err tls_session_close_notify(struct tls_session *s, struct buf *out);

#endif
