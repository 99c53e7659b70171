/* SPDX-License-Identifier: Apache-2.0 */
#include "common/admin/logging_page.h"

#include "common/base/log.h"
#include "common/base/log_filter.h"
#include "common/base/str.h"

enum {
	FILTER_LEN_MAX = LOG_FILTER_TEXT_MAX + H1_REQUEST_LEN_MAX
}; /* what is in force, and what is asked for */

const char logging_usage[] =
	"usage: POST /logging                   (to list the current level)\n"
	"usage: POST /logging?level=<level>     (to change the level of everything)\n"
	"usage: POST /logging?level={mod1}={level1},{mod2}={level2}\n"
	"                                       (to change the levels of scopes)\n"
	"usage: POST /logging?reset             (to go back to the levels of the start)\n"
	"levels: off, error, warn, info, debug, trace\n";

/* What the query asks for. */
struct logging_wish {
	bool reset;
	bool has_level;
	struct buf level;
};

/* False when the query does not decode. Parameters of other names are passed over, as the reference does. */
static bool read_wish(struct span query, struct logging_wish *wish)
{
	struct buf name, value;
	struct h1_param p = {.name = &name, .value = &value};
	bool bad = false;

	buf_init(&name, H1_REQUEST_LEN_MAX);
	buf_init(&value, H1_REQUEST_LEN_MAX);
	while (h1_query_next(&query, &p, &bad)) {
		if (span_eq_str(buf_span(&name), "reset"))
			wish->reset = true;
		if (!span_eq_str(buf_span(&name), "level"))
			continue;
		wish->has_level = true;
		buf_clear(&wish->level);
		buf_put(&wish->level, buf_span(&value));
	}
	buf_fini(&name);
	buf_fini(&value);
	return !bad;
}

/* A list of levels names at least one, and no item of it is empty. */
static bool has_empty_item(struct span list)
{
	if (list.n == 0)
		return true;
	while (list.p != NULL)
		if (str_trim(str_split(&list, ',')).n == 0)
			return true;
	return false;
}

static void put_filter(struct buf *out)
{
	uint8_t *room = buf_reserve(out, LOG_FILTER_TEXT_MAX);

	if (room != NULL)
		buf_added(out, log_filter_text((char *)room, LOG_FILTER_TEXT_MAX));
}

/* What is to be in force: the default or what there is, then what is asked for on top. */
static enum err apply_wish(const char *filter_default, struct logging_wish *wish,
                           struct http1_response *res)
{
	const char *bad = "";
	size_t bad_len = 0;
	struct buf text;
	enum err err;

	buf_init(&text, FILTER_LEN_MAX);
	if (wish->reset)
		buf_put_str(&text, filter_default);
	else
		put_filter(&text);
	if (wish->has_level) {
		buf_put_u8(&text, ',');
		buf_put(&text, buf_span(&wish->level));
	}
	buf_put_u8(&text, '\0');
	err = buf_status(&text);
	if (err == ERR_OK)
		err = log_filter_set((const char *)text.p, &bad, &bad_len);
	if (err != ERR_OK)
		buf_printf(&res->body, "Invalid level provided: %.*s\n%s", (int)bad_len, bad,
		           logging_usage);
	buf_fini(&text);
	return err;
}

void logging_page(const char *filter_default, const struct h1_request *req,
                  struct http1_response *res)
{
	struct logging_wish wish = {0};
	bool fine;

	buf_init(&wish.level, H1_REQUEST_LEN_MAX);
	fine = read_wish(req->query, &wish);
	if (!fine)
		buf_printf(&res->body, "Invalid query\n%s", logging_usage);
	else if (wish.has_level && has_empty_item(buf_span(&wish.level))) {
		buf_printf(&res->body, "Invalid level provided: an item of the list is empty\n%s",
		           logging_usage);
		fine = false;
	} else if (wish.has_level || wish.reset) {
		fine = apply_wish(filter_default, &wish, res) == ERR_OK;
	}
	buf_fini(&wish.level);
	if (!fine) {
		res->status = 400;
		return;
	}
	buf_put_str(&res->body, "current log level is ");
	put_filter(&res->body);
	buf_put_u8(&res->body, '\n');
}
