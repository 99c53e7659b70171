/* SPDX-License-Identifier: Apache-2.0 */
#include "common/relay/relay.h"

#include "common/base/check.h"

static struct relay_end *other(const struct relay *r, const struct relay_end *e)
{
	return e == r->a ? r->b : r->a;
}

static void relay_close(struct relay *r, enum err cause)
{
	if (r->closing)
		return;
	r->closing = true;
	r->cause = cause;
	r->a->ops->close(r->a, cause);
	r->b->ops->close(r->b, cause);
}

void relay_start(struct relay *r, struct relay_end *a, struct relay_end *b,
                 const struct relay_owner *owner)
{
	*r = (struct relay){.a = a, .b = b, .owner = owner};
	a->relay = r;
	b->relay = r;
	a->ops->start(a);
	b->ops->start(b);
}

void relay_abort(struct relay *r, enum err cause)
{
	relay_close(r, cause);
}

bool relay_on_data(struct relay_end *e, struct iobuf_view v)
{
	struct relay *r = e->relay;
	struct relay_end *to = other(r, e);
	bool *paused = e == r->a ? &r->a_paused : &r->b_paused;

	if (r->closing) {
		iobuf_unref(v.buf);
		return false;
	}
	to->ops->put(to, v);
	*paused = to->ops->queued(to) >= RELAY_QUEUE_HIGH;
	if (*paused && r->owner->paused != NULL)
		r->owner->paused(r);
	return !*paused;
}

void relay_on_eof(struct relay_end *e)
{
	struct relay *r = e->relay;
	struct relay_end *to = other(r, e);

	if (r->closing)
		return;
	*(e == r->a ? &r->a_eof : &r->b_eof) = true;
	to->ops->finish(to);
}

void relay_on_broken(struct relay_end *e, enum err cause)
{
	relay_close(e->relay, cause);
}

void relay_on_sent(struct relay_end *e, size_t n)
{
	struct relay *r = e->relay;
	struct relay_end *from = other(r, e);
	bool *paused = from == r->a ? &r->a_paused : &r->b_paused;

	*(e == r->b ? &r->a_to_b : &r->b_to_a) += n;
	r->owner->moved(r, e == r->b, n);
	from->ops->taken(from, n);
	if (*paused && !r->closing && e->ops->queued(e) <= RELAY_QUEUE_LOW) {
		*paused = false;
		from->ops->resume(from);
	}
}

void relay_on_finished(struct relay_end *e)
{
	struct relay *r = e->relay;

	*(e == r->a ? &r->a_done : &r->b_done) = true;
	if (r->a_done && r->b_done)
		relay_close(r, ERR_OK);
}

void relay_on_landed(struct relay_end *e)
{
	struct relay *r = e->relay;

	CHECK(r->closing);
	if (++r->landed == 2)
		r->owner->done(r, r->cause);
}
