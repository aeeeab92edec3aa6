#include "BareTLS.h"

#include <openssl/ssl.h>
#include <stdlib.h>
#include <time.h>

struct bare_tls {
    SSL_CTX *client;
    SSL_CTX *server;
};

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static SSL_CTX *context(int server, const char *root, const char *chain, const char *key) {
    SSL_CTX *made = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    if (made == NULL) return NULL;
    SSL_CTX_set_min_proto_version(made, TLS1_3_VERSION);
    SSL_CTX_set_verify(made, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    // As in the agent: every handshake is a full one.
    SSL_CTX_set_num_tickets(made, 0);
    SSL_CTX_set_session_cache_mode(made, SSL_SESS_CACHE_OFF);
    if (SSL_CTX_set_ciphersuites(made, "TLS_AES_128_GCM_SHA256") == 1 && SSL_CTX_set1_groups_list(made, "X25519") == 1 &&
        SSL_CTX_use_certificate_chain_file(made, chain) == 1 &&
        SSL_CTX_use_PrivateKey_file(made, key, SSL_FILETYPE_PEM) == 1 &&
        SSL_CTX_load_verify_locations(made, root, NULL) == 1)
        return made;
    SSL_CTX_free(made);
    return NULL;
}

bare_tls *bare_tls_new(const char *root, const char *client_chain, const char *client_key, const char *server_chain,
                       const char *server_key) {
    bare_tls *made = calloc(1, sizeof *made);
    if (made == NULL) return NULL;
    made->client = context(0, root, client_chain, client_key);
    made->server = context(1, root, server_chain, server_key);
    if (made->client != NULL && made->server != NULL) return made;
    bare_tls_free(made);
    return NULL;
}

void bare_tls_free(bare_tls *contexts) {
    SSL_CTX_free(contexts->client);
    SSL_CTX_free(contexts->server);
    free(contexts);
}

int bare_tls_handshake(bare_tls *contexts, uint64_t *client, uint64_t *server) {
    uint64_t start = now();
    SSL *dialler = SSL_new(contexts->client);
    uint64_t middle = now();
    SSL *acceptor = SSL_new(contexts->server);
    uint64_t end = now();
    *client += middle - start;
    *server += end - middle;
    BIO *left = NULL, *right = NULL;
    int done = 0, accepted = 0;
    if (dialler != NULL && acceptor != NULL && BIO_new_bio_pair(&left, 1 << 16, &right, 1 << 16) == 1) {
        SSL_set_bio(dialler, left, left);
        SSL_set_bio(acceptor, right, right);
        SSL_set_connect_state(dialler);
        SSL_set_accept_state(acceptor);
        for (int turn = 0; turn < 8 && !(done && accepted); turn++) {
            start = now();
            if (!done) done = SSL_do_handshake(dialler) == 1;
            middle = now();
            if (!accepted) accepted = SSL_do_handshake(acceptor) == 1;
            end = now();
            *client += middle - start;
            *server += end - middle;
        }
    }
    start = now();
    SSL_free(dialler);
    middle = now();
    SSL_free(acceptor);
    end = now();
    *client += middle - start;
    *server += end - middle;
    return done && accepted;
}
