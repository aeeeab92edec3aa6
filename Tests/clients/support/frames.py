"""WebSocket frames as bytes, also such as nobody may send."""

import base64
import os
import struct
from dataclasses import dataclass

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
NAMES = {TEXT: "text", BINARY: "binary", CONTINUATION: "continuation", CLOSE: "close", PING: "ping", PONG: "pong"}
KEY = b"\x12\x34\x56\x78"


def _mask(data: bytes, key: bytes) -> bytes:
    size = len(data)
    stream = int.from_bytes((key * (size // 4 + 1))[:size], "big")
    return (int.from_bytes(data, "big") ^ stream).to_bytes(size, "big")


def frame(opcode: int, payload: bytes = b"", fin: bool = True, rsv: int = 0, masked: bool = True,
          length: bytes | None = None, key: bytes = KEY) -> bytes:
    """A client's frame; `length` replaces the length that fits (the second byte's low bits, then what follows)."""
    size = len(payload)
    if length is None:
        if size < 126:
            length = bytes([size])
        elif size < 1 << 16:
            length = b"\x7e" + struct.pack(">H", size)
        else:
            length = b"\x7f" + struct.pack(">Q", size)
    head = bytes([(fin << 7) | (rsv << 4) | opcode, (masked << 7) | length[0]]) + length[1:]
    return head + (key + _mask(payload, key) if masked else payload)


def close(code: int | None = None, reason: bytes = b"") -> bytes:
    return frame(CLOSE, b"" if code is None else struct.pack(">H", code) + reason)


@dataclass(frozen=True)
class Frame:
    """A server's frame."""

    opcode: int
    payload: bytes
    fin: bool = True
    rsv: int = 0
    masked: bool = False

    def __repr__(self):
        shown = self.payload if len(self.payload) <= 40 else self.payload[:20] + b"... %d bytes" % len(self.payload)
        more = ("" if self.fin else " more") + (f" rsv{self.rsv}" if self.rsv else "") + (" MASKED" if self.masked else "")
        return f"<{NAMES.get(self.opcode, self.opcode)}{more} {shown!r}>"


def read_frame(wire) -> Frame | None:
    """The next frame from the server; None at the end of the connection."""
    head = wire.take(2)
    if head is None:
        return None
    size = head[1] & 0x7F
    if size >= 126:
        extended = wire.take(2 if size == 126 else 8)
        if extended is None:
            return None
        size = int.from_bytes(extended, "big")
    payload = wire.take(size) if size else b""
    if payload is None:
        return None
    return Frame(head[0] & 15, payload, bool(head[0] & 0x80), head[0] >> 4 & 7, bool(head[1] & 0x80))


def handshake(path: str, host: str, fields: dict[str, str] | None = None, key: str | None = None) -> bytes:
    """A client's handshake."""
    lines = {"Host": host, "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
             "Sec-WebSocket-Key": key or base64.b64encode(os.urandom(16)).decode(), **(fields or {})}
    return (f"GET {path} HTTP/1.1\r\n" + "".join(f"{n}: {v}\r\n" for n, v in lines.items()) + "\r\n").encode()
