#pragma once

#include <stdbool.h>

// Faster AES-GCM for OpenSSL: a built-in provider whose AES-128-GCM and AES-256-GCM are those of libipsec-mb (VAES and
// AVX-512). It is preferred only by contexts that ask for it with CACCEL_PROPERTIES; everything else keeps OpenSSL's own.

/// The property query that prefers the provider's ciphers, and takes the default provider's for all the rest.
#define CACCEL_PROPERTIES "?provider=conduit-gcm"

/// What came of loading.
typedef enum caccel_status {
    /// The provider is there.
    CACCEL_LOADED = 0,
    /// This program was built without the library's header.
    CACCEL_NOT_BUILT,
    /// libIPSec_MB.so.1 is not installed, or is not usable.
    CACCEL_NO_LIBRARY,
    /// The library installed is of another version than the header that this was built with.
    CACCEL_OTHER_VERSION,
    /// The CPU lacks VAES, VPCLMULQDQ or AVX-512: OpenSSL's own code is as fast there.
    CACCEL_NO_CPU,
    /// A known answer came out wrong.
    CACCEL_SELF_TEST_FAILED,
    /// OpenSSL refused the provider.
    CACCEL_REFUSED,
} caccel_status;

/// Loads library and provider once in a process; later calls give the first result. Thread-safe.
caccel_status caccel_load(void);

/// The library's version ("1.3.0"); NULL where there is none.
const char *caccel_version(void);
