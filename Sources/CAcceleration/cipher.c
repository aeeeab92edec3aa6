// AES-GCM as an OpenSSL 3 provider offers it (provider-cipher(7)), with the record interface of TLS 1.2.

#include "provider.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/proverr.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

// TLS 1.2 (RFC 5288): a nonce is 4 bytes of the key block and 8 that each record carries.
enum { TLS_FIXED_IV = 4, TLS_EXPLICIT_IV = 8, TLS_AAD = 13 };

typedef enum message_state {
    // No message, or one without data so far: additional data is collected.
    COLLECTING,
    // Data is going through.
    RUNNING,
    // The tag is known.
    FINISHED,
} message_state;

typedef struct gcm_context {
    struct gcm_engine *engine;
    size_t key_bytes;
    uint8_t iv[GCM_MAX_IV];
    size_t iv_bytes;
    uint8_t *aad;  // all of a message's additional data: the engine takes it at once
    size_t aad_bytes, aad_room;
    uint8_t tag[GCM_TAG];
    size_t tag_bytes;  // of the tag to compare with; 0: none was set
    uint8_t tls_aad[TLS_AAD];
    message_state state;
    bool encrypt, has_key, has_iv, has_tls_aad, makes_iv;
} gcm_context;

static int fail(int reason) {
    ERR_raise(ERR_LIB_PROV, reason);
    return 0;
}

// ---- Life ----------------------------------------------------------------------------------------------------------

static gcm_context *context_new(size_t key_bytes) {
    gcm_context *context = OPENSSL_zalloc(sizeof *context);
    if (context == NULL) return NULL;
    context->engine = gcm_engine_new(key_bytes);
    if (context->engine == NULL) {
        OPENSSL_free(context);
        return NULL;
    }
    context->key_bytes = key_bytes;
    context->iv_bytes = GCM_DEFAULT_IV;
    return context;
}

static void *context_new_128(void *provider) { (void)provider; return context_new(16); }
static void *context_new_256(void *provider) { (void)provider; return context_new(32); }

static void context_free(void *given) {
    gcm_context *context = given;
    if (context == NULL) return;
    gcm_engine_free(context->engine);
    OPENSSL_clear_free(context->aad, context->aad_room);
    OPENSSL_clear_free(context, sizeof *context);
}

static void *context_copy(void *given) {
    const gcm_context *context = given;
    gcm_context *copy = OPENSSL_memdup(context, sizeof *context);
    if (copy == NULL) return NULL;
    copy->aad = NULL;
    copy->aad_room = 0;
    copy->engine = gcm_engine_copy(context->engine);
    if (context->aad_bytes > 0) copy->aad = OPENSSL_memdup(context->aad, context->aad_bytes);
    if (copy->engine == NULL || (context->aad_bytes > 0 && copy->aad == NULL)) {
        context_free(copy);
        return NULL;
    }
    copy->aad_room = context->aad_bytes;
    return copy;
}

// ---- Settings ------------------------------------------------------------------------------------------------------

static const OSSL_PARAM *settable(void *context, void *provider) {
    (void)context;
    (void)provider;
    static const OSSL_PARAM known[] = {
        OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_AEAD_IVLEN, NULL),
        OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TLS1_AAD, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TLS1_SET_IV_INV, NULL, 0),
        OSSL_PARAM_END,
    };
    return known;
}

// The additional data of a TLS 1.2 record counts the plaintext; the caller knows only the record's length.
static int set_tls_aad(gcm_context *context, const uint8_t *aad, size_t count) {
    if (count != TLS_AAD) return fail(PROV_R_INVALID_DATA);
    memcpy(context->tls_aad, aad, TLS_AAD);
    size_t length = (size_t)aad[TLS_AAD - 2] << 8 | aad[TLS_AAD - 1];
    size_t overhead = TLS_EXPLICIT_IV + (context->encrypt ? 0 : GCM_TAG);
    if (length < overhead) return fail(PROV_R_INVALID_DATA);
    length -= overhead;
    context->tls_aad[TLS_AAD - 2] = (uint8_t)(length >> 8);
    context->tls_aad[TLS_AAD - 1] = (uint8_t)length;
    context->has_tls_aad = true;
    return 1;
}

