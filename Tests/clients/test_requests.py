"""Malformed and ambiguous requests through the real socket.

Nothing may reach the service in a form that differs from what was authorised. Everything here is sent by somebody without
a token to the route /open, which needs none; many of the requests hide another one, to /api, which does. The service reads
strictly and writes down every byte, so whatever it misunderstands is a finding by itself.
"""

import re
import uuid
from dataclasses import dataclass

import pytest
from support.processes import eventually

NO, YES, MAYBE = "refused", "forwarded", "refused or forwarded as it is"


@dataclass
class Attack:
    """`raw` is sent as it is (HOST and MARK replaced). `seen` is the body with which the service may see a request."""

    name: str
    raw: bytes
    outcome: str = NO
    method: str = "GET"
    body: bytes = b""
    target: str = "/open/echo?MARK"


def attacks() -> list[Attack]:
    table: list[Attack] = []

    def add(name, raw, outcome=NO, **more):
        table.append(Attack(name, raw if isinstance(raw, bytes) else raw.encode("latin-1"), outcome, **more))

    def get(fields="", target="/open/echo?MARK", host="Host: HOST\r\n"):
        return f"GET {target} HTTP/1.1\r\n{host}{fields}\r\n"

    def post(fields, body="", target="/open/echo?MARK"):
        return f"POST {target} HTTP/1.1\r\nHost: HOST\r\n{fields}\r\n{body}"

    hidden = "GET /api/echo?MARK HTTP/1.1\r\nHost: HOST\r\n\r\n"
    chunked_hidden = f"0\r\n\r\n{hidden}"

    # Lines.
    add("bare LF everywhere", get().replace("\r\n", "\n"))
    add("bare LF after a field", get("A: b\nC: d\r\n"))
    add("bare LF at the end of the head", "GET /open/echo?MARK HTTP/1.1\r\nHost: HOST\r\n\n")
    add("bare CR in a value", get("A: b\rC: d\r\n"))
    add("CR CR LF", get("A: b\r\r\n"))
    add("bare CR between fields", get("A: b\rTransfer-Encoding: chunked\r\n"))
    add("one empty line before", "\r\n" + get(), MAYBE)
    add("bare LF before", "\n" + get(), MAYBE)
    add("folded field", get("A: b\r\n c\r\n"))
    add("folded with a tab", get("A: b\r\n\tc\r\n"))
    add("folded transfer coding", post("Transfer-Encoding:\r\n chunked\r\n", chunked_hidden))
    add("folded before the first field", "GET /open/echo?MARK HTTP/1.1\r\n Host: HOST\r\n\r\n")
    # Request lines.
    add("two blanks", "GET  /open/echo?MARK HTTP/1.1\r\nHost: HOST\r\n\r\n")
    add("tab for a blank", "GET\t/open/echo?MARK HTTP/1.1\r\nHost: HOST\r\n\r\n")
    add("blank at the end", "GET /open/echo?MARK HTTP/1.1 \r\nHost: HOST\r\n\r\n")
    add("blank in the target", "GET /open/echo?MARK x HTTP/1.1\r\nHost: HOST\r\n\r\n")
    add("no version", "GET /open/echo?MARK\r\nHost: HOST\r\n\r\n")
    for version in ("HTTP/2.0", "HTTP/1.2", "HTTP/0.9", "http/1.1", "HTTP/1.1x", "HTTP/01.1", "HTTP/1,1", "HTTP/ 1.1"):
        add(f"version {version}", f"GET /open/echo?MARK {version}\r\nHost: HOST\r\n\r\n", MAYBE if version == "HTTP/1.2" else NO)
    add("method with @", "G@T /open/echo?MARK HTTP/1.1\r\nHost: HOST\r\n\r\n")
    add("method with NUL", "GET\0 /open/echo?MARK HTTP/1.1\r\nHost: HOST\r\n\r\n")
    add("no method", " /open/echo?MARK HTTP/1.1\r\nHost: HOST\r\n\r\n")
    add("lower-case method", "get /open/echo?MARK HTTP/1.1\r\nHost: HOST\r\n\r\n", MAYBE, method="get")
    add("unknown method", "BREW /open/echo?MARK HTTP/1.1\r\nHost: HOST\r\n\r\n", MAYBE, method="BREW")
    add("CONNECT", "CONNECT HOST HTTP/1.1\r\nHost: HOST\r\nX: MARK\r\n\r\n")
    add("TRACE with a body", "TRACE /open/echo?MARK HTTP/1.1\r\nHost: HOST\r\nContent-Length: 2\r\n\r\nhi", MAYBE,
        method="TRACE", body=b"hi")
    # Targets.
    add("fragment", get(target="/open/echo?MARK#x"))
    add("non-ASCII", get(target="/open/echo\xe4?MARK"))
    add("control character", get(target="/open/echo\x01?MARK"))
    add("NUL, escaped", get(target="/open/echo%00?MARK"), MAYBE, target="/open/echo%00?MARK")
    add("broken escape", get(target="/open/echo%zz?MARK"))
    add("dot segments", get(target="/open/../api/echo?MARK"))
    add("dot segments, escaped", get(target="/open/%2e%2e/api/echo?MARK"))
    add("dot segments, half escaped", get(target="/open/.%2E/api/echo?MARK"))
    add("escaped slash", get(target="/open/..%2fapi/echo?MARK"), MAYBE, target="/open/..%2fapi/echo?MARK")
    add("escaped twice", get(target="/open/%252e%252e/api/echo?MARK"), MAYBE, target="/open/%252e%252e/api/echo?MARK")
    add("parameters of dots", get(target="/open/..;/api/echo?MARK"), MAYBE, target="/open/..;/api/echo?MARK")
    add("backslashes", get(target="/open\\..\\api/echo?MARK"))
    add("escaped backslash", get(target="/open/..%5capi/echo?MARK"), MAYBE, target="/open/..%5capi/echo?MARK")
    add("two slashes", get(target="//api/echo?MARK"))
    add("two slashes and dots", get(target="/open//../api/echo?MARK"))
    add("another case", get(target="/API/echo?MARK"))
    add("escaped letter of the prefix", get(target="/%61pi/echo?MARK"))
    add("absolute form, same host", get(target="http://HOST/open/echo?MARK"), MAYBE)
    add("absolute form, other host", get(target="http://other.test/open/echo?MARK"), MAYBE)
    add("absolute form, protected path", get(target="http://HOST/api/echo?MARK"))
    add("absolute form, user", get(target="http://user@HOST/open/echo?MARK"))
    add("absolute form, other scheme", get(target="gopher://HOST/open/echo?MARK"))
    add("asterisk", get("X: MARK\r\n", target="*"))
    add("no slash", get(target="open/echo?MARK"))
    add("authority", get("X: MARK\r\n", target="HOST"))
    add("empty target", "GET  HTTP/1.1\r\nHost: HOST\r\nX: MARK\r\n\r\n")
    # Host.
    add("no Host", get(host=""))
    for name, host in {"two": "Host: HOST\r\nHost: other.test\r\n", "twice the same": "Host: HOST\r\nHost: HOST\r\n",
                       "in two cases": "Host: HOST\r\nhOST: other.test\r\n", "with a path": "Host: HOST/x\r\n",
                       "with a user": "Host: user@HOST\r\n", "with a blank": "Host: HO ST\r\n", "a list": "Host: HOST, HOST\r\n",
                       "with a letter in the port": "Host: HOSTx\r\n", "port too large": "Host: h:99999\r\n",
                       "with a blank before the colon": "Host : HOST\r\n"}.items():
        add(f"Host {name}", get(host=host))
    add("HTTP/1.0 without Host", "GET /open/echo?MARK HTTP/1.0\r\n\r\n", MAYBE)
    # Fields.
    add("blank before the colon", get("A : b\r\n"))
    add("tab before the colon", get("A\t: b\r\n"))
    add("no colon", get("A b\r\n"))
    add("no name", get(": b\r\n"))
    add("blank in a name", get("A b: c\r\n"))
    add("non-ASCII name", get("\xc4: b\r\n"))
    add("NUL in a value", get("A: b\0c\r\n"))
    add("control character in a value", get("A: b\x01c\r\n"))
    add("DEL in a value", get("A: b\x7fc\r\n"))
    add("too many fields", get("".join(f"A{n}: b\r\n" for n in range(2000))))
    add("a field that is too long", get("A: " + "b" * 200_000 + "\r\n"))
    add("a target that is too long", get(target="/open/echo?MARK" + "a" * 200_000))
    add("Connection names Host", get("Connection: Host\r\n"), MAYBE)
    add("Connection names the length", post("Content-Length: 5\r\nConnection: Content-Length\r\n", "hello"), MAYBE,
        method="POST", body=b"hello")
    add("Connection names the coding", post("Transfer-Encoding: chunked\r\nConnection: Transfer-Encoding\r\n",
        "5\r\nhello\r\n0\r\n\r\n"), MAYBE, method="POST", body=b"hello")
    add("unknown expectation", get("Expect: miracles\r\n"))
    add("Upgrade to h2c", get("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"), MAYBE)
    add("half a WebSocket handshake", get("Connection: Upgrade\r\nUpgrade: websocket\r\n"))
    # How long is it?
    length = "Content-Length: SIZE\r\n"
    both = "Transfer-Encoding: chunked\r\n"
    add("length and coding", post(length + both, chunked_hidden))
    add("coding and length", post(both + length, chunked_hidden))
    for value in ("xchunked", "chunked, identity", "identity", "identity, chunked", "gzip, chunked", "chunked, chunked", "\x0bchunked",
                  "chunked\x0b", '"chunked"', "chunked;q=1", "", "chunked,", ", chunked", "cow"):
        add(f"coding {value!r}", post(f"Transfer-Encoding: {value}\r\n", chunked_hidden))
        add(f"coding {value!r} and length", post(f"{length}Transfer-Encoding: {value}\r\n", chunked_hidden))
    add("coding with a blank before the colon", post(length + "Transfer-Encoding : chunked\r\n", chunked_hidden))
    add("coding twice", post(both + both, chunked_hidden))
    add("coding twice, different", post(both + "Transfer-Encoding: identity\r\n", chunked_hidden))
    add("coding in HTTP/1.0", f"POST /open/echo?MARK HTTP/1.0\r\nHost: HOST\r\n{both}\r\n{chunked_hidden}")
    add("coding with an underscore", post("Content-Length: 2\r\nTransfer_Encoding: chunked\r\n", "hi"))
    add("length with an underscore", post("Content_Length: 50\r\nContent-Length: 2\r\n", "hi"))
    add("two lengths", post("Content-Length: 0\r\n" + length, hidden))
    add("the same length twice", post("Content-Length: 2\r\nContent-Length: 2\r\n", "hi"))
    for value in ("2, 2", "+2", "-2", "0x2", "2 2", "", "2.0", "2e0", "２", "18446744073709551618", "9" * 40, "two", "2\x0b"):
        add(f"length {value!r}", post(f"Content-Length: {value}\r\n", "hi").encode("utf-8"))
    add("length with zeros before", post("Content-Length: 0002\r\n", "hi"), MAYBE, method="POST", body=b"hi")
    # Chunks.
    for name, body in {
        "plus": "+5\r\nhello\r\n0\r\n\r\n", "minus": "-5\r\nhello\r\n0\r\n\r\n", "0x": "0x5\r\nhello\r\n0\r\n\r\n",
        "blank before": " 5\r\nhello\r\n0\r\n\r\n", "nothing": "\r\nhello\r\n0\r\n\r\n", "huge": "FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
        "bare LF after the size": "5\nhello\r\n0\r\n\r\n", "bare LF after the data": "5\r\nhello\n0\r\n\r\n",
        "longer than its size": "4\r\nhello\r\n0\r\n\r\n", "shorter than its size": "6\r\nhello\r\n0\r\n\r\n",
        "bare LF in an extension": f"5;a\nb\r\nhello\r\n{chunked_hidden}", "bare CR in an extension": "5;a\rb\r\nhello\r\n0\r\n\r\n",
        "no CR LF at the end": f"5\r\nhello0\r\n\r\n{hidden}", "underscore": "1_0\r\nhello\r\n0\r\n\r\n",
    }.items():
        add(f"chunk: {name}", post(both, body), NO, method="POST", body=b"hello")
    add("chunk: blank behind the size", post(both, "5 \r\nhello\r\n0\r\n\r\n"), MAYBE, method="POST", body=b"hello")
    add("chunk: extension", post(both, '5;a=b;c="d"\r\nhello\r\n0\r\n\r\n'), MAYBE, method="POST", body=b"hello")
    add("chunk: zeros before", post(both, "0005\r\nhello\r\n000\r\n\r\n"), MAYBE, method="POST", body=b"hello")
    add("trailers that may not be", post(both, "5\r\nhello\r\n0\r\nContent-Length: 500\r\nTransfer-Encoding: chunked\r\n"
        "Host: evil.test\r\nAuthorization: Bearer x\r\nConduit-Caller: root\r\n\r\n"), MAYBE, method="POST", body=b"hello")
    add("trailers that are none", post(both, "5\r\nhello\r\n0\r\nno colon\r\n\r\n"), NO, method="POST", body=b"hello")
    add("trailers, folded", post(both, "5\r\nhello\r\n0\r\nA: b\r\n c\r\n\r\n"), NO, method="POST", body=b"hello")
    # Requests that hide another one: legal for the first, and the second is judged by itself.
    add("hidden behind length 0", post("Content-Length: 0\r\n", hidden), YES, method="POST")
    add("hidden behind the last chunk", post(both, chunked_hidden), YES, method="POST")
    add("hidden behind a GET", get() + hidden, YES)
    add("hidden in a body", post(length, hidden), YES, method="POST", body=hidden.encode())
    add("GET with a body", get("Content-Length: 5\r\n") + "hello", YES, body=b"hello")
    return table


