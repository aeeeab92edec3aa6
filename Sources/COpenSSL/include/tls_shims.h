#ifndef TLS_SHIMS_H
#define TLS_SHIMS_H
// The C half of the room TLS: a context set up from one table of settings, and a session whose SSL reads from a window
// of the caller's memory and writes into one growing buffer. No system calls, no locks, no clock.
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// ---- Context -------------------------------------------------------------------------------------------------------

typedef struct ctls_settings {
    bool server;
    int minimum_version;          // TLS1_2_VERSION …
    int maximum_version;
    int security_level;           // OpenSSL's; 2 everywhere but in probes of the tester
    const char *cipher_list;      // TLS 1.2 and older
    const char *cipher_suites;    // TLS 1.3
    const char *groups;           // NULL: OpenSSL's own
    const char *signature_algorithms; // NULL: OpenSSL's own
    int verify_mode;              // SSL_VERIFY_…
    long max_certificate_list;    // bytes of certificates that a peer may send
    const unsigned char *alpn;    // wire format; a server's must live as long as the context
    unsigned int alpn_count;
    const char *properties;       // which implementations of algorithms are preferred; NULL: OpenSSL's choice
    bool keep_secrets;            // sessions note their traffic secrets, for ctls_take_secrets
    long ticket_lifetime;         // seconds that a server's sessions can be resumed by ticket; 0: no tickets
    const unsigned char *ticket_scope; // CTLS_TICKET_SCOPE_BYTES that tell apart where tickets are good; NULL without
} ctls_settings;

// The protocol list in wire format that a server chooses from. Owned by the caller of ctls_context_new.
typedef struct ctls_alpn {
    const unsigned char *bytes;
    unsigned int count;
} ctls_alpn;

// A context with no certificate and no trust yet; NULL with the reason in OpenSSL's error queue.
SSL_CTX *ctls_context_new(const ctls_settings *settings, const ctls_alpn *server_alpn);

// Appends one certificate (not the leaf) to what is sent. 1 on success.
int ctls_context_add_chain_certificate(SSL_CTX *context, X509 *certificate);

// ---- Session -------------------------------------------------------------------------------------------------------

// Called inside the handshake in place of OpenSSL's own verification, with what the peer sent as the untrusted
// certificates of `store`. Returns X509_V_OK, or the X509_V_ERR_… whose alert the peer is to get.
typedef int (*ctls_verify)(void *context, X509_STORE_CTX *store);

// Called inside a server's handshake with the name that the client asks for (SNI; NULL where it names nobody), in the
// bytes of the client. Returns the context to go on with, or NULL to refuse the client with unrecognized_name.
typedef SSL_CTX *(*ctls_choose)(void *context, const unsigned char *name, size_t count);

// Called inside the handshake when an OCSP response is stapled (RFC 6066, section 8). A server that is asked for one sets
// it by ctls_set_staple, or not. A client looks at what came, if anything, by ctls_staple, after it has verified the server:
// 1 goes on, 0 ends the handshake with bad_certificate_status_response.
typedef int (*ctls_status)(void *context, SSL *ssl);

// The key of one period, as RFC 5077, section 4 recommends it, with AES-256.
#define CTLS_TICKET_NAME_BYTES 16
#define CTLS_TICKET_SCOPE_BYTES 32
typedef struct ctls_ticket_key {
    unsigned char name[CTLS_TICKET_NAME_BYTES];
    unsigned char cipher[32];
    unsigned char mac[32];
} ctls_ticket_key;

// What a server's sessions ask about tickets; they get verify's context.
// `key`: with `opening`, the key that has the name which stands in `key`, else the key of now; false where there is none.
// `fill`: a ticket is made of the session in `ssl`; what it is to hold besides is put in. False ends the handshake.
// `review`: a ticket was opened and holds `session`; false lets the client shake hands in full.
typedef bool (*ctls_ticket_find)(void *context, bool opening, ctls_ticket_key *key);
typedef bool (*ctls_ticket_fill)(void *context, SSL *ssl);
typedef bool (*ctls_ticket_review)(void *context, SSL_SESSION *session);

