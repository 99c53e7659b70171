/* SPDX-License-Identifier: Apache-2.0 */
/*
 * logging_page - /logging: show and change log levels while running (contract 11.1).
 */
#ifndef COMMON_ADMIN_LOGGING_PAGE_H
#define COMMON_ADMIN_LOGGING_PAGE_H

#include "common/admin/http1_server.h"

extern const char logging_usage[];

/* Answer a POST. filter_default: what "reset" goes back to. */
void logging_page(const char *filter_default, const struct h1_request *req,
                  struct http1_response *res);

#endif
