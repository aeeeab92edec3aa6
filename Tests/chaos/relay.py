"""A path with delay between two hosts: a TUN interface in each, and a process that passes packets on after a while.

Run by itself: `relay.py NORTH SOUTH MILLISECONDS` makes the interfaces in the two network namespaces, says `ready`, and passes
packets on until it is ended. Each direction takes half of the milliseconds; the order of packets stays.
"""

import collections
import ctypes
import fcntl
import os
import select
import struct
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
CLONE_NEWNET = 0x40000000
INTERFACE = "path0"
# As much as a router would hold; a sender that never stops loses packets here, not this process its memory.
MOST_PACKETS = 10_000

libc = ctypes.CDLL(None, use_errno=True)


def enter(space: str) -> None:
    """Puts the calling thread into a network namespace."""
    with open(f"/run/netns/{space}") as file:
        if libc.setns(file.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {space}")


def interface(space: str) -> int:
    """A TUN interface in a namespace; gives its descriptor."""
    enter(space)
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", INTERFACE.encode(), IFF_TUN | IFF_NO_PI))
    return tun


class Direction:
    """One direction: what was read and waits for its time."""

    def __init__(self, source: int, sink: int, delay: float):
        self.source, self.sink, self.delay = source, sink, delay
        self.waiting: collections.deque[tuple[float, bytes]] = collections.deque()

    def take(self) -> None:
        while True:
            try:
                packet = os.read(self.source, 65536)
            except BlockingIOError:
                return
            if len(self.waiting) < MOST_PACKETS:
                self.waiting.append((time.monotonic() + self.delay, packet))

    def give(self, now: float) -> None:
        while self.waiting and self.waiting[0][0] <= now:
            try:
                os.write(self.sink, self.waiting.popleft()[1])
            except OSError:
                # The interface is down, or its queue is full: the packet is lost, as on any path.
                continue


def main() -> None:
    north, south, milliseconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    tuns = [interface(north), interface(south)]
    directions = [Direction(tuns[0], tuns[1], milliseconds / 2000), Direction(tuns[1], tuns[0], milliseconds / 2000)]
    print("ready", flush=True)
    poll = select.poll()
    for tun in tuns:
        poll.register(tun, select.POLLIN)
    while True:
        due = min((direction.waiting[0][0] for direction in directions if direction.waiting), default=None)
        # poll(2) counts whole milliseconds: the last one is waited for by looking again.
        wait = None if due is None else max(0, int((due - time.monotonic()) * 1000))
        ready = {descriptor for descriptor, _ in poll.poll(wait)}
        now = time.monotonic()
        for direction in directions:
            if direction.source in ready:
                direction.take()
            direction.give(now)


if __name__ == "__main__":
    main()