// Results of calls, and endings. (Macros, since Swift sees them as Int32 and enumerators of C as something wider.)
#define CTLS_OK 0
#define CTLS_WANTS_INPUT 1
#define CTLS_CLOSED 2    // the peer's close_notify was read; for writers: ours was sent
#define CTLS_TRUNCATED 3 // end of input without close_notify
#define CTLS_FAILED 4    // see `failure`

// What failed.
#define CTLS_FAILURE_NONE 0
#define CTLS_FAILURE_OPENSSL 1 // see `failure_code`
#define CTLS_FAILURE_MEMORY 2
#define CTLS_FAILURE_MESSAGE_FLOOD 3

#define CTLS_FIRST_BYTES 24

// Bytes of the longest traffic secret: that of SHA-384.
#define CTLS_SECRET_BYTES 48

typedef struct ctls_session {
    SSL *ssl;

    // Input window: the caller's memory. OpenSSL copies from it; nothing is kept behind it.
    const unsigned char *input;
    size_t input_left;

    // Output: sealed records, readable from head to tail.
    unsigned char *output;
    size_t output_head;
    size_t output_tail;
    size_t output_capacity;

    // Sealed under the present sending key.
    uint64_t bytes_sealed;
    uint64_t records_sealed;

    ctls_verify verify;
    void *verify_context;
    ctls_choose choose;           // NULL: the context that the session was made with
    void *choose_context;
    ctls_ticket_find ticket_key;  // NULL: no tickets
    ctls_ticket_fill ticket_fill;
    ctls_ticket_review ticket_review;
    ctls_status status;           // NULL: nothing is stapled, and what is stapled is not looked at; has verify's context

    unsigned long failure_code;   // OpenSSL's packed error
    int failure;                  // CTLS_FAILURE_…
    int ending;                   // 0, CTLS_CLOSED, CTLS_TRUNCATED or CTLS_FAILED: sticky
    int alert_sent;               // description of the last fatal alert, -1 without
    int alert_received;
    uint32_t quiet_messages;      // post-handshake messages in a row without application data
    bool connected;               // the handshake was completed (OpenSSL forgets that when a session fails)
    bool end_of_input;
    bool wants_input;             // the last call ended because the window was empty
    // The first application traffic secrets (RFC 8446, section 7.1), where the context keeps them; wiped when taken.
    uint8_t client_secret_count, server_secret_count;
    unsigned char client_secret[CTLS_SECRET_BYTES], server_secret[CTLS_SECRET_BYTES];
    uint8_t first_count;
    unsigned char first[CTLS_FIRST_BYTES]; // what the peer sent first, for the message "this is not TLS"
} ctls_session;

// A session; NULL when memory is short. `server_name` goes out as SNI (NULL: none).
ctls_session *ctls_session_new(SSL_CTX *context, bool server, const char *server_name, ctls_verify verify,
                               void *verify_context);
void ctls_session_free(ctls_session *session);

// Lets a server's session choose its context by the client's SNI; before the first byte.
static inline void ctls_choose_context(ctls_session *session, ctls_choose choose, void *context) {
    session->choose = choose;
    session->choose_context = context;
}

// Lets a server's session give and take tickets, where its context does; before the first byte.
static inline void ctls_use_tickets(ctls_session *session, ctls_ticket_find key, ctls_ticket_fill fill,
                                    ctls_ticket_review review) {
    session->ticket_key = key;
    session->ticket_fill = fill;
    session->ticket_review = review;
}

// Lets a session staple, or ask for a staple; before the first byte. False when memory is short.
static inline bool ctls_use_status(ctls_session *session, ctls_status status) {
    session->status = status;
    return SSL_is_server(session->ssl) || SSL_set_tlsext_status_type(session->ssl, TLSEXT_STATUSTYPE_ocsp);
}

