// libipsec-mb behind a few functions. The header is included here only: it redefines names that OpenSSL uses.

#include "include/CAcceleration.h"
#include "engine.h"

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

typedef struct ipsec_state {
    _Alignas(64) struct gcm_key_data key;  // the header aligns it only where LINUX is defined
    struct gcm_context_data context;
    const engine_functions *functions;
} ipsec_state;

static const uint64_t NEEDED = IMB_FEATURE_AVX512_SKX | IMB_FEATURE_VAES | IMB_FEATURE_VPCLMULQDQ;

int ipsec_load(void) {
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

const char *ipsec_version(void) { return version; }

static void set_key_128(void *given, const uint8_t *key, size_t key_bytes) {
    (void)key_bytes;
    ipsec_state *state = given;
    state->functions = &functions_128;
    functions_128.pre(key, &state->key);
}

static void set_key_256(void *given, const uint8_t *key, size_t key_bytes) {
    (void)key_bytes;
    ipsec_state *state = given;
    state->functions = &functions_256;
    functions_256.pre(key, &state->key);
}

static void start(void *given, const uint8_t *iv, size_t iv_bytes, const uint8_t *aad, size_t aad_bytes) {
    static const uint8_t nothing[1];
    ipsec_state *state = given;
    if (aad == NULL) aad = nothing;
    if (iv_bytes == GCM_DEFAULT_IV) {
        state->functions->init_12(&state->key, &state->context, iv, aad, aad_bytes);
    } else {
        state->functions->init(&state->key, &state->context, iv, iv_bytes, aad, aad_bytes);
    }
}

static void update(void *given, bool encrypt, uint8_t *out, const uint8_t *in, size_t count) {
    ipsec_state *state = given;
    (encrypt ? state->functions->encrypt : state->functions->decrypt)(&state->key, &state->context, out, in, count);
}

static void finish(void *given, bool encrypt, uint8_t tag[GCM_TAG]) {
    ipsec_state *state = given;
    (encrypt ? state->functions->encrypt_finish : state->functions->decrypt_finish)(
        &state->key, &state->context, tag, GCM_TAG);
}

const gcm_backend *ipsec_backend(size_t key_bytes) {
    static const gcm_backend backend_128 = {sizeof(ipsec_state), set_key_128, start, update, finish};
    static const gcm_backend backend_256 = {sizeof(ipsec_state), set_key_256, start, update, finish};
    return key_bytes == 16 ? &backend_128 : &backend_256;
}

#else

int ipsec_load(void) { return CACCEL_NOT_BUILT; }
const char *ipsec_version(void) { return NULL; }
const gcm_backend *ipsec_backend(size_t key_bytes) {
    (void)key_bytes;
    return NULL;
}

#endif