// The fixed part of the nonces; the rest starts anywhere and counts up (RFC 5288, 3).
static int set_fixed_iv(gcm_context *context, const uint8_t *iv, size_t count) {
    if (count == (size_t)-1) {  // the whole of it, as a copied state has it
        memcpy(context->iv, iv, context->iv_bytes);
    } else {
        if (count < TLS_FIXED_IV || context->iv_bytes < count + TLS_EXPLICIT_IV) return fail(PROV_R_INVALID_IV_LENGTH);
        memcpy(context->iv, iv, count);
        if (context->encrypt && RAND_bytes(context->iv + count, (int)(context->iv_bytes - count)) <= 0) return 0;
    }
    context->makes_iv = true;
    context->has_iv = true;
    return 1;
}

static int set_received_iv(gcm_context *context, const uint8_t *explicit_part, size_t count) {
    if (!context->makes_iv || !context->has_key || context->encrypt) return 0;
    if (count > context->iv_bytes) return 0;
    memcpy(context->iv + context->iv_bytes - count, explicit_part, count);
    context->has_iv = true;
    context->state = COLLECTING;
    return 1;
}

// Gives the explicit part of the next nonce and counts up.
static int next_iv(gcm_context *context, uint8_t *explicit_part, size_t count) {
    if (!context->makes_iv || !context->has_key || !context->encrypt) return 0;
    if (count == 0 || count > context->iv_bytes) count = context->iv_bytes;
    memcpy(explicit_part, context->iv + context->iv_bytes - count, count);
    return 1;
}

static void count_iv(gcm_context *context) {
    for (size_t i = 0; i < TLS_EXPLICIT_IV; i++) {
        if (++context->iv[context->iv_bytes - 1 - i] != 0) break;
    }
}

static int set_parameters(void *given, const OSSL_PARAM parameters[]) {
    gcm_context *context = given;
    if (parameters == NULL) return 1;
    const OSSL_PARAM *p;
    if ((p = OSSL_PARAM_locate_const(parameters, OSSL_CIPHER_PARAM_AEAD_TAG)) != NULL) {
        if (p->data_type != OSSL_PARAM_OCTET_STRING || p->data == NULL) return fail(PROV_R_FAILED_TO_GET_PARAMETER);
        // A decipherer is told the tag to expect.
        if (context->encrypt || p->data_size == 0 || p->data_size > GCM_TAG) return fail(PROV_R_INVALID_TAG);
        memcpy(context->tag, p->data, p->data_size);
        context->tag_bytes = p->data_size;
    }
    if ((p = OSSL_PARAM_locate_const(parameters, OSSL_CIPHER_PARAM_AEAD_IVLEN)) != NULL) {
        size_t count;
        if (!OSSL_PARAM_get_size_t(p, &count)) return fail(PROV_R_FAILED_TO_GET_PARAMETER);
        if (count == 0 || count > GCM_MAX_IV) return fail(PROV_R_INVALID_IV_LENGTH);
        if (count != context->iv_bytes) context->has_iv = false;
        context->iv_bytes = count;
    }
    if ((p = OSSL_PARAM_locate_const(parameters, OSSL_CIPHER_PARAM_AEAD_TLS1_AAD)) != NULL) {
        if (p->data_type != OSSL_PARAM_OCTET_STRING) return fail(PROV_R_FAILED_TO_GET_PARAMETER);
        if (!set_tls_aad(context, p->data, p->data_size)) return 0;
    }
    if ((p = OSSL_PARAM_locate_const(parameters, OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED)) != NULL) {
        if (p->data_type != OSSL_PARAM_OCTET_STRING) return fail(PROV_R_FAILED_TO_GET_PARAMETER);
        if (!set_fixed_iv(context, p->data, p->data_size)) return 0;
    }
    if ((p = OSSL_PARAM_locate_const(parameters, OSSL_CIPHER_PARAM_AEAD_TLS1_SET_IV_INV)) != NULL) {
        if (p->data_type != OSSL_PARAM_OCTET_STRING || !set_received_iv(context, p->data, p->data_size))
            return fail(PROV_R_FAILED_TO_SET_PARAMETER);
    }
    if ((p = OSSL_PARAM_locate_const(parameters, OSSL_CIPHER_PARAM_KEYLEN)) != NULL) {
        size_t count;
        if (!OSSL_PARAM_get_size_t(p, &count)) return fail(PROV_R_FAILED_TO_GET_PARAMETER);
        if (count != context->key_bytes) return fail(PROV_R_INVALID_KEY_LENGTH);
    }
    return 1;
}

