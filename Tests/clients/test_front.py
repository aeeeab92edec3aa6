"""`mesh-agent front` before plain servers: the variables of seven WebSocket servers, both directions, nginx in front."""

import asyncio
import json
import os
import shutil
import ssl
import sys
from pathlib import Path

import httpx
import pytest
import websockets
from support.addresses import accepts, free_port
from support.processes import eventually

HERE = Path(__file__).parent
PREFIXES = ["MAHAVISHNU", "AKOSHA", "CRACKERJACK", "DHRUVA", "EXCALIDRAW", "FASTBLOCKS", "MCP"]


class Front:
    """A running front."""

    count = 0

    def __init__(self, processes, directory: Path, arguments: list, environment: dict | None = None):
        Front.count += 1
        self.name = f"front-{Front.count}"
        self.processes = processes
        clean = {name: value for name, value in os.environ.items() if "_WS_" not in name}
        self.process = processes.start(
            self.name, [Path(os.environ["MESH_BIN"]) / "mesh-agent", "front", *arguments],
            env=clean | {"TMPDIR": str(directory)} | (environment or {}),
        )
        self.uri = eventually(self._uri, f"{self.name} says its URI: {processes.log(self.name)}")

    def _uri(self):
        assert self.process.poll() is None, self.processes.log(self.name)
        return next((line for line in self.log.splitlines() if "://" in line and not line.startswith("{")), None)

    @property
    def log(self) -> str:
        return self.processes.log(self.name)

    def records(self, event: str) -> list[dict]:
        records = [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]
        return [record for record in records if record["event"] == event]

    def stop(self):
        self.process.terminate()
        assert self.process.wait(20) == 0, self.log
        self.processes.running.remove(self.process)


@pytest.fixture
def start(processes, work):
    """Starts fronts, all of which end in order."""
    fronts = []

    def start(*arguments, environment=None):
        fronts.append(Front(processes, work, list(arguments), environment))
        return fronts[-1]

    yield start
    for front in reversed(fronts):
        if front.process.poll() is None:
            front.stop()


@pytest.fixture(scope="module")
def plain(processes):
    """The URL of a plain WebSocket server."""
    port = free_port()
    processes.start("plain-websocket", [sys.executable, HERE / "services/plain_websocket.py", port])
    eventually(lambda: accepts("127.0.0.1", port), "the plain server answers")
    return f"ws://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def server(authority):
    return authority.issue("front", dns=["front.test", "localhost"], ips=["127.0.0.1"])


@pytest.fixture(scope="module")
def client(authority):
    return authority.issue("laptop", client=True)


def trusting(ca, leaf=None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca)
    if leaf:
        context.load_cert_chain(leaf.certificate, leaf.key)
    return context


async def conversation(uri: str, context=None) -> dict:
    """What everybody should be able to do; gives the headers that the server got."""
    async with websockets.connect(uri, ssl=context, max_size=None) as connection:
        await connection.send("hello")
        assert await connection.recv() == "hello"
        await (await connection.ping())
        large = os.urandom(3_000_000)
        await connection.send(large)
        assert await connection.recv() == large
        await connection.send("headers")
        headers = json.loads(await connection.recv())
        await connection.send("bye")
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await connection.recv()
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4000, "as you wish")
    return headers


@pytest.mark.parametrize("prefix", PREFIXES)
def test_certificate_and_key(start, plain, server, authority, prefix):
    front = start(
        "--env-prefix", prefix, "--listen", "127.0.0.1:0", "--to", plain,
        environment={f"{prefix}_WS_CERT_FILE": str(server.certificate), f"{prefix}_WS_KEY_FILE": str(server.key)},
    )
    assert front.uri.startswith("wss://127.0.0.1:")
    headers = asyncio.run(conversation(front.uri, trusting(authority.path)))
    assert headers["x-forwarded-proto"] == "https"
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert "conduit-caller-cn" not in headers


@pytest.mark.parametrize("prefix", PREFIXES)
def test_client_certificate(start, plain, server, client, authority, prefix):
    front = start(
        "--env-prefix", prefix, "--listen", "127.0.0.1:0", "--to", plain,
        environment={
            f"{prefix}_WS_TLS_ENABLED": "true", f"{prefix}_WS_CERT_FILE": str(server.certificate),
            f"{prefix}_WS_KEY_FILE": str(server.key), f"{prefix}_WS_CA_FILE": str(authority.path),
            f"{prefix}_WS_VERIFY_CLIENT": "true",
        },
    )
    with pytest.raises((ssl.SSLError, OSError, websockets.InvalidHandshake)):
        asyncio.run(conversation(front.uri, trusting(authority.path)))
    headers = asyncio.run(conversation(front.uri, trusting(authority.path, client)))
    assert headers["conduit-caller-cn"] == "laptop"


