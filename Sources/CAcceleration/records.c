// The records of TLS 1.3 (RFC 8446, section 5.2) under one key of one direction, from the caller's memory into the
// caller's memory: no copy in between, and none of the calls that a cipher context of OpenSSL costs for each record.

#include "engine.h"
#include "include/CAcceleration.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

struct caccel_records {
    struct gcm_engine *engine;
    uint8_t iv[GCM_DEFAULT_IV];
};

caccel_records *caccel_records_new(const uint8_t *key, size_t key_bytes, const uint8_t iv[12]) {
    if (gcm_engine_name() == NULL) return NULL;
    caccel_records *records = calloc(1, sizeof *records);
    if (records == NULL) return NULL;
    records->engine = gcm_engine_new(key_bytes);
    if (records->engine == NULL) {
        free(records);
        return NULL;
    }
    gcm_engine_set_key(records->engine, key, key_bytes);
    memcpy(records->iv, iv, sizeof records->iv);
    return records;
}

void caccel_records_free(caccel_records *records) {
    if (records == NULL) return;
    gcm_engine_free(records->engine);
    OPENSSL_cleanse(records, sizeof *records);
    free(records);
}

// The nonce is the IV with the sequence number, big endian, added to its end (section 5.3).
static void start(caccel_records *records, uint64_t sequence, const uint8_t header[CACCEL_RECORD_HEADER]) {
    uint8_t nonce[GCM_DEFAULT_IV];
    memcpy(nonce, records->iv, sizeof nonce);
    for (int i = 0; i < 8; i++) nonce[GCM_DEFAULT_IV - 1 - i] ^= (uint8_t)(sequence >> (8 * i));
    gcm_engine_start(records->engine, nonce, sizeof nonce, header, CACCEL_RECORD_HEADER);
}

size_t caccel_records_seal(
    caccel_records *records, uint64_t sequence, uint8_t type, const uint8_t *content, size_t count, uint8_t *out) {
    const size_t length = count + 1 + GCM_TAG;
    // What every record says it is, whatever it is: application data of TLS 1.2.
    out[0] = 23;
    out[1] = 3;
    out[2] = 3;
    out[3] = (uint8_t)(length >> 8);
    out[4] = (uint8_t)length;
    start(records, sequence, out);
    uint8_t *body = out + CACCEL_RECORD_HEADER;
    if (count > 0) gcm_engine_update(records->engine, true, body, content, count);
    gcm_engine_update(records->engine, true, body + count, &type, 1);
    gcm_engine_finish(records->engine, true, body + count + 1);
    return CACCEL_RECORD_HEADER + length;
}

bool caccel_records_open(
    caccel_records *records, uint64_t sequence, const uint8_t header[CACCEL_RECORD_HEADER], const uint8_t *body,
    size_t count, uint8_t *out) {
    if (count < GCM_TAG) return false;
    const size_t inner = count - GCM_TAG;
    uint8_t tag[GCM_TAG];
    start(records, sequence, header);
    if (inner > 0) gcm_engine_update(records->engine, false, out, body, inner);
    gcm_engine_finish(records->engine, false, tag);
    if (CRYPTO_memcmp(tag, body + inner, GCM_TAG) == 0) return true;
    // What does not authenticate is nobody's plaintext.
    OPENSSL_cleanse(out, inner);
    return false;
}
