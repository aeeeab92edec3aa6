#include "pki_shims.h"

#include <string.h>

EVP_PKEY *pki_generate_ec(const char *curve) { return EVP_PKEY_Q_keygen(NULL, NULL, "EC", curve); }
EVP_PKEY *pki_generate_rsa(unsigned bits) { return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)bits); }
EVP_PKEY *pki_generate_ed25519(void) { return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"); }

struct passphrase_request {
    const void *bytes;
    int length;
    int asked;
};

static int answer_passphrase(char *buffer, int size, int writing, void *context) {
    struct passphrase_request *request = context;
    (void)writing;
    request->asked = 1;
    if (request->bytes == NULL || request->length > size) return -1;
    memcpy(buffer, request->bytes, (size_t)request->length);
    return request->length;
}

EVP_PKEY *pki_read_traditional_key(const void *pem, int length, const void *passphrase, int passphrase_length, int *asked) {
    struct passphrase_request request = {passphrase, passphrase_length, 0};
    BIO *bio = BIO_new_mem_buf(pem, length);
    EVP_PKEY *key = NULL;
    if (bio != NULL) key = PEM_read_bio_PrivateKey(bio, NULL, answer_passphrase, &request);
    BIO_free(bio);
    *asked = request.asked;
    return key;
}

struct pki_legacy_context *pki_legacy_context_new(void) {
    struct pki_legacy_context *context = OPENSSL_zalloc(sizeof *context);
    if (context == NULL) return NULL;
    context->library = OSSL_LIB_CTX_new();
    if (context->library != NULL) {
        context->legacy = OSSL_PROVIDER_load(context->library, "legacy");
        context->standard = OSSL_PROVIDER_load(context->library, "default");
    }
    if (context->legacy != NULL && context->standard != NULL) return context;
    pki_legacy_context_free(context);
    return NULL;
}

void pki_legacy_context_free(struct pki_legacy_context *context) {
    if (context == NULL) return;
    // Freeing the library context alone leaks what its providers hold.
    if (context->legacy != NULL) OSSL_PROVIDER_unload(context->legacy);
    if (context->standard != NULL) OSSL_PROVIDER_unload(context->standard);
    OSSL_LIB_CTX_free(context->library);
    OPENSSL_free(context);
}

PKCS12 *pki_pkcs12_decode(const void *bytes, long length, const struct pki_legacy_context *context) {
    const unsigned char *cursor = bytes;
    PKCS12 *result = PKCS12_init_ex(NID_pkcs7_data, context ? context->library : NULL, NULL);
    if (result == NULL) return NULL;
    // On failure d2i frees what it was given.
    if (d2i_PKCS12(&result, &cursor, length) == NULL) return NULL;
    if (cursor != (const unsigned char *)bytes + length) {
        PKCS12_free(result);
        return NULL;
    }
    return result;
}

int pki_errors_say_unsupported(void) {
    unsigned long code;
    int found = 0;
    while ((code = ERR_get_error()) != 0) {
        int reason = ERR_GET_REASON(code);
        int library = ERR_GET_LIB(code);
        if (reason == ERR_R_UNSUPPORTED) found = 1;
        if (library == ERR_LIB_EVP && (reason == EVP_R_UNSUPPORTED_ALGORITHM || reason == EVP_R_UNKNOWN_PBE_ALGORITHM
            || reason == EVP_R_UNSUPPORTED_CIPHER || reason == EVP_R_UNKNOWN_CIPHER)) found = 1;
        if (library == ERR_LIB_PKCS12 && reason == PKCS12_R_UNKNOWN_DIGEST_ALGORITHM) found = 1;
    }
    return found;
}

// ECDSA-Sig-Value in DER (RFC 3279) from r || s; NULL when out of memory. To be freed with OPENSSL_free.
static unsigned char *ecdsa_der(const unsigned char *raw, size_t field, int *length) {
    unsigned char *der = NULL;
    ECDSA_SIG *pair = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, (int)field, NULL);
    BIGNUM *s = BN_bin2bn(raw + field, (int)field, NULL);
    *length = 0;
    if (pair == NULL || r == NULL || s == NULL || !ECDSA_SIG_set0(pair, r, s)) {
        BN_free(r);
        BN_free(s);
    } else {
        *length = i2d_ECDSA_SIG(pair, &der);
    }
    ECDSA_SIG_free(pair);
    return der;
}

static int prepare(EVP_PKEY_CTX *context, int kind) {
    if (kind != PKI_SIGNATURE_PSS) return 1;
    return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1;
}

int pki_verify(EVP_PKEY *key, int kind, const EVP_MD *digest, size_t field, const void *signature,
               size_t signature_length, const void *message, size_t length) {
    unsigned char *der = NULL;
    int der_length = 0;
    if (kind == PKI_SIGNATURE_ECDSA) {
        if (signature_length != 2 * field) return 0;
        der = ecdsa_der(signature, field, &der_length);
        if (der == NULL || der_length <= 0) return 0;
        signature = der;
        signature_length = (size_t)der_length;
    }
    EVP_PKEY_CTX *context = NULL;
    EVP_MD_CTX *state = EVP_MD_CTX_new();
    int good = state != NULL && EVP_DigestVerifyInit(state, &context, digest, NULL, key) == 1 &&
               prepare(context, kind) && EVP_DigestVerify(state, signature, signature_length, message, length) == 1;
    EVP_MD_CTX_free(state);
    OPENSSL_free(der);
    ERR_clear_error();
    return good;
}

