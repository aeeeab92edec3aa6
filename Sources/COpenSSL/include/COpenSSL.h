#ifndef COPENSSL_H
#define COPENSSL_H
// OpenSSL 3.0 for Swift: macros and variadic functions as static inline functions, never re-typed constants.
#include "ct_shims.h"
#include "ocsp_shims.h"
#include "pki_shims.h"
#include "tls_shims.h"
#endif