static const OSSL_PARAM *gettable(void *context, void *provider) {
    (void)context;
    (void)provider;
    static const OSSL_PARAM known[] = {
        OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_KEYLEN, NULL),
        OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_IVLEN, NULL),
        OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_AEAD_TAGLEN, NULL),
        OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_IV, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_UPDATED_IV, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, NULL, 0),
        OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_AEAD_TLS1_AAD_PAD, NULL),
        OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TLS1_GET_IV_GEN, NULL, 0),
        OSSL_PARAM_END,
    };
    return known;
}

static int get_iv(OSSL_PARAM *p, const gcm_context *context) {
    if (!context->has_iv) return fail(PROV_R_FAILED_TO_GET_PARAMETER);
    if (context->iv_bytes > p->data_size && p->data_type == OSSL_PARAM_OCTET_STRING) {
        return fail(PROV_R_INVALID_IV_LENGTH);
    }
    if (!OSSL_PARAM_set_octet_string(p, context->iv, context->iv_bytes) &&
        !OSSL_PARAM_set_octet_ptr(p, context->iv, context->iv_bytes))
        return fail(PROV_R_FAILED_TO_SET_PARAMETER);
    return 1;
}

static int get_parameters(void *given, OSSL_PARAM parameters[]) {
    gcm_context *context = given;
    OSSL_PARAM *p;
    const struct {
        const char *name;
        size_t value;
    } sizes[] = {
        {OSSL_CIPHER_PARAM_IVLEN, context->iv_bytes},
        {OSSL_CIPHER_PARAM_KEYLEN, context->key_bytes},
        {OSSL_CIPHER_PARAM_AEAD_TAGLEN, context->tag_bytes > 0 ? context->tag_bytes : GCM_TAG},
        {OSSL_CIPHER_PARAM_AEAD_TLS1_AAD_PAD, context->has_tls_aad ? GCM_TAG : 0},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        p = OSSL_PARAM_locate(parameters, sizes[i].name);
        if (p != NULL && !OSSL_PARAM_set_size_t(p, sizes[i].value)) return fail(PROV_R_FAILED_TO_SET_PARAMETER);
    }
    if ((p = OSSL_PARAM_locate(parameters, OSSL_CIPHER_PARAM_IV)) != NULL && !get_iv(p, context)) return 0;
    if ((p = OSSL_PARAM_locate(parameters, OSSL_CIPHER_PARAM_UPDATED_IV)) != NULL && !get_iv(p, context)) return 0;
    if ((p = OSSL_PARAM_locate(parameters, OSSL_CIPHER_PARAM_AEAD_TAG)) != NULL) {
        if (!context->encrypt || context->state != FINISHED || p->data_size == 0 || p->data_size > GCM_TAG)
            return fail(PROV_R_INVALID_TAG);
        if (!OSSL_PARAM_set_octet_string(p, context->tag, p->data_size)) return fail(PROV_R_FAILED_TO_SET_PARAMETER);
    }
    if ((p = OSSL_PARAM_locate(parameters, OSSL_CIPHER_PARAM_AEAD_TLS1_GET_IV_GEN)) != NULL) {
        if (p->data == NULL || p->data_type != OSSL_PARAM_OCTET_STRING ||
            !next_iv(context, p->data, p->data_size))
            return fail(PROV_R_FAILED_TO_GET_PARAMETER);
        count_iv(context);
    }
    return 1;
}

