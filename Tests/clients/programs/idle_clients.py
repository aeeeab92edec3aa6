"""Holds many authenticated WebSocket connections: `idle_clients.py ADDRESS PORT CA TOKENS COUNT SOURCE…`.

Prints how many are open. A line on standard input makes it ping all of them and print how many answered; the end of
standard input ends it.
"""

import asyncio
import base64
import os
import ssl
import sys

address, port, ca, tokens, count, *sources = sys.argv[1:]
TOKENS = open(tokens).read().split()


class Client(asyncio.Protocol):
    answered = lost = 0

    def __init__(self):
        self.ready = asyncio.get_running_loop().create_future()
        self.head = b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        if self.head is not None:
            self.head += data
            if b"\r\n\r\n" in self.head:
                self.ready.set_result(self.head[9:12] == b"101")
                self.head = None
        elif data[0] == 0x8A:
            Client.answered += 1

    def connection_lost(self, error):
        Client.lost += 1
        if not self.ready.done():
            self.ready.set_result(False)


async def main():
    loop = asyncio.get_running_loop()
    context = ssl.create_default_context(cafile=ca)
    clients, gate = [], asyncio.Semaphore(40)

    async def open_one(number):
        async with gate:
            try:
                _, client = await loop.create_connection(
                    Client, address, int(port), ssl=context, server_hostname=address,
                    local_addr=(sources[number % len(sources)], 0), ssl_handshake_timeout=60,
                )
            except OSError as error:
                print(error, file=sys.stderr)
                return
            key = base64.b64encode(os.urandom(16)).decode()
            client.transport.write(
                f"GET /idle HTTP/1.1\r\nHost: {address}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
                f"Authorization: Bearer {TOKENS[number % len(TOKENS)]}\r\n\r\n".encode())
            if await client.ready:
                clients.append(client)

    await asyncio.gather(*(open_one(number) for number in range(int(count))))
    print(len(clients), flush=True)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        Client.answered = 0
        for client in clients:
            client.transport.write(b"\x89\x82\0\0\0\0hi")
        for _ in range(300):
            if Client.answered >= len(clients):
                break
            await asyncio.sleep(0.1)
        print(Client.answered, Client.lost, flush=True)


asyncio.run(main())