// Staples these bytes; false when memory is short.
static inline bool ctls_set_staple(SSL *ssl, const unsigned char *bytes, size_t count) {
    unsigned char *copy = OPENSSL_memdup(bytes, count);
    if (copy == NULL) return false;
    SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)count); // owned by the session from here on
    return true;
}

// What the server has stapled; NULL where it has stapled nothing.
static inline const unsigned char *ctls_staple(SSL *ssl, size_t *count) {
    const unsigned char *bytes = NULL;
    long length = SSL_get_tlsext_status_ocsp_resp(ssl, &bytes);
    *count = bytes != NULL && length > 0 ? (size_t)length : 0;
    return *count > 0 ? bytes : NULL;
}

// The window that is read next. The memory must stay until CTLS_WANTS_INPUT or an ending is reported.
void ctls_set_input(ctls_session *session, const void *bytes, size_t count);

// CTLS_OK when the handshake is complete.
int ctls_handshake(ctls_session *session);

// Fills the buffer from as many records as the window has. CTLS_OK: *count > 0. Anything else: *count is 0.
int ctls_read(ctls_session *session, void *buffer, size_t capacity, size_t *count);

// Seals everything. CTLS_OK or an ending.
int ctls_write(ctls_session *session, const void *bytes, size_t count);

// Changes the sending key (TLS 1.3): 1 done, 0 not possible in this version or state, -1 failed.
int ctls_update_key(ctls_session *session);

// Queues close_notify.
void ctls_shutdown(ctls_session *session);

// Takes `count` bytes off the output; an emptied large buffer goes back to the allocator.
void ctls_consume_output(ctls_session *session, size_t count);

// Gives back record buffers and output buffer where they are empty.
void ctls_release_memory(ctls_session *session);

// Heap bytes held by the output buffer.
static inline size_t ctls_output_capacity(const ctls_session *session) { return session->output_capacity; }

// Room for so many more bytes of output; NULL when memory is short. They count once `output_tail` is raised.
unsigned char *ctls_output_room(ctls_session *session, size_t count);

// ---- Traffic secrets -----------------------------------------------------------------------------------------------

// The records of a connected session pass to the caller: copies both secrets, forgets them, and gives OpenSSL's record
// buffers back. Their length, or 0 where the session has none, is not TLS 1.3 with AES-GCM, or has begun to read a record.
size_t ctls_take_secrets(ctls_session *session, unsigned char sending[CTLS_SECRET_BYTES],
                         unsigned char receiving[CTLS_SECRET_BYTES]);

// Key (RFC 8446, section 7.3) and IV of a traffic secret. The key's length, or 0 when OpenSSL failed.
size_t ctls_traffic_key(const SSL *ssl, const unsigned char *secret, size_t count, unsigned char key[32],
                        unsigned char iv[12]);

// Replaces a secret by the one after a key update (section 7.2).
bool ctls_next_secret(const SSL *ssl, unsigned char *secret, size_t count);

// ---- Accessors that are macros in OpenSSL --------------------------------------------------------------------------

static inline const char *ctls_cipher_name(const SSL *ssl) { return SSL_get_cipher_name(ssl); }
static inline int ctls_group(SSL *ssl) { return (int)SSL_get_negotiated_group(ssl); }
static inline const char *ctls_server_name(const SSL *ssl) {
    return SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
}
static inline int ctls_error_library(unsigned long code) { return ERR_GET_LIB(code); }
static inline int ctls_error_reason(unsigned long code) { return ERR_GET_REASON(code); }
static inline int ctls_certificate_count(const STACK_OF(X509) *stack) { return stack == NULL ? 0 : sk_X509_num(stack); }
static inline X509 *ctls_certificate_at(const STACK_OF(X509) *stack, int index) { return sk_X509_value(stack, index); }
#endif
