/* SPDX-License-Identifier: Apache-2.0 */
#include "common/grpc/grpc_conn.h"

#include <string.h>

#include "common/grpc/grpc_codec.h"
#include "common/io/loop.h"

const struct h2_options grpc_client_options = {
	.stream_window = 4 * 1024 * 1024,
	.conn_window = 16 * 1024 * 1024,
	.frame_len_max = 16384,
	.header_list_max = 16384,
	.ping_interval_ms = 30000,
	.ping_timeout_ms = 10000,
	.trailers = true,
};

const struct h2_options grpc_server_options = {
	.stream_window = 64 * 1024,
	.conn_window = 1024 * 1024,
	.frame_len_max = 16384,
	.header_list_max = 16384,
	.streams_max = 100,
	.ping_interval_ms = 30000,
	.ping_timeout_ms = 20000,
	.trailers = true,
};

/* One block of what is left of prefix and message. */
static enum err put_block(struct h2_conn *c, int32_t id, struct span *prefix, struct span *rest)
{
	struct iobuf *b = iobuf_take(loop_iobufs(c->tls.loop), IOBUF_SLOT);
	struct iobuf_view v = {.buf = b};
	size_t n;

	if (b == NULL)
		return ERR_MEMORY;
	v.p = b->mem + IOBUF_HEAD;
	memcpy(v.p, prefix->p, prefix->n);
	n = IOBUF_SLOT_LEN - prefix->n;
	if (n > rest->n)
		n = rest->n;
	if (n > 0)
		memcpy(v.p + prefix->n, rest->p, n);
	v.len = (uint32_t)(prefix->n + n);
	prefix->n = 0;
	rest->p += n;
	rest->n -= n;
	return h2_session_put(c->session, id, v);
}

enum err grpc_conn_put(struct h2_conn *c, int32_t stream_id, struct span message)
{
	uint8_t head[GRPC_PREFIX];
	struct span prefix = span_of(head, sizeof(head));
	enum err e;

	if (message.n > GRPC_MESSAGE_MAX)
		return ERR_LIMIT;
	grpc_prefix((uint32_t)message.n, head);
	do
		e = put_block(c, stream_id, &prefix, &message);
	while (e == ERR_OK && message.n > 0);
	h2_conn_kick(c);
	return e;
}

void grpc_conn_taken(struct h2_conn *c, int32_t stream_id, size_t n)
{
	h2_session_consumed_stream(c->session, stream_id, n);
	h2_session_consumed_conn(c->session, n);
}

unsigned int grpc_conn_field(struct h2_field *to, unsigned int n, const char *name,
                             const char *value)
{
	to[n] = (struct h2_field){.name = span_str(name), .value = span_str(value)};
	return n + 1;
}

void grpc_conn_close(struct h2_conn *c)
{
	if (c->session == NULL)
		h2_conn_abort(c, ERR_CANCELLED);
	else
		h2_conn_close(c, 0);
}
