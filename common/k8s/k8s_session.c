/* SPDX-License-Identifier: Apache-2.0 */
#include "common/k8s/k8s_session.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/str.h"
#include "common/codec/percent_codec.h"

enum {
	HTTP_OK = 200,
	HTTP_GONE = 410,
	STATUS_TEXT_MAX = 16 * 1024, /* octets of an error's body worth reading */
};

static enum err fail(struct k8s_session *s, enum err e, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static enum err fail(struct k8s_session *s, enum err e, const char *fmt, ...)
{
	va_list ap;

	s->failed = true;
	va_start(ap, fmt);
	(void)vsnprintf(s->why, sizeof(s->why), fmt, ap);
	va_end(ap);
	return e;
}

void k8s_session_init(struct k8s_session *s, const char *path, const char *selector,
                      k8s_event_fn *event)
{
	*s = (struct k8s_session){.path = path, .selector = selector, .event = event};
	buf_init(&s->body, K8S_PAGE_BYTES_MAX);
}

void k8s_session_fini(struct k8s_session *s)
{
	buf_fini(&s->body);
}

void k8s_session_request(const struct k8s_session *s, uint64_t dice, struct buf *out)
{
	buf_put_str(out, s->path);
	buf_put_str(out, "?");
	if (s->selector[0]) {
		buf_put_str(out, s->selector);
		buf_put_str(out, "&");
	}
	if (s->state == K8S_WATCHING) {
		buf_printf(out,
		           "watch=1&allowWatchBookmarks=true&timeoutSeconds=%u&resourceVersion=",
		           (unsigned int)(K8S_WATCH_S_MIN + dice % K8S_WATCH_S_MIN));
		percent_encode(span_str(s->version), out);
		return;
	}
	buf_printf(out, "limit=%d", K8S_PAGE);
	if (s->next[0]) {
		buf_put_str(out, "&continue=");
		percent_encode(span_str(s->next), out);
	}
}

void k8s_session_status(struct k8s_session *s, unsigned int http_status)
{
	buf_fini(&s->body);
	buf_init(&s->body, s->state == K8S_WATCHING && http_status == HTTP_OK ? K8S_OBJECT_BYTES_MAX
	                                                                      : K8S_PAGE_BYTES_MAX);
	s->status = http_status;
	s->failed = false;
	s->gone = http_status == HTTP_GONE;
	s->progressed = false;
	if (http_status == HTTP_OK && s->state == K8S_LISTING && !s->next[0])
		s->event(s, K8S_RELIST, NULL);
}

/* A resourceVersion that can be asked with; false: it is missing or absurd. */
static bool take_version(struct k8s_session *s, const json_t *object)
{
	const char *version = k8s_json_text(object, "metadata.resourceVersion");

	if (version[0] == '\0' || strlen(version) >= sizeof(s->version))
		return false; /* the one we have stays good */
	return str_copy(s->version, sizeof(s->version), span_str(version));
}

/* --- pages ---------------------------------------------------------------------------------------- */

static enum err take_page(struct k8s_session *s)
{
	char why[K8S_JSON_WHY_MAX];
	json_t *page, *item;
	const json_t *items;
	size_t i;
	enum err e = k8s_json_parse(buf_span(&s->body), &page, why);

	buf_clear(&s->body);
	if (e != ERR_OK)
		return fail(s, e, "the list is not what it should be: %s", why);
	items = json_object_get(page, "items");
	if (!take_version(s, page) || (items && !json_is_array(items) && !json_is_null(items)) ||
	    !str_copy(s->next, sizeof(s->next),
	              span_str(k8s_json_text(page, "metadata.continue")))) {
		s->next[0] = '\0';
		json_decref(page);
		return fail(s, ERR_PARSE,
		            "the list has no items, resourceVersion or continue token to use");
	}
	json_array_foreach((json_t *)(uintptr_t)items, i, item)
	{
		if (json_is_object(item))
			s->event(s, K8S_OBJECT, item);
	}
	json_decref(page);
	s->progressed = true;
	if (s->next[0])
		return ERR_OK;
	s->state = K8S_WATCHING;
	s->synced = true;
	s->event(s, K8S_SYNCED, NULL);
	return ERR_OK;
}

/* --- watch events --------------------------------------------------------------------------------- */

/* A Status object in place of what was asked for. */
static enum err take_error(struct k8s_session *s, const json_t *status)
{
	json_int_t code = json_integer_value(json_object_get(status, "code"));

	if (code == HTTP_GONE)
		s->gone = true;
	return fail(s, ERR_EOF, "the watch ended: %d %.200s", (int)code,
	            k8s_json_text(status, "message"));
}

static enum err take_typed(struct k8s_session *s, const char *type, const json_t *object)
{
	if (strcmp(type, "ERROR") == 0)
		return take_error(s, object);
	if (!take_version(s, object))
		return fail(s, ERR_PARSE, "a watch event has no resourceVersion");
	s->progressed = true;
	if (strcmp(type, "ADDED") == 0 || strcmp(type, "MODIFIED") == 0)
		s->event(s, K8S_OBJECT, object);
	else if (strcmp(type, "DELETED") == 0)
		s->event(s, K8S_DELETED, object);
	else if (strcmp(type, "BOOKMARK") != 0)
		return fail(s, ERR_PARSE, "a watch event of unknown type \"%.40s\"", type);
	return ERR_OK;
}

static bool blank(struct span line)
{
	for (size_t i = 0; i < line.n; i++) {
		if (line.p[i] != ' ' && line.p[i] != '\t' && line.p[i] != '\r' && line.p[i] != '\n')
			return false;
	}
	return true;
}

static enum err take_line(struct k8s_session *s, struct span line)
{
	char why[K8S_JSON_WHY_MAX];
	const json_t *object;
	json_t *event;
	enum err e;

	if (blank(line))
		return ERR_OK;
	e = k8s_json_parse(line, &event, why);
	if (e != ERR_OK)
		return fail(s, e, "a watch event is not what it should be: %s", why);
	object = json_object_get(event, "object");
	if (json_is_object(object))
		e = take_typed(s, k8s_json_text(event, "type"), object);
	else
		e = fail(s, ERR_PARSE, "a watch event has no object");
	json_decref(event);
	return e;
}

static enum err take_watch(struct k8s_session *s, struct span bytes)
{
	while (bytes.n > 0) {
		const uint8_t *nl = memchr(bytes.p, '\n', bytes.n);
		size_t n = nl ? (size_t)(nl - bytes.p) + 1 : bytes.n;
		enum err e;

		buf_put(&s->body, span_of(bytes.p, n));
		bytes = span_of(bytes.p + n, bytes.n - n);
		if (s->body.failed)
			return fail(s, ERR_LIMIT, "a watch event is longer than %d octets",
			            K8S_OBJECT_BYTES_MAX);
		if (nl == NULL)
			return ERR_OK;
		e = take_line(s, buf_span(&s->body));
		buf_clear(&s->body);
		if (e != ERR_OK)
			return e;
	}
	return ERR_OK;
}

enum err k8s_session_body(struct k8s_session *s, struct span bytes)
{
	if (s->failed)
		return ERR_PARSE;
	if (s->status != HTTP_OK) {
		if (s->body.n < STATUS_TEXT_MAX)
			buf_put(&s->body, bytes);
		return ERR_OK;
	}
	if (s->state == K8S_WATCHING)
		return take_watch(s, bytes);
	buf_put(&s->body, bytes);
	if (s->body.failed)
		return fail(s, ERR_LIMIT, "a page of the list is longer than %d octets",
		            K8S_PAGE_BYTES_MAX);
	return ERR_OK;
}

/* The words of a refusal, if it has any. */
static void explain_refusal(struct k8s_session *s)
{
	char why[K8S_JSON_WHY_MAX];
	json_t *status;

	if (k8s_json_parse(buf_span(&s->body), &status, why) != ERR_OK) {
		(void)snprintf(s->why, sizeof(s->why), "HTTP status %u", s->status);
		return;
	}
	(void)snprintf(s->why, sizeof(s->why), "HTTP status %u: %.200s", s->status,
	               k8s_json_text(status, "message"));
	json_decref(status);
}

/* Start over with a whole list; what is known stays until that is there. */
static void list_again(struct k8s_session *s)
{
	s->state = K8S_LISTING;
	s->next[0] = '\0';
	s->gone = false;
}

bool k8s_session_end(struct k8s_session *s, enum err cause)
{
	bool was_listing = s->state == K8S_LISTING;
	bool again;

	if (cause == ERR_OK && !s->failed && s->status == HTTP_OK && was_listing)
		(void)take_page(s); /* a failure is in s->failed */
	if (s->status != HTTP_OK && s->status != 0)
		explain_refusal(s);
	else if (cause != ERR_OK && !s->failed)
		(void)snprintf(s->why, sizeof(s->why), "%s", err_info(cause)->words);
	again = s->progressed && !s->failed && (cause == ERR_OK || !was_listing);
	if (s->gone) {
		/* a token or a version too old: listing is what helps, and it helps at once if that was a watch */
		again = !was_listing;
		list_again(s);
	} else if (s->failed && was_listing) {
		list_again(s);
	}
	buf_fini(&s->body);
	buf_init(&s->body, K8S_PAGE_BYTES_MAX);
	s->status = 0;
	s->progressed = false;
	return again;
}
