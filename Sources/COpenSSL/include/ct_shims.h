#ifndef CT_SHIMS_H
#define CT_SHIMS_H
// Certificate Transparency (RFC 6962), as far as it is macros in OpenSSL 3.0 or needs more than one call.
#include <openssl/ct.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

// Stacks of SCTs. `pki_scts_free` frees the SCTs as well.
static inline int pki_scts_count(const STACK_OF(SCT) *stack) { return stack == NULL ? 0 : sk_SCT_num(stack); }
static inline SCT *pki_scts_at(const STACK_OF(SCT) *stack, int index) { return sk_SCT_value(stack, index); }
static inline void pki_scts_free(STACK_OF(SCT) *stack) { SCT_LIST_free(stack); }

// The SCTs embedded in a certificate (section 3.3); NULL without, or when the list cannot be decoded.
static inline STACK_OF(SCT) *pki_embedded_scts(const X509 *certificate) {
    return (STACK_OF(SCT) *)X509_get_ext_d2i(certificate, NID_ct_precert_scts, NULL, NULL);
}

// The logs of a configuration in OpenSSL's form (`enabled_logs`, a section with `description` and `key` for each), of
// which there is no other way into a store; NULL when one cannot be read. To be freed with CTLOG_STORE_free.
CTLOG_STORE *pki_log_store_new(const void *configuration, size_t length);

// Verifies an SCT about `leaf` at `now`, in milliseconds since 1970: SCT_VALIDATION_STATUS_…, or a negative number when
// OpenSSL failed. `issuer` is needed for embedded ones only, which are about the precertificate (section 3.2).
int pki_sct_status(SCT *sct, X509 *leaf, X509 *issuer, CTLOG_STORE *logs, uint64_t now);

// Lets a client ask its server for SCTs (section 3.3.1); what comes is read with SSL_get0_peer_scts. OpenSSL asks only
// where it is given a callback. 1 when done.
int ctls_ask_for_scts(SSL *ssl);
#endif