@pytest.mark.parametrize("prefix", PREFIXES)
def test_development_certificate(start, plain, prefix):
    front = start(
        "--env-prefix", prefix, "--listen", "127.0.0.1:0", "--to", plain,
        environment={f"{prefix}_WS_TLS_ENABLED": "true"},
    )
    ca = Path(front.records("development_certificate")[0]["ca"])
    asyncio.run(conversation(front.uri, trusting(ca)))
    asyncio.run(conversation(front.uri.replace("127.0.0.1", "localhost"), trusting(ca)))
    with pytest.raises(ssl.SSLCertVerificationError):
        asyncio.run(conversation(front.uri, ssl.create_default_context()))
    front.stop()
    assert not ca.exists() and not ca.parent.exists()


@pytest.mark.parametrize("prefix", PREFIXES)
def test_switched_off(start, plain, prefix):
    front = start(
        "--env-prefix", prefix, "--listen", "127.0.0.1:0", "--to", plain,
        environment={f"{prefix}_WS_TLS_ENABLED": "false"},
    )
    assert front.uri.startswith("ws://")
    assert asyncio.run(conversation(front.uri))["x-forwarded-proto"] == "http"


def test_both_directions(start, plain, server, client, authority):
    """A plain client through two fronts to a plain server, with TLS and client certificates in between."""
    outer = start(
        "--listen", "127.0.0.1:0", "--to", plain, "--certificate-file", server.certificate, "--private-key-file",
        server.key, "--ca-file", authority.path, "--verify-client", "--minimum-tls-version", "1.3",
    )
    inner = start(
        "--listen", "127.0.0.1:0", "--to", outer.uri, "--ca-file", authority.path, "--certificate-file",
        client.certificate, "--private-key-file", client.key,
    )
    assert inner.uri.startswith("ws://")
    headers = asyncio.run(conversation(inner.uri))
    assert headers["conduit-caller-cn"] == "laptop"
    assert headers["host"] == outer.uri.removeprefix("wss://")


def test_events(start, recorder, server, authority):
    """Requests and answers of httpx through both sides."""
    outer = start(
        "--listen", "127.0.0.1:0", "--to", f"http://{recorder.target}", "--certificate-file", server.certificate,
        "--private-key-file", server.key,
    )
    inner = start("--listen", "127.0.0.1:0", "--to", outer.uri, "--ca-file", authority.path)
    with httpx.Client(verify=trusting(authority.path)) as direct, httpx.Client() as plain:
        assert direct.get(f"{outer.uri}/anything").status_code == 200
        assert plain.get(f"{inner.uri}/anything").status_code == 200
        # Plain HTTP on the TLS port says what is wrong.
        answer = plain.get(outer.uri.replace("https", "http"))
        assert answer.status_code == 400 and answer.json()["reason"] == "tls_required"


NGINX = """
daemon off; pid {directory}/nginx.pid; error_log {directory}/error.log; worker_processes 1;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path {directory}; proxy_temp_path {directory}; fastcgi_temp_path {directory};
  uwsgi_temp_path {directory}; scgi_temp_path {directory};
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  server {{
    listen 127.0.0.1:{port} ssl;
    server_name front.test;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    location / {{
      proxy_pass http://{front};
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_buffering off;
      proxy_read_timeout 1h;
    }}
  }}
}}
"""


def test_nginx_in_front(start, processes, plain, server, authority, work):
    """As in docs/front.md: nginx ends TLS, the front believes it, and nobody else."""
    if not shutil.which("nginx"):
        pytest.skip("there is no nginx")
    front = start("--listen", "127.0.0.1:0", "--to", plain, "--tls-mode", "behind_proxy", "--trusted-proxies", "127.0.0.1")
    directory = work / "front-nginx"
    directory.mkdir()
    port = free_port()
    (directory / "nginx.conf").write_text(
        NGINX.format(directory=directory, port=port, certificate=server.certificate, key=server.key,
                     front=front.uri.split("://")[1]))
    processes.start("front-nginx", ["nginx", "-p", directory, "-c", directory / "nginx.conf"])
    eventually(lambda: accepts("127.0.0.1", port), "nginx answers")

    async def told(source=None):
        async with websockets.connect(
            f"wss://127.0.0.1:{port}", ssl=trusting(authority.path), additional_headers={"X-Forwarded-For": "192.0.2.1"}
        ) as connection:
            await connection.send("headers")
            return json.loads(await connection.recv())

    headers = asyncio.run(told())
    assert headers["x-forwarded-proto"] == "https"
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["host"] == f"127.0.0.1:{port}"
