/* SPDX-License-Identifier: Apache-2.0 */
#include "common/grpc/grpc_client.h"

#include "common/base/check.h"
#include "common/grpc/grpc_conn.h"

enum { H2_CANCEL = 0x8 };

static struct grpc_client *of_conn(struct h2_conn *c)
{
	return container_of(c, struct grpc_client, h2);
}

/* Events gathered in one batch may outlive the call they are about, so they are not trusted with its address. */
static struct grpc_call *find_call(struct grpc_client *c, int32_t id)
{
	list_for_each (it, &c->calls) {
		struct grpc_call *a = list_entry(it, struct grpc_call, link);

		if (a->id == id)
			return a;
	}
	return NULL;
}

static void forget(struct grpc_call *a)
{
	timer_disarm(&a->deadline);
	list_remove(&a->link);
	grpc_reader_fini(&a->reader);
	a->client = NULL;
}

static void finish(struct grpc_call *a)
{
	forget(a);
	a->owner->ended(a, &a->status); /* a may be gone after this */
}

/* The call ends by our word; what the server still says of it is nobody's. */
static void give_up(struct grpc_call *a, enum grpc_code code, const char *words)
{
	struct h2_conn *h2 = &a->client->h2;

	grpc_status_set(&a->status, code, words);
	if (h2->session != NULL) {
		h2_session_reset(h2->session, a->id, H2_CANCEL);
		h2_conn_kick(h2);
	}
	finish(a);
}

static void on_deadline(struct timer *t)
{
	struct grpc_call *a = container_of(t, struct grpc_call, deadline);

	give_up(a, GRPC_DEADLINE_EXCEEDED, "no answer before the deadline");
}

static void take_head(struct grpc_call *a, const struct h2_head *head)
{
	struct grpc_status st;

	if (!grpc_status_of_head(head, &a->status)) {
		a->said = true; /* not gRPC: its body is of no interest */
		return;
	}
	a->headed = true;
	/* an answer of nothing but a status has it here ("Trailers-Only") */
	if (h2_head_find(head, "grpc-status")) {
		a->said = true;
		(void)grpc_status_of_fields(head, &st);
		a->status = st;
	}
}

static void take_data(struct grpc_client *c, int32_t id, struct grpc_call *a, struct span data)
{
	bool whole;
	enum err e;

	grpc_conn_taken(&c->h2, id, data.n);
	if (a == NULL || !a->headed || a->said)
		return;
	/* the owner may cancel the call inside message() */
	while (data.n > 0) {
		e = grpc_reader_feed(&a->reader, &data, &whole);
		if (e != ERR_OK) {
			give_up(a, grpc_code_of_err(e), err_info(e)->words);
			return;
		}
		if (whole) {
			a->owner->message(a, buf_span(&a->reader.message));
			if (find_call(c, id) != a)
				return;
		}
	}
}

static void take_end(struct grpc_call *a)
{
	if (!a->said)
		grpc_status_set(&a->status, GRPC_UNKNOWN, "the call ended without grpc-status");
	else if (a->headed && a->status.code == GRPC_OK && !grpc_reader_between(&a->reader))
		grpc_status_set(&a->status, GRPC_INTERNAL, "the answer ended inside a message");
	/* the server is done: whatever we still had to say is of no use */
	if (h2_session_queued(a->client->h2.session, a->id) > 0)
		h2_session_reset(a->client->h2.session, a->id, H2_CANCEL);
	else
		h2_session_end(a->client->h2.session, a->id);
	h2_conn_kick(&a->client->h2);
	finish(a);
}

static void take_reset(struct grpc_call *a, uint32_t code)
{
	if (!a->said) {
		grpc_status_set(&a->status, code == H2_CANCEL ? GRPC_CANCELLED : GRPC_UNAVAILABLE,
		                "the server reset the stream");
	}
	finish(a);
}

static void on_event(struct h2_conn *h2, const struct h2_event *ev, struct iobuf *buf)
{
	struct grpc_client *c = of_conn(h2);
	struct grpc_call *a = find_call(c, ev->stream_id);

	(void)buf;
	switch (ev->kind) {
	case H2_EV_RESPONSE:
		if (a)
			take_head(a, ev->head);
		h2_head_free(ev->head);
		break;
	case H2_EV_DATA: take_data(c, ev->stream_id, a, ev->data); break;
	case H2_EV_TRAILERS:
		if (a && !a->said) {
			a->said = true;
			(void)grpc_status_of_fields(ev->head, &a->status);
		}
		h2_head_free(ev->head);
		break;
	case H2_EV_END:
		if (a)
			take_end(a);
		break;
	case H2_EV_RESET:
		if (a)
			take_reset(a, ev->code);
		break;
	case H2_EV_GOAWAY: c->going = true; break;
	case H2_EV_REQUEST:
	case H2_EV_CLOSED:
	case H2_EV_SENT:
	case H2_EV_SETTINGS: break;
	}
}

