"""A WebSocket echo service (the library `websockets`) behind a tap that writes down every byte that reaches it.

`/echo` echoes messages with their fragments. The text `close CODE REASON` makes the service close, `abort` makes it reset
the connection, `end` makes it end without a close frame. Per connection, named by `?id=`, it remembers what it saw.
"""

import asyncio
import hashlib
import re
import socket
import struct

import websockets
from websockets.asyncio.server import serve
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory

from .loop import LoopThread


def reset(stream) -> None:
    """Ends a connection with RST."""
    own = stream.transport.get_extra_info("socket")
    own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.transport.abort()


class Seen:
    """What the service saw of one connection."""

    def __init__(self):
        self.messages: list[tuple[str, int, str]] = []  # kind, size, hash of each fragment
        self.close: tuple | None = None
        self.subprotocol: str | None = None
        self.fields: dict[str, str] = {}
        self.bytes = hashlib.sha256()
        self.byte_count = 0
        self.end: str | None = None
        self.done = asyncio.Event()


class Echo:
    def __init__(self, thread: LoopThread, address: str):
        self.thread, self.address = thread, address
        self.seen: dict[str, Seen] = {}
        self.connections = 0
        self._tasks: set[asyncio.Task] = set()
        deflate = ServerPerMessageDeflateFactory(compress_settings={"memLevel": 5})
        self._server = thread.run(self._start(address, deflate))
        inner = self._server.sockets[0].getsockname()
        self._tap = thread.run(
            asyncio.start_server(lambda r, w: self._relay(r, w, inner), address, 0, limit=1 << 20)
        )
        self.port = self._tap.sockets[0].getsockname()[1]

    @property
    def target(self) -> str:
        return f"{self.address}:{self.port}"

    async def _start(self, address, deflate):
        return await serve(
            self._echo, address, 0, max_size=None, extensions=[deflate], compression=None, ping_interval=None,
            close_timeout=20, open_timeout=20, subprotocols=["echo.v2", "echo.v1"], select_subprotocol=self._select,
        )

    @staticmethod
    def _select(_connection, offered):
        return next((name for name in ("echo.v2", "echo.v1") if name in offered), None)

    def of(self, identifier: str) -> Seen:
        return self.seen.setdefault(identifier, Seen())

    def finished(self, identifier: str, timeout: float = 20) -> Seen:
        """What was seen of a connection that is over on the service's side."""
        seen = self.of(identifier)
        self.thread.run(asyncio.wait_for(seen.done.wait(), timeout), timeout + 5)
        return seen

    async def _echo(self, connection) -> None:
        self.connections += 1
        identifier = re.search(r"[?&]id=([\w.-]+)", connection.request.path)
        seen = self.of(identifier[1] if identifier else "")
        seen.subprotocol = connection.subprotocol
        seen.fields = {name.lower(): value for name, value in connection.request.headers.raw_items()}
        try:
            while True:
                fragments = [fragment async for fragment in connection.recv_streaming()]
                for fragment in fragments:
                    data = fragment.encode() if isinstance(fragment, str) else fragment
                    kind = "text" if isinstance(fragment, str) else "binary"
                    seen.messages.append((kind, len(data), hashlib.sha256(data).hexdigest()[:16]))
                order = fragments[0] if len(fragments) == 1 and isinstance(fragments[0], str) else ""
                if order.startswith("close "):
                    _, code, *reason = order.split(" ", 2)
                    await connection.close(int(code), reason[0] if reason else "")
                elif order == "ping":
                    await (await connection.ping(b"are you there"))
                    await connection.send("pong seen")
                elif order == "end":
                    connection.transport.close()
                elif order == "abort":
                    reset(connection)
                elif len(fragments) == 1:
                    await connection.send(fragments[0])
                else:
                    await connection.send(fragments)
        except websockets.ConnectionClosed:
            received = connection.protocol.close_rcvd
            seen.close = (received.code, received.reason) if received else None

    # The tap.

    async def _relay(self, reader, writer, inner) -> None:
        # A task that only waits is held by nobody else, and would be collected.
        task = asyncio.current_task()
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return writer.close()
        identifier = re.search(rb"[?&]id=([\w.-]+)", head.split(b"\r\n")[0])
        seen = self.of(identifier[1].decode() if identifier else "")
        to_service = await asyncio.open_connection(*inner)
        to_service[1].write(head)

        async def inward():
            try:
                while data := await reader.read(1 << 18):
                    seen.bytes.update(data)
                    seen.byte_count += len(data)
                    to_service[1].write(data)
                    await to_service[1].drain()
                seen.end = "clean"
                to_service[1].write_eof()
            except ConnectionError:
                if seen.end is None:
                    seen.end = "abnormal"
                    reset(to_service[1])

        async def outward():
            try:
                while data := await to_service[0].read(1 << 18):
                    writer.write(data)
                    await writer.drain()
                writer.write_eof()
            except ConnectionError:
                reset(writer)

        await asyncio.gather(inward(), outward(), return_exceptions=True)
        for one in (writer, to_service[1]):
            one.close()
        seen.done.set()
