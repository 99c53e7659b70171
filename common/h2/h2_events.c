/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "common/h2/h2_private.h"

enum { EVENTS_FIRST = 32 };

void h2_events_init(struct h2_events *e)
{
	*e = (struct h2_events){0};
}

void h2_events_clear(struct h2_events *e)
{
	for (uint32_t i = 0; i < e->count; i++) {
		struct h2_event *ev = &e->ev[i];

		if (ev->kind == H2_EV_REQUEST || ev->kind == H2_EV_RESPONSE ||
		    ev->kind == H2_EV_TRAILERS)
			h2_head_free(ev->head);
	}
	e->count = 0;
}

void h2_events_fini(struct h2_events *e)
{
	h2_events_clear(e);
	free(e->ev);
	h2_events_init(e);
}

bool h2_events_reserve(struct h2_events *e, uint32_t more)
{
	uint32_t cap = e->cap ? e->cap : EVENTS_FIRST;
	struct h2_event *grown;

	if (more <= e->cap - e->count)
		return true;
	while (cap - e->count < more)
		cap *= 2; /* bounded by one input's frames, or by the streams there are */
	grown = realloc(e->ev, cap * sizeof(*grown));
	if (!grown)
		return false;
	e->ev = grown;
	e->cap = cap;
	return true;
}

bool h2_events_add(struct h2_events *e, struct h2_event ev)
{
	if (!h2_events_reserve(e, 1))
		return false;
	e->ev[e->count++] = ev;
	return true;
}
