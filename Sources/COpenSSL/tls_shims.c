#include "include/tls_shims.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

// An emptied output buffer above this goes back to the allocator at once: a batch of 256 KiB, sealed, fits below, so
// that bulk transfer reuses its buffer, and what a stalled peer made grow does not stay.
static const size_t KEPT_OUTPUT = 320 * 1024;

// First allocation of the output: a handshake flight with a chain of two certificates.
static const size_t FIRST_OUTPUT = 4096;

// Post-handshake messages (KeyUpdate, NewSessionTicket) that may follow one another without application data. OpenSSL
// 3.0 sets no bound itself; each costs us key derivations and, if the peer asks, an answer. A server sends two tickets
// as a rule, a peer updates keys every few GiB.
static const uint32_t QUIET_MESSAGES = 32;

// What sealing adds to one record: header 5, tag 16, content type 1 (TLS 1.2: explicit nonce 8), rounded up.
static const size_t RECORD_OVERHEAD = 32;

// ---- Output buffer -------------------------------------------------------------------------------------------------

static bool output_reserve(ctls_session *s, size_t count) {
    if (s->output_capacity - s->output_tail >= count) return true;
    size_t held = s->output_tail - s->output_head;
    if (s->output_head > 0 && s->output_capacity - held >= count && s->output_head >= held) {
        memcpy(s->output, s->output + s->output_head, held);
    } else {
        if (count > SIZE_MAX / 4 - held) return false;
        // What is asked for, in pages; at least twice what there was if older output waits, so that a queue behind a
        // slow peer is not copied for every record.
        size_t capacity = (held + count + FIRST_OUTPUT - 1) / FIRST_OUTPUT * FIRST_OUTPUT;
        if (held > 0 && capacity < 2 * s->output_capacity) capacity = 2 * s->output_capacity;
        // An empty buffer that is kept grows in few steps as well, not by a page for each batch that is a little larger.
        if (held == 0 && capacity <= KEPT_OUTPUT && capacity < 2 * s->output_capacity) {
            capacity = 2 * s->output_capacity < KEPT_OUTPUT ? 2 * s->output_capacity : KEPT_OUTPUT;
        }
        unsigned char *grown = malloc(capacity);
        if (grown == NULL) return false;
        if (held > 0) memcpy(grown, s->output + s->output_head, held);
        free(s->output);
        s->output = grown;
        s->output_capacity = capacity;
    }
    s->output_head = 0;
    s->output_tail = held;
    return true;
}

unsigned char *ctls_output_room(ctls_session *s, size_t count) {
    return output_reserve(s, count) ? s->output + s->output_tail : NULL;
}

static void output_free(ctls_session *s) {
    free(s->output);
    s->output = NULL;
    s->output_head = s->output_tail = s->output_capacity = 0;
}

void ctls_consume_output(ctls_session *s, size_t count) {
    size_t held = s->output_tail - s->output_head;
    s->output_head += count < held ? count : held;
    if (s->output_head == s->output_tail) {
        s->output_head = s->output_tail = 0;
        if (s->output_capacity > KEPT_OUTPUT) output_free(s);
    }
}

// ---- Input window --------------------------------------------------------------------------------------------------

void ctls_set_input(ctls_session *s, const void *bytes, size_t count) {
    if (s->ending != 0) return;
    if (s->first_count < CTLS_FIRST_BYTES && count > 0) {
        size_t room = CTLS_FIRST_BYTES - s->first_count;
        size_t kept = count < room ? count : room;
        memcpy(s->first + s->first_count, bytes, kept);
        s->first_count = (uint8_t)(s->first_count + kept);
    }
    s->input = bytes;
    s->input_left = count;
    s->wants_input = false;
}

// ---- BIO -----------------------------------------------------------------------------------------------------------

static int bio_create(BIO *bio) {
    BIO_set_init(bio, 1);
    return 1;
}

static int bio_read(BIO *bio, char *buffer, size_t capacity, size_t *count) {
    ctls_session *s = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    size_t n = s->input_left < capacity ? s->input_left : capacity;
    if (n == 0) {
        *count = 0;
        if (!s->end_of_input) BIO_set_retry_read(bio);
        return 0;
    }
    memcpy(buffer, s->input, n);
    s->input += n;
    s->input_left -= n;
    *count = n;
    return 1;
}

