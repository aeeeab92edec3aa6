"""A server of the Model Context Protocol, as people write it: `mcp_server.py http|sse PORT`."""

import logging
import sys

import anyio
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.streamable_http import EventMessage, EventStore
from mcp.server.transport_security import TransportSecuritySettings


class Memory(EventStore):
    """Remembers events, so that a client who lost his connection gets those he missed."""

    def __init__(self):
        self.events = []

    async def store_event(self, stream_id, message):
        self.events.append((stream_id, message))
        return str(len(self.events))

    async def replay_events_after(self, last_event_id, send_callback):
        number = int(last_event_id)
        stream, _ = self.events[number - 1]
        for index, (other, message) in enumerate(self.events[number:], number + 1):
            if other == stream and message is not None:
                await send_callback(EventMessage(message, str(index)))
        return stream


server = MCPServer("tests")
cancelled: list[str] = []
begun: list[str] = []


@server.tool()
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.tool()
async def count(to: int, context: Context) -> str:
    """Counts and tells how far it is."""
    for number in range(1, to + 1):
        await context.report_progress(number, to, f"step {number}")
        await anyio.sleep(0.02)
    return "done"


@server.tool()
async def wait(name: str) -> str:
    """Never ends by itself."""
    begun.append(name)
    try:
        await anyio.sleep_forever()
    except anyio.get_cancelled_exc_class():
        cancelled.append(name)
        raise


@server.tool()
def waiting() -> dict[str, list[str]]:
    """Which waits have begun, and which were cancelled."""
    return {"begun": begun, "cancelled": cancelled}


@server.tool()
async def interrupted(context: Context) -> str:
    """Loses its client's connection on the way, and goes on."""
    await context.report_progress(1, 2, "before")
    await context.close_sse_stream()
    await anyio.sleep(0.2)
    await context.report_progress(2, 2, "after")
    return "survived"


@server.tool()
def who(context: Context) -> str:
    """Who calls, as the edge says."""
    return context.headers.get("conduit-caller", "nobody") if context.headers else "no headers"


if __name__ == "__main__":
    transport, port = sys.argv[1], int(sys.argv[2])
    logging.basicConfig(level=logging.WARNING)
    # The edge has checked who asks for which host; the library's own list knows only localhost.
    security = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    if transport == "sse":
        server.run("sse", host="127.0.0.1", port=port, transport_security=security)
    else:
        server.run("streamable-http", host="127.0.0.1", port=port, transport_security=security, event_store=Memory(),
                   retry_interval=100)
