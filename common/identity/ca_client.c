/* SPDX-License-Identifier: Apache-2.0 */
#include "common/identity/ca_client.h"

#include "common/base/check.h"

void ca_request_fini(struct ca_request *r)
{
	buf_fini(&r->chain_pem);
	buf_wipe_fini(&r->key_pem);
	buf_fini(&r->roots_pem);
}

void ca_client_fetch(struct ca_client *ca, struct ca_request *r, const char *identity,
                     uint64_t ttl_s, ca_done_fn *done)
{
	CHECK(!r->pending);
	r->done = done;
	r->identity = identity;
	r->ttl_s = ttl_s;
	r->err = ERR_OK;
	r->why[0] = '\0';
	r->pending = true;
	r->ca = ca;
	buf_init(&r->chain_pem, CA_CHAIN_MAX);
	buf_init(&r->key_pem, CA_KEY_MAX);
	buf_init(&r->roots_pem, CA_ROOTS_MAX);
	ca->ops->fetch(ca, r);
}

void ca_client_cancel(struct ca_client *ca, struct ca_request *r)
{
	if (r->pending)
		ca->ops->cancel(ca, r);
}

bool ca_client_changed(struct ca_client *ca, const struct ca_request *last)
{
	return last->marked && ca->ops->changed != NULL && ca->ops->changed(ca, last);
}

void ca_client_free(struct ca_client *ca)
{
	if (ca != NULL)
		ca->ops->free(ca);
}

static void on_posted(struct op *op)
{
	struct ca_request *r = container_of(op, struct ca_request, op);

	r->pending = false;
	r->done(r);
}

void ca_request_finish(struct ca_client *ca, struct ca_request *r, enum err e)
{
	CHECK(r->pending && r->ca == ca);
	r->err = e;
	loop_post(ca->loop, &r->op, 0, on_posted);
}
