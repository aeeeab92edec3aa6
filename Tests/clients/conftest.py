"""The mesh that the tests share: nodes Directory, Services and Edge, services written in Python behind Services."""

import json
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from services.echo import Echo
from services.loop import LoopThread
from services.recorder import Recorder
from support.addresses import Addresses
from support.certificates import Authority
from support.mesh import Mesh
from support.processes import Processes, eventually
from support.tokens import ISSUER, Issuer
from support.wire import Wire, client_context

HERE = Path(__file__).parent


def pytest_addoption(parser):
    parser.addoption("--load", action="store_true", help="the long tier")


def pytest_collection_modifyitems(config, items):
    wanted = config.getoption("--load")
    deselected = [item for item in items if (item.get_closest_marker("load") is not None) != wanted]
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        items[:] = [item for item in items if item not in deselected]


@pytest.fixture(scope="session")
def work():
    """A directory that is removed at the end, unless MESH_KEEP is set."""
    directory = Path(tempfile.mkdtemp(prefix="conduit-clients.", dir="/tmp"))
    directory.chmod(0o755)
    yield directory
    if os.environ.get("MESH_KEEP"):
        print(f"\nkept: {directory}")
    else:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def processes(work):
    logs = work / "logs"
    logs.mkdir()
    processes = Processes(logs)
    yield processes
    processes.stop_all()


@pytest.fixture(scope="session")
def addresses():
    return Addresses()


@pytest.fixture(scope="session")
def thread():
    thread = LoopThread()
    yield thread
    thread.stop()


@pytest.fixture(scope="session")
def recorder(thread):
    return Recorder(thread, "127.0.0.1")


@pytest.fixture(scope="session")
def echo(thread):
    return Echo(thread, "127.0.0.1")


@pytest.fixture(scope="session")
def authority(work):
    """The CA of the outside world."""
    return Authority(work / "outside", "Outside CA")


@pytest.fixture(scope="session")
def issuer(work):
    (work / "issuer").mkdir()
    return Issuer(work / "issuer")


@dataclass
class Edge:
    """The edge as clients see it."""

    mesh: Mesh
    node: object
    address: str
    ca: Path
    authority: Authority
    issuer: Issuer
    addresses: Addresses
    proxy: str  # The address of the trusted proxy.

    TLS = 8443
    BEHIND = 8444
    AUTO = 8445
    PROXY = 8446
    PLAIN = 8447
    STRICT = 8448

    @property
    def url(self) -> str:
        return f"https://{self.address}:{self.TLS}"

    @property
    def ws_url(self) -> str:
        return f"wss://{self.address}:{self.TLS}"

    @property
    def unix(self) -> str:
        return str(self.mesh.directory.parent / "edge.sock")

    def context(self, **options):
        return client_context(self.ca, **options)

    def wire(self, port: int = TLS, source: str | None = None, **options) -> Wire:
        """A raw connection, with TLS on the ports that have it."""
        context = options.pop("context", self.context() if port in (self.TLS, self.AUTO, self.STRICT) else None)
        return Wire((self.address, port), context, source, **options)


SERVICES = ["recorder", "echo", "mcp", "mcp-sse", "by-hand"]
# Registered later, by the tests that need them.
MORE_SERVICES = ["idle", "plain"]


def policy(uid: int) -> dict:
    everyone = [f"jwt:{ISSUER}/*", "jwt:conduit-mesh/*", "key:*", "node:partner"]
    return {
        "identities": [
            {"match": {"node": "Directory"}, "permissions": "mesh-directory"},
            {"match": {"node": "Services"}, "permissions": "mesh-node"},
            {"match": {"node": "Edge"}, "permissions": "mesh-node"},
            {"match": {"cn": "partner"}, "node": "partner"},
            {"match": {"uid": uid}, "groups": "operators"},
        ],
        "rules": [
            {"allow": ["register", "provide"], "from": "node:Services", "to": SERVICES + MORE_SERVICES},
            {"allow": "connect", "from": ["node:Edge", *everyone], "to": SERVICES + MORE_SERVICES},
            {"deny": "connect", "from": f"jwt:{ISSUER}/mallory", "to": "**"},
            {"allow": "act-as", "from": "node:Edge", "to": everyone},
            {"allow": ["discover", "register"], "from": "group:operators", "to": "**"},
            {"allow": "administer", "from": "group:operators", "to": ["Directory", "Services", "Edge"]},
        ],
    }


