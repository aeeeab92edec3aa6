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
