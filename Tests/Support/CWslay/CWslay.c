#include "CWslay.h"

#if __has_include(<wslay/wslay.h>)
#include <string.h>
#include <wslay/wslay.h>

struct play {
    const uint8_t *input;
    size_t count;   // bytes that may be read now
    size_t at;
    cwslay_on_message on_message;
    cwslay_on_output on_output;
    void *context;
};

static ssize_t receive(wslay_event_context_ptr ws, uint8_t *buffer, size_t size, int flags, void *data) {
    struct play *play = data;
    size_t n = play->count - play->at;
    (void)flags;
    if (n == 0) {
        wslay_event_set_error(ws, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    if (n > size) n = size;
    memcpy(buffer, play->input + play->at, n);
    play->at += n;
    return (ssize_t)n;
}

static ssize_t transmit(wslay_event_context_ptr ws, const uint8_t *bytes, size_t count, int flags, void *data) {
    struct play *play = data;
    (void)ws;
    (void)flags;
    play->on_output(play->context, bytes, count);
    return (ssize_t)count;
}

static int mask_key(wslay_event_context_ptr ws, uint8_t *key, size_t count, void *data) {
    (void)ws;
    (void)data;
    memset(key, 0x5A, count);
    return 0;
}

static void message(wslay_event_context_ptr ws, const struct wslay_event_on_msg_recv_arg *arg, void *data) {
    struct play *play = data;
    (void)ws;
    play->on_message(play->context, arg->opcode, arg->msg, arg->msg_length, arg->status_code);
}

int cwslay_play(int is_server, const uint8_t *input, size_t count, size_t chunk, uint64_t maximum_message,
                cwslay_on_message on_message, cwslay_on_output on_output, void *context) {
    struct play play = {input, 0, 0, on_message, on_output, context};
    struct wslay_event_callbacks callbacks = {receive, transmit, mask_key, NULL, NULL, NULL, message};
    wslay_event_context_ptr ws = NULL;
    int result = is_server ? wslay_event_context_server_init(&ws, &callbacks, &play)
                           : wslay_event_context_client_init(&ws, &callbacks, &play);
    if (result != 0) return result;
    wslay_event_config_set_max_recv_msg_length(ws, maximum_message);
    while (result == 0 && play.count < count && wslay_event_want_read(ws)) {
        play.count = count - play.count > chunk ? play.count + chunk : count;
        result = wslay_event_recv(ws);
        // An error of the peer is also reported so, with the close frame in the queue.
        if (result == WSLAY_ERR_CALLBACK_FAILURE && !wslay_event_get_read_enabled(ws)) result = 0;
        if (result == 0) result = wslay_event_send(ws);
    }
    wslay_event_context_free(ws);
    return result;
}
#endif
