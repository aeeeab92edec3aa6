"""Python's httpx and websockets."""

import asyncio
import hashlib
import json
import time
import urllib.parse
import uuid

import httpx
import pytest
import websockets
from support.frames import TEXT, close, frame, handshake, read_frame
from support.tokens import bearer
from websockets.asyncio.client import connect


@pytest.fixture
def client(edge, issuer):
    with httpx.Client(base_url=edge.url, verify=edge.context(), headers=bearer(issuer.token()), timeout=20) as client:
        yield client


def test_what_the_service_is_told(client, edge, recorder):
    marker = uuid.uuid4().hex
    answer = client.get(f"/api/echo?{marker}", headers={"X-Own": "kept"})
    assert answer.status_code == 200
    (request,) = recorder.with_marker(marker)
    assert request.get("Conduit-Caller") == "jwt:https://issuer.test/alice"
    assert (request.get("X-Forwarded-Proto"), request.get("X-Forwarded-For")) == ("https", "127.0.0.1")
    assert request.get("X-Forwarded-Host") == f"{edge.address}:{edge.TLS}"
    assert request.get("X-Own") == "kept"
    assert request.get("X-Request-Id") == answer.headers["x-request-id"]
    assert request.get("traceparent").startswith("00-")
    # The credential was for the edge.
    assert request.get("Authorization") is None


def test_keep_alive_and_backend_pool(client, recorder):
    client.get("/api/echo")
    before = recorder.connections
    for _ in range(50):
        assert client.get("/api/echo").status_code == 200
    # The client has one connection, so one to the service is enough, or one more where the pool had lost it.
    assert recorder.connections <= before + 1


def test_upload_from_a_generator(client):
    digest = hashlib.sha256()

    def body():
        for number in range(500):
            data = b"%d " % number * 1000
            digest.update(data)
            yield data

    told = client.post("/api/sink", content=body()).json()
    assert told["sha256"] == digest.hexdigest()


def test_streams_both_ways(client):
    digest, size = hashlib.sha256(), 0
    with client.stream("GET", "/api/stream?size=8000000") as answer:
        for data in answer.iter_raw(10_000):
            digest.update(data)
            size += len(data)
    assert size == 8_000_000


def test_slow_reader_holds_back_the_service(client, recorder):
    """Nothing collects a response that is not read: the service is held back, and what it sent arrives whole."""
    size = 300_000_000
    with client.stream("GET", f"/api/stream?size={size}") as answer:
        pieces = answer.iter_raw(1 << 16)
        next(pieces)
        received = sum(len(piece) for piece in pieces) + (1 << 16)
    assert received == size


def test_trailers_of_the_response(edge, issuer):
    with edge.wire() as wire:
        answer = wire.request(f"GET /api/stream?size=1000 HTTP/1.1\r\nHost: {edge.address}\r\n"
                              f"Authorization: Bearer {issuer.token()}\r\n\r\n")
    block = (bytes(range(256)) * 128)[:1000]
    assert answer.body == block and answer.trailers == [("x-sum", hashlib.sha256(block).hexdigest())]


def test_many_at_once(edge, issuer):
    async def main():
        limits = httpx.Limits(max_connections=40, max_keepalive_connections=40)
        async with httpx.AsyncClient(base_url=edge.url, verify=edge.context(), limits=limits, timeout=30) as client:
            async def one(number):
                who = f"user-{number % 7}"
                answer = await client.get(f"/api/echo?n={number}", headers=bearer(tokens[who]))
                told = {name.lower(): value for name, value in answer.json()["headers"]}
                return answer.json()["target"], told["conduit-caller"]

            tokens = {f"user-{n}": issuer.token(f"user-{n}") for n in range(7)}
            return await asyncio.gather(*(one(number) for number in range(300)))

    for number, (target, caller) in enumerate(asyncio.run(main())):
        # Connections to the service are shared by requests of one principal only.
        assert (target, caller) == (f"/api/echo?n={number}", f"jwt:https://issuer.test/user-{number % 7}")


def test_answers_of_the_edge(edge, issuer, client, recorder):
    """Problem documents with status, stable reason and the request's id."""

    def problem(answer, status, reason):
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        document = answer.json()
        assert (document["status"], document["reason"]) == (status, reason)
        assert answer.headers["x-request-id"] in answer.text
        return answer

    with httpx.Client(base_url=edge.url, verify=edge.context()) as nobody:
        problem(nobody.get("/nowhere"), 404, "no_route")
        refused = problem(nobody.get("/api/echo"), 401, "missing_token")
        assert refused.headers["www-authenticate"].startswith("Bearer")
        problem(nobody.post("/small/sink", content=b"x" * 1025), 413, "body_too_large")
        assert nobody.post("/small/sink", content=b"x" * 1024).status_code == 200
        problem(nobody.post("/small/sink", content=iter([b"x" * 600, b"x" * 600])), 413, "body_too_large")
        problem(nobody.get("/impatient/never"), 504, "service_timeout")
        problem(nobody.get("/open/reset"), 502, "service_closed")
    problem(client.get("/api/echo", headers=bearer(issuer.token("mallory"))), 403, "denied_by_rule")
    problem(client.get("/scoped/echo"), 403, "insufficient_scope")
    assert client.get("/scoped/echo", headers=bearer(issuer.token(scope="read write"))).status_code == 200