static int bio_write(BIO *bio, const char *bytes, size_t length, size_t *count) {
    ctls_session *s = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    *count = 0;
    if (!output_reserve(s, length)) {
        s->failure = CTLS_FAILURE_MEMORY;
        return 0;
    }
    memcpy(s->output + s->output_tail, bytes, length);
    s->output_tail += length;
    s->records_sealed += 1;
    *count = length;
    return 1;
}

static long bio_control(BIO *bio, int command, long number, void *pointer) {
    (void)number;
    (void)pointer;
    ctls_session *s = BIO_get_data(bio);
    switch (command) {
        case BIO_CTRL_FLUSH: return 1;
        case BIO_CTRL_EOF: return s->end_of_input && s->input_left == 0;
        case BIO_CTRL_PENDING: return (long)s->input_left;
        case BIO_CTRL_WPENDING: return 0;
        default: return 0;
    }
}

static pthread_once_t method_once = PTHREAD_ONCE_INIT;
static BIO_METHOD *method = NULL;

static void method_make(void) {
    BIO_METHOD *made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "conduit window");
    if (made == NULL) return;
    if (BIO_meth_set_create(made, bio_create) && BIO_meth_set_read_ex(made, bio_read) &&
        BIO_meth_set_write_ex(made, bio_write) && BIO_meth_set_ctrl(made, bio_control)) {
        method = made;
    } else {
        BIO_meth_free(made);
    }
}

// ---- Callbacks -----------------------------------------------------------------------------------------------------

static int verify_certificates(X509_STORE_CTX *store, void *unused) {
    (void)unused;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    ctls_session *s = SSL_get_app_data(ssl);
    int verdict = s->verify(s->verify_context, store);
    X509_STORE_CTX_set_error(store, verdict);
    return verdict == X509_V_OK;
}

static void note_alert(const SSL *ssl, int where, int value) {
    if ((where & SSL_CB_ALERT) == 0 || (value & 0xff) == SSL3_AD_CLOSE_NOTIFY) return;
    ctls_session *s = SSL_get_app_data(ssl);
    if (s == NULL) return;
    if (where & SSL_CB_READ) {
        s->alert_received = value & 0xff;
    } else {
        s->alert_sent = value & 0xff;
    }
}

static uint8_t hex_bytes(const char *text, unsigned char *bytes, size_t capacity) {
    size_t count = 0;
    for (; count < capacity; count++) {
        const int high = OPENSSL_hexchar2int((unsigned char)text[2 * count]);
        if (high < 0) break;
        const int low = OPENSSL_hexchar2int((unsigned char)text[2 * count + 1]);
        if (low < 0) return 0;
        bytes[count] = (unsigned char)(high << 4 | low);
    }
    return (uint8_t)count;
}

// A line of the key log, "LABEL RANDOM SECRET" in hexadecimal: OpenSSL's only way to tell secrets. It stays in the session.
static void note_secret(const SSL *ssl, const char *line) {
    static const char client[] = "CLIENT_TRAFFIC_SECRET_0 ", server[] = "SERVER_TRAFFIC_SECRET_0 ";
    ctls_session *s = SSL_get_app_data(ssl);
    const bool is_client = strncmp(line, client, sizeof client - 1) == 0;
    if (s == NULL || (!is_client && strncmp(line, server, sizeof server - 1) != 0)) return;
    const char *secret = strrchr(line, ' ') + 1;
    if (is_client) {
        s->client_secret_count = hex_bytes(secret, s->client_secret, CTLS_SECRET_BYTES);
    } else {
        s->server_secret_count = hex_bytes(secret, s->server_secret, CTLS_SECRET_BYTES);
    }
}

static void forget_secrets(ctls_session *s) {
    OPENSSL_cleanse(s->client_secret, sizeof s->client_secret);
    OPENSSL_cleanse(s->server_secret, sizeof s->server_secret);
    s->client_secret_count = s->server_secret_count = 0;
}

