"""A WebSocket service behaves through the edge as it does without it.

Every case is a script of raw bytes. It is run against the service and, with the same bytes, through the edge and the mesh,
and everything that can be observed must be the same: the handshake's selections, each frame with its bits, how the
connection ends, and what the service saw: messages, fragments, close code, and every single byte.
"""

import itertools
import re
import socket
import ssl
import struct
import zlib
from dataclasses import dataclass, field

import pytest
from support.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, close, frame, handshake, read_frame
from support.tokens import bearer
from support.wire import Wire

DEFLATE = "permessage-deflate"
_numbers = itertools.count()


def deflated(payload: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    data = compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return data[:-4]


@dataclass
class Case:
    """A script: bytes in pieces, each of which is sent on its own. `after` says what follows the last one."""

    name: str
    send: list[bytes] = field(default_factory=list)
    fields: dict = field(default_factory=dict)
    # "read": read to the end. "half": end our direction first. "reset": after `frames` frames, RST. "gone": FIN both ways.
    after: str = "read"
    frames: int = 0
    early: bool = False  # The first piece is sent together with the handshake.
    pong: bytes = b""  # What a ping is answered with.


# Ends a case: the service answers everything before it, then closes.
END = frame(TEXT, b"close 1000 that is all")
SIZES = [0, 1, 125, 126, 127, 65535, 65536, 1 << 20, 16 << 20]
LEGAL = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4401, 4999]
ILLEGAL = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]
GOOD = ["", "ascii", "κόσμε", "\x00", "\u00a9\u00ae", "\uffff", "\U0001f600 \U0010ffff", "e\u0301"]
BAD = {
    "lone continuation": b"a\x80b", "overlong slash": b"\xc0\xaf", "overlong 3": b"\xe0\x80\xaf", "surrogate": b"\xed\xa0\x80",
    "beyond unicode": b"\xf4\x90\x80\x80", "5 bytes": b"\xf8\x88\x80\x80\x80", "truncated": b"\xce\xba\xe1", "ff": b"\xff",
}


