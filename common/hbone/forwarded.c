/* SPDX-License-Identifier: Apache-2.0 */
#include "common/hbone/forwarded.h"

#include <stdbool.h>

#include "common/base/str.h"

void forwarded_build(const struct endpoint *client, struct span host, struct buf *out)
{
	char text[ENDPOINT_TEXT_MAX];

	buf_printf(out, "for=\"%s\"", endpoint_format(client, text));
	if (host.n > 0) {
		buf_put_str(out, ";host=");
		buf_put(out, host);
	}
}

static bool visible(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < 0x20 || s.p[i] >= 0x7f)
			return false;
	}
	return true;
}

static struct span unquote(struct span s)
{
	while (s.n > 0 && s.p[0] == '"')
		s = span_of(s.p + 1, s.n - 1);
	while (s.n > 0 && s.p[s.n - 1] == '"')
		s.n--;
	return s;
}

struct span forwarded_host(struct span value)
{
	if (!visible(value))
		return (struct span){0};
	while (value.p) {
		struct span item = str_trim(str_split(&value, ';'));
		struct span key = str_split(&item, '=');

		if (item.p && str_eq_nocase(key, "host"))
			return unquote(str_trim(str_split(&item, '=')));
	}
	return (struct span){0};
}
