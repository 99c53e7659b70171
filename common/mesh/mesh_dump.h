/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh_dump - a mesh as config_dump's JSON. Pure. Contract 11.2: arrays are never null, destinations always texts.
 */
#ifndef COMMON_MESH_MESH_DUMP_H
#define COMMON_MESH_MESH_DUMP_H

#include "common/codec/json_write.h"
#include "common/mesh/mesh.h"

/* The keys workloads, services, policies, stagedServices and staticConfig of an object w has open. */
void mesh_dump_members(const struct mesh *m, struct json_write *w);

/* One value each. */
void mesh_dump_workloads(const struct mesh *m, struct json_write *w); /* sorted by uid */
void mesh_dump_services(const struct mesh *m, struct json_write *w);  /* sorted by hostname */
void mesh_dump_policies(const struct mesh *m, struct json_write *w); /* sorted by namespace, name */
void mesh_dump_staged(const struct mesh *m, struct json_write *w);
/* What the local file said, in its own form: reading it back gives the same mesh. */
void mesh_dump_static(const struct mesh *m, struct json_write *w);

#endif
