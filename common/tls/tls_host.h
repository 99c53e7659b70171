/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_host - does a certificate name this host? For control planes and API servers, which are known by name or address
 * and not by a SPIFFE id. Pure. RFC 9525: only subjectAltName counts; a wildcard is a whole left-most label.
 */
#ifndef COMMON_TLS_TLS_HOST_H
#define COMMON_TLS_TLS_HOST_H

#include <stdbool.h>

#include "common/base/span.h"

/*
 * alt_names: the certificate's GeneralNames (x509_facts); host: a DNS name without a dot at its end, or an address in
 * text, which only an iPAddress of the certificate names.
 */
bool tls_host_named(struct span alt_names, const char *host);

#endif
