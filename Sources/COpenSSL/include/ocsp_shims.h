#ifndef OCSP_SHIMS_H
#define OCSP_SHIMS_H
// OCSP (RFC 6960) and the extensions that say where the state of a certificate is found, as far as they are macros in
// OpenSSL 3.0.
#include "pki_shims.h"

#include <openssl/ocsp.h>

// ---- Extensions of certificates ------------------------------------------------------------------------------------

// Whether the TLS feature extension (RFC 7633) demands a stapled OCSP response: it lists status_request, whose number is
// that of the TLS extension.
static inline int pki_demands_staple(const X509 *certificate) {
    TLS_FEATURE *features = (TLS_FEATURE *)X509_get_ext_d2i(certificate, NID_tlsfeature, NULL, NULL);
    int found = 0;
    for (int i = 0; i < sk_ASN1_INTEGER_num(features); i++) {
        if (ASN1_INTEGER_get(sk_ASN1_INTEGER_value(features, i)) == 5) found = 1; // ExtensionType status_request
    }
    TLS_FEATURE_free(features);
    return found;
}

// The OCSP responders that a certificate names (authority information access); NULL without one.
static inline STACK_OF(OPENSSL_STRING) *pki_responders(X509 *certificate) { return X509_get1_ocsp(certificate); }
static inline int pki_strings_count(const STACK_OF(OPENSSL_STRING) *strings) {
    return strings == NULL ? 0 : sk_OPENSSL_STRING_num(strings);
}
static inline const char *pki_strings_at(const STACK_OF(OPENSSL_STRING) *strings, int index) {
    return sk_OPENSSL_STRING_value(strings, index);
}
static inline void pki_strings_free(STACK_OF(OPENSSL_STRING) *strings) { X509_email_free(strings); }

// ---- Responses -----------------------------------------------------------------------------------------------------

// Whether a single response is about a certificate, whatever digest its identifier has been made with.
static inline int pki_ocsp_concerns(OCSP_SINGLERESP *single, const X509 *subject, const X509 *issuer) {
    const OCSP_CERTID *named = OCSP_SINGLERESP_get0_id(single);
    ASN1_OBJECT *algorithm = NULL;
    // The const is missing in OpenSSL's declaration only.
    if (!OCSP_id_get0_info(NULL, &algorithm, NULL, NULL, (OCSP_CERTID *)named)) return 0;
    const EVP_MD *digest = EVP_get_digestbyobj(algorithm);
    if (digest == NULL || EVP_MD_is_a(digest, "MD5")) return 0;
    OCSP_CERTID *own = OCSP_cert_to_id(digest, subject, issuer);
    int same = own != NULL && OCSP_id_cmp(own, named) == 0;
    OCSP_CERTID_free(own);
    return same;
}

// The digest of a response's signature as NID; NID_undef where the algorithm has none of its own.
static inline int pki_ocsp_digest(const OCSP_BASICRESP *basic) {
    const X509_ALGOR *algorithm = OCSP_resp_get0_tbs_sigalg(basic);
    const ASN1_OBJECT *object = NULL;
    int digest = NID_undef;
    X509_ALGOR_get0(&object, NULL, NULL, algorithm);
    if (!OBJ_find_sigid_algs(OBJ_obj2nid(object), &digest, NULL)) return NID_undef;
    return digest;
}

// Whether a response has an extension that must not be passed over; none is known here.
static inline int pki_ocsp_has_critical(OCSP_BASICRESP *basic, OCSP_SINGLERESP *single) {
    return OCSP_BASICRESP_get_ext_by_critical(basic, 1, -1) >= 0 ||
           OCSP_SINGLERESP_get_ext_by_critical(single, 1, -1) >= 0;
}
#endif
