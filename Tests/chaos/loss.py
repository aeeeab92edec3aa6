"""scripts/chaos --loss: what packet loss over distance does to a transfer and to small messages beside it.

One bulk stream and one ping-pong stream from North to South, over direct TCP (a connection each) and through two agents that keep
one lane or several. Hosts are network namespaces, delay is made by relay.py, loss by nftables at both hosts.
"""

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path as File

from support.processes import Processes, eventually

from network import CannotMake, run
from paths import Agents, Place
from relay import INTERFACE, enter
from service import Service

ADDRESSES = {"North": "10.79.0.1", "South": "10.79.0.2"}
PORTS = {"agent": 7400}
# From the start of the bulk stream to the first measurement: windows have grown by then.
WARM_UP = 5.0
MESSAGE = 64


class Distance:
    """Two hosts with a delay between them and loss at each."""

    ports = PORTS

    def __init__(self, tag: str, milliseconds: float, percent: float, congestion: str):
        self.spaces = {side: f"{tag}-{side}" for side in ADDRESSES}
        self.made: list[str] = []
        self.relay: subprocess.Popen | None = None
        try:
            for space in self.spaces.values():
                run("ip", "netns", "add", space)
                self.made.append(space)
            self.relay = subprocess.Popen(
                [sys.executable, File(__file__).parent / "relay.py", *self.spaces.values(), str(milliseconds)],
                stdout=subprocess.PIPE, text=True)
            if self.relay.stdout.readline() != "ready\n":
                raise CannotMake("no TUN interfaces")
            for side, space in self.spaces.items():
                other = ADDRESSES["South" if side == "North" else "North"]
                run("ip", "-n", space, "address", "add", ADDRESSES[side] + "/32", "dev", INTERFACE)
                run("ip", "-n", space, "link", "set", INTERFACE, "up", "mtu", "1500", "txqueuelen", "1000")
                run("ip", "-n", space, "link", "set", "lo", "up")
                # By the route: a namespace may not choose what the machine's default does not allow.
                run("ip", "-n", space, "route", "add", other + "/32", "dev", INTERFACE, "src", ADDRESSES[side], "congctl",
                    congestion)
                self.lose(space, percent)
        except (CannotMake, FileNotFoundError) as error:
            self.close()
            raise CannotMake(str(error)) from error

    @staticmethod
    def lose(space: str, percent: float) -> None:
        rule = f"iif {INTERFACE} numgen random mod 10000 < {round(percent * 100)} drop"
        text = f"table inet path {{\nchain in {{\ntype filter hook prerouting priority -300;\n{rule}\n}}\n}}\n"
        result = subprocess.run(["ip", "netns", "exec", space, "nft", "-f", "-"], input=text, text=True, capture_output=True)
        if result.returncode != 0:
            raise CannotMake(f"nft: {result.stderr.strip()}")

    def prefix(self, side: str) -> list[str]:
        """What stands before a command that runs on the host."""
        return ["ip", "netns", "exec", self.spaces[side]]

    def address(self, side: str) -> str:
        return ADDRESSES[side]

    def link_target(self, name: str) -> str:
        return f"{ADDRESSES['South']}:{PORTS[name]}"

    def listener(self, name: str) -> str:
        return self.link_target(name)

    def on(self, side: str, make):
        """What `make` makes on the host: sockets stay where they were made."""
        made = []

        def work() -> None:
            enter(self.spaces[side])
            made.append(make())

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        if not made:
            raise RuntimeError(f"nothing was made on {side}")
        return made[0]

    def close(self) -> None:
        if self.relay:
            self.relay.kill()
            self.relay.wait()
        for space in reversed(self.made):
            subprocess.run(["ip", "netns", "delete", space], capture_output=True)
        self.made = []