int pki_sign(EVP_PKEY *key, int kind, const EVP_MD *digest, size_t field, void *signature, size_t *signature_length,
             const void *message, size_t length) {
    EVP_PKEY_CTX *context = NULL;
    EVP_MD_CTX *state = EVP_MD_CTX_new();
    unsigned char der[160]; // an ECDSA-Sig-Value of P-521 has at most 139 bytes
    size_t der_length = sizeof der;
    int isECDSA = kind == PKI_SIGNATURE_ECDSA;
    int good = state != NULL && EVP_DigestSignInit(state, &context, digest, NULL, key) == 1 && prepare(context, kind) &&
               EVP_DigestSign(state, isECDSA ? der : signature, isECDSA ? &der_length : signature_length, message,
                              length) == 1;
    EVP_MD_CTX_free(state);
    if (!good || !isECDSA) return good;
    const unsigned char *cursor = der;
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &cursor, (long)der_length);
    good = pair != NULL && *signature_length >= 2 * field &&
           BN_bn2binpad(ECDSA_SIG_get0_r(pair), signature, (int)field) == (int)field &&
           BN_bn2binpad(ECDSA_SIG_get0_s(pair), (unsigned char *)signature + field, (int)field) == (int)field;
    if (good) *signature_length = 2 * field;
    ECDSA_SIG_free(pair);
    return good;
}

int pki_public_key_is_sound(EVP_PKEY *key) {
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
    int good = context != NULL && EVP_PKEY_public_check(context) == 1;
    EVP_PKEY_CTX_free(context);
    ERR_clear_error();
    return good;
}

int pki_key_number(const EVP_PKEY *key, const char *name, unsigned char *bytes, int capacity) {
    BIGNUM *number = NULL;
    if (EVP_PKEY_get_bn_param(key, name, &number) != 1) return 0;
    int length = BN_num_bytes(number);
    length = length <= capacity ? BN_bn2bin(number, bytes) : 0;
    BN_free(number);
    return length;
}

static int copy_alternative_names(X509_REQ *request, X509 *target) {
    int index = X509_REQ_get_attr_by_NID(request, NID_ext_req, -1);
    if (index < 0) index = X509_REQ_get_attr_by_NID(request, NID_ms_ext_req, -1);
    if (index < 0) return 1;
    STACK_OF(X509_EXTENSION) *extensions = X509_REQ_get_extensions(request);
    if (extensions == NULL) return 0;
    int good = 1;
    for (int i = 0; good && i < sk_X509_EXTENSION_num(extensions); i++) {
        X509_EXTENSION *extension = sk_X509_EXTENSION_value(extensions, i);
        if (OBJ_obj2nid(X509_EXTENSION_get_object(extension)) != NID_subject_alt_name) continue;
        good = X509_add_ext(target, extension, -1);
    }
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    return good;
}

X509 *pki_request_names(X509_REQ *request) {
    X509 *names = X509_new();
    if (names == NULL) return NULL;
    if (X509_set_version(names, X509_VERSION_3) && X509_set_subject_name(names, X509_REQ_get_subject_name(request)) &&
        copy_alternative_names(request, names)) return names;
    X509_free(names);
    return NULL;
}

int pki_crl_odd_entry(X509_CRL *crl) {
    STACK_OF(X509_REVOKED) *entries = X509_CRL_get_REVOKED(crl);
    for (int i = 0; i < (entries == NULL ? 0 : sk_X509_REVOKED_num(entries)); i++) {
        X509_REVOKED *entry = sk_X509_REVOKED_value(entries, i);
        for (int j = 0; j < X509_REVOKED_get_ext_count(entry); j++) {
            X509_EXTENSION *extension = X509_REVOKED_get_ext(entry, j);
            if (OBJ_obj2nid(X509_EXTENSION_get_object(extension)) == NID_certificate_issuer)
                return PKI_CRL_ENTRY_OF_OTHER_ISSUER;
            if (X509_EXTENSION_get_critical(extension)) return PKI_CRL_ENTRY_NOT_UNDERSTOOD;
        }
    }
    return PKI_CRL_ENTRIES_PLAIN;
}

// Whether the CRL that is looked at comes from a clock that is ahead by no more than is tolerated.
static int is_of_fast_clock(X509_STORE_CTX *context) {
    X509_CRL *crl = X509_STORE_CTX_get0_current_crl(context);
    const int64_t *skew = X509_STORE_CTX_get_app_data(context);
    if (crl == NULL || skew == NULL) return 0;
    time_t latest = X509_VERIFY_PARAM_get_time(X509_STORE_CTX_get0_param(context)) + (time_t)*skew;
    // -1: at that time or before.
    return X509_cmp_time(X509_CRL_get0_lastUpdate(crl), &latest) < 0;
}

static int tolerate_fast_clocks(int good, X509_STORE_CTX *context) {
    if (good) return 1;
    if (X509_STORE_CTX_get_error(context) != X509_V_ERR_CRL_NOT_YET_VALID || !is_of_fast_clock(context)) return 0;
    X509_STORE_CTX_set_error(context, X509_V_OK);
    return 1;
}

static int tolerate_absent_crls(int good, X509_STORE_CTX *context) {
    if (good) return 1;
    switch (X509_STORE_CTX_get_error(context)) {
    case X509_V_ERR_UNABLE_TO_GET_CRL:
    case X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER:
    case X509_V_ERR_CRL_HAS_EXPIRED:
    case X509_V_ERR_CRL_NOT_YET_VALID:
        X509_STORE_CTX_set_error(context, X509_V_OK);
        return 1;
    default:
        return 0;
    }
}

void pki_tolerate_crls(X509_STORE_CTX *context, const int64_t *skew, int absent) {
    X509_STORE_CTX_set_app_data(context, (void *)skew);
    X509_STORE_CTX_set_verify_cb(context, absent ? tolerate_absent_crls : tolerate_fast_clocks);
}
