// A client and a server of plain OpenSSL, in memory: what mutual TLS 1.3 costs without us.
#ifndef BARE_TLS_H
#define BARE_TLS_H

#include <stdint.h>

typedef struct bare_tls bare_tls;

// Contexts of both ends out of PEM files: the root, and each end's chain and key. NULL when OpenSSL refuses any.
bare_tls *bare_tls_new(const char *root, const char *client_chain, const char *client_key, const char *server_chain,
                       const char *server_key);

// One full handshake, both certificates verified, no tickets. Adds the thread's CPU time of each end, in nanoseconds;
// 1 when it succeeded.
int bare_tls_handshake(bare_tls *contexts, uint64_t *client, uint64_t *server);

// Frees the contexts.
void bare_tls_free(bare_tls *contexts);

#endif