def edge_configuration(address, proxy, server, authority, issuer, work) -> dict:
    certificate = {"certificate": str(server.certificate), "key": str(server.key)}
    tls = {"certificates": [certificate]}

    def listener(port, **keys):
        return {"address": f"{address}:{port}", **keys}

    def route(path, service="recorder", **keys):
        return {"path": path, "service": service, **keys}

    return {
        "listeners": [
            listener(Edge.TLS, **tls, clientCertificates={"mode": "optional", "ca": str(authority.path), "commonNames": True},
                     hsts={"maxAge": "365d"}),
            listener(Edge.BEHIND, tls="behind_proxy", trustedProxies=[proxy]),
            listener(Edge.AUTO, tls="auto", trustedProxies=[proxy], **tls),
            listener(Edge.PROXY, tls="behind_proxy", trustedProxies=[proxy], proxyProtocol="require"),
            # The tests of requests use all sorts of hosts.
            listener(Edge.PLAIN, tls="disabled", hosts=["*"]),
            listener(Edge.STRICT, **tls, minimumVersion="1.3", plaintext="redirect"),
            {"address": f"unix:{work}/edge.sock", "tls": "behind_proxy", "trustedProxies": ["unix"]},
        ],
        "routes": [
            route("/open", require="none"),
            route("/api"),
            route("/scoped", scopes=["write"]),
            route("/certificate", require="certificate"),
            route("/either", require="either"),
            route("/both", require="both"),
            route("/rewritten", require="none", rewrite="/inside"),
            route("/small", require="none", limits={"body": "1KiB"}),
            route("/limited", limits={"rate": 1, "burst": 3}),
            route("/impatient", require="none", timeout="300ms"),
            route("/echo", "echo"),
            route("/echo-open", "echo", require="none"),
            route("/mcp", "mcp"),
            route("/sse", "mcp-sse"),
            route("/messages", "mcp-sse"),
        ],
        "authentication": {
            "issuers": [
                {"issuer": issuer.name, "audiences": [issuer.audience], "jwks": {"file": str(issuer.path)},
                 "leeway": "0s"},
            ],
            "apiKeys": str(work / "keys.json"),
            "revocations": str(work / "revoked.json"),
            "localIssuer": {"key": str(work / "local.json"), "audiences": ["local"]},
        },
    }


@pytest.fixture(scope="session")
def mesh(work, addresses, processes):
    directory = work / "mesh"
    directory.mkdir()
    mesh = Mesh(directory, addresses, processes)
    mesh.write_policy(policy(os.getuid()))
    return mesh


def own_files(mesh: Mesh, work: Path) -> None:
    """Files of API keys and revocations with something in them, and a local issuer."""
    mesh.run("apikey", "create", "unused", "--file", work / "keys.json")
    mesh.run("token", "revoke", "--file", work / "revoked.json", "--jti", "unused")
    mesh.run("token", "init", "--issuer", "conduit-mesh", "--key", work / "local.json")


@pytest.fixture(scope="session")
def edge(mesh, addresses, recorder, echo, mcp_ports, authority, issuer, work):
    """The whole mesh, ready for requests."""
    address, proxy = addresses.server(3), addresses.server(9)
    server = authority.issue("edge", dns=["edge.test", "*.apps.test"], ips=[address])
    own_files(mesh, work)
    mesh.add("Directory", 1, directory={"serve": True})
    directory = {"node": "Directory", "address": f"{addresses.server(1)}:17400"}
    check = {"kind": "none"}
    targets = {"recorder": recorder.target, "echo": echo.target, "mcp": mcp_ports["http"],
               "mcp-sse": mcp_ports["sse"], "by-hand": recorder.target}
    mesh.add("Services", 2, directory=directory, services=[
        {"name": name, "target": target, "protocol": "http", "check": check} for name, target in targets.items()
    ])
    node = mesh.add("Edge", 3, directory=directory,
                    edge=edge_configuration(address, proxy, server, authority, issuer, work))
    eventually(lambda: node.services() >= set(SERVICES), "the edge knows all services", 30)
    return Edge(mesh, node, address, authority.path, authority, issuer, addresses, proxy)


@pytest.fixture(scope="session")
def mcp_ports(processes):
    """An MCP server over streamable HTTP and one over SSE."""
    from support.addresses import accepts, free_port

    ports = {}
    for transport in ("http", "sse"):
        port = free_port()
        processes.start(f"mcp-{transport}", [sys.executable, HERE / "services/mcp_server.py", transport, port])
        ports[transport] = f"127.0.0.1:{port}"
        eventually(lambda: accepts("127.0.0.1", port), f"the MCP server over {transport} answers", 30)
    return ports


@pytest.fixture(autouse=True)
def well_formed(request):
    """Whatever a test did: the service received only well-formed requests, and all agents are still there."""
    yield
    if "recorder" in request.fixturenames or "edge" in request.fixturenames:
        recorder = request.getfixturevalue("recorder")
        violations, recorder.violations = recorder.violations, []
        assert not violations
    if "edge" in request.fixturenames:
        for node in request.getfixturevalue("edge").mesh.nodes.values():
            if node.process.poll() is not None:
                pytest.exit(f"{node.name} ended with {node.process.returncode} in {request.node.name}:\n{node.log()[-6000:]}", 1)
