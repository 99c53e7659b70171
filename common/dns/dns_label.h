/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_label - names of types and codes for logs and labels, IANA's DNS parameters. Pure.
 */
#ifndef COMMON_DNS_DNS_LABEL_H
#define COMMON_DNS_DNS_LABEL_H

#include <stdint.h>

#include "common/dns/dns_msg.h"

/* "A", "SRV"; all that clients do not ask in earnest is "OTHER", so that nobody can invent label sets. */
const char *dns_type_label(uint16_t type);
const char *dns_rcode_label(enum dns_rcode rcode);

#endif
