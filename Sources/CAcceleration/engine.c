// Which implementation the provider's contexts use, and their memory.

#include "engine.h"
#include "include/CAcceleration.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

struct gcm_engine {
    const gcm_backend *backend;
    uint8_t *state;  // in `room`, aligned
    uint8_t room[];
};

enum { ALIGNMENT = 64 };

// Written once, by gcm_engine_load, before any context exists; read-only afterwards, so threads share no state.
static const gcm_backend *backends[2];
static const char *name, *version;

int gcm_engine_load(void) {
    int status = ipsec_load();
    const gcm_backend *own = vaes_backend();
    if (status == CACCEL_LOADED) {
        backends[0] = ipsec_backend(16);
        backends[1] = ipsec_backend(32);
        name = "libipsec-mb";
        version = ipsec_version();
    } else if (own != NULL) {
        backends[0] = backends[1] = own;
        name = "built-in";
        version = "VAES, AVX2";
        status = CACCEL_LOADED;
    }
    return status;
}

const char *gcm_engine_name(void) { return name; }
const char *gcm_engine_version(void) { return version; }

// Aligned by hand: posix_memalign leaves a splinter of the heap behind with each call.
static struct gcm_engine *engine_new(const gcm_backend *backend) {
    struct gcm_engine *engine = calloc(1, sizeof *engine + backend->size + ALIGNMENT - 1);
    if (engine == NULL) return NULL;
    engine->backend = backend;
    engine->state = (uint8_t *)(((uintptr_t)engine->room + ALIGNMENT - 1) & ~(uintptr_t)(ALIGNMENT - 1));
    return engine;
}

struct gcm_engine *gcm_engine_new(size_t key_bytes) { return engine_new(backends[key_bytes == 16 ? 0 : 1]); }

void gcm_engine_free(struct gcm_engine *engine) {
    if (engine == NULL) return;
    OPENSSL_cleanse(engine->state, engine->backend->size);
    free(engine);
}

struct gcm_engine *gcm_engine_copy(const struct gcm_engine *engine) {
    struct gcm_engine *copy = engine_new(engine->backend);
    if (copy != NULL) memcpy(copy->state, engine->state, engine->backend->size);
    return copy;
}

void gcm_engine_set_key(struct gcm_engine *engine, const uint8_t *key, size_t key_bytes) {
    engine->backend->set_key(engine->state, key, key_bytes);
}

void gcm_engine_start(
    struct gcm_engine *engine, const uint8_t *iv, size_t iv_bytes, const uint8_t *aad, size_t aad_bytes) {
    engine->backend->start(engine->state, iv, iv_bytes, aad, aad_bytes);
}

void gcm_engine_update(struct gcm_engine *engine, bool encrypt, uint8_t *out, const uint8_t *in, size_t count) {
    engine->backend->update(engine->state, encrypt, out, in, count);
}

void gcm_engine_finish(struct gcm_engine *engine, bool encrypt, uint8_t tag[GCM_TAG]) {
    engine->backend->finish(engine->state, encrypt, tag);
}

bool caccel_built_in(
    bool encrypt, const uint8_t *key, size_t key_bytes, const uint8_t *iv, size_t iv_bytes, const uint8_t *aad,
    size_t aad_bytes, uint8_t *bytes, size_t count, size_t part, uint8_t tag[16]) {
    const gcm_backend *own = vaes_backend();
    struct gcm_engine *engine = own == NULL ? NULL : engine_new(own);
    if (engine == NULL) return false;
    gcm_engine_set_key(engine, key, key_bytes);
    gcm_engine_start(engine, iv, iv_bytes, aad, aad_bytes);
    for (size_t done = 0; done < count;) {
        const size_t next = count - done < part || part == 0 ? count - done : part;
        gcm_engine_update(engine, encrypt, bytes + done, bytes + done, next);
        done += next;
    }
    gcm_engine_finish(engine, encrypt, tag);
    gcm_engine_free(engine);
    return true;
}