static void on_ready(struct h2_conn *h2)
{
	struct grpc_client *c = of_conn(h2);

	c->owner->ready(c);
}

static void on_ended(struct h2_conn *h2, enum err cause)
{
	struct grpc_client *c = of_conn(h2);

	while (!list_empty(&c->calls)) {
		struct grpc_call *a = list_entry(c->calls.next, struct grpc_call, link);

		grpc_status_of_err(&a->status, cause);
		finish(a);
	}
	c->owner->ended(c, cause);
}

static void on_landed(struct h2_conn *h2)
{
	struct grpc_client *c = of_conn(h2);

	c->owner->landed(c);
}

static const struct h2_conn_owner conn_owner = {
	.ready = on_ready,
	.event = on_event,
	.ended = on_ended,
	.landed = on_landed,
};

void grpc_client_start(struct grpc_client *c, struct loop *loop, int fd, struct tls_session *tls,
                       const struct grpc_client_setup *setup)
{
	const struct h2_conn_setup h2 = {
		.owner = &conn_owner,
		.options = setup->options ? setup->options : &grpc_client_options,
		.scratch = setup->scratch,
		.handshake_ms = setup->handshake_ms,
		.role = H2_CLIENT,
	};

	c->owner = setup->owner;
	c->authority = setup->authority;
	c->going = false;
	list_init(&c->calls);
	h2_conn_start(&c->h2, loop, fd, tls, &h2);
}

bool grpc_client_ready(const struct grpc_client *c)
{
	return !c->going && h2_conn_ready(&c->h2) && h2_session_can_open(c->h2.session);
}

void grpc_client_close(struct grpc_client *c)
{
	while (!list_empty(&c->calls))
		give_up(list_entry(c->calls.next, struct grpc_call, link), GRPC_CANCELLED,
		        "closed by us");
	grpc_conn_close(&c->h2);
}

void grpc_client_fini(struct grpc_client *c)
{
	CHECK(list_empty(&c->calls));
	h2_conn_fini(&c->h2);
}

enum err grpc_call_start(struct grpc_call *a, struct grpc_client *c, const struct grpc_request *req,
                         const struct grpc_call_owner *owner)
{
	struct h2_field f[GRPC_METADATA_MAX];
	char timeout[GRPC_TIMEOUT_TEXT];
	unsigned int n = 0;
	enum err e;

	CHECK(req->metadata_count <= GRPC_METADATA_MAX - 7);
	if (!grpc_client_ready(c))
		return ERR_H2_STREAM_REFUSED;
	n = grpc_conn_field(f, n, ":method", "POST");
	n = grpc_conn_field(f, n, ":scheme", "https");
	n = grpc_conn_field(f, n, ":path", req->path);
	n = grpc_conn_field(f, n, ":authority", c->authority);
	if (req->timeout_ms > 0)
		n = grpc_conn_field(f, n, "grpc-timeout",
		                    grpc_timeout_text(req->timeout_ms, timeout));
	n = grpc_conn_field(f, n, "te", "trailers");
	n = grpc_conn_field(f, n, "content-type", "application/grpc");
	for (unsigned int i = 0; i < req->metadata_count; i++)
		f[n++] = req->metadata[i];
	*a = (struct grpc_call){.client = c, .owner = owner};
	timer_init(&a->deadline, on_deadline);
	e = h2_session_request(c->h2.session, f, n, NULL, &a->id);
	if (e != ERR_OK) {
		a->client = NULL;
		return e;
	}
	grpc_reader_init(&a->reader, req->message_max);
	list_push(&c->calls, &a->link);
	if (req->timeout_ms > 0)
		timer_arm(c->h2.tls.loop, &a->deadline, req->timeout_ms);
	h2_conn_kick(&c->h2);
	return ERR_OK;
}

enum err grpc_call_send(struct grpc_call *a, struct span message)
{
	if (a->client == NULL)
		return ERR_H2_STREAM_RESET;
	return grpc_conn_put(&a->client->h2, a->id, message);
}

void grpc_call_end(struct grpc_call *a)
{
	if (a->client == NULL)
		return;
	h2_session_end(a->client->h2.session, a->id);
	h2_conn_kick(&a->client->h2);
}

void grpc_call_cancel(struct grpc_call *a)
{
	struct h2_conn *h2;

	if (a->client == NULL)
		return;
	h2 = &a->client->h2;
	if (h2->session != NULL) {
		h2_session_reset(h2->session, a->id, H2_CANCEL);
		h2_conn_kick(h2);
	}
	forget(a);
}

size_t grpc_call_queued(const struct grpc_call *a)
{
	return a->client == NULL ? 0 : h2_session_queued(a->client->h2.session, a->id);
}