def pattern(size: int) -> bytes:
    return (bytes(range(32, 127)) * (size // 95 + 1))[:size]


def cases() -> list[Case]:
    all_cases = []

    def add(name, *send, **options):
        all_cases.append(Case(name, list(send), **options))

    for size in SIZES:
        for opcode, kind in ((TEXT, "text"), (BINARY, "binary")):
            add(f"{kind} of {size} bytes", frame(opcode, pattern(size)), END)
    # Fragments.
    add("two fragments", frame(TEXT, b"one ", fin=False), frame(CONTINUATION, b"two"), END)
    add("many fragments", frame(BINARY, b"0", fin=False), *[frame(CONTINUATION, b"%d" % n, fin=False) for n in range(1, 60)],
        frame(CONTINUATION, b"!"), END)
    add("empty fragments", frame(TEXT, b"", fin=False), frame(CONTINUATION, b"", fin=False), frame(CONTINUATION, b""), END)
    add("large fragments", frame(BINARY, pattern(200_000), fin=False), frame(CONTINUATION, pattern(300_000)), END)
    add("ping between fragments", frame(TEXT, b"a", fin=False), frame(PING, b"in between"), frame(CONTINUATION, b"b"), END)
    add("pings between all fragments", frame(TEXT, b"a", fin=False), frame(PING, b"1"), frame(CONTINUATION, b"b", fin=False),
        frame(PONG, b"unasked"), frame(PING, b"2"), frame(CONTINUATION, b"c"), END)
    add("close between fragments", frame(TEXT, b"a", fin=False), close(1001, b"going"))
    add("continuation without beginning", frame(CONTINUATION, b"a"))
    add("unfinished continuation without beginning", frame(CONTINUATION, b"a", fin=False), frame(CONTINUATION, b"b"))
    add("message inside a message", frame(TEXT, b"a", fin=False), frame(TEXT, b"b"))
    add("message byte by byte", *[bytes([byte]) for byte in frame(TEXT, b"slowly")], END)
    add("ten messages in one piece", b"".join(frame(TEXT, b"message %d" % n) for n in range(10)) + END)
    add("message with the handshake", frame(TEXT, b"early"), END, early=True)
    # Control frames.
    for size in (0, 1, 124, 125):
        add(f"ping of {size} bytes", frame(PING, pattern(size)), END)
    add("binary ping", frame(PING, bytes(range(125))), END)
    add("ten pings", b"".join(frame(PING, b"%d" % n) for n in range(10)), END)
    add("pong unasked", frame(PONG, b"hello"), frame(PING, b"after"), END)
    add("ping from the service", frame(TEXT, b"ping"), pong=frame(PONG, b"are you there") + END)
    add("ping of 126 bytes", frame(PING, pattern(126)))
    add("pong of 126 bytes", frame(PONG, pattern(126)))
    add("fragmented ping", frame(PING, b"a", fin=False))
    add("fragmented close", frame(CLOSE, struct.pack(">H", 1000), fin=False))
    # Closing.
    for code in LEGAL:
        add(f"close {code}", close(code, b"reason %d" % code))
    for code in ILLEGAL:
        add(f"close {code}, illegal", close(code))
    add("close without code", close())
    add("close with one byte", frame(CLOSE, b"\x03"))
    add("close with the longest reason", close(1000, pattern(123)))
    add("close too long", frame(CLOSE, struct.pack(">H", 1000) + pattern(124)))
    add("close with bad UTF-8", close(1000, b"\xce\xba\xe1\xbd"))
    add("close with good UTF-8", close(4000, "κόσμε".encode()))
    add("close, then more", close(1000) + frame(TEXT, b"too late"))
    for code in (1000, 1001, 1011, 3000, 4403):
        add(f"the service closes with {code}", frame(TEXT, f"close {code} enough".encode()))
    add("the service ends without a close frame", frame(TEXT, b"end"))
    add("the service resets", frame(TEXT, b"abort"))
    # UTF-8.
    for text in GOOD:
        add(f"good UTF-8 {text!r}", frame(TEXT, text.encode()), END)
    for name, data in BAD.items():
        add(f"bad UTF-8: {name}", frame(TEXT, data))
        add(f"as binary: {name}", frame(BINARY, data), END)
    add("UTF-8 cut by fragments", *[frame(TEXT if n == 0 else CONTINUATION, bytes([byte]), fin=False)
                                    for n, byte in enumerate("κόσμε".encode())], frame(CONTINUATION, b""), END)
    add("bad UTF-8 in the second fragment", frame(TEXT, b"fine", fin=False), frame(CONTINUATION, b"\xff"))
    # Masks, reserved bits and opcodes, lengths.
    add("without a mask", frame(TEXT, b"naked", masked=False))
    add("ping without a mask", frame(PING, b"naked", masked=False))
    add("mask of zeros", frame(TEXT, b"zeros", key=bytes(4)), END)
    for rsv in (1, 2, 4):
        add(f"reserved bits {rsv:03b}", frame(TEXT, b"reserved", rsv=rsv))
        add(f"reserved bits {rsv:03b} in a ping", frame(PING, b"reserved", rsv=rsv))
    for opcode in (3, 7, 11, 15):
        add(f"reserved opcode {opcode}", frame(opcode, b"what"))
    add("16-bit length for 5 bytes", frame(TEXT, b"short", length=b"\x7e\x00\x05"), END)
    add("64-bit length for 5 bytes", frame(TEXT, b"short", length=b"\x7f" + struct.pack(">Q", 5)), END)
    add("64-bit length with its highest bit", frame(TEXT, b"", length=b"\x7f\x80" + bytes(7)), after="half")
    # Compression, end to end.
    extension = {"Sec-WebSocket-Extensions": DEFLATE}
    add("deflate", frame(TEXT, deflated(b"hello " * 1000), rsv=4), END, fields=extension)
    add("deflate, not used", frame(TEXT, b"plain all the same"), END, fields=extension)
    add("deflate over fragments", frame(BINARY, deflated(pattern(5000))[:900], rsv=4, fin=False),
        frame(PING, b"between"), frame(CONTINUATION, deflated(pattern(5000))[900:]), END, fields=extension)
    add("deflate without takeover", frame(TEXT, deflated(b"again"), rsv=4), frame(TEXT, deflated(b"again"), rsv=4), END,
        fields={"Sec-WebSocket-Extensions": f"{DEFLATE}; client_no_context_takeover; server_no_context_takeover"})
    add("deflate with a small window", frame(TEXT, deflated(b"window"), rsv=4), END,
        fields={"Sec-WebSocket-Extensions": f"{DEFLATE}; server_max_window_bits=10; client_max_window_bits"})
    add("deflate, broken", frame(TEXT, b"\xff\xff\xff\xff\xff", rsv=4), fields=extension)
    add("deflate on a continuation", frame(TEXT, b"a", fin=False), frame(CONTINUATION, b"b", rsv=4), fields=extension)
    add("deflate on a ping", frame(PING, b"a", rsv=4), fields=extension)
    add("unknown extension", frame(TEXT, b"fine"), END, fields={"Sec-WebSocket-Extensions": "x-unknown; a=1"})
    # Subprotocols.
    add("subprotocol", frame(TEXT, b"v1"), END, fields={"Sec-WebSocket-Protocol": "echo.v1"})
    add("subprotocols, the service's choice", frame(TEXT, b"v2"), END,
        fields={"Sec-WebSocket-Protocol": "echo.v1, other, echo.v2"})
    add("subprotocol that nobody knows", frame(TEXT, b"none"), END, fields={"Sec-WebSocket-Protocol": "other"})
    # Handshakes that are none.
    add("handshake without key", fields={"Sec-WebSocket-Key": ""})
    add("handshake of version 8", fields={"Sec-WebSocket-Version": "8"})
    # TCP.
    add("half closed without a close frame", frame(TEXT, b"bye"), after="half", frames=1)
    add("half closed inside a frame", frame(TEXT, b"unfinished")[:9], after="half")
    add("half closed inside a message", frame(TEXT, b"unfinished", fin=False), after="half")
    add("half closed at once", after="half")
    add("reset", frame(TEXT, b"bye"), after="reset", frames=1)
    add("reset inside a message", frame(TEXT, b"x"), frame(TEXT, b"unfinished", fin=False), after="reset", frames=1)
    return all_cases


CASES = cases()


def run(case: Case, wire: Wire, path: str, host: str, fields: dict) -> list:
    """Plays a script and tells what came back."""
    first = case.send[0] if case.early else b""
    wire.send(handshake(path, host, {**case.fields, **fields}, key=case.fields.get("Sec-WebSocket-Key")) + first)
    answer = wire.response()
    if answer is None:
        return ["no answer", wire.end]
    if answer.status != 101:
        return [answer.status // 100]
    seen = [101, answer["sec-websocket-protocol"], answer["sec-websocket-extensions"]]
    for piece in case.send[case.early :]:
        wire.send(piece)
    if case.after == "half":
        for _ in range(case.frames):
            seen.append(read_frame(wire))
        half_close(wire)
    elif case.after == "reset":
        for _ in range(case.frames):
            seen.append(read_frame(wire))
        wire.reset()
        return seen
    while (one := read_frame(wire)) is not None:
        seen.append(one)
        if one.opcode == PING:
            wire.send(case.pong)
        if one.opcode == CLOSE:
            # The answer to a close frame, where it is still to be given; then the service ends the TCP connection.
            if END in b"".join(case.send[-8:]) + case.pong or case.name.startswith("the service closes"):
                wire.send(frame(CLOSE, one.payload))
            break
    seen.append(wire.read_to_end())
    seen.append(wire.end)
    return seen


def half_close(wire: Wire) -> None:
    """Ends our direction, and waits for the other one to end."""
    if isinstance(wire.socket, ssl.SSLSocket):
        # Sends close_notify; an error unless the other side answers with its own and nothing else.
        try:
            wire.socket.unwrap()
            wire.end = "clean"
        except (ssl.SSLError, OSError):
            wire.end = "abnormal"
    else:
        wire.socket.shutdown(socket.SHUT_WR)


def identifier(name: str, way: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", f"{next(_numbers)}-{name}-{way}")


@pytest.mark.parametrize("way", ["tls", "plain"])
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_case(edge, echo, issuer, case, way):
    direct = identifier(case.name, "direct")
    with Wire((echo.address, echo.port)) as wire:
        expected = run(case, wire, f"/echo?id={direct}", echo.target, {})
    through = identifier(case.name, way)
    port = edge.TLS if way == "tls" else edge.PLAIN
    with edge.wire(port) as wire:
        got = run(case, wire, f"/echo?id={through}", f"{edge.address}:{port}", bearer(issuer.token()))
    assert got == expected
    if expected[0] != 101:
        return
    one, other = echo.finished(direct), echo.finished(through)
    assert other.messages == one.messages
    assert (other.close, other.subprotocol, other.end) == (one.close, one.subprotocol, one.end)
    if case.after != "reset":
        assert (other.byte_count, other.bytes.digest()) == (one.byte_count, one.bytes.digest())
