"""Loopback addresses that nobody else uses, so that runs side by side do not meet."""

import itertools
import os
import random
import socket


class Addresses:
    """Addresses of one run: 127.X.Y.* for servers with well-known ports, 127.X.(Y+1).* for clients.

    Limits and penalties count by client address, so tests that provoke them take an address of their own.
    """

    def __init__(self):
        for number in itertools.count(os.getpid()):
            net = f"127.{64 + number // 100 % 100}.{number % 100 * 2}"
            with socket.socket() as probe:
                try:
                    probe.bind((f"{net}.1", 17400))
                except OSError:
                    continue
            break
        self.net = net
        head, last = net.rsplit(".", 1)
        self._clients = (f"{head}.{int(last) + 1}.{n}" for n in itertools.count(1))

    def server(self, number: int) -> str:
        return f"{self.net}.{number}"

    def client(self) -> str:
        """A client address that was not used before."""
        return next(self._clients)


def free_port(address: str = "127.0.0.1") -> int:
    """A port that nothing used just now, and that the kernel gives to nobody who asks for any."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as probe:
            try:
                probe.bind((address, port))
            except OSError:
                continue
        return port


def accepts(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((address, port)) == 0
