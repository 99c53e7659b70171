/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh_text - meshes out of YAML text, for tests.
 */
#ifndef TESTS_UNIT_COMMON_MESH_MESH_TEXT_H
#define TESTS_UNIT_COMMON_MESH_MESH_TEXT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/mesh/mesh_yaml.h"

static inline struct mesh *mesh_of(const char *text)
{
	struct mesh *m = NULL;
	struct buf messages;

	buf_init(&messages, 1 << 20);
	if (mesh_yaml_parse(span_str(text), "mesh.yaml", &messages, &m) != ERR_OK) {
		print_error("%.*s", (int)messages.n, (const char *)messages.p);
		fail_msg("the test's mesh does not load");
	}
	buf_fini(&messages);
	return m;
}

static inline struct ip ip_of(const char *text)
{
	struct ip ip = {0};

	assert_int_equal(ip_parse(span_str(text), &ip), ERR_OK);
	return ip;
}

static inline struct endpoint endpoint_of(const char *text)
{
	struct endpoint ep = {0};

	assert_int_equal(endpoint_parse(span_str(text), &ep), ERR_OK);
	return ep;
}

#endif
