/* SPDX-License-Identifier: Apache-2.0 */
#include "common/admin/h1_request.h"

#include <string.h>

#include "common/base/str.h"
#include "common/codec/percent_codec.h"

static bool is_token_char(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_token(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_token_char(s.p[i]))
			return false;
	return s.n > 0;
}

/* Visible ASCII only: what a request target may hold here. */
static bool is_visible(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= 0x20 || s.p[i] >= 0x7f)
			return false;
	return s.n > 0;
}

/* RFC 9110 5.5: visible octets, spaces and tabs. */
static bool is_field_value(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((s.p[i] < 0x20 && s.p[i] != '\t') || s.p[i] == 0x7f)
			return false;
	return true;
}

/*
 * Take one line off *rest, without its CRLF. H1_MORE when it is not all there; 400 for a CR or LF that is
 * not part of a CRLF.
 */
static unsigned int next_line(struct span *rest, struct span *ret_line)
{
	for (size_t i = 0; i < rest->n; i++) {
		if (rest->p[i] == '\n' ||
		    (rest->p[i] == '\r' && i + 1 < rest->n && rest->p[i + 1] != '\n'))
			return 400;
		if (rest->p[i] != '\r')
			continue;
		if (i + 1 == rest->n)
			return H1_MORE;
		*ret_line = span_of(rest->p, i);
		*rest = span_of(rest->p + i + 2, rest->n - i - 2);
		return H1_OK;
	}
	return H1_MORE;
}

static unsigned int parse_version(struct span text, struct h1_request *r)
{
	if (text.n != 8 || memcmp(text.p, "HTTP/", 5) != 0 || text.p[6] != '.')
		return 400;
	if (text.p[5] != '1' || (text.p[7] != '0' && text.p[7] != '1'))
		return 505;
	r->keep_alive = text.p[7] == '1';
	return H1_OK;
}

/* method SP origin-form SP HTTP-version. */
static unsigned int parse_request_line(struct span line, struct h1_request *r)
{
	struct span method = str_split(&line, ' ');
	struct span target = str_split(&line, ' ');
	struct span path;

	if (!is_token(method) || !is_visible(target) || line.p == NULL)
		return 400;
	if (target.p[0] != '/' || memchr(target.p, '#', target.n) != NULL)
		return 400;
	r->method = span_eq_str(method, "GET")    ? H1_GET
	            : span_eq_str(method, "HEAD") ? H1_HEAD
	            : span_eq_str(method, "POST") ? H1_POST
	                                          : H1_OTHER;
	path = str_split(&target, '?');
	r->path = path;
	r->query = target.p != NULL ? target : span_of(path.p + path.n, 0);
	return parse_version(line, r);
}

static unsigned int parse_field(struct span line, struct h1_request *r)
{
	struct span rest = line;
	struct span name = str_split(&rest, ':');

	if (rest.p == NULL || !is_token(name) || !is_field_value(rest))
		return 400;
	if (r->field_count == H1_FIELDS_MAX)
		return 431;
	r->fields[r->field_count++] = (struct h1_field){.name = name, .value = str_trim(rest)};
	return H1_OK;
}

/* How many fields have this name; the last one's value. */
static size_t find_fields(const struct h1_request *r, const char *name, struct span *ret_value)
{
	size_t n = 0;

	for (size_t i = 0; i < r->field_count; i++) {
		if (!str_eq_nocase(r->fields[i].name, name))
			continue;
		*ret_value = r->fields[i].value;
		n++;
	}
	return n;
}

/* What the fields say about the rest of the message. RFC 9112 section 6, and 3.2 for Host. */
static unsigned int judge_fields(struct h1_request *r)
{
	struct span value = {0};
	uint64_t body_len = 0;
	bool minor_1 = r->keep_alive;
	size_t n = find_fields(r, "content-length", &value);

	if (n > 1 || (n == 1 && str_parse_u64(value, SIZE_MAX, &body_len) != ERR_OK))
		return 400;
	if (find_fields(r, "transfer-encoding", &value) > 0)
		return n > 0 ? 400 : 501;
	if (find_fields(r, "expect", &value) > 0)
		return 417;
	n = find_fields(r, "host", &r->host);
	if (n > 1 || (n == 0 && minor_1))
		return 400;
	if (h1_request_mentions(r, "connection", "close"))
		r->keep_alive = false;
	if (body_len > H1_REQUEST_LEN_MAX - r->head_len)
		return 413;
	r->body_len = (size_t)body_len;
	return H1_OK;
}

static unsigned int parse_head(struct span in, struct h1_request *r)
{
	struct span rest = in, line;
	unsigned int status = next_line(&rest, &line);

	if (status == H1_OK)
		status = parse_request_line(line, r);
	while (status == H1_OK) {
		status = next_line(&rest, &line);
		if (status != H1_OK)
			break;
		if (line.n == 0) {
			r->head_len = in.n - rest.n;
			return judge_fields(r);
		}
		status = parse_field(line, r);
	}
	return status;
}

