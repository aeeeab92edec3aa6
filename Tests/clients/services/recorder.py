"""An HTTP service that writes down what it receives, byte by byte, and reads it as strictly as can be.

The last segment of the path says what it does: `echo` (anything else too) tells the request as JSON, `sink` the SHA-256
of the body, `stream` sends `size` bytes, `events` what the test pushes, `never` nothing; names in `pages` are HTML.
"""

import asyncio
import hashlib
import json
import re
import urllib.parse
from dataclasses import dataclass, field

from .loop import LoopThread

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
REQUEST_LINE = re.compile(rb"(" + TOKEN + rb") ([!-~]+) HTTP/1\.1")
FIELD = re.compile(rb"(" + TOKEN + rb"):[ \t]*([!-~\x80-\xff](?:[ \t!-~\x80-\xff]*[!-~\x80-\xff])?|)[ \t]*")


@dataclass
class Received:
    """One request as it arrived."""

    method: str
    target: str
    fields: list[tuple[str, str]]
    raw_head: bytes
    body_size: int = 0
    body_hash: str = ""
    trailers: list = field(default_factory=list)

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict:
        return dict(urllib.parse.parse_qsl(self.target.partition("?")[2]))

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def get(self, name: str) -> str | None:
        values = self.all(name)
        return values[0] if values else None


class Violation(Exception):
    """The edge sent something that is not a well-formed request."""