// The host name out of the extension server_name (RFC 6066, section 3), or NULL. What is malformed is left to OpenSSL,
// which reads the extension later and ends the handshake.
static const unsigned char *host_name(SSL *ssl, size_t *count) {
    const unsigned char *bytes;
    size_t left;
    if (!SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &bytes, &left)) return NULL;
    if (left < 5 || (size_t)(bytes[0] << 8 | bytes[1]) != left - 2 || bytes[2] != TLSEXT_NAMETYPE_host_name) return NULL;
    *count = (size_t)(bytes[3] << 8 | bytes[4]);
    return *count > 0 && *count <= left - 5 ? bytes + 5 : NULL;
}

// Before anything of the hello is used, so that the chosen context's versions hold as well as its certificate. The rest
// (suites, groups, tickets or none) is the same in all contexts of a listener; a ticket's key is the chosen context's.
static int client_hello(SSL *ssl, int *alert, void *argument) {
    (void)argument;
    ctls_session *s = SSL_get_app_data(ssl);
    if (s == NULL || s->choose == NULL) return SSL_CLIENT_HELLO_SUCCESS;
    size_t count = 0;
    const unsigned char *name = host_name(ssl, &count);
    SSL_CTX *chosen = s->choose(s->choose_context, name, count);
    if (chosen == NULL) {
        *alert = SSL_AD_UNRECOGNIZED_NAME;
        return SSL_CLIENT_HELLO_ERROR;
    }
    if (SSL_set_SSL_CTX(ssl, chosen) != chosen ||
        !SSL_set_min_proto_version(ssl, SSL_CTX_get_min_proto_version(chosen)) ||
        !SSL_set_max_proto_version(ssl, SSL_CTX_get_max_proto_version(chosen))) {
        *alert = SSL_AD_INTERNAL_ERROR;
        return SSL_CLIENT_HELLO_ERROR;
    }
    SSL_set_verify(ssl, SSL_CTX_get_verify_mode(chosen), NULL);
    return SSL_CLIENT_HELLO_SUCCESS;
}

// OpenSSL has one callback for both ends, with values of their own.
static int certificate_status(SSL *ssl, void *unused) {
    (void)unused;
    ctls_session *s = SSL_get_app_data(ssl);
    if (!SSL_is_server(ssl)) return s == NULL || s->status == NULL ? 1 : s->status(s->verify_context, ssl);
    if (s == NULL || s->status == NULL) return SSL_TLSEXT_ERR_NOACK;
    return s->status(s->verify_context, ssl) ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

static int choose_protocol(SSL *ssl, const unsigned char **chosen, unsigned char *chosen_count,
                           const unsigned char *offered, unsigned int offered_count, void *argument) {
    (void)ssl;
    const ctls_alpn *ours = argument;
    unsigned char *result = NULL;
    if (SSL_select_next_proto(&result, chosen_count, ours->bytes, ours->count, offered, offered_count) !=
        OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *chosen = result;
    return SSL_TLSEXT_ERR_OK;
}

// ---- Tickets -------------------------------------------------------------------------------------------------------

// OpenSSL's names for AES-256-CBC and HMAC-SHA-256: in a FIPS context they come from its provider like all the rest.
static int ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                      int sealing) {
    ctls_session *s = SSL_get_app_data(ssl);
    if (s == NULL || s->ticket_key == NULL) return sealing ? -1 : 0;
    ctls_ticket_key key;
    if (!sealing) memcpy(key.name, name, sizeof key.name);
    int result = sealing ? -1 : 0;
    if (s->ticket_key(s->verify_context, !sealing, &key)) {
        OSSL_PARAM parameters[] = {
            OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key.mac, sizeof key.mac),
            OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, "SHA256", 0), OSSL_PARAM_construct_end()};
        bool good = !sealing || RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) == 1;
        good = good && EVP_MAC_CTX_set_params(mac, parameters) == 1 &&
               EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key.cipher, iv, sealing) == 1;
        if (good && sealing) memcpy(name, key.name, sizeof key.name);
        result = good ? 1 : -1;
    }
    OPENSSL_cleanse(&key, sizeof key);
    return result;
}

