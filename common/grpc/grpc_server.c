/* SPDX-License-Identifier: Apache-2.0 */
#include "common/grpc/grpc_server.h"

#include <stdio.h>

#include "common/base/check.h"
#include "common/grpc/grpc_conn.h"

enum {
	H2_INTERNAL = 0x2,
	CODE_TEXT = 4, /* two digits and a NUL, rounded up */
};

static struct grpc_server *of_conn(struct h2_conn *c)
{
	return container_of(c, struct grpc_server, h2);
}

static struct grpc_answer *find_answer(struct grpc_server *c, int32_t id)
{
	list_for_each (it, &c->answers) {
		struct grpc_answer *a = list_entry(it, struct grpc_answer, link);

		if (a->id == id)
			return a;
	}
	return NULL;
}

static void forget(struct grpc_answer *a)
{
	list_remove(&a->link);
	grpc_reader_fini(&a->reader);
	a->server = NULL;
}

static unsigned int add_head(struct h2_field *f)
{
	unsigned int n = grpc_conn_field(f, 0, ":status", "200");

	return grpc_conn_field(f, n, "content-type", "application/grpc");
}

/* The last fields; ahead of them the head, if none was sent ("Trailers-Only"). */
static void say_status(struct h2_conn *h2, int32_t id, bool headed, enum grpc_code code,
                       const char *words)
{
	struct h2_field f[2 + GRPC_FIELDS_MAX];
	char text[CODE_TEXT];
	struct buf encoded;
	unsigned int n = headed ? 0 : add_head(f);
	enum err e;

	(void)snprintf(text, sizeof(text), "%u", (unsigned int)code);
	n = grpc_conn_field(f, n, "grpc-status", text);
	buf_init(&encoded, GRPC_ENCODED_MAX);
	grpc_words_encode(words, &encoded);
	if (encoded.n > 0 && !encoded.failed)
		f[n++] = (struct h2_field){.name = span_str("grpc-message"),
		                           .value = buf_span(&encoded)};
	e = headed ? h2_session_end_fields(h2->session, id, f, n)
	           : h2_session_respond(h2->session, id, f, n, true);
	if (e != ERR_OK)
		h2_session_reset(h2->session, id, H2_INTERNAL);
	buf_fini(&encoded);
	h2_conn_kick(h2);
}

static void refuse(struct grpc_server *c, int32_t id, const char *http_status)
{
	const struct h2_field f = {.name = span_str(":status"), .value = span_str(http_status)};

	if (h2_session_respond(c->h2.session, id, &f, 1, true) != ERR_OK)
		h2_session_reset(c->h2.session, id, H2_INTERNAL);
	h2_conn_kick(&c->h2);
}

static bool starts_with(struct span s, const char *with)
{
	const size_t n = strlen(with);

	return s.n >= n && memcmp(s.p, with, n) == 0;
}

static void take_request(struct grpc_server *c, int32_t id, const struct h2_head *head)
{
	const struct h2_field *method = h2_head_find(head, ":method");
	const struct h2_field *path = h2_head_find(head, ":path");
	const struct h2_field *type = h2_head_find(head, "content-type");

	if (!type || !starts_with(type->value, "application/grpc")) {
		refuse(c, id, "415"); /* as the protocol asks, for clients of something else */
		return;
	}
	if (!path || !method || !span_eq_str(method->value, "POST")) {
		refuse(c, id, "400");
		return;
	}
	if (!c->owner->call(c, id, path->value, head))
		say_status(&c->h2, id, false, GRPC_UNIMPLEMENTED, "unknown method");
}

static void break_answer(struct grpc_answer *a, enum err cause)
{
	forget(a);
	a->owner->broken(a, cause); /* a may be gone after this */
}

static void take_data(struct grpc_server *c, int32_t id, struct span data)
{
	struct grpc_answer *a = find_answer(c, id);
	bool whole;
	enum err e;

	grpc_conn_taken(&c->h2, id, data.n);
	while (a != NULL && data.n > 0) {
		e = grpc_reader_feed(&a->reader, &data, &whole);
		if (e != ERR_OK) {
			say_status(&c->h2, id, a->headed, grpc_code_of_err(e), err_info(e)->words);
			break_answer(a, e);
			return;
		}
		if (whole) {
			a->owner->message(a, buf_span(&a->reader.message));
			a = find_answer(c, id); /* the owner may have finished it */
		}
	}
}

