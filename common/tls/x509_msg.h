/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x509_msg - the facts of a certificate that we judge ourselves, read from and written as DER. Pure; no
 * signature is checked here. RFC 5280.
 */
#ifndef COMMON_TLS_X509_MSG_H
#define COMMON_TLS_X509_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/span.h"

enum {
	X509_DER_MAX = 16 * 1024, /* octets of one certificate; real ones stay below 2 kB */
	X509_SERIAL_MAX = 20,     /* octets, RFC 5280 4.1.2.2 */
	X509_KEY_ID_LEN = 20,     /* octets of the identifiers we make */
};

/* Spans are views into the certificate. */
struct x509_facts {
	struct span tbs;       /* what the signature is over */
	struct span serial;    /* contents of the INTEGER */
	struct span algorithm; /* whole AlgorithmIdentifier of the signature */
	struct span issuer;    /* whole Name */
	struct span subject;   /* whole Name */
	struct span spki;      /* whole SubjectPublicKeyInfo */
	struct span signature; /* of the BIT STRING, without its first octet */
	int64_t not_before, not_after;
	bool is_ca;                 /* basicConstraints says so */
	bool has_key_usage;         /* the extension is there; if not the usages below are false */
	bool may_sign;              /* digitalSignature */
	bool may_sign_certs;        /* keyCertSign */
	bool has_ext_key_usage;     /* the extension is there */
	bool may_serve, may_client; /* serverAuth, clientAuth, or any */
	bool has_key_id;            /* subjectKeyIdentifier is there */
	struct span key_id;
	unsigned int uri_count; /* URI names in subjectAltName */
	struct span uri;        /* the first of them */
	struct span alt_names;  /* contents of subjectAltName: its GeneralNames */
};

/* The frame of a certificate and of a revocation list (4.1.1, 5.1.1); views into it. */
struct x509_signed {
	struct span tbs;       /* whole: what the signature is over */
	struct span algorithm; /* whole AlgorithmIdentifier */
	struct span signature; /* of the BIT STRING, without its first octet */
};

/* Errs: ERR_PARSE for anything but one frame, whole bytes of signature and nothing behind it. */
MUST_CHECK enum err x509_signed_parse(struct span der, struct x509_signed *ret);

/*
 * Errs: ERR_PARSE for anything but one well-formed version 3 certificate, an extension twice, or octets behind
 *       the end; ERR_LIMIT for more than X509_DER_MAX.
 */
MUST_CHECK enum err x509_parse(struct span der, struct x509_facts *ret);

/* What to write. All borrowed. */
struct x509_spec {
	struct span serial;  /* unsigned, most significant octet first */
	struct span issuer;  /* whole Name */
	struct span subject; /* whole Name; an empty one makes subjectAltName critical */
	struct span spki;
	int64_t not_before, not_after;
	bool is_ca;
	bool no_key_usage;           /* leave the extension out */
	bool no_digital_signature;   /* leave that bit out of it */
	bool ext_server, ext_client; /* EKU; neither: the extension is left out */
	const struct span *uris;     /* subjectAltName; none: the extension is left out */
	unsigned int uri_count;
	const char *dns; /* one more name of another kind, or NULL */
	/* authorityKeyIdentifier and subjectKeyIdentifier; empty: left out. Which of several issuers of one name it is,
	 * as in a root rotation, is told by the former alone (RFC 5280 4.2.1.1). */
	struct span issuer_key_id, key_id;
};

/* Append a TBSCertificate that will be signed with ecdsa-with-SHA256. Failure shows in buf_status. */
void x509_put_tbs(struct buf *b, const struct x509_spec *spec);
/* Append tbs and its signature as a certificate or certification request. */
void x509_put_signed(struct buf *b, struct span tbs, struct span signature);
/* Append a Name of one organisation and one common name; both NULL for an empty Name. */
void x509_put_name(struct buf *b, const char *organisation, const char *common_name);
/*
 * Append a CertificationRequestInfo with an empty subject that asks for exactly one critical subjectAltName with
 * one URI (contract 4.4). RFC 2986, version 0.
 */
void x509_put_request(struct buf *b, struct span spki, struct span uri);

/*
 * The key identifier of RFC 5280 4.2.1.2 (1): SHA-1 over the public key's bits. out: X509_KEY_ID_LEN octets.
 * Errs: ERR_PARSE when spki is none.
 */
MUST_CHECK enum err x509_key_id(struct span spki, uint8_t *out);

/* The INTEGER's value in decimal, with a NUL; cut at out_len. */
void x509_serial_decimal(struct span serial, char *out, size_t out_len);

#endif