class Recorder:
    """The service. `requests` and `violations` grow as requests arrive; `connections` counts."""

    def __init__(self, thread: LoopThread, address: str):
        self.thread, self.address = thread, address
        self.requests: list[Received] = []
        self.violations: list[str] = []
        self.connections = 0
        self.open = 0
        self.lost = 0  # Responses that could not be finished, since the edge closed the connection.
        self.pages: dict[str, bytes] = {}
        self._tasks: set[asyncio.Task] = set()
        self._streams: dict[str, asyncio.Queue] = {}
        self._server = thread.run(asyncio.start_server(self._serve, address, 0, limit=1 << 20))
        self.port = self._server.sockets[0].getsockname()[1]

    @property
    def target(self) -> str:
        return f"{self.address}:{self.port}"

    # What tests ask.

    def with_marker(self, marker: str) -> list[Received]:
        """The requests whose head holds a text."""
        return [request for request in list(self.requests) if marker.encode() in request.raw_head]

    def push(self, name: str, event: str | None) -> None:
        """Sends an event on the stream `events?name=NAME`; None ends it."""

        async def put():
            self._queue(name).put_nowait(event)

        self.thread.run(put())

    def _queue(self, name: str) -> asyncio.Queue:
        return self._streams.setdefault(name, asyncio.Queue())

    # The protocol.

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        task = asyncio.current_task()
        self._tasks.add(task)  # A task that only waits is held by nobody else, and would be collected.
        task.add_done_callback(self._tasks.discard)
        try:
            while True:
                try:
                    request = await self._head(reader)
                    if request is None:
                        return
                except Violation as violation:
                    self.violations.append(str(violation))
                    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    return await writer.drain()
                self.requests.append(request)
                await self._answer(request, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.lost += 1
        finally:
            self.open -= 1
            writer.close()

    async def _line(self, reader) -> bytes:
        line = await reader.readuntil(b"\n")
        if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            raise Violation(f"a line does not end with CR LF: {line!r}")
        return line[:-2]

    async def _fields(self, reader) -> tuple[list, bytes]:
        fields, raw = [], b""
        while line := await self._line(reader):
            raw += line + b"\r\n"
            match = FIELD.fullmatch(line)
            if not match:
                raise Violation(f"not a field: {line!r}")
            fields.append((match[1].decode(), match[2].decode("latin-1")))
        return fields, raw

    async def _head(self, reader) -> Received | None:
        try:
            line = await self._line(reader)
        except asyncio.IncompleteReadError as end:
            if end.partial:
                raise Violation(f"half a request line: {end.partial!r}")
            return None
        match = REQUEST_LINE.fullmatch(line)
        if not match:
            raise Violation(f"not a request line: {line!r}")
        fields, raw = await self._fields(reader)
        request = Received(match[1].decode(), match[2].decode(), fields, line + b"\r\n" + raw)
        if len(request.all("Host")) != 1:
            raise Violation(f"not one Host: {request.raw_head!r}")
        if len(request.all("Content-Length")) + len(request.all("Transfer-Encoding")) > 1:
            raise Violation(f"ambiguous length: {request.raw_head!r}")
        if request.all("Transfer-Encoding") not in ([], ["chunked"]):
            raise Violation(f"a coding other than chunked: {request.raw_head!r}")
        return request

    async def _body(self, request: Received, reader):
        """The pieces of the body as they come."""
        length = request.get("Content-Length")
        if request.get("Transfer-Encoding"):
            while True:
                line = await self._line(reader)
                if not re.fullmatch(rb"[0-9A-Fa-f]{1,16}", line):
                    raise Violation(f"not a chunk's size: {line!r}")
                size = int(line, 16)
                if size == 0:
                    request.trailers, _ = await self._fields(reader)
                    return
                while size:
                    data = await reader.read(min(size, 1 << 16))
                    if not data:
                        raise asyncio.IncompleteReadError(b"", size)
                    size -= len(data)
                    yield data
                if await self._line(reader):
                    raise Violation("a chunk is longer than its size")
        elif length:
            if not re.fullmatch(r"[0-9]+", length):
                raise Violation(f"not a length: {length!r}")
            left = int(length)
            while left:
                data = await reader.read(min(left, 1 << 16))
                if not data:
                    raise asyncio.IncompleteReadError(b"", left)
                left -= len(data)
                yield data

    async def _answer(self, request: Received, reader, writer) -> None:
        action = request.path.rsplit("/", 1)[-1]
        if action == "early":  # Answers before it reads the body.
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
            await writer.drain()
            writer.close()
            raise ConnectionAbortedError
        digest = hashlib.sha256()
        async for data in self._body(request, reader):
            digest.update(data)
            request.body_size += len(data)
        request.body_hash = digest.hexdigest()
        if action == "never":
            return await asyncio.sleep(3600)
        if action == "reset":
            writer.transport.abort()
            raise ConnectionAbortedError
        if action == "events":
            return await self._events(request, writer)
        if action == "stream":
            return await self._stream(request, writer)
        if action == "evil":  # A response with fields that only the edge may set.
            body = b"evil"
            fields = (b"X-Request-Id: forged\r\nConduit-Caller: forged\r\nConnection: X-Drop\r\nX-Drop: me\r\n"
                      b"Keep-Alive: timeout=5\r\nServer: recorder\r\n")
            status = b"200 OK"
        elif action in self.pages:
            body, status, fields = self.pages[action], b"200 OK", b"Content-Type: text/html; charset=utf-8\r\n"
        else:
            body = json.dumps(
                {"method": request.method, "target": request.target, "headers": request.fields,
                 "size": request.body_size, "sha256": request.body_hash, "trailers": request.trailers}
            ).encode()
            fields = b"Content-Type: application/json\r\n"
            code = re.fullmatch(r"status-(\d+)", action)
            status = (code[1] if code else "200").encode() + b" X"
        writer.write(b"HTTP/1.1 " + status + b"\r\n" + fields + b"Content-Length: %d\r\n\r\n" % len(body))
        if request.method != "HEAD":
            writer.write(body)
        await writer.drain()

    async def _events(self, request: Received, writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
                     b"Transfer-Encoding: chunked\r\n\r\n")
        await writer.drain()
        queue = self._queue(request.query["name"])
        while (event := await queue.get()) is not None:
            data = f"data: {event}\n\n".encode()
            writer.write(b"%x\r\n%s\r\n" % (len(data), data))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def _stream(self, request: Received, writer) -> None:
        size = int(request.query["size"])
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n")
        digest, sent = hashlib.sha256(), 0
        block = bytes(range(256)) * 128
        while sent < size:
            data = block[: min(len(block), size - sent)]
            sent += len(data)
            digest.update(data)
            writer.write(b"%x\r\n%s\r\n" % (len(data), data))
            await writer.drain()
        writer.write(b"0\r\nX-Sum: %s\r\n\r\n" % digest.hexdigest().encode())
        await writer.drain()
