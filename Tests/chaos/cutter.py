"""Where the privileges for network namespaces are missing: loopback, with a proxy in a process of its own that cuts.

As a program it forwards `LISTEN=TARGET` pairs and takes orders from standard input, a line each: `reset`, `silence 1.2`,
`deaf North 0.7`, `half_open South`, `refused 0.5`, `count`. It answers each with one line.
"""

import selectors
import socket
import struct
import subprocess
import sys
import time

from faults import Fault


class Cutter:
    """The network of a run without privileges."""

    description = "loopback and a proxy that cuts (no privileges for network namespaces)"

    def __init__(self, net: str, ports: dict[str, int]):
        self.net, self.ports = net, ports
        pairs = [f"{self.link_target(name)}={self.listener(name)}" for name in ports]
        self.process = subprocess.Popen([sys.executable, __file__, *pairs], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def prefix(self, side: str) -> list[str]:
        return []

    def address(self, side: str) -> str:
        return f"{self.net}.{1 if side == 'North' else 2}"

    def link_target(self, name: str) -> str:
        return f"{self.net}.9:{self.ports[name]}"

    def listener(self, name: str) -> str:
        return f"{self.net}.2:{self.ports[name]}"

    def order(self, text: str) -> str:
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def in_flight(self) -> dict[str, int]:
        """Connections through the proxy, for each path that has one: what it holds of their bytes."""
        found = {}
        for part in self.order("count").split():
            port, held = part.split("=")
            for name, number in self.ports.items():
                if number == int(port):
                    found[name] = int(held)
        return found

    def happen(self, fault: Fault) -> None:
        self.order(f"{fault.kind} {fault.side} {fault.lasts}")

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(10)


class Half:
    """One direction of a forwarded connection."""

    def __init__(self, source: socket.socket, sink: socket.socket, hears: str):
        self.source, self.sink, self.hears = source, sink, hears
        self.held = b""
        self.ended = self.told = False

    def move(self, silent: set[str]) -> None:
        """Raises OSError when a side is gone."""
        if not self.ended and len(self.held) < 65536:
            try:
                data = self.source.recv(65536)
                self.held += data
                self.ended = not data
            except BlockingIOError:
                pass
        if self.hears in silent:
            return
        if self.held:
            try:
                self.held = self.held[self.sink.send(self.held):]
            except BlockingIOError:
                pass
        elif self.ended and not self.told:
            self.told = True
            self.sink.shutdown(socket.SHUT_WR)


class Program:
    """The proxy."""

    def __init__(self, pairs: list[tuple[str, str]]):
        self.pairs = pairs
        self.listeners: dict[socket.socket, tuple[str, str]] = {}
        self.connections: list[tuple[int, socket.socket, socket.socket, list[Half]]] = []
        self.orphans: list[socket.socket] = []
        self.silent: set[str] = set()
        self.until = 0.0
        self.refusing = False
        self.listen()

    def listen(self) -> None:
        for where, target in self.pairs:
            host, port = where.split(":")
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, int(port)))
            listener.listen(512)
            listener.setblocking(False)
            self.listeners[listener] = (where, target)

    @staticmethod
    def abort(sock: socket.socket) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    def accept(self) -> None:
        for listener, (where, target) in list(self.listeners.items()):
            while True:
                try:
                    near, _ = listener.accept()
                except BlockingIOError:
                    break
                host, port = target.split(":")
                try:
                    far = socket.create_connection((host, int(port)), 2)
                except OSError:
                    self.abort(near)
                    continue
                for sock in (near, far):
                    sock.setblocking(False)
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.connections.append((int(port), near, far, [Half(near, far, "South"), Half(far, near, "North")]))

    def order(self, words: list[str]) -> str:
        if words[0] == "count":
            held: dict[int, int] = {}
            for port, _, _, halves in self.connections:
                held[port] = held.get(port, 0) + sum(len(half.held) for half in halves)
            return " ".join(f"{port}={count}" for port, count in held.items())
        kind, side, lasts = words[0], words[1], float(words[2])
        self.until = time.monotonic() + lasts
        match kind:
            case "silence": self.silent = {"North", "South"}
            case "deaf": self.silent = {side}
            case "reset" | "refused" | "half_open":
                for _, near, far, _ in self.connections:
                    gone, left = (near, far) if side == "North" else (far, near)
                    self.abort(gone)
                    # Half open: the other end's connection stays, and nobody reads it.
                    self.orphans.append(left) if kind == "half_open" else self.abort(left)
                self.connections = []
        if kind == "refused":
            for listener in self.listeners:
                listener.close()
            self.listeners = {}
        return "done"

    def run(self) -> None:
        commands = selectors.DefaultSelector()
        commands.register(sys.stdin, selectors.EVENT_READ)
        while True:
            moved = False
            if commands.select(0):
                line = sys.stdin.readline()
                if not line:
                    return
                words = line.split()
                answer = self.order(words)
                if words[0] == "count":
                    print(answer, flush=True)
                else:
                    moved = True
            if self.until and time.monotonic() >= self.until:
                self.until, self.silent = 0.0, set()
                # What the end that was not told sends later is answered with a reset, as by a host without the connection.
                while self.orphans:
                    self.abort(self.orphans.pop())
                if not self.listeners:
                    self.listen()
                print("done", flush=True)
            self.accept()
            for connection in list(self.connections):
                _, near, far, halves = connection
                try:
                    for half in halves:
                        half.move(self.silent)
                    if all(half.told for half in halves):
                        raise OSError("both directions ended")
                except OSError:
                    self.connections.remove(connection)
                    self.abort(near)
                    self.abort(far)
            if not moved:
                time.sleep(0.001)


if __name__ == "__main__":
    Program([tuple(pair.split("=")) for pair in sys.argv[1:]]).run()
