"""A WebSocket service that holds many idle connections: `idle.py PORT`. Answers pings."""

import asyncio
import base64
import hashlib
import sys

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Held(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.head = transport, b""

    def data_received(self, data):
        if self.head is None:
            # Small masked frames only: a ping is answered with its payload.
            size, key = data[1] & 0x7F, data[2:6]
            payload = bytes(byte ^ key[index % 4] for index, byte in enumerate(data[6 : 6 + size]))
            self.transport.write(bytes([0x8A, size]) + payload)
            return
        self.head += data
        if b"\r\n\r\n" in self.head:
            key = next(line.split(b":", 1)[1].strip() for line in self.head.split(b"\r\n")
                       if line.lower().startswith(b"sec-websocket-key:"))
            accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
            self.transport.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                 b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
            self.head = None


async def main():
    server = await asyncio.get_running_loop().create_server(Held, "127.0.0.1", int(sys.argv[1]), backlog=1024)
    await server.serve_forever()


asyncio.run(main())
