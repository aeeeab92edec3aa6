#ifndef PKI_SHIMS_H
#define PKI_SHIMS_H
// What PKI needs of OpenSSL 3.0 and Swift cannot call by itself: type-safe stacks (macros), composite flags (macros),
// the passphrase callback. Ownership is as in the OpenSSL function of the same purpose.
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <openssl/x509_vfy.h>

// Stacks of certificates. `pki_certificates_free` frees the stack and drops one reference of each element.
static inline STACK_OF(X509) *pki_certificates_new(void) { return sk_X509_new_null(); }
static inline int pki_certificates_count(const STACK_OF(X509) *stack) { return stack ? sk_X509_num(stack) : 0; }
static inline X509 *pki_certificates_at(const STACK_OF(X509) *stack, int index) { return sk_X509_value(stack, index); }
static inline void pki_certificates_free(STACK_OF(X509) *stack) { sk_X509_pop_free(stack, X509_free); }
// Appends with a new reference; 1 when done, 0 when out of memory.
static inline int pki_certificates_append(STACK_OF(X509) *stack, X509 *certificate) {
    if (!X509_up_ref(certificate)) return 0;
    if (sk_X509_push(stack, certificate) > 0) return 1;
    X509_free(certificate);
    return 0;
}

// Stacks of CRLs, in the same way.
static inline STACK_OF(X509_CRL) *pki_crls_new(void) { return sk_X509_CRL_new_null(); }
static inline void pki_crls_free(STACK_OF(X509_CRL) *stack) { sk_X509_CRL_pop_free(stack, X509_CRL_free); }
static inline int pki_crls_append(STACK_OF(X509_CRL) *stack, X509_CRL *crl) {
    if (!X509_CRL_up_ref(crl)) return 0;
    if (sk_X509_CRL_push(stack, crl) > 0) return 1;
    X509_CRL_free(crl);
    return 0;
}
// How many certificates a CRL withdraws.
static inline int pki_crl_count(X509_CRL *crl) {
    STACK_OF(X509_REVOKED) *revoked = X509_CRL_get_REVOKED(crl);
    return revoked == NULL ? 0 : sk_X509_REVOKED_num(revoked);
}
// What a complete CRL that is understood has no entry of (RFC 5280, section 5.3).
enum {
    PKI_CRL_ENTRIES_PLAIN = 0,
    // An entry names its issuer: the list is an indirect one.
    PKI_CRL_ENTRY_OF_OTHER_ISSUER = 1,
    // An entry has a critical extension.
    PKI_CRL_ENTRY_NOT_UNDERSTOOD = 2,
};
// Whether there is such an entry; the first one counts.
int pki_crl_odd_entry(X509_CRL *crl);
// Lets a verification go on under a CRL that was made up to `skew` seconds after the time of the check: by a clock that is ahead.
// With `absent` also where there is no CRL of an issuer, or none that is up to date. `skew` has to live as long as the context.
void pki_tolerate_crls(X509_STORE_CTX *context, const int64_t *skew, int absent);

// Alternative names (GENERAL_NAMES) and extended key usages.
static inline int pki_names_count(const GENERAL_NAMES *names) { return sk_GENERAL_NAME_num(names); }
static inline void pki_names_free(GENERAL_NAMES *names) { GENERAL_NAMES_free(names); }
// The bytes of name `index` when it is an email, DNS, URI or IP name; NULL for the other kinds. `type` is GEN_…
static inline const unsigned char *pki_names_at(const GENERAL_NAMES *names, int index, int *type, int *length) {
    const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, index);
    void *value = GENERAL_NAME_get0_value(name, type);
    switch (*type) {
    case GEN_EMAIL:
    case GEN_DNS:
    case GEN_URI:
    case GEN_IPADD:
        *length = ASN1_STRING_length((const ASN1_STRING *)value);
        return ASN1_STRING_get0_data((const ASN1_STRING *)value);
    default:
        *length = 0;
        return NULL;
    }
}
// Name constraints (RFC 5280, section 4.2.1.10): the subtrees that are permitted, or with `excluded` the others.
static inline const STACK_OF(GENERAL_SUBTREE) *pki_constraints_list(const NAME_CONSTRAINTS *constraints, int excluded) {
    return excluded ? constraints->excludedSubtrees : constraints->permittedSubtrees;
}
static inline int pki_constraints_count(const NAME_CONSTRAINTS *constraints, int excluded) {
    const STACK_OF(GENERAL_SUBTREE) *list = pki_constraints_list(constraints, excluded);
    return list ? sk_GENERAL_SUBTREE_num(list) : 0;
}
// The bytes of subtree `index` when it is one of DNS names; NULL for the other kinds.
static inline const unsigned char *pki_constraints_dns(const NAME_CONSTRAINTS *constraints, int excluded, int index,
                                                       int *length) {
    const GENERAL_SUBTREE *subtree = sk_GENERAL_SUBTREE_value(pki_constraints_list(constraints, excluded), index);
    if (subtree->base->type != GEN_DNS) return NULL;
    *length = ASN1_STRING_length(subtree->base->d.dNSName);
    return ASN1_STRING_get0_data(subtree->base->d.dNSName);
}
static inline void pki_constraints_free(NAME_CONSTRAINTS *constraints) { NAME_CONSTRAINTS_free(constraints); }
static inline int pki_usages_count(const EXTENDED_KEY_USAGE *usages) { return sk_ASN1_OBJECT_num(usages); }
static inline const ASN1_OBJECT *pki_usages_at(const EXTENDED_KEY_USAGE *usages, int index) {
    return sk_ASN1_OBJECT_value(usages, index);
}
static inline void pki_usages_free(EXTENDED_KEY_USAGE *usages) { EXTENDED_KEY_USAGE_free(usages); }