def test_rewritten_path(edge, recorder):
    marker = uuid.uuid4().hex
    httpx.get(f"{edge.url}/rewritten/a/b?{marker}", verify=edge.context())
    assert recorder.with_marker(marker)[0].target == f"/inside/a/b?{marker}"


def test_rate_limit(edge, issuer):
    with httpx.Client(base_url=edge.url, verify=edge.context(), headers=bearer(issuer.token("hasty"))) as client:
        answers = []
        # One comes back each second, however long these take.
        while len(answers) < 60 and (not answers or answers[-1].status_code != 429):
            answers.append(client.get("/limited/echo"))
    assert [answer.status_code for answer in answers][:3] == [200, 200, 200]
    refused = answers[-1]
    assert refused.status_code == 429 and int(refused.headers["retry-after"]) >= 1
    assert any(name.startswith("ratelimit") for name in refused.headers)


# WebSocket.


@pytest.fixture
def ws(edge):
    def open(path, **options):
        options.setdefault("proxy", None)
        return connect(edge.ws_url + path, ssl=edge.context(), **options)

    return open


def test_websocket_with_every_way_to_bring_a_token(ws, edge, echo, issuer):
    token = issuer.token("bob")

    async def talk(path="/echo", **options):
        name = uuid.uuid4().hex
        async with ws(f"{path}?id={name}", **options) as connection:
            await connection.send("hello")
            assert await connection.recv() == "hello"
            await (await connection.ping(b"ping"))
        seen = echo.finished(name)
        assert seen.fields["conduit-caller"] == "jwt:https://issuer.test/bob"
        assert not [value for value in seen.fields.values() if token in value]
        return connection, seen

    async def main():
        connection, seen = await talk(additional_headers=bearer(token))
        assert connection.subprotocol is None
        # In the subprotocol: never echoed, never passed on; the application's own is.
        connection, seen = await talk(subprotocols=[f"bearer.{token}", "echo.v1"])
        assert connection.subprotocol == seen.subprotocol == "echo.v1"
        assert seen.fields["sec-websocket-protocol"] == "echo.v1"
        connection, seen = await talk(subprotocols=["conduit.auth.v1", f"bearer.{token}"])
        assert connection.subprotocol == "conduit.auth.v1" and seen.subprotocol is None

    asyncio.run(main())


def test_websocket_token_in_the_first_message(ws, echo, issuer):
    name = uuid.uuid4().hex

    async def main():
        async with ws(f"/echo?id={name}", subprotocols=["conduit.auth.v1", "echo.v1"]) as connection:
            assert name not in echo.seen  # Nothing has reached the service.
            began = time.time()
            await connection.send(f"conduit.auth.v1 token {issuer.token('carol')}")
            word, status, expires, _, *selected = (await connection.recv()).split(" ")
            assert (word, status, selected) == ("conduit.auth.v1", "ok", ["echo.v1"])
            assert abs(int(expires) - began - 300) < 5
            await connection.send("conduit.auth.v1 is mine only as a command; this too?")
            await connection.recv()
            await connection.send("and now to the service")
            assert await connection.recv() == "and now to the service"
        assert echo.finished(name).fields["conduit-caller"] == "jwt:https://issuer.test/carol"

    asyncio.run(main())


def closed_with(coroutine):
    with pytest.raises(websockets.ConnectionClosed) as raised:
        asyncio.run(coroutine)
    return raised.value.rcvd


def test_websocket_without_a_good_first_message(ws, echo, issuer):
    async def send(message):
        async with ws(f"/echo?id={name}", subprotocols=["conduit.auth.v1"]) as connection:
            await connection.send(message)
            while True:
                await connection.recv()

    for message in ("hello", f"conduit.auth.v1 token {issuer.token(lifetime=-10)}", "x" * 17000):
        name = uuid.uuid4().hex
        assert closed_with(send(message)).code == 4401
        assert name not in echo.seen


def test_websocket_closes_when_the_token_expires(ws, issuer):
    began = time.time()

    async def listen():
        async with ws("/echo", additional_headers=bearer(issuer.token(lifetime=8))) as connection:
            while True:
                await connection.recv()

    close = closed_with(listen())
    assert (close.code, close.reason) == (4401, "token_expired")
    assert time.time() - began >= 6.9


