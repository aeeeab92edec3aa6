#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Faster AES-GCM for OpenSSL: a built-in provider whose AES-128-GCM and AES-256-GCM are those of libipsec-mb (VAES and
// AVX-512), or, without the library or AVX-512, code of our own (VAES and AVX2). It is preferred only by contexts that ask
// for it with CACCEL_PROPERTIES; everything else keeps OpenSSL's own.

/// The property query that prefers the provider's ciphers, and takes the default provider's for all the rest.
#define CACCEL_PROPERTIES "?provider=conduit-gcm"

/// What came of loading.
typedef enum caccel_status {
    /// The provider is there.
    CACCEL_LOADED = 0,
    /// This program was built without the library's header, and the CPU is not one for our own code.
    CACCEL_NOT_BUILT,
    /// libIPSec_MB.so.1 is not installed, or is not usable.
    CACCEL_NO_LIBRARY,
    /// The library installed is of another version than the header that this was built with.
    CACCEL_OTHER_VERSION,
    /// The CPU lacks VAES or VPCLMULQDQ: OpenSSL's own code is as fast there.
    CACCEL_NO_CPU,
    /// A known answer came out wrong.
    CACCEL_SELF_TEST_FAILED,
    /// OpenSSL refused the provider.
    CACCEL_REFUSED,
} caccel_status;

/// Loads library and provider once in a process; later calls give the first result. Thread-safe.
caccel_status caccel_load(void);

/// What does the work: "libipsec-mb" or "built-in"; NULL where nothing does.
const char *caccel_name(void);

/// The library's version ("1.3.0"), or what our own code uses; NULL where there is none.
const char *caccel_version(void);

/// Our own code by itself, whatever the provider uses: for tests on machines that have libipsec-mb as well. Seals or opens
/// `count` bytes in place, `part` bytes at a time, and gives the tag. False where the CPU is not one for it.
bool caccel_built_in(
    bool encrypt, const uint8_t *key, size_t key_bytes, const uint8_t *iv, size_t iv_bytes, const uint8_t *aad,
    size_t aad_bytes, uint8_t *bytes, size_t count, size_t part, uint8_t tag[16]);

// ---- Records of TLS 1.3 --------------------------------------------------------------------------------------------

/// One key of one direction (RFC 8446, section 5.2). Used by one thread at a time.
typedef struct caccel_records caccel_records;

/// Bytes that sealing adds in front, and in all: the header, the content's type and the tag.
#define CACCEL_RECORD_HEADER 5
#define CACCEL_RECORD_OVERHEAD 22

/// A key of 16 or 32 bytes. NULL before a good caccel_load, and when memory is short.
caccel_records *caccel_records_new(const uint8_t *key, size_t key_bytes, const uint8_t iv[12]);
/// Wipes and frees it; NULL is allowed.
void caccel_records_free(caccel_records *records);

/// Seals one record of at most 16,384 bytes of content: writes `count` + CACCEL_RECORD_OVERHEAD bytes to `out`, which must
/// not overlap `content`, and gives their number.
size_t caccel_records_seal(
    caccel_records *records, uint64_t sequence, uint8_t type, const uint8_t *content, size_t count, uint8_t *out);

/// Opens the `count` bytes that follow a record's header into `count` - 16 bytes at `out` (content, its type, padding).
/// False, and `out` wiped, where the record does not authenticate.
bool caccel_records_open(
    caccel_records *records, uint64_t sequence, const uint8_t header[CACCEL_RECORD_HEADER], const uint8_t *body,
    size_t count, uint8_t *out);