ATTACKS = attacks()


def expand(raw: bytes, host: str, mark: str) -> bytes:
    raw = raw.replace(b"HOST", host.encode()).replace(b"MARK", mark.encode())
    if b"SIZE" in raw:
        body = raw.split(b"\r\n\r\n", 1)[1]
        raw = raw.replace(b"SIZE", b"%d" % len(body))
    return raw


@pytest.mark.parametrize("attack", ATTACKS, ids=[attack.name for attack in ATTACKS])
def test_attack(edge, recorder, attack):
    mark, host = uuid.uuid4().hex, f"{edge.address}:{edge.PLAIN}"
    raw = expand(attack.raw, host, mark)
    last = f"GET /open/last?{mark} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    with edge.wire(edge.PLAIN, timeout=5 if attack.outcome == NO else 20) as wire:
        wire.send(raw + last)
        answers = wire.read_to_end()
        assert wire.end != "silent" or attack.outcome == NO, "no end"
    status = re.match(rb"HTTP/1\.1 (\d+)", answers)
    # A service may still be reading.
    seen = [request for request in recorder.with_marker(mark) if not request.path.endswith("/last")]
    if attack.outcome == NO:
        # Where the head is in order and the body is not, the service may have seen the head; never more.
        assert not seen or attack.body, [request.raw_head for request in seen]
        for request in seen:
            assert not request.body_hash, "the service took a broken body for a whole one"
        assert not status or status[1][:1] in b"45", answers[:200]
        if status:
            assert b"application/problem+json" in answers.lower()
    elif attack.outcome == YES:
        eventually(lambda: recorder.with_marker(mark), "the service sees it")
        assert status and status[1] == b"200", answers[:300]
    if seen and attack.outcome != NO:
        (request,) = seen
        assert (request.method, request.target) == (attack.method, attack.target.replace("MARK", mark))
        assert request.body_size == len(expand(attack.body, host, mark))
    for request in recorder.with_marker(mark):
        assert request.path.startswith("/open/"), request.target
        assert request.get("Conduit-Caller") in (None, "anonymous")
        names = [name.lower() for name, _ in request.fields + request.trailers]
        assert not {"transfer_encoding", "content_length", "upgrade", "http2-settings"} & set(names), names
        assert not {"host", "authorization", "content-length"} & {name.lower() for name, _ in request.trailers}
    # Whoever comes next on the same connections to the service gets his own answer.
    with edge.wire(edge.PLAIN) as wire:
        for number in range(2):
            answer = wire.request(f"GET /open/echo?next-{mark}-{number} HTTP/1.1\r\nHost: {host}\r\n\r\n")
            assert answer.status == 200 and f"next-{mark}-{number}".encode() in answer.body


