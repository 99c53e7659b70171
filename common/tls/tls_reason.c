/* SPDX-License-Identifier: Apache-2.0 */
#include "common/tls/tls_reason.h"

#include <stdarg.h>
#include <stdio.h>

struct tls_reason tls_reason_to(char *text, size_t len)
{
	struct tls_reason why;

	why.text = text;
	why.len = len;
	return why;
}

enum err tls_reason_say(const struct tls_reason *why, enum err e, const char *fmt, ...)
{
	va_list ap;

	if (why->len == 0)
		return e;
	va_start(ap, fmt);
	(void)vsnprintf(why->text, why->len, fmt, ap);
	va_end(ap);
	return e;
}