class Measurement:
    """A bulk stream and a ping-pong beside it, over two connections that `connect` makes by name."""

    def __init__(self, listen, connect):
        self.received = 0
        self.connect = connect
        self.services = [Service(listen("bulk"), self.swallow), Service(listen("ping"), self.answer)]

    def swallow(self, connection: socket.socket) -> None:
        while data := connection.recv(1 << 18):
            self.received += len(data)

    @staticmethod
    def answer(connection: socket.socket) -> None:
        if connection.family == socket.AF_INET:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := connection.recv(4096):
            connection.sendall(data)

    def pour(self, connection: socket.socket) -> None:
        block = os.urandom(1 << 16)
        try:
            while True:
                connection.sendall(block)
        except OSError:
            return

    def go(self, seconds: float) -> dict:
        """Alone first, then beside the bulk stream."""
        alone = self.ping_pong(self.connect("ping"), seconds / 2)
        bulk = self.connect("bulk")
        threading.Thread(target=self.pour, args=(bulk,), daemon=True).start()
        time.sleep(WARM_UP)
        ping = self.connect("ping")
        before, begin = self.received, time.monotonic()
        beside = self.ping_pong(ping, seconds)
        rate = (self.received - before) / (time.monotonic() - begin)
        bulk.close()
        for service in self.services:
            service.close()
        return {"bulk_bytes_per_second": round(rate), "alone": alone, "beside_bulk": beside}

    @staticmethod
    def ping_pong(connection: socket.socket, seconds: float) -> dict:
        if connection.family == socket.AF_INET:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        times, message, end = [], b"x" * MESSAGE, time.monotonic() + seconds
        while time.monotonic() < end:
            begin = time.monotonic()
            connection.sendall(message)
            left = MESSAGE
            while left:
                data = connection.recv(left)
                if not data:
                    raise RuntimeError("the ping-pong stream ended")
                left -= len(data)
            times.append((time.monotonic() - begin) * 1000)
        connection.close()
        times.sort()
        return {"count": len(times), "p50": round(statistics.median(times), 1),
                "p90": round(times[len(times) * 90 // 100], 1), "p99": round(times[len(times) * 99 // 100], 1),
                "max": round(times[-1], 1)}


def direct(network: Distance, seconds: float) -> dict:
    """TCP from host to host, a connection for each stream."""
    places: dict[str, tuple[str, int]] = {}

    def listen(name: str) -> socket.socket:
        listener = network.on("South", lambda: socket.create_server((ADDRESSES["South"], 0)))
        places[name] = listener.getsockname()
        return listener

    def connect(name: str) -> socket.socket:
        return network.on("North", lambda: socket.create_connection(places[name], timeout=30))

    measurement = Measurement(listen, connect)
    return measurement.go(seconds)


def agents(network: Distance, programs: File, lanes: int, seconds: float, keep: bool) -> dict:
    """Two agents that keep so many lanes."""
    directory = File(tempfile.mkdtemp(prefix="chaos-"))
    os.chmod(directory, 0o755)
    processes = Processes(directory)
    try:
        place = Place(directory, programs, network, processes)
        names = ("bulk", "ping")
        pair = Agents(place, {name: "unix:" + place.socket("at-" + name) for name in names},
                      {"lanes": lanes, "pingInterval": "10s", "idleTimeout": "60s", "handshakeTimeout": "20s"})

        def listen(name: str) -> socket.socket:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(place.socket("at-" + name))
            listener.listen()
            return listener

        def connect(name: str) -> socket.socket:
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(place.socket("to-" + name))
            return connection

        measurement = Measurement(listen, connect)
        pair.start()
        eventually(lambda: established(place, pair) == lanes, f"{lanes} lanes", 60)
        result = measurement.go(seconds)
        result["lanes"] = lanes
        return result
    finally:
        processes.stop_all()
        if not keep:
            shutil.rmtree(directory, ignore_errors=True)


def established(place: Place, pair: Agents) -> int:
    links = json.loads(place.mesh("links", "--control", pair.control("North"), "--json"))["links"]
    return sum(link["state"] == "established" for link in links)


def show(rows: dict[str, dict]) -> None:
    print(f"{'path':16}{'bulk':>12}  {'ping-pong alone, ms':>26}  {'beside the bulk stream, ms':>34}")
    print(f"{'':16}{'KiB/s':>12}  {'p50':>8}{'p99':>9}{'max':>9}  {'p50':>8}{'p90':>9}{'p99':>9}{'max':>9}{'count':>8}")
    for name, row in rows.items():
        alone, beside = row["alone"], row["beside_bulk"]
        print(f"{name:16}{row['bulk_bytes_per_second'] / 1024:12.0f}  {alone['p50']:8}{alone['p99']:9}{alone['max']:9}  "
              f"{beside['p50']:8}{beside['p90']:9}{beside['p99']:9}{beside['max']:9}{beside['count']:8}")


def main(given: argparse.Namespace) -> int:
    seconds = 10 if given.quick else given.seconds
    print(f"chaos: {given.rtt} ms round trip, {given.loss} % loss each way, {given.congestion}, {seconds} s each", flush=True)
    try:
        network = Distance(f"loss{os.getpid()}", given.rtt, given.loss, given.congestion)
    except CannotMake as error:
        print(f"chaos: no such path can be made here: {error}")
        return 1
    rows: dict[str, dict] = {}
    try:
        rows["direct TCP"] = direct(network, seconds)
        for lanes in given.lanes:
            name = "1 lane" if lanes == 1 else f"{lanes} lanes"
            rows[f"agents, {name}"] = agents(network, given.bin.absolute(), lanes, seconds, given.keep)
    finally:
        network.close()
    show(rows)
    if given.json:
        given.json.write_text(json.dumps({
            "round_trip_ms": given.rtt, "loss_percent": given.loss, "congestion": given.congestion, "seconds": seconds,
            "rows": rows}, indent=1))
    return 0