static const OSSL_PARAM *gettable_of_algorithm(void *provider) {
    (void)provider;
    static const OSSL_PARAM known[] = {
        OSSL_PARAM_uint(OSSL_CIPHER_PARAM_MODE, NULL),
        OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_KEYLEN, NULL),
        OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_IVLEN, NULL),
        OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_BLOCK_SIZE, NULL),
        OSSL_PARAM_int(OSSL_CIPHER_PARAM_AEAD, NULL),
        OSSL_PARAM_int(OSSL_CIPHER_PARAM_CUSTOM_IV, NULL),
        OSSL_PARAM_END,
    };
    return known;
}

static int describe(OSSL_PARAM parameters[], size_t key_bytes) {
    OSSL_PARAM *p;
    if ((p = OSSL_PARAM_locate(parameters, OSSL_CIPHER_PARAM_MODE)) != NULL &&
        !OSSL_PARAM_set_uint(p, EVP_CIPH_GCM_MODE))
        return 0;
    if ((p = OSSL_PARAM_locate(parameters, OSSL_CIPHER_PARAM_KEYLEN)) != NULL && !OSSL_PARAM_set_size_t(p, key_bytes))
        return 0;
    if ((p = OSSL_PARAM_locate(parameters, OSSL_CIPHER_PARAM_IVLEN)) != NULL &&
        !OSSL_PARAM_set_size_t(p, GCM_DEFAULT_IV))
        return 0;
    if ((p = OSSL_PARAM_locate(parameters, OSSL_CIPHER_PARAM_BLOCK_SIZE)) != NULL && !OSSL_PARAM_set_size_t(p, 1))
        return 0;
    if ((p = OSSL_PARAM_locate(parameters, OSSL_CIPHER_PARAM_AEAD)) != NULL && !OSSL_PARAM_set_int(p, 1)) return 0;
    if ((p = OSSL_PARAM_locate(parameters, OSSL_CIPHER_PARAM_CUSTOM_IV)) != NULL && !OSSL_PARAM_set_int(p, 1)) return 0;
    return 1;
}

static int describe_128(OSSL_PARAM parameters[]) { return describe(parameters, 16); }
static int describe_256(OSSL_PARAM parameters[]) { return describe(parameters, 32); }

// ---- Messages ------------------------------------------------------------------------------------------------------

static int initialise(
    gcm_context *context, bool encrypt, const uint8_t *key, size_t key_bytes, const uint8_t *iv, size_t iv_bytes,
    const OSSL_PARAM parameters[]) {
    context->encrypt = encrypt;
    context->aad_bytes = 0;
    context->has_tls_aad = false;
    context->state = COLLECTING;
    if (iv != NULL) {
        if (iv_bytes == 0 || iv_bytes > GCM_MAX_IV) return fail(PROV_R_INVALID_IV_LENGTH);
        memcpy(context->iv, iv, iv_bytes);
        context->iv_bytes = iv_bytes;
        context->has_iv = true;
        context->makes_iv = false;
    }
    if (key != NULL) {
        if (key_bytes != context->key_bytes) return fail(PROV_R_INVALID_KEY_LENGTH);
        gcm_engine_set_key(context->engine, key, key_bytes);
        context->has_key = true;
        context->tag_bytes = 0;
    }
    return set_parameters(context, parameters);
}

static int encrypt_initialise(
    void *context, const unsigned char *key, size_t key_bytes, const unsigned char *iv, size_t iv_bytes,
    const OSSL_PARAM parameters[]) {
    return initialise(context, true, key, key_bytes, iv, iv_bytes, parameters);
}

