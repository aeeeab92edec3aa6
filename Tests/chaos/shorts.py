"""Short connections beside everything else: connect, ask, end the direction, read the answer, close."""

import hashlib
import os
import random
import socket
import threading
import time

from paths import Agents, Place
from service import Service

CALLERS = 16
LONGEST = 32768
PATIENCE = 90


class Shorts:
    """Callers on North, each with one connection after the other, to a service on South that answers with the question's
    SHA-256 and the question."""

    name = "short"

    def __init__(self, place: Place):
        self.place = place
        self.path = place.socket("sink-short")
        self.target = "unix:" + self.path
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.problems: list[str] = []
        self.done, self.longest = 0, 0.0

    @staticmethod
    def missing() -> str | None:
        return None

    def start(self) -> None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.path)
        os.chmod(self.path, 0o666)
        listener.listen(1024)
        self.service = Service(listener, self.answer)

    def answer(self, connection: socket.socket) -> None:
        with connection:
            try:
                question = read_all(connection)
                connection.sendall(hashlib.sha256(question).digest() + question)
            except OSError:
                pass  # The caller sees it.

    def begin(self, agents: Agents, seed: int) -> None:
        self.threads = [threading.Thread(target=self.call, args=(random.Random(f"{seed}/{number}"),), daemon=True)
                        for number in range(CALLERS)]
        for thread in self.threads:
            thread.start()

    def call(self, draw: random.Random) -> None:
        while not self.stopping.is_set():
            question, begin = draw.randbytes(draw.randrange(1, LONGEST)), time.monotonic()
            try:
                answer = self.ask(question)
                wrong = None if answer == hashlib.sha256(question).digest() + question else (
                    f"{len(answer)} bytes of {len(question) + 32} came back, or other ones")
            except OSError as error:
                wrong = f"{error} after {time.monotonic() - begin:.1f} s"
            with self.lock:
                self.done += 1
                self.longest = max(self.longest, time.monotonic() - begin)
                if wrong:
                    self.problems.append(wrong)
            time.sleep(draw.uniform(0, 0.5))

    def ask(self, question: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX) as caller:
            caller.settimeout(PATIENCE)
            caller.connect(self.place.socket("to-" + self.name))
            caller.sendall(question)
            caller.shutdown(socket.SHUT_WR)
            return read_all(caller)

    def end(self, report: dict) -> list[str]:
        self.stopping.set()
        for thread in self.threads:
            thread.join(PATIENCE)
        self.service.close()
        report["short"] = {"connections": self.done, "failed": len(self.problems), "longest": round(self.longest, 2)}
        hanging = sum(thread.is_alive() for thread in self.threads)
        return self.problems + ([f"{hanging} connections hang"] if hanging else [])


def read_all(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)
