/* SPDX-License-Identifier: Apache-2.0 */
#include "common/tls/tls_csr.h"

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/hash.h>

#include "common/tls/der_msg.h"
#include "common/tls/pem_msg.h"
#include "common/tls/spiffe_msg.h"
#include "common/tls/tls_key.h"
#include "common/tls/x509_msg.h"

static enum err sign_request(struct tls_key *k, const char *identity, struct buf *csr_pem)
{
	struct buf spki, request, signature, der;
	enum err e;

	buf_init(&spki, X509_DER_MAX);
	buf_init(&request, X509_DER_MAX);
	buf_init(&signature, X509_DER_MAX);
	buf_init(&der, X509_DER_MAX);
	e = tls_key_put_spki(k, &spki);
	if (e != ERR_OK)
		goto out;
	x509_put_request(&request, buf_span(&spki), span_str(identity));
	e = buf_status(&request);
	if (e == ERR_OK)
		e = tls_key_sign(k, buf_span(&request), &signature);
	if (e != ERR_OK)
		goto out;
	x509_put_signed(&der, buf_span(&request), buf_span(&signature));
	e = buf_status(&der);
	if (e != ERR_OK)
		goto out;
	pem_put(csr_pem, "CERTIFICATE REQUEST", buf_span(&der));
	e = buf_status(csr_pem);
out:
	buf_fini(&spki);
	buf_fini(&request);
	buf_fini(&signature);
	buf_fini(&der);
	return e;
}

enum err tls_csr_new(const char *identity, struct buf *key_pem, struct buf *csr_pem)
{
	struct spiffe_id id;
	struct tls_key *k;
	enum err e = spiffe_parse(span_str(identity), &id);

	if (e == ERR_OK)
		e = tls_key_new(&k);
	if (e != ERR_OK)
		return e;
	e = sign_request(k, identity, csr_pem);
	if (e == ERR_OK)
		e = tls_key_put_pem(k, key_pem);
	tls_key_free(k);
	return e;
}

static enum err check_signature(struct span spki, struct span text, struct span signature)
{
	uint8_t digest[WC_SHA256_DIGEST_SIZE];
	enum err e = ERR_TLS_BAD_SIGNATURE;
	word32 at = 0;
	ecc_key *key = wc_ecc_key_new(NULL);
	int good = 0;

	if (key == NULL)
		return ERR_MEMORY;
	if (wc_EccPublicKeyDecode(spki.p, &at, key, (word32)spki.n) == 0 && at == spki.n &&
	    wc_Sha256Hash(text.p, (word32)text.n, digest) == 0 &&
	    wc_ecc_verify_hash(signature.p, (word32)signature.n, digest, sizeof(digest), &good,
	                       key) == 0 &&
	    good == 1)
		e = ERR_OK;
	wc_ecc_key_free(key);
	return e;
}

/*
 * The only request we take is the one tls_csr_new makes: write that again from the key and the name found, and
 * compare octet by octet. So nothing in a request can mean anything else to anybody.
 */
static enum err check_form(struct span info, struct span spki, struct span uri)
{
	struct spiffe_id id;
	struct buf again;
	enum err e = spiffe_parse(uri, &id);

	if (e != ERR_OK)
		return e;
	buf_init(&again, X509_DER_MAX);
	x509_put_request(&again, spki, uri);
	e = buf_status(&again);
	if (e == ERR_OK && !span_eq(buf_span(&again), info))
		e = ERR_PARSE;
	buf_fini(&again);
	return e;
}

/* The identity is the tail of our fixed form: the contents of the last element. */
static struct span last_uri(struct rd *attributes)
{
	struct rd r = rd_of(der_get(attributes, DER_SEQUENCE)); /* Attribute */
	struct rd san;

	(void)der_get(&r, DER_OID);
	r = rd_of(der_get(&r, DER_SET));
	r = rd_of(der_get(&r, DER_SEQUENCE)); /* Extensions */
	r = rd_of(der_get(&r, DER_SEQUENCE)); /* Extension */
	(void)der_get(&r, DER_OID);
	(void)der_bool(&r);
	san = rd_of(der_get(&r, DER_OCTET_STRING));
	r = rd_of(der_get(&san, DER_SEQUENCE));
	return der_get(&r, DER_CONTEXT + 6);
}

enum err tls_csr_read(struct span csr_pem, struct buf *der, struct span *ret_spki,
                      struct span *ret_identity)
{
	struct span whole_info, spki, uri, signature;
	struct rd r, info, attributes;
	struct pem_block block;
	enum err e = pem_next(&csr_pem, &block);

	if (e != ERR_OK || !span_eq_str(block.label, "CERTIFICATE REQUEST"))
		return ERR_PARSE;
	e = pem_decode(&block, der);
	if (e != ERR_OK)
		return e;
	r = rd_of(buf_span(der));
	r = rd_of(der_get(&r, DER_SEQUENCE));
	whole_info = der_whole(&r, DER_SEQUENCE);
	(void)der_get(&r, DER_SEQUENCE);
	signature = der_get(&r, DER_BIT_STRING);
	info = rd_of(whole_info);
	info = rd_of(der_get(&info, DER_SEQUENCE));
	(void)der_get(&info, DER_INTEGER);
	(void)der_get(&info, DER_SEQUENCE);
	spki = der_whole(&info, DER_SEQUENCE);
	attributes = rd_of(der_get(&info, DER_CONTEXT_CONSTRUCTED + 0));
	uri = last_uri(&attributes);
	if (rd_failed(&r) || rd_failed(&info) || rd_failed(&attributes) || signature.n < 2)
		return ERR_PARSE;
	e = check_form(whole_info, spki, uri);
	if (e == ERR_OK)
		e = check_signature(spki, whole_info, span_of(signature.p + 1, signature.n - 1));
	if (e != ERR_OK)
		return e;
	*ret_spki = spki;
	*ret_identity = uri;
	return ERR_OK;
}
