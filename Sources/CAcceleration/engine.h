#pragma once

#include "provider.h"

// One implementation of AES-GCM behind gcm_engine. Shared by the files of this target only.

/// Its functions take the state that the engine holds for it: `size` bytes, aligned to 64.
typedef struct gcm_backend {
    size_t size;
    void (*set_key)(void *state, const uint8_t *key, size_t key_bytes);
    void (*start)(void *state, const uint8_t *iv, size_t iv_bytes, const uint8_t *aad, size_t aad_bytes);
    void (*update)(void *state, bool encrypt, uint8_t *out, const uint8_t *in, size_t count);
    void (*finish)(void *state, bool encrypt, uint8_t tag[GCM_TAG]);
} gcm_backend;

/// libipsec-mb with AVX-512. `load` gives a caccel_status; the others are for after a load that was good.
int ipsec_load(void);
const gcm_backend *ipsec_backend(size_t key_bytes);
const char *ipsec_version(void);

/// Our own, for CPUs with VAES and VPCLMULQDQ but without AVX-512; NULL elsewhere.
const gcm_backend *vaes_backend(void);
