// The WebSocket library wslay as an oracle for WebSocketTests: one function that plays a whole connection.
// Part of no product. Needs libwslay-dev; without it the package still builds, but WebSocketTests do not link.
#pragma once
#include <stddef.h>
#include <stdint.h>

// Called for each complete message and control frame that wslay delivers.
typedef void (*cwslay_on_message)(void *context, uint8_t opcode, const uint8_t *bytes, size_t count, uint16_t status);
// Called with the bytes that wslay would send.
typedef void (*cwslay_on_output)(void *context, const uint8_t *bytes, size_t count);

// Feeds `input` in pieces of at most `chunk` bytes. Returns 0, or wslay's error.
int cwslay_play(int is_server, const uint8_t *input, size_t count, size_t chunk, uint64_t maximum_message,
                cwslay_on_message on_message, cwslay_on_output on_output, void *context);
