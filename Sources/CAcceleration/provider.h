#pragma once

#include <openssl/core_dispatch.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Shared by the files of this target only.

/// Bytes of a tag; GCM allows shorter ones, TLS does not use them.
enum { GCM_TAG = 16, GCM_BLOCK = 16, GCM_DEFAULT_IV = 12, GCM_MAX_IV = 128, GCM_MAX_KEY = 32 };

/// One operation's state: key schedule and running hash. Opaque outside of engine.c.
struct gcm_engine;

/// Chooses the implementation for this machine: libipsec-mb, else our own. To be called once, before everything else.
int gcm_engine_load(void);
/// Its name and version; NULL before a good load.
const char *gcm_engine_name(void);
const char *gcm_engine_version(void);

/// Memory for one cipher context; NULL when there is none. Cleared and freed with `gcm_engine_free`.
struct gcm_engine *gcm_engine_new(size_t key_bytes);
void gcm_engine_free(struct gcm_engine *engine);
struct gcm_engine *gcm_engine_copy(const struct gcm_engine *engine);

void gcm_engine_set_key(struct gcm_engine *engine, const uint8_t *key, size_t key_bytes);
/// Starts a message. `aad` is all of the additional data.
void gcm_engine_start(
    struct gcm_engine *engine, const uint8_t *iv, size_t iv_bytes, const uint8_t *aad, size_t aad_bytes);
/// Enciphers or deciphers so many bytes; `in` and `out` may be the same.
void gcm_engine_update(struct gcm_engine *engine, bool encrypt, uint8_t *out, const uint8_t *in, size_t count);
/// Ends the message and gives its tag.
void gcm_engine_finish(struct gcm_engine *engine, bool encrypt, uint8_t tag[GCM_TAG]);

/// The algorithms of the provider.
extern const OSSL_ALGORITHM gcm_algorithms[];