static int decrypt_initialise(
    void *context, const unsigned char *key, size_t key_bytes, const unsigned char *iv, size_t iv_bytes,
    const OSSL_PARAM parameters[]) {
    return initialise(context, false, key, key_bytes, iv, iv_bytes, parameters);
}

static int add_aad(gcm_context *context, const uint8_t *bytes, size_t count) {
    if (context->state != COLLECTING) return fail(PROV_R_CIPHER_OPERATION_FAILED);
    if (count > SIZE_MAX / 2 - context->aad_bytes) return fail(PROV_R_CIPHER_OPERATION_FAILED);
    if (context->aad_bytes + count > context->aad_room) {
        size_t room = context->aad_room < 32 ? 64 : 2 * context->aad_room;
        if (room < context->aad_bytes + count) room = context->aad_bytes + count;
        uint8_t *grown = OPENSSL_clear_realloc(context->aad, context->aad_room, room);
        if (grown == NULL) return 0;
        context->aad = grown;
        context->aad_room = room;
    }
    memcpy(context->aad + context->aad_bytes, bytes, count);
    context->aad_bytes += count;
    return 1;
}

static void start(gcm_context *context) {
    gcm_engine_start(context->engine, context->iv, context->iv_bytes, context->aad, context->aad_bytes);
    context->state = RUNNING;
}

// A whole record of TLS 1.2, in place: explicit nonce, content, tag.
static int tls_record(gcm_context *context, uint8_t *out, size_t *out_count, const uint8_t *in, size_t count) {
    int done = 0;
    uint8_t tag[GCM_TAG];
    if (!context->has_key || in != out || count < TLS_EXPLICIT_IV + GCM_TAG) goto end;
    if (context->encrypt) {
        if (!next_iv(context, out, TLS_EXPLICIT_IV)) goto end;
    } else if (!set_received_iv(context, in, TLS_EXPLICIT_IV)) {
        goto end;
    }
    uint8_t *content = out + TLS_EXPLICIT_IV;
    size_t content_bytes = count - TLS_EXPLICIT_IV - GCM_TAG;
    gcm_engine_start(context->engine, context->iv, context->iv_bytes, context->tls_aad, TLS_AAD);
    gcm_engine_update(context->engine, context->encrypt, content, content, content_bytes);
    gcm_engine_finish(context->engine, context->encrypt, tag);
    if (context->encrypt) {
        count_iv(context);
        memcpy(content + content_bytes, tag, GCM_TAG);
        *out_count = count;
    } else {
        if (CRYPTO_memcmp(tag, content + content_bytes, GCM_TAG) != 0) {
            OPENSSL_cleanse(content, content_bytes);
            goto end;
        }
        *out_count = content_bytes;
    }
    done = 1;
end:
    // One nonce, one record.
    context->has_tls_aad = false;
    context->has_iv = context->makes_iv;
    context->state = FINISHED;
    OPENSSL_cleanse(tag, sizeof tag);
    return done;
}

static int process(gcm_context *context, uint8_t *out, size_t *out_count, const uint8_t *in, size_t count) {
    *out_count = 0;
    if (context->has_tls_aad) return tls_record(context, out, out_count, in, count);
    if (!context->has_key) return fail(PROV_R_NO_KEY_SET);
    if (!context->has_iv || context->state == FINISHED) return fail(PROV_R_CIPHER_OPERATION_FAILED);
    if (in == NULL) return 1;
    if (out == NULL) {
        if (!add_aad(context, in, count)) return 0;
    } else {
        if (context->state == COLLECTING) start(context);
        if (count > 0) gcm_engine_update(context->engine, context->encrypt, out, in, count);
    }
    *out_count = count;
    return 1;
}

static int update(
    void *given, unsigned char *out, size_t *out_count, size_t out_room, const unsigned char *in, size_t count) {
    if (count == 0 && !((gcm_context *)given)->has_tls_aad) {
        *out_count = 0;
        return 1;
    }
    if (out != NULL && out_room < count) return fail(PROV_R_OUTPUT_BUFFER_TOO_SMALL);
    return process(given, out, out_count, in, count);
}