def test_there_are_enough():
    assert len(ATTACKS) >= 60


def test_pipelined_requests_are_answered_in_order(edge, recorder, issuer):
    from support.tokens import bearer

    field = "".join(f"{name}: {value}\r\n" for name, value in bearer(issuer.token()).items())
    with edge.wire() as wire:
        wire.send("".join(f"GET /api/echo?n={n} HTTP/1.1\r\nHost: {edge.address}\r\n{field}\r\n" for n in range(20)).encode())
        for number in range(20):
            assert f'"/api/echo?n={number}"'.encode() in wire.response().body


def test_a_token_counts_for_its_own_request_only(edge, recorder, issuer):
    """On one connection: with a token, without one, with another one."""
    with edge.wire() as wire:
        for subject in ("anna", None, "bert", None, "anna"):
            field = f"Authorization: Bearer {issuer.token(subject)}\r\n" if subject else ""
            answer = wire.request(f"GET /api/echo HTTP/1.1\r\nHost: {edge.address}\r\n{field}\r\n")
            assert answer.status == (200 if subject else 401)
            if subject:
                assert f"issuer.test/{subject}".encode() in answer.body


def test_half_a_request(edge, recorder):
    """Whoever stops in the middle has not asked for anything."""
    for raw in ("GET /open/echo?{} HTTP/1.1\r\nHost: x\r\n", "GET /open/echo?{} HTTP", "P"):
        mark = uuid.uuid4().hex
        with edge.wire(edge.PLAIN) as wire:
            wire.send(raw.format(mark).encode())
            wire.socket.shutdown(1)
            assert b" 200 " not in wire.read_to_end()
        assert not recorder.with_marker(mark)


def test_service_sees_a_cut_body_as_cut(edge, recorder):
    """A client that goes away in the middle of a body must not look like one that has finished."""
    for framing, sent in (("Content-Length: 100", b"x" * 50), ("Transfer-Encoding: chunked", b"32\r\n" + b"x" * 50 + b"\r\n")):
        mark, lost = uuid.uuid4().hex, recorder.lost
        with edge.wire(edge.PLAIN) as wire:
            wire.send(f"POST /open/sink?{mark} HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n".encode() + sent)
            (request,) = eventually(lambda: recorder.with_marker(mark), "the head arrives")
            eventually(lambda: request.body_size == 50, "what there is of the body arrives")
        eventually(lambda: recorder.lost > lost, "the service's connection ends")
        assert not request.body_hash