unsigned int h1_request_parse(struct span in, struct h1_request *ret)
{
	bool full = in.n >= H1_REQUEST_LEN_MAX;
	unsigned int status;

	memset(ret, 0, sizeof(*ret));
	ret->host = span_of("", 0);
	if (full)
		in.n = H1_REQUEST_LEN_MAX;
	status = parse_head(in, ret);
	if (status == H1_MORE)
		return full ? 431 : H1_MORE;
	if (status == H1_OK && in.n - ret->head_len < ret->body_len)
		return H1_MORE;
	return status;
}

static bool contains_nocase(struct span text, const char *word)
{
	size_t n = strlen(word);

	for (size_t i = 0; i + n <= text.n; i++)
		if (str_eq_nocase(span_of(text.p + i, n), word))
			return true;
	return false;
}

bool h1_request_mentions(const struct h1_request *r, const char *name, const char *word)
{
	for (size_t i = 0; i < r->field_count; i++)
		if (str_eq_nocase(r->fields[i].name, name) &&
		    contains_nocase(r->fields[i].value, word))
			return true;
	return false;
}

/* "q=0.5" as thousandths; what is no weight does not lower it. RFC 9110 12.4.2. */
static unsigned int weight_of(struct span params)
{
	struct span p = str_trim(params);
	unsigned int unit = H1_WEIGHT_MAX, weight = 0;

	if (p.n < 3 || (p.p[0] != 'q' && p.p[0] != 'Q') || p.p[1] != '=')
		return H1_WEIGHT_MAX;
	for (size_t i = 2; i < p.n; i++) {
		if (i == 3 && p.p[i] == '.')
			continue;
		if (p.p[i] < '0' || p.p[i] > '9')
			return H1_WEIGHT_MAX;
		weight += (unsigned int)(p.p[i] - '0') * unit;
		unit /= 10;
	}
	return weight < H1_WEIGHT_MAX ? weight : H1_WEIGHT_MAX;
}

unsigned int h1_request_coding_weight(const struct h1_request *r, const char *coding)
{
	unsigned int any = 0;

	for (size_t i = 0; i < r->field_count; i++) {
		struct span list = r->fields[i].value;

		if (!str_eq_nocase(r->fields[i].name, "accept-encoding"))
			continue;
		while (list.p != NULL) {
			struct span item = str_split(&list, ',');
			struct span name = str_trim(str_split(&item, ';'));

			if (str_eq_nocase(name, coding))
				return weight_of(item);
			if (span_eq_str(name, "*"))
				any = weight_of(item);
		}
	}
	return any;
}

/* Four decimal numbers of which the first is 127. */
static bool is_loopback_v4(struct span host)
{
	uint64_t part = 0;
	unsigned int n = 0;

	for (struct span rest = host; rest.p != NULL; n++) {
		if (str_parse_u64(str_split(&rest, '.'), 255, &part) != ERR_OK)
			return false;
		if (n == 0 && part != 127)
			return false;
	}
	return n == 4;
}

bool h1_request_host_is_local(const struct h1_request *r)
{
	struct span host = r->host;
	struct span rest = host;
	uint64_t port;

	if (host.n >= 5 && memcmp(host.p, "[::1]", 5) == 0) {
		rest = span_of(host.p + 5, host.n - 5);
		host = span_of(host.p, 5);
		if (rest.n > 0 && rest.p[0] != ':')
			return false;
		rest = rest.n > 0 ? span_of(rest.p + 1, rest.n - 1) : (struct span){0};
	} else {
		host = str_split(&rest, ':');
	}
	if (rest.p != NULL && str_parse_u64(rest, UINT16_MAX, &port) != ERR_OK)
		return false;
	return str_eq_nocase(host, "localhost") || span_eq_str(host, "[::1]") ||
	       is_loopback_v4(host);
}

bool h1_query_next(struct span *rest, struct h1_param *p, bool *ret_bad)
{
	struct span value, name;

	while (rest->p != NULL && rest->n > 0) {
		value = str_split(rest, '&');
		if (value.n == 0)
			continue;
		name = str_split(&value, '=');
		buf_clear(p->name);
		buf_clear(p->value);
		p->has_value = value.p != NULL;
		if (percent_decode(name, true, p->name) == ERR_OK &&
		    (!p->has_value || percent_decode(value, true, p->value) == ERR_OK))
			return true;
		*ret_bad = true;
		return false;
	}
	return false;
}

const char *h1_reason(unsigned int status)
{
	switch (status) {
	case 200: return "OK";
	case 400: return "Bad Request";
	case 403: return "Forbidden";
	case 404: return "Not Found";
	case 405: return "Method Not Allowed";
	case 408: return "Request Timeout";
	case 413: return "Content Too Large";
	case 417: return "Expectation Failed";
	case 431: return "Request Header Fields Too Large";
	case 501: return "Not Implemented";
	case 505: return "HTTP Version Not Supported";
	default: return "Internal Server Error";
	}
}
