/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh_yaml_policy - the state file's policies, key by key. Pure. Contract 1.5.
 */
#ifndef COMMON_MESH_MESH_YAML_POLICY_H
#define COMMON_MESH_MESH_YAML_POLICY_H

#include "common/mesh/yaml_decode.h"

/* A field function; out is a struct policy as mesh_policy_new() made it. */
yaml_field_fn mesh_yaml_policy;

#endif