static int ticket_made(SSL *ssl, void *unused) {
    (void)unused;
    ctls_session *s = SSL_get_app_data(ssl);
    return s != NULL && s->ticket_fill != NULL && s->ticket_fill(s->verify_context, ssl);
}

// What cannot be opened, or does not pass, leads to a handshake in full with a new ticket, never to a failure.
static SSL_TICKET_RETURN ticket_opened(SSL *ssl, SSL_SESSION *session, const unsigned char *name, size_t count,
                                       SSL_TICKET_STATUS status, void *unused) {
    (void)name;
    (void)count;
    (void)unused;
    if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW) return SSL_TICKET_RETURN_IGNORE_RENEW;
    ctls_session *s = SSL_get_app_data(ssl);
    const bool passes = s != NULL && s->ticket_review != NULL && s->ticket_review(s->verify_context, session);
    return passes ? SSL_TICKET_RETURN_USE_RENEW : SSL_TICKET_RETURN_IGNORE_RENEW;
}

static bool use_tickets(SSL_CTX *context, const ctls_settings *settings) {
    SSL_CTX_clear_options(context, SSL_OP_NO_TICKET);
    // One is enough: whoever opens several connections at once shakes hands for each.
    SSL_CTX_set_timeout(context, settings->ticket_lifetime);
    return SSL_CTX_set_num_tickets(context, 1) == 1 &&
           SSL_CTX_set_session_id_context(context, settings->ticket_scope, CTLS_TICKET_SCOPE_BYTES) == 1 &&
           SSL_CTX_set_tlsext_ticket_key_evp_cb(context, ticket_key) == 1 &&
           SSL_CTX_set_session_ticket_cb(context, ticket_made, ticket_opened, NULL) == 1;
}

// ---- Context -------------------------------------------------------------------------------------------------------

SSL_CTX *ctls_context_new(const ctls_settings *settings, const ctls_alpn *server_alpn) {
    ERR_clear_error();
    SSL_CTX *context =
        SSL_CTX_new_ex(NULL, settings->properties, settings->server ? TLS_server_method() : TLS_client_method());
    if (context == NULL) return NULL;
    SSL_CTX_set_security_level(context, settings->security_level);

    // The system's openssl.cnf has been applied by now; what matters is set here whatever it says.
    SSL_CTX_clear_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_LEGACY_SERVER_CONNECT |
                                       SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION | SSL_OP_ALLOW_NO_DHE_KEX |
                                       SSL_OP_NO_TLSv1_2 | SSL_OP_NO_TLSv1_3 | SSL_OP_TLS_ROLLBACK_BUG);
    // Without tickets and cache no handshake skips the verification of certificates; see use_tickets for the rest.
    SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context, 0);
    SSL_CTX_set_max_early_data(context, 0);
    SSL_CTX_set_recv_max_early_data(context, 0);

    // Without AUTO_RETRY SSL_read comes back after each post-handshake message, so that they can be counted. Without
    // RELEASE_BUFFERS the record buffers live until ctls_release_memory: see TLSSession.releaseIdleMemory.
    SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY | SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE);
    SSL_CTX_set_mode(context, SSL_MODE_NO_AUTO_CHAIN);
    // OpenSSL takes header and body of a record out of the window one after the other: the same copies as with
    // read-ahead, no second buffer, and no ciphertext that waits inside.
    SSL_CTX_set_read_ahead(context, 0);

    SSL_CTX_set_verify(context, settings->verify_mode, NULL);
    SSL_CTX_set_max_cert_list(context, settings->max_certificate_list);
    SSL_CTX_set_cert_verify_callback(context, verify_certificates, NULL);
    SSL_CTX_set_tlsext_status_cb(context, certificate_status);
    SSL_CTX_set_info_callback(context, note_alert);
    if (settings->keep_secrets) SSL_CTX_set_keylog_callback(context, note_secret);
    if (settings->server) SSL_CTX_set_client_hello_cb(context, client_hello, NULL);

    bool good = SSL_CTX_set_min_proto_version(context, settings->minimum_version) &&
                SSL_CTX_set_max_proto_version(context, settings->maximum_version) &&
                SSL_CTX_set_cipher_list(context, settings->cipher_list) &&
                SSL_CTX_set_ciphersuites(context, settings->cipher_suites) &&
                (settings->groups == NULL || SSL_CTX_set1_groups_list(context, settings->groups)) &&
                (settings->signature_algorithms == NULL ||
                 (SSL_CTX_set1_sigalgs_list(context, settings->signature_algorithms) &&
                  SSL_CTX_set1_client_sigalgs_list(context, settings->signature_algorithms)));
    if (good && settings->server && settings->ticket_lifetime > 0) good = use_tickets(context, settings);
    if (good && settings->alpn_count > 0) {
        if (settings->server) {
            SSL_CTX_set_alpn_select_cb(context, choose_protocol, (void *)server_alpn);
        } else {
            good = SSL_CTX_set_alpn_protos(context, settings->alpn, settings->alpn_count) == 0;
        }
    }
    if (good) return context;
    SSL_CTX_free(context);
    return NULL;
}

