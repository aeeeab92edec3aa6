"""Streams of bytes that both ends know beforehand, moved both ways through something that is being cut.

One Path opens its streams at Unix sockets (`entries`) and takes the other ends at Unix sockets of its own (the services
behind). Every byte that arrives is compared with what was sent, and at the end the counts of both ends must be equal.
"""

import os
import selectors
import socket
import struct
import threading
import time
import zlib

BLOCK = 16384
POOL_SIZE = 1 << 20


class Pattern:
    """The bytes of one direction: blocks of a number, the checksum of the body, and a body that the seed determines."""

    _pool: bytes | None = None

    def __init__(self, seed: int):
        if Pattern._pool is None:
            import random

            Pattern._pool = random.Random(20).randbytes(POOL_SIZE + BLOCK)
        self.seed = seed

    def block(self, number: int) -> bytes:
        start = (self.seed * 7919 + number * 104729) % POOL_SIZE
        body = Pattern._pool[start : start + BLOCK - 16]
        return struct.pack(">III", self.seed & 0xFFFFFFFF, number & 0xFFFFFFFF, zlib.crc32(body)) + b"\0\0\0\0" + body


# How long, and until when (Unix time).
NO_PAUSE = (0.0, 0.0)


class End:
    """One end of a stream: sends its own pattern, checks the other's."""

    def __init__(self, sock: socket.socket, seed: int, opens: bool):
        sock.setblocking(False)
        self.sock, self.opens = sock, opens
        self.sends = Pattern(seed * 2 + (0 if opens else 1))
        self.expects = Pattern(seed * 2 + (1 if opens else 0))
        self.pending = struct.pack(">Q", seed) if opens else b""
        self.next_block = self.sent = self.received = 0
        self.expected, self.place = b"", 0
        self.finished_sending = self.finished_receiving = False
        self.last = time.monotonic()
        self.longest_pause = NO_PAUSE

    def fill(self, stopping: bool) -> bool:
        """Sends what the socket takes. Returns whether there may be more to send."""
        for _ in range(8):
            if not self.pending:
                if self.finished_sending:
                    return False
                if stopping:
                    self.finished_sending = True
                    self.sock.shutdown(socket.SHUT_WR)
                    return False
                self.pending = memoryview(self.sends.block(self.next_block))
                self.next_block += 1
            try:
                count = self.sock.send(self.pending)
            except BlockingIOError:
                return True
            self.pending = self.pending[count:]
            self.sent += count
        return True

    def drain(self) -> None:
        """Reads what is there and compares it."""
        for _ in range(8):
            try:
                data = self.sock.recv(65536)
            except BlockingIOError:
                return
            if not data:
                self.finished_receiving = True
                return
            now = time.monotonic()
            if self.received:
                self.longest_pause = max(self.longest_pause, (now - self.last, time.time()))
            self.last = now
            place = 0
            while place < len(data):
                if self.place == len(self.expected):
                    self.expected = self.expects.block(self.received // BLOCK)
                    self.place = 0
                part = data[place : place + len(self.expected) - self.place]
                if part != self.expected[self.place : self.place + len(part)]:
                    raise Corrupted(f"the bytes after {self.received} differ")
                self.place += len(part)
                place += len(part)
                self.received += len(part)


class Corrupted(Exception):
    """A byte arrived that was not sent."""


class Path(threading.Thread):
    """All streams of one path, on a thread of its own.

    `again`: a stream that is lost is replaced by another one, so that there is always something to lose.
    """

    def __init__(self, name: str, entries: list[str], sinks: list[str], streams: int, again: bool):
        super().__init__(name=name, daemon=True)
        self.path_name, self.entries, self.again, self.wanted = name, entries, again, streams
        self.selector = selectors.DefaultSelector()
        self.ends: dict[int, list[End | None]] = {}
        self.lost: list[str] = []
        self.failed_opens = self.opened = self.verified = 0
        self.longest_pause = NO_PAUSE
        self.corrupted: list[str] = []
        self.stopping = self.over = False
        self.listeners = []
        for sink in sinks:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(sink)
            os.chmod(sink, 0o666)
            listener.listen(4096)
            listener.setblocking(False)
            self.selector.register(listener, selectors.EVENT_READ, None)
            self.listeners.append(listener)
        self.waiting: dict[socket.socket, bytes] = {}
        self.retry_at = 0.0
        self.wake_in, self.wake_out = os.pipe()

    @property
    def in_flight(self) -> int:
        """Bytes that one application sent and the other has not got yet."""
        total = 0
        for pair in list(self.ends.values()):
            opener, acceptor = pair
            if opener and acceptor:
                total += max(0, opener.sent - 8 - acceptor.received) + max(0, acceptor.sent - opener.received)
        return total

    @property
    def alive(self) -> int:
        """Streams that carried bytes both ways and still stand."""
        return sum(1 for pair in list(self.ends.values()) if pair[0] and pair[1] and pair[0].received)

    def open(self, seed: int) -> None:
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.connect(self.entries[seed % len(self.entries)])
        except OSError:
            sock.close()
            self.failed_opens += 1
            return
        end = End(sock, seed, True)
        self.ends[seed] = [end, None]
        self.selector.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE, (seed, end))

    def run(self) -> None:
        while not self.over:
            now = time.monotonic()
            if not self.stopping and now >= self.retry_at and (self.again or self.opened < self.wanted):
                while len(self.ends) < self.wanted:
                    self.opened += 1
                    before = self.failed_opens
                    self.open(self.opened)
                    if self.failed_opens > before:
                        break
                self.retry_at = now + 0.1
            for key, events in self.selector.select(0.05):
                if key.data is None:
                    self.take(key.fileobj)
                elif key.data == "greeting":
                    self.greeting(key.fileobj)
                else:
                    self.serve(*key.data, events)
            if self.stopping and not self.ends:
                return

    def take(self, listener: socket.socket) -> None:
        try:
            sock, _ = listener.accept()
        except BlockingIOError:
            return
        sock.setblocking(False)
        self.waiting[sock] = b""
        self.selector.register(sock, selectors.EVENT_READ, "greeting")

    def greeting(self, sock: socket.socket) -> None:
        """The first eight bytes say which stream this is."""
        try:
            data = sock.recv(8 - len(self.waiting[sock]))
        except BlockingIOError:
            return
        except OSError:
            data = b""
        greeting = self.waiting[sock] + data
        if data and len(greeting) < 8:
            self.waiting[sock] = greeting
            return
        del self.waiting[sock]
        self.selector.unregister(sock)
        seed = struct.unpack(">Q", greeting)[0] if len(greeting) == 8 else 0
        if seed not in self.ends or self.ends[seed][1]:
            if seed in self.ends:
                self.corrupted.append(f"stream {seed} was opened twice")
            sock.close()
            return
        end = End(sock, seed, False)
        self.ends[seed][1] = end
        self.selector.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE, (seed, end))

    def serve(self, seed: int, end: End, events: int) -> None:
        if seed not in self.ends:
            return
        try:
            if events & selectors.EVENT_READ:
                end.drain()
            if events & selectors.EVENT_WRITE:
                more = end.fill(self.stopping)
            else:
                more = not end.finished_sending
        except Corrupted as error:
            self.corrupted.append(f"stream {seed}: {error}")
            return self.drop(seed, str(error))
        except OSError as error:
            return self.drop(seed, error.strerror or str(error))
        if end.finished_receiving and not self.stopping:
            return self.drop(seed, "ended early")
        wanted = (0 if end.finished_receiving else selectors.EVENT_READ) | (selectors.EVENT_WRITE if more else 0)
        if not wanted:
            self.selector.unregister(end.sock)
            self.finish(seed)
        elif self.selector.get_key(end.sock).events != wanted:
            self.selector.modify(end.sock, wanted, (seed, end))

    def finish(self, seed: int) -> None:
        """Both directions of both ends are complete: what was sent must have arrived."""
        opener, acceptor = self.ends[seed]
        if acceptor is None or not all(end.finished_sending and end.finished_receiving for end in (opener, acceptor)):
            return
        for sender, receiver, greeting in ((opener, acceptor, 8), (acceptor, opener, 0)):
            if sender.sent - greeting != receiver.received:
                self.lost.append(f"{sender.sent - greeting} bytes sent, {receiver.received} received")
                break
        self.close(seed)

    def close(self, seed: int) -> None:
        for end in self.ends.pop(seed):
            if end is None:
                continue
            self.verified += end.received
            self.longest_pause = max(self.longest_pause, end.longest_pause)
            try:
                self.selector.unregister(end.sock)
            except (KeyError, ValueError):
                pass
            end.sock.close()

    def drop(self, seed: int, why: str) -> None:
        opener, acceptor = self.ends[seed]
        if opener.received or (acceptor and acceptor.received):
            self.lost.append(why)
        else:
            self.failed_opens += 1
        self.close(seed)

    def finish_all(self, seconds: float) -> None:
        """Ends all streams in order; those that do not end in time are lost."""
        self.stopping = True
        self.join(seconds)
        self.over = True
        self.join(5)
        for seed in list(self.ends):
            self.drop(seed, "did not end")
        for listener in self.listeners:
            listener.close()

    def pauses(self) -> tuple[float, float]:
        """The longest time in which a stream got nothing, so far, in seconds, and the Unix time of its end."""
        ends = [end for pair in list(self.ends.values()) for end in pair if end]
        return max([self.longest_pause] + [end.longest_pause for end in ends])