static int finish(void *given, unsigned char *out, size_t *out_count, size_t out_room) {
    (void)out;
    (void)out_room;
    gcm_context *context = given;
    *out_count = 0;
    if (!context->has_key || !context->has_iv || context->state == FINISHED) {
        return fail(PROV_R_CIPHER_OPERATION_FAILED);
    }
    if (!context->encrypt && context->tag_bytes == 0) return fail(PROV_R_TAG_NOT_SET);
    if (context->state == COLLECTING) start(context);
    uint8_t tag[GCM_TAG];
    gcm_engine_finish(context->engine, context->encrypt, tag);
    context->state = FINISHED;
    // The same nonce twice would give the key away: the next message needs a new one.
    context->has_iv = false;
    context->aad_bytes = 0;
    if (context->encrypt) {
        memcpy(context->tag, tag, GCM_TAG);
        return 1;
    }
    bool good = CRYPTO_memcmp(tag, context->tag, context->tag_bytes) == 0;
    OPENSSL_cleanse(tag, sizeof tag);
    return good ? 1 : 0;
}

// One call for what EVP_Cipher wants: like update; without input, the end.
static int one_call(
    void *given, unsigned char *out, size_t *out_count, size_t out_room, const unsigned char *in, size_t count) {
    if (in == NULL && !((gcm_context *)given)->has_tls_aad) return finish(given, out, out_count, out_room);
    if (out != NULL && out_room < count) return fail(PROV_R_OUTPUT_BUFFER_TOO_SMALL);
    return process(given, out, out_count, in, count);
}

// ---- Table ---------------------------------------------------------------------------------------------------------

typedef void (*entry)(void);

#define FUNCTIONS(bits)                                                                                                \
    static const OSSL_DISPATCH functions_##bits[] = {                                                                  \
        {OSSL_FUNC_CIPHER_NEWCTX, (entry)context_new_##bits},                                                          \
        {OSSL_FUNC_CIPHER_FREECTX, (entry)context_free},                                                               \
        {OSSL_FUNC_CIPHER_DUPCTX, (entry)context_copy},                                                                \
        {OSSL_FUNC_CIPHER_ENCRYPT_INIT, (entry)encrypt_initialise},                                                    \
        {OSSL_FUNC_CIPHER_DECRYPT_INIT, (entry)decrypt_initialise},                                                    \
        {OSSL_FUNC_CIPHER_UPDATE, (entry)update},                                                                      \
        {OSSL_FUNC_CIPHER_FINAL, (entry)finish},                                                                       \
        {OSSL_FUNC_CIPHER_CIPHER, (entry)one_call},                                                                    \
        {OSSL_FUNC_CIPHER_GET_PARAMS, (entry)describe_##bits},                                                         \
        {OSSL_FUNC_CIPHER_GET_CTX_PARAMS, (entry)get_parameters},                                                      \
        {OSSL_FUNC_CIPHER_SET_CTX_PARAMS, (entry)set_parameters},                                                      \
        {OSSL_FUNC_CIPHER_GETTABLE_PARAMS, (entry)gettable_of_algorithm},                                              \
        {OSSL_FUNC_CIPHER_GETTABLE_CTX_PARAMS, (entry)gettable},                                                       \
        {OSSL_FUNC_CIPHER_SETTABLE_CTX_PARAMS, (entry)settable},                                                       \
        {0, NULL},                                                                                                     \
    }

FUNCTIONS(128);
FUNCTIONS(256);

const OSSL_ALGORITHM gcm_algorithms[] = {
    {"AES-128-GCM:id-aes128-GCM:2.16.840.1.101.3.4.1.6", "provider=conduit-gcm", functions_128, "AES-128-GCM"},
    {"AES-256-GCM:id-aes256-GCM:2.16.840.1.101.3.4.1.46", "provider=conduit-gcm", functions_256, "AES-256-GCM"},
    {NULL, NULL, NULL, NULL},
};