int ctls_context_add_chain_certificate(SSL_CTX *context, X509 *certificate) {
    return (int)SSL_CTX_add1_chain_cert(context, certificate);
}

// ---- Session -------------------------------------------------------------------------------------------------------

ctls_session *ctls_session_new(SSL_CTX *context, bool server, const char *server_name, ctls_verify verify,
                               void *verify_context) {
    pthread_once(&method_once, method_make);
    ERR_clear_error();
    if (method == NULL) return NULL;
    ctls_session *s = calloc(1, sizeof *s);
    if (s == NULL) return NULL;
    s->verify = verify;
    s->verify_context = verify_context;
    s->alert_sent = s->alert_received = -1;
    s->ssl = SSL_new(context);
    BIO *bio = BIO_new(method);
    if (s->ssl == NULL || bio == NULL ||
        (server_name != NULL && !SSL_set_tlsext_host_name(s->ssl, server_name))) {
        BIO_free(bio);
        SSL_free(s->ssl);
        free(s);
        return NULL;
    }
    BIO_set_data(bio, s);
    SSL_set_bio(s->ssl, bio, bio);
    SSL_set_app_data(s->ssl, s);
    if (server) {
        SSL_set_accept_state(s->ssl);
    } else {
        SSL_set_connect_state(s->ssl);
    }
    return s;
}

void ctls_session_free(ctls_session *s) {
    if (s == NULL) return;
    SSL_free(s->ssl);
    ERR_clear_error();
    forget_secrets(s);
    free(s->output);
    free(s);
}

// The error that says most: the first one of the SSL library, else the first one.
static unsigned long telling_error(void) {
    unsigned long first = 0, code;
    while ((code = ERR_get_error()) != 0) {
        if (first == 0) first = code;
        if (ERR_GET_LIB(code) == ERR_LIB_SSL) {
            ERR_clear_error();
            return code;
        }
    }
    return first;
}

static int end(ctls_session *s, int ending) {
    s->ending = ending;
    s->input = NULL; // the caller may reuse its memory: nothing reads from it any more
    s->input_left = 0;
    return ending;
}

static int fail(ctls_session *s, int failure) {
    if (s->failure == CTLS_FAILURE_NONE) s->failure = failure;
    return end(s, CTLS_FAILED);
}

// What a call that brought nothing means: CTLS_OK "go on", CTLS_WANTS_INPUT or an ending.
static int outcome(ctls_session *s, int result) {
    switch (SSL_get_error(s->ssl, result)) {
        case SSL_ERROR_WANT_READ:
            if (s->input_left > 0) {
                s->quiet_messages += 1;
                return s->quiet_messages > QUIET_MESSAGES ? fail(s, CTLS_FAILURE_MESSAGE_FLOOD) : CTLS_OK;
            }
            if (!s->end_of_input) {
                s->wants_input = true;
                return CTLS_WANTS_INPUT;
            }
            return end(s, CTLS_TRUNCATED);
        case SSL_ERROR_ZERO_RETURN:
            return end(s, CTLS_CLOSED);
        default:
            s->failure_code = telling_error();
            if (ERR_GET_LIB(s->failure_code) == ERR_LIB_SSL &&
                ERR_GET_REASON(s->failure_code) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
                return end(s, CTLS_TRUNCATED);
            }
            return fail(s, CTLS_FAILURE_OPENSSL);
    }
}