// Writes a name as one line (RFC 2253 order and escapes, UTF-8 left readable).
static inline int pki_name_print(BIO *bio, const X509_NAME *name) {
    return X509_NAME_print_ex(bio, name, 0, XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB & ~XN_FLAG_SPC_EQ);
}

static inline const char *pki_bio_contents(BIO *bio, long *length) {
    char *data = NULL;
    *length = BIO_get_mem_data(bio, &data);
    return data;
}

// Signature digest of a certificate as NID; NID_undef where the algorithm has none of its own (Ed25519).
static inline int pki_signature_digest(X509 *certificate) {
    int digest = NID_undef;
    if (!X509_get_signature_info(certificate, &digest, NULL, NULL, NULL)) return NID_undef;
    return digest;
}

// EC and RSA key generation (EVP_PKEY_Q_keygen is variadic).
EVP_PKEY *pki_generate_ec(const char *curve);
EVP_PKEY *pki_generate_rsa(unsigned bits);
EVP_PKEY *pki_generate_ed25519(void);

// Reads a private key in one of the traditional PEM forms ("RSA PRIVATE KEY", "EC PRIVATE KEY"), possibly encrypted.
// `passphrase` may be NULL. `asked` becomes 1 when the key turned out to be encrypted.
EVP_PKEY *pki_read_traditional_key(const void *pem, int length, const void *passphrase, int passphrase_length, int *asked);

// A library context of its own that has the legacy provider, so that old files can be read without making old ciphers
// available to the rest of the process. NULL where the provider is missing.
struct pki_legacy_context {
    OSSL_LIB_CTX *library;
    OSSL_PROVIDER *legacy;
    OSSL_PROVIDER *standard;
};
struct pki_legacy_context *pki_legacy_context_new(void);
void pki_legacy_context_free(struct pki_legacy_context *context);
// Decodes PKCS#12; `context` NULL means the default library context. Refuses trailing bytes.
PKCS12 *pki_pkcs12_decode(const void *bytes, long length, const struct pki_legacy_context *context);
// Signatures over messages as JOSE has them (RFC 7518, section 3). `kind` is PKI_SIGNATURE_…; `digest` is NULL for Ed25519.
// ECDSA signatures are r and s, each of `field` bytes, one after the other (section 3.4); PSS salts are as long as the
// digest (section 3.5).
enum { PKI_SIGNATURE_PKCS1, PKI_SIGNATURE_PSS, PKI_SIGNATURE_ECDSA, PKI_SIGNATURE_ED25519 };
// 1 when the signature is the key's, otherwise 0.
int pki_verify(EVP_PKEY *key, int kind, const EVP_MD *digest, size_t field, const void *signature,
               size_t signature_length, const void *message, size_t length);
// Signs into `signature`, which has room for `*signature_length` bytes; 1 when done, otherwise 0.
int pki_sign(EVP_PKEY *key, int kind, const EVP_MD *digest, size_t field, void *signature, size_t *signature_length,
             const void *message, size_t length);
// 1 when a public key of RSA or EC is one by SP 800-56B or 56A: no prime or even modulus, a point of the right order.
int pki_public_key_is_sound(EVP_PKEY *key);
// A number of a key by its OSSL_PKEY_PARAM name, big-endian; its length, or 0 when there is none or no room.
int pki_key_number(const EVP_PKEY *key, const char *name, unsigned char *bytes, int capacity);

// A certificate without key, serial and signature that has the subject and the SubjectAltName which a CSR asks for, so that
// names are read by the same code. NULL when out of memory, or when the CSR asks for extensions that cannot be decoded.
X509 *pki_request_names(X509_REQ *request);

// 1 when the error queue holds "unsupported algorithm", which here means a cipher of the legacy provider.
int pki_errors_say_unsupported(void);
#endif
