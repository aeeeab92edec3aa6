"""A WebSocket server without TLS, as people write it: `plain_websocket.py PORT`. Echoes; "headers" gets those of the request."""

import asyncio
import json
import sys

import websockets


async def echo(connection):
    async for message in connection:
        if message == "headers":
            message = json.dumps({name.lower(): value for name, value in connection.request.headers.raw_items()})
        elif message == "bye":
            await connection.close(4000, "as you wish")
            return
        await connection.send(message)


async def main():
    async with websockets.serve(echo, "127.0.0.1", int(sys.argv[1]), max_size=None):
        await asyncio.Future()


asyncio.run(main())