// SSL_get_error looks at the queue, so nothing old may be in it. Looking is cheaper than clearing what is clear.
static inline void forget_errors(void) {
    if (ERR_peek_error() != 0) ERR_clear_error();
}

int ctls_handshake(ctls_session *s) {
    if (s->ending != 0) return s->ending;
    if (s->connected) return CTLS_OK;
    s->wants_input = false;
    for (;;) {
        ERR_clear_error();
        int result = SSL_do_handshake(s->ssl);
        if (result == 1) {
            s->quiet_messages = 0;
            s->connected = true;
            return CTLS_OK;
        }
        int what = outcome(s, result);
        if (what != CTLS_OK) return what;
    }
}

int ctls_read(ctls_session *s, void *buffer, size_t capacity, size_t *count) {
    *count = 0;
    if (s->ending != 0) return s->ending;
    if (!s->connected) {
        int handshake = ctls_handshake(s);
        if (handshake != CTLS_OK) return handshake;
    }
    if (s->input_left == 0 && !s->end_of_input && !SSL_has_pending(s->ssl)) {
        s->wants_input = true;
        return CTLS_WANTS_INPUT;
    }
    s->wants_input = false;
    size_t total = 0;
    forget_errors();
    while (total < capacity) {
        size_t got = 0;
        int result = SSL_read_ex(s->ssl, (unsigned char *)buffer + total, capacity - total, &got);
        if (result == 1) {
            total += got;
            s->quiet_messages = 0;
            if (s->input_left == 0 && !s->end_of_input && !SSL_has_pending(s->ssl)) {
                s->wants_input = true; // known without asking OpenSSL once more
                break;
            }
            continue;
        }
        int what = outcome(s, result);
        if (what == CTLS_OK) continue;
        if (total > 0) break; // the ending is sticky and comes with the next call
        return what;
    }
    *count = total;
    return CTLS_OK;
}

int ctls_write(ctls_session *s, const void *bytes, size_t count) {
    if (s->ending == CTLS_FAILED || s->ending == CTLS_TRUNCATED) return s->ending;
    if (SSL_get_shutdown(s->ssl) & SSL_SENT_SHUTDOWN) return CTLS_CLOSED;
    if (count == 0) return CTLS_OK;
    if (!output_reserve(s, count + (count / SSL3_RT_MAX_PLAIN_LENGTH + 1) * RECORD_OVERHEAD)) {
        return fail(s, CTLS_FAILURE_MEMORY);
    }
    forget_errors();
    size_t sealed = 0;
    int result = SSL_write_ex(s->ssl, bytes, count, &sealed);
    if (result == 1 && sealed == count) {
        s->bytes_sealed += count;
        return CTLS_OK;
    }
    s->failure_code = telling_error();
    return fail(s, CTLS_FAILURE_OPENSSL);
}

int ctls_update_key(ctls_session *s) {
    if (s->ending == CTLS_FAILED || s->ending == CTLS_TRUNCATED) return -1;
    if (SSL_version(s->ssl) != TLS1_3_VERSION || !s->connected) return 0;
    ERR_clear_error();
    if (SSL_key_update(s->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) != 1) {
        ERR_clear_error();
        return 0;
    }
    int result = SSL_do_handshake(s->ssl);
    if (result != 1) {
        s->failure_code = telling_error();
        fail(s, CTLS_FAILURE_OPENSSL);
        return -1;
    }
    s->bytes_sealed = 0;
    s->records_sealed = 0;
    return 1;
}

void ctls_shutdown(ctls_session *s) {
    if (s->ending == CTLS_FAILED || s->ending == CTLS_TRUNCATED || !s->connected) return;
    ERR_clear_error();
    if ((SSL_get_shutdown(s->ssl) & SSL_SENT_SHUTDOWN) == 0) SSL_shutdown(s->ssl);
    ERR_clear_error();
}

