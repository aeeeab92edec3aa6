"""Slow clients: `slow_clients.py ADDRESS PORT CA COUNT SOURCE…`. Each does one of six things, and comes again at once when
it is thrown out. Prints once a second how many are connected and how often one was thrown out, until it is ended.
"""

import asyncio
import itertools
import socket
import ssl
import sys

address, port, ca, count, *sources = sys.argv[1:]
HEAD = f"Host: {address}:{port}\r\n"
connected = thrown = 0


async def drip(writer, text, pause=1.0):
    for byte in text:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(pause)


async def silent(reader, writer):
    await reader.read()


async def half_handshake(reader, writer):
    writer.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    await reader.read()


async def slow_head(reader, writer):
    await drip(writer, b"GET /open/echo HTTP/1.1\r\n" + HEAD.encode() + b"X: " + b"a" * 1000)


async def slow_body(reader, writer):
    writer.write(f"POST /open/sink HTTP/1.1\r\n{HEAD}Content-Length: 100000\r\n\r\n".encode())
    await drip(writer, b"b" * 1000)


async def slow_reader(reader, writer):
    writer.write(f"GET /open/stream?size=50000000 HTTP/1.1\r\n{HEAD}\r\n".encode())
    writer.transport.pause_reading()
    await asyncio.sleep(3600)


async def between_requests(reader, writer):
    writer.write(f"GET /open/echo HTTP/1.1\r\n{HEAD}\r\n".encode())
    await reader.read()


KINDS = [(silent, False), (half_handshake, False), (slow_head, True), (slow_body, True), (slow_reader, True),
         (between_requests, True)]


async def attack(number, context, gate):
    global connected, thrown
    kind, tls = KINDS[number % len(KINDS)]
    source = sources[number // len(KINDS) % len(sources)]
    loop = asyncio.get_running_loop()
    while True:
        writer = None
        try:
            async with gate:
                own = socket.socket()
                own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                own.setblocking(False)
                own.bind((source, 0))
                await loop.sock_connect(own, (address, int(port)))
                reader, writer = await asyncio.open_connection(
                    sock=own, limit=4096, **({"ssl": context, "server_hostname": address} if tls else {}))
            connected += 1
            try:
                await kind(reader, writer)
            finally:
                connected -= 1
        except (OSError, ssl.SSLError, asyncio.TimeoutError, asyncio.IncompleteReadError):
            pass
        thrown += 1
        if writer:
            writer.transport.abort()
        await asyncio.sleep(1)


async def main():
    context = ssl.create_default_context(cafile=ca)
    gate = asyncio.Semaphore(64)
    tasks = [asyncio.create_task(attack(number, context, gate)) for number in range(int(count))]
    for _ in itertools.count():
        await asyncio.sleep(1)
        print(connected, thrown, flush=True)
        assert tasks


asyncio.run(main())