static void take_end(struct grpc_server *c, struct grpc_answer *a)
{
	if (grpc_reader_between(&a->reader)) {
		a->owner->end(a);
		return;
	}
	say_status(&c->h2, a->id, a->headed, GRPC_INTERNAL, "the call ended inside a message");
	break_answer(a, ERR_EOF);
}

static void on_event(struct h2_conn *h2, const struct h2_event *ev, struct iobuf *buf)
{
	struct grpc_server *c = of_conn(h2);
	struct grpc_answer *a = find_answer(c, ev->stream_id);

	(void)buf;
	switch (ev->kind) {
	case H2_EV_REQUEST:
		take_request(c, ev->stream_id, ev->head);
		h2_head_free(ev->head);
		break;
	case H2_EV_DATA: take_data(c, ev->stream_id, ev->data); break;
	case H2_EV_TRAILERS: h2_head_free(ev->head); break; /* a client has nothing to say there */
	case H2_EV_END:
		if (a)
			take_end(c, a);
		break;
	case H2_EV_RESET:
		if (a)
			break_answer(a, ERR_H2_STREAM_RESET);
		break;
	case H2_EV_RESPONSE:
	case H2_EV_CLOSED:
	case H2_EV_SENT:
	case H2_EV_GOAWAY:
	case H2_EV_SETTINGS: break;
	}
}

static void on_ready(struct h2_conn *h2)
{
	struct grpc_server *c = of_conn(h2);

	c->owner->ready(c);
}

static void on_ended(struct h2_conn *h2, enum err cause)
{
	struct grpc_server *c = of_conn(h2);

	while (!list_empty(&c->answers))
		break_answer(list_entry(c->answers.next, struct grpc_answer, link),
		             cause == ERR_OK ? ERR_EOF : cause);
	c->owner->ended(c, cause);
}

static void on_landed(struct h2_conn *h2)
{
	struct grpc_server *c = of_conn(h2);

	c->owner->landed(c);
}

static const struct h2_conn_owner conn_owner = {
	.ready = on_ready,
	.event = on_event,
	.ended = on_ended,
	.landed = on_landed,
};

void grpc_server_start(struct grpc_server *c, struct loop *loop, int fd, struct tls_session *tls,
                       const struct grpc_server_setup *setup)
{
	const struct h2_conn_setup h2 = {
		.owner = &conn_owner,
		.options = setup->options ? setup->options : &grpc_server_options,
		.scratch = setup->scratch,
		.handshake_ms = setup->handshake_ms,
		.role = H2_SERVER,
	};

	c->owner = setup->owner;
	list_init(&c->answers);
	h2_conn_start(&c->h2, loop, fd, tls, &h2);
}

void grpc_server_close(struct grpc_server *c)
{
	grpc_conn_close(&c->h2);
}

void grpc_server_fini(struct grpc_server *c)
{
	CHECK(list_empty(&c->answers));
	h2_conn_fini(&c->h2);
}

void grpc_answer_begin(struct grpc_answer *a, struct grpc_server *c, int32_t id,
                       uint32_t message_max, const struct grpc_answer_owner *owner)
{
	*a = (struct grpc_answer){.server = c, .owner = owner, .id = id};
	grpc_reader_init(&a->reader, message_max);
	list_push(&c->answers, &a->link);
}

enum err grpc_answer_send(struct grpc_answer *a, struct span message)
{
	struct h2_field f[2];
	enum err e = ERR_OK;

	if (a->server == NULL)
		return ERR_H2_STREAM_RESET;
	if (!a->headed)
		e = h2_session_respond(a->server->h2.session, a->id, f, add_head(f), false);
	if (e != ERR_OK)
		return e;
	a->headed = true;
	return grpc_conn_put(&a->server->h2, a->id, message);
}

void grpc_answer_finish(struct grpc_answer *a, enum grpc_code code, const char *words)
{
	if (a->server == NULL)
		return;
	say_status(&a->server->h2, a->id, a->headed, code, words);
	forget(a);
}