void ctls_release_memory(ctls_session *s) {
    // Between two records only ("RH": the next header has not begun).
    if (strcmp(SSL_rstate_string(s->ssl), "RH") == 0) SSL_free_buffers(s->ssl);
    if (s->output_head == s->output_tail) output_free(s);
}

// ---- Traffic secrets -----------------------------------------------------------------------------------------------

static pthread_once_t kdf_once = PTHREAD_ONCE_INIT;
static EVP_KDF *kdf = NULL;

static void kdf_fetch(void) { kdf = EVP_KDF_fetch(NULL, "TLS13-KDF", NULL); }

static bool has_aes_gcm(const SSL *ssl) {
    const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
    if (cipher == NULL) return false;
    const uint32_t id = SSL_CIPHER_get_id(cipher);
    return id == TLS1_3_CK_AES_128_GCM_SHA256 || id == TLS1_3_CK_AES_256_GCM_SHA384;
}

size_t ctls_take_secrets(ctls_session *s, unsigned char sending[CTLS_SECRET_BYTES],
                         unsigned char receiving[CTLS_SECRET_BYTES]) {
    pthread_once(&kdf_once, kdf_fetch);
    size_t count = s->client_secret_count;
    const bool able = kdf != NULL && s->connected && s->ending == 0 && count > 0 && count == s->server_secret_count &&
                      SSL_version(s->ssl) == TLS1_3_VERSION && has_aes_gcm(s->ssl) &&
                      // Tickets would be records under the key already.
                      (!SSL_is_server(s->ssl) || SSL_get_num_tickets(s->ssl) == 0) &&
                      strcmp(SSL_rstate_string(s->ssl), "RH") == 0 && !SSL_has_pending(s->ssl) &&
                      SSL_free_buffers(s->ssl) == 1;
    if (able) {
        const bool server = SSL_is_server(s->ssl);
        memcpy(sending, server ? s->server_secret : s->client_secret, count);
        memcpy(receiving, server ? s->client_secret : s->server_secret, count);
    } else {
        count = 0;
    }
    forget_secrets(s);
    return count;
}

// HKDF-Expand-Label with an empty context (RFC 8446, section 7.1).
static bool expand_label(const SSL *ssl, const unsigned char *secret, size_t count, const char *label,
                         unsigned char *out, size_t out_count) {
    pthread_once(&kdf_once, kdf_fetch);
    const EVP_MD *digest = SSL_CIPHER_get_handshake_digest(SSL_get_current_cipher(ssl));
    if (kdf == NULL || digest == NULL) return false;
    EVP_KDF_CTX *context = EVP_KDF_CTX_new(kdf);
    if (context == NULL) return false;
    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)EVP_MD_get0_name(digest), 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)secret, count),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PREFIX, "tls13 ", 6),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_LABEL, (void *)label, strlen(label)),
        OSSL_PARAM_construct_end()};
    const bool good = EVP_KDF_derive(context, out, out_count, parameters) == 1;
    EVP_KDF_CTX_free(context);
    ERR_clear_error();
    return good;
}

size_t ctls_traffic_key(const SSL *ssl, const unsigned char *secret, size_t count, unsigned char key[32],
                        unsigned char iv[12]) {
    const size_t key_count = SSL_CIPHER_get_id(SSL_get_current_cipher(ssl)) == TLS1_3_CK_AES_128_GCM_SHA256 ? 16 : 32;
    return expand_label(ssl, secret, count, "key", key, key_count) && expand_label(ssl, secret, count, "iv", iv, 12)
               ? key_count
               : 0;
}

bool ctls_next_secret(const SSL *ssl, unsigned char *secret, size_t count) {
    unsigned char next[CTLS_SECRET_BYTES];
    const bool good = count <= sizeof next && expand_label(ssl, secret, count, "traffic upd", next, count);
    if (good) memcpy(secret, next, count);
    OPENSSL_cleanse(next, sizeof next);
    return good;
}
