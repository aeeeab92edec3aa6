"""The Model Context Protocol through the edge: the library's own client and server, over both HTTP transports."""

import contextlib
import json
import os
import uuid
from pathlib import Path

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from support.processes import eventually as eventually_now
from support.tokens import bearer
from support.wire import client_context


@contextlib.asynccontextmanager
async def connected(target, transport: str):
    """A client of the server behind a URL, with a token; `target` is (url, ssl context, headers)."""
    url, context, headers = target

    def client(headers=headers, timeout=None, auth=None):
        return httpx2.AsyncClient(verify=context, headers=headers, timeout=httpx2.Timeout(10, read=60), auth=auth)

    if transport == "sse":
        async with Client(sse_client(f"{url}/sse", headers, httpx_client_factory=client), mode="legacy") as session:
            yield session
    else:
        mode = "legacy" if transport == "http-sessions" else "auto"
        async with client() as http, Client(streamable_http_client(f"{url}/mcp", http_client=http), mode=mode) as session:
            yield session


TRANSPORTS = ["http", "http-sessions", "sse"]


@pytest.fixture(scope="module")
def front(processes, mcp_ports, authority, issuer, work):
    """The same two servers behind `mesh-agent front`, without a mesh."""
    leaf = authority.issue("mcp-front", ips=["127.0.0.1"])
    configuration = {
        "targets": [{"name": name, "url": f"http://{mcp_ports[name]}"} for name in ("http", "sse")],
        "edge": {
            "listeners": [
                {"address": "127.0.0.1:0",
                 "certificates": [{"certificate": str(leaf.certificate), "key": str(leaf.key)}]}
            ],
            "routes": [
                {"path": "/mcp", "service": "http"}, {"path": "/sse", "service": "sse"},
                {"path": "/messages", "service": "sse"},
            ],
            "authentication": {
                "issuers": [
                    {"issuer": issuer.name, "audiences": [issuer.audience], "jwks": {"file": str(issuer.path)}}
                ]
            },
        },
    }
    (work / "mcp-front.json").write_text(json.dumps(configuration))
    program = Path(os.environ["MESH_BIN"]) / "mesh-agent"
    processes.start("mcp-front", [program, "front", "--config", work / "mcp-front.json"])

    def uri():
        lines = processes.log("mcp-front").splitlines()
        return next((line for line in lines if line.startswith("https://")), None)

    return eventually_now(uri, "the front says its URI")


@pytest.fixture(params=["mesh", "front"])
def target(request, issuer):
    headers = bearer(issuer.token("agent-7"))
    if request.param == "mesh":
        edge = request.getfixturevalue("edge")
        return edge.url, edge.context(), headers
    context = client_context(request.getfixturevalue("authority").path)
    return request.getfixturevalue("front"), context, headers


def value(result):
    assert not result.is_error, result.content
    return result.structured_content["result"] if "result" in result.structured_content else result.structured_content


async def eventually(condition, what):
    with anyio.move_on_after(15):
        while not await condition():
            await anyio.sleep(0.05)
        return
    raise AssertionError(what)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_tools_progress_cancellation(target, transport):
    async def main():
        async with connected(target, transport) as session:
            assert {tool.name for tool in (await session.list_tools()).tools} >= {"add", "count", "wait"}
            assert value(await session.call_tool("add", {"a": 20, "b": 22})) == 42
            # The service is told who calls.
            assert value(await session.call_tool("who")) == "jwt:https://issuer.test/agent-7"

            steps = []

            async def progress(done, total, message):
                steps.append((done, total, message))

            assert value(await session.call_tool("count", {"to": 5}, progress_callback=progress)) == "done"
            assert steps == [(n, 5, f"step {n}") for n in range(1, 6)]

            name = uuid.uuid4().hex

            async def waits(kind):
                return name in value(await session.call_tool("waiting"))[kind]

            async with anyio.create_task_group() as group:
                scope = anyio.CancelScope()

                async def call():
                    with scope:
                        await session.call_tool("wait", {"name": name})

                group.start_soon(call)
                await eventually(lambda: waits("begun"), "the tool has begun")
                scope.cancel()
            await eventually(lambda: waits("cancelled"), "the server was told that the client gave up")

    anyio.run(main)


def test_reconnect(target):
    """A stream that ends in the middle of a call is taken up again where it ended, on a new request."""

    async def main():
        async with connected(target, "http-sessions") as session:
            steps = []

            async def progress(done, total, message):
                steps.append(message)

            assert value(await session.call_tool("interrupted", progress_callback=progress)) == "survived"
            assert steps == ["before", "after"]
        # A client that comes again is served again.
        async with connected(target, "http-sessions") as session:
            assert value(await session.call_tool("add", {"a": 1, "b": 1})) == 2

    anyio.run(main)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_no_token(target, transport):
    """Without a token nobody gets in, whatever the transport."""
    url, context, _ = target

    async def main():
        with pytest.raises(Exception):
            async with connected((url, context, {}), transport) as session:
                await session.list_tools()
        async with httpx2.AsyncClient(verify=context) as http:
            answer = await http.get(f"{url}/sse") if transport == "sse" else await http.post(f"{url}/mcp", json={})
            assert answer.status_code == 401 and answer.headers["www-authenticate"].startswith("Bearer")

    anyio.run(main)
