/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh_yaml_nouns - the state file's workloads and services, key by key. Pure. Contract 1.5.
 */
#ifndef COMMON_MESH_MESH_YAML_NOUNS_H
#define COMMON_MESH_MESH_YAML_NOUNS_H

#include "common/mesh/yaml_decode.h"

/* Field functions; out is a struct workload or service as mesh_*_new() made it. */
yaml_field_fn mesh_yaml_workload, mesh_yaml_service;

#endif
