// The provider itself: what it is called, what it has, and how it gets into OpenSSL's default library context.

#include "provider.h"
#include "include/CAcceleration.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <pthread.h>
#include <string.h>

static const char NAME[] = "conduit-gcm";

static const OSSL_PARAM *provider_gettable(void *context) {
    (void)context;
    static const OSSL_PARAM known[] = {
        OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_NAME, NULL, 0),
        OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_VERSION, NULL, 0),
        OSSL_PARAM_int(OSSL_PROV_PARAM_STATUS, NULL),
        OSSL_PARAM_END,
    };
    return known;
}

static int provider_get(void *context, OSSL_PARAM parameters[]) {
    (void)context;
    OSSL_PARAM *p;
    if ((p = OSSL_PARAM_locate(parameters, OSSL_PROV_PARAM_NAME)) != NULL &&
        !OSSL_PARAM_set_utf8_ptr(p, "Conduit Mesh AES-GCM (libipsec-mb)"))
        return 0;
    if ((p = OSSL_PARAM_locate(parameters, OSSL_PROV_PARAM_VERSION)) != NULL &&
        !OSSL_PARAM_set_utf8_ptr(p, gcm_engine_version()))
        return 0;
    if ((p = OSSL_PARAM_locate(parameters, OSSL_PROV_PARAM_STATUS)) != NULL && !OSSL_PARAM_set_int(p, 1)) return 0;
    return 1;
}

static const OSSL_ALGORITHM *provider_query(void *context, int operation, int *no_store) {
    (void)context;
    *no_store = 0;
    return operation == OSSL_OP_CIPHER ? gcm_algorithms : NULL;
}

static void provider_teardown(void *context) { (void)context; }

static int provider_start(
    const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out, void **context) {
    (void)in;
    static const OSSL_DISPATCH functions[] = {
        {OSSL_FUNC_PROVIDER_TEARDOWN, (void (*)(void))provider_teardown},
        {OSSL_FUNC_PROVIDER_GETTABLE_PARAMS, (void (*)(void))provider_gettable},
        {OSSL_FUNC_PROVIDER_GET_PARAMS, (void (*)(void))provider_get},
        {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))provider_query},
        {0, NULL},
    };
    *out = functions;
    *context = (void *)handle;  // must not be NULL; nothing is kept
    return 1;
}

// One message for each key length, sealed as OpenSSL seals it and opened again: code that computes something else must never
// seal a byte. Its length takes each way through our own code: several steps, whole blocks, a part of one.
static bool known_answers(void) {
    static const char *const names[] = {"AES-128-GCM", "AES-256-GCM"};
    bool good = true;
    for (size_t i = 0; good && i < sizeof names / sizeof *names; i++) {
        uint8_t key[GCM_MAX_KEY], iv[GCM_DEFAULT_IV], aad[20], text[825], sealed[2][825], opened[825], tags[2][GCM_TAG];
        for (size_t k = 0; k < sizeof key; k++) key[k] = (uint8_t)(3 * k + 1);
        for (size_t k = 0; k < sizeof iv; k++) iv[k] = (uint8_t)(5 * k + 2);
        for (size_t k = 0; k < sizeof aad; k++) aad[k] = (uint8_t)(7 * k + 3);
        for (size_t k = 0; k < sizeof text; k++) text[k] = (uint8_t)(11 * k + 4);
        static const char *const queries[] = {"provider=default", "provider=conduit-gcm"};
        for (int which = 0; which < 2; which++) {
            int count = 0;
            EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, names[i], queries[which]);
            EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
            good = good && cipher != NULL && context != NULL &&
                   EVP_EncryptInit_ex2(context, cipher, key, iv, NULL) == 1 &&
                   EVP_EncryptUpdate(context, NULL, &count, aad, sizeof aad) == 1 &&
                   EVP_EncryptUpdate(context, sealed[which], &count, text, sizeof text) == 1 &&
                   EVP_EncryptFinal_ex(context, sealed[which] + sizeof text, &count) == 1 &&
                   EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, GCM_TAG, tags[which]) == 1;
            if (which == 1) {
                good = good && EVP_DecryptInit_ex2(context, cipher, key, iv, NULL) == 1 &&
                       EVP_DecryptUpdate(context, NULL, &count, aad, sizeof aad) == 1 &&
                       EVP_DecryptUpdate(context, opened, &count, sealed[1], sizeof text) == 1 &&
                       EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, GCM_TAG, tags[1]) == 1 &&
                       EVP_DecryptFinal_ex(context, opened + sizeof text, &count) == 1 &&
                       memcmp(opened, text, sizeof text) == 0;
            }
            EVP_CIPHER_CTX_free(context);
            EVP_CIPHER_free(cipher);
        }
        good = good && memcmp(sealed[0], sealed[1], sizeof text) == 0 && memcmp(tags[0], tags[1], GCM_TAG) == 0;
    }
    return good;
}

static caccel_status status;
// Loaded for the life of the process; contexts hold no reference of their own.
static OSSL_PROVIDER *loaded;

static void load_once(void) {
    status = (caccel_status)gcm_engine_load();
    if (status != CACCEL_LOADED) return;
    // The default provider first: whoever fetches AES-GCM without a query keeps getting OpenSSL's own.
    if (OSSL_PROVIDER_try_load(NULL, "default", 1) == NULL || OSSL_PROVIDER_add_builtin(NULL, NAME, provider_start) != 1) {
        ERR_clear_error();
        status = CACCEL_REFUSED;
        return;
    }
    loaded = OSSL_PROVIDER_try_load(NULL, NAME, 1);
    if (loaded == NULL) {
        status = CACCEL_REFUSED;
    } else if (!known_answers()) {
        OSSL_PROVIDER_unload(loaded);
        loaded = NULL;
        status = CACCEL_SELF_TEST_FAILED;
    }
    ERR_clear_error();
}

caccel_status caccel_load(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load_once);
    return status;
}

const char *caccel_name(void) { return gcm_engine_name(); }
const char *caccel_version(void) { return gcm_engine_version(); }
