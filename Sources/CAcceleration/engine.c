// libipsec-mb behind a few functions. The header is included here only: it redefines names that OpenSSL uses.

#include "include/CAcceleration.h"
#include "provider.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__) && __has_include(<intel-ipsec-mb.h>)

#define NO_COMPAT_IMB_API_053
#include <dlfcn.h>
#include <intel-ipsec-mb.h>

typedef struct engine_functions {
    aes_gcm_pre_t pre;
    aes_gcm_init_var_iv_t init;
    aes_gcm_init_t init_12;
    aes_gcm_enc_dec_update_t encrypt, decrypt;
    aes_gcm_enc_dec_finalize_t encrypt_finish, decrypt_finish;
} engine_functions;

// Written once, by gcm_engine_load, before any context exists; read-only afterwards, so threads share no state.
static engine_functions functions_128, functions_256;
static const char *version;

struct gcm_engine {
    _Alignas(64) struct gcm_key_data key;  // the header aligns it only where LINUX is defined
    struct gcm_context_data context;
    const engine_functions *functions;
};

static const uint64_t NEEDED = IMB_FEATURE_AVX512_SKX | IMB_FEATURE_VAES | IMB_FEATURE_VPCLMULQDQ;

int gcm_engine_load(void) {
    void *library = dlopen("libIPSec_MB.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) return CACCEL_NO_LIBRARY;
    // The library stays loaded: its functions are in use until the process ends.
    unsigned (*get_version)(void) = (unsigned (*)(void))dlsym(library, "imb_get_version");
    const char *(*get_version_text)(void) = (const char *(*)(void))dlsym(library, "imb_get_version_str");
    IMB_MGR *(*make)(uint64_t) = (IMB_MGR * (*)(uint64_t)) dlsym(library, "alloc_mb_mgr");
    void (*unmake)(IMB_MGR *) = (void (*)(IMB_MGR *))dlsym(library, "free_mb_mgr");
    void (*prepare)(IMB_MGR *) = (void (*)(IMB_MGR *))dlsym(library, "init_mb_mgr_avx512");
    if (!get_version || !get_version_text || !make || !unmake || !prepare) return CACCEL_NO_LIBRARY;
    version = get_version_text();
    // Structures are laid out by the header: another minor version may have moved them.
    if (get_version() >> 8 != IMB_VERSION_NUM >> 8) return CACCEL_OTHER_VERSION;
    IMB_MGR *manager = make(0);
    if (manager == NULL) return CACCEL_NO_LIBRARY;
    if ((manager->features & NEEDED) != NEEDED) {
        unmake(manager);
        return CACCEL_NO_CPU;
    }
    prepare(manager);
    functions_128 = (engine_functions){
        manager->gcm128_pre,        manager->gcm128_init_var_iv, manager->gcm128_init,        manager->gcm128_enc_update,
        manager->gcm128_dec_update, manager->gcm128_enc_finalize, manager->gcm128_dec_finalize};
    functions_256 = (engine_functions){
        manager->gcm256_pre,        manager->gcm256_init_var_iv, manager->gcm256_init,        manager->gcm256_enc_update,
        manager->gcm256_dec_update, manager->gcm256_enc_finalize, manager->gcm256_dec_finalize};
    unmake(manager);
    const engine_functions *both[] = {&functions_128, &functions_256};
    for (int i = 0; i < 2; i++) {
        const engine_functions *f = both[i];
        if (!f->pre || !f->init || !f->init_12 || !f->encrypt || !f->decrypt || !f->encrypt_finish || !f->decrypt_finish)
            return CACCEL_NO_LIBRARY;
    }
    return CACCEL_LOADED;
}

const char *gcm_engine_version(void) { return version; }

struct gcm_engine *gcm_engine_new(size_t key_bytes) {
    void *room = NULL;
    if (posix_memalign(&room, _Alignof(struct gcm_engine), sizeof(struct gcm_engine)) != 0) return NULL;
    struct gcm_engine *engine = room;
    memset(engine, 0, sizeof *engine);
    engine->functions = key_bytes == 16 ? &functions_128 : &functions_256;
    return engine;
}

void gcm_engine_free(struct gcm_engine *engine) {
    if (engine == NULL) return;
    OPENSSL_cleanse(engine, sizeof *engine);
    free(engine);
}

struct gcm_engine *gcm_engine_copy(const struct gcm_engine *engine) {
    struct gcm_engine *copy = gcm_engine_new(engine->functions == &functions_128 ? 16 : 32);
    if (copy != NULL) memcpy(copy, engine, sizeof *copy);
    return copy;
}

void gcm_engine_set_key(struct gcm_engine *engine, const uint8_t *key) { engine->functions->pre(key, &engine->key); }

void gcm_engine_start(
    struct gcm_engine *engine, const uint8_t *iv, size_t iv_bytes, const uint8_t *aad, size_t aad_bytes) {
    static const uint8_t nothing[1];
    if (aad == NULL) aad = nothing;
    if (iv_bytes == GCM_DEFAULT_IV) {
        engine->functions->init_12(&engine->key, &engine->context, iv, aad, aad_bytes);
    } else {
        engine->functions->init(&engine->key, &engine->context, iv, iv_bytes, aad, aad_bytes);
    }
}

void gcm_engine_update(struct gcm_engine *engine, bool encrypt, uint8_t *out, const uint8_t *in, size_t count) {
    (encrypt ? engine->functions->encrypt : engine->functions->decrypt)(&engine->key, &engine->context, out, in, count);
}

void gcm_engine_finish(struct gcm_engine *engine, bool encrypt, uint8_t tag[GCM_TAG]) {
    (encrypt ? engine->functions->encrypt_finish : engine->functions->decrypt_finish)(
        &engine->key, &engine->context, tag, GCM_TAG);
}

#else

int gcm_engine_load(void) { return CACCEL_NOT_BUILT; }
const char *gcm_engine_version(void) { return NULL; }
struct gcm_engine *gcm_engine_new(size_t key_bytes) { (void)key_bytes; return NULL; }
void gcm_engine_free(struct gcm_engine *engine) { (void)engine; }
struct gcm_engine *gcm_engine_copy(const struct gcm_engine *engine) { (void)engine; return NULL; }
void gcm_engine_set_key(struct gcm_engine *engine, const uint8_t *key) { (void)engine; (void)key; }
void gcm_engine_start(
    struct gcm_engine *engine, const uint8_t *iv, size_t iv_bytes, const uint8_t *aad, size_t aad_bytes) {
    (void)engine; (void)iv; (void)iv_bytes; (void)aad; (void)aad_bytes;
}
void gcm_engine_update(struct gcm_engine *engine, bool encrypt, uint8_t *out, const uint8_t *in, size_t count) {
    (void)engine; (void)encrypt; (void)out; (void)in; (void)count;
}
void gcm_engine_finish(struct gcm_engine *engine, bool encrypt, uint8_t tag[GCM_TAG]) {
    (void)engine; (void)encrypt; (void)tag;
}

#endif