def test_websocket_renewed_in_band(ws, issuer):
    async def main():
        token = issuer.token("dora", lifetime=6)
        async with ws("/echo", subprotocols=["conduit.auth.v1", f"bearer.{token}"]) as connection:
            messages = []

            async def until(begin):
                while True:
                    message = await connection.recv()
                    messages.append(message)
                    if message.startswith(begin):
                        return message

            await connection.send(f"conduit.auth.v1 token {issuer.token('dora', lifetime=9)}")
            until_when = int((await until("conduit.auth.v1 ok")).split(" ")[2])
            assert until_when > time.time() + 3
            # Somebody else's token does not renew it, and changes nothing.
            await connection.send(f"conduit.auth.v1 token {issuer.token('eve')}")
            assert (await until("conduit.auth.v1 error")).split(" ")[2]
            try:
                while time.time() < until_when - 1.5:
                    await connection.send("still here")
                    await until("still here")
                    await asyncio.sleep(0.3)
            except websockets.ConnectionClosed:
                assert time.time() >= until_when  # So long has the machine stood still.
            with pytest.raises(websockets.ConnectionClosed) as raised:
                await until("never")
            assert raised.value.rcvd.code == 4401
            assert not [message for message in messages if not message.startswith(("conduit.auth.v1 ", "still here"))]

    asyncio.run(main())


def test_websocket_renewed_by_post(ws, edge, issuer):
    async def main():
        token = issuer.token("finn", lifetime=8)
        async with ws("/echo", additional_headers=bearer(token)) as connection:
            identifier = connection.response.headers["Conduit-Connection"]
            async with httpx.AsyncClient(base_url=edge.url, verify=edge.context()) as client:
                async def renew(token):
                    return await client.post("/v1/token/renew", headers=bearer(token), json={"connection": identifier})

                assert (await renew(issuer.token("eve"))).status_code in (403, 404)
                answer = await renew(issuer.token("finn", lifetime=60))
                assert answer.status_code == 200, answer.text
                assert answer.json()["expires"] > time.time() + 30
            await asyncio.sleep(9)
            await connection.send("still here")
            assert await connection.recv() == "still here"

    asyncio.run(main())


def test_websocket_revoked(ws, edge, issuer, work):
    token = issuer.token("gone", jti="to-be-revoked")
    when = []

    async def listen():
        async with ws("/echo", additional_headers=bearer(token)) as connection:
            await connection.send("here")
            assert await connection.recv() == "here"
            edge.mesh.run("token", "revoke", "--file", work / "revoked.json", "--jti", "to-be-revoked")
            when.append(time.monotonic())
            while True:
                await connection.recv()

    assert closed_with(listen()).code == 4401
    assert time.monotonic() - when[0] < 60  # Not because the token ended.
    assert httpx.get(f"{edge.url}/api/echo", verify=edge.context(), headers=bearer(token)).status_code == 401


def test_websocket_loses_its_right(ws, edge, issuer):
    """A policy change ends live connections of those who lost their right."""
    from conftest import policy
    import os

    changed = policy(os.getuid())
    changed["rules"].append({"deny": "connect", "from": "jwt:https://issuer.test/harry", "to": "echo"})

    async def listen():
        async with ws("/echo", additional_headers=bearer(issuer.token("harry"))) as connection:
            await connection.send("here")
            assert await connection.recv() == "here"
            edge.mesh.write_policy(changed)
            edge.mesh.run("reload", "--control", edge.node.control)
            while True:
                await connection.recv()

    try:
        assert closed_with(listen()).code == 4403
    finally:
        edge.mesh.write_policy(policy(os.getuid()))
        edge.mesh.run("reload", "--control", edge.node.control)


def test_websocket_origin(ws, edge, issuer):
    async def main():
        headers = bearer(issuer.token())
        async with ws("/echo", additional_headers=headers, origin=edge.url) as connection:
            await connection.send("same origin")
            assert await connection.recv() == "same origin"
        with pytest.raises(websockets.InvalidStatus) as raised:
            async with ws("/echo", additional_headers=headers, origin="https://evil.test"):
                pass
        assert raised.value.response.status_code == 403

    asyncio.run(main())


def test_tcp_service_as_websocket(ws, issuer):
    """Any TCP service as a WebSocket: here HTTP spoken by hand."""

    async def main():
        async with ws("/v1/connect/by-hand", additional_headers=bearer(issuer.token())) as connection:
            await connection.send(b"GET /by-hand HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = b""
            while b"}" not in answer:
                answer += await connection.recv()
        assert answer.startswith(b"HTTP/1.1 200") and b"/by-hand" in answer

    asyncio.run(main())
