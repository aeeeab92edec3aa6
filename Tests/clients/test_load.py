"""The long tier: many slow clients, many idle ones, throughput beside nginx. Figures are printed, and written as JSON
where MESH_RESULTS names a file.
"""

import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from conftest import Edge
from support.addresses import accepts, free_port
from support.processes import eventually
from support.tokens import bearer

HERE = Path(__file__).parent
pytestmark = [pytest.mark.load, pytest.mark.timeout(900)]
RESULTS: dict = {}


@pytest.fixture(scope="module", autouse=True)
def results():
    yield
    if path := os.environ.get("MESH_RESULTS"):
        Path(path).write_text(json.dumps(RESULTS, indent=1) + "\n")


def record(name: str, **figures) -> None:
    RESULTS[name] = figures
    print(f"\n{name}: " + ", ".join(f"{key} {value}" for key, value in figures.items()), flush=True)


@pytest.fixture
def limits(edge):
    """Changes the edge's limits for one test."""
    before = edge.node.configuration["edge"]

    def change(routes=(), **limits):
        edge.node.reconfigure(edge={**before, "limits": limits, "routes": [*routes, *before["routes"]]})

    yield change
    edge.node.reconfigure(edge=before)


def register(edge: Edge, name: str, target: str) -> None:
    """Offers another service on the node Services."""
    services = edge.mesh.nodes["Services"]
    edge.mesh.run("register", name, "--target", target, "--control", services.control)
    eventually(lambda: name in edge.node.services(), f"the edge knows {name}")


class Honest(threading.Thread):
    """Clients with a token, on connections of their own and anew, each request timed."""

    def __init__(self, edge: Edge, issuer, number: int):
        super().__init__(daemon=True)
        self.edge, self.token = edge, issuer.token(f"honest-{number}", lifetime=3600)
        self.source = edge.addresses.client()
        self.fresh, self.kept, self.failures = [], [], []
        self.stopping = False

    def run(self):
        field = "".join(f"{name}: {value}\r\n" for name, value in bearer(self.token).items())
        request = f"GET /api/echo HTTP/1.1\r\nHost: {self.edge.address}\r\n{field}\r\n"
        context = self.edge.context()
        while not self.stopping:
            try:
                began = time.monotonic()
                with self.edge.wire(context=context, source=self.source) as wire:
                    for number in range(10):
                        answer = wire.request(request)
                        assert answer is not None and answer.status == 200, answer
                        (self.kept if number else self.fresh).append(time.monotonic() - began)
                        began = time.monotonic()
            except Exception as error:  # noqa: BLE001 - whatever it is, an honest client was kept out
                self.failures.append(repr(error))
            time.sleep(0.05)


def percentile(values, part):
    return round(sorted(values)[min(len(values) - 1, int(len(values) * part))] * 1000, 1)


def honest_for(edge, issuer, seconds, clients=8) -> dict:
    threads = [Honest(edge, issuer, number) for number in range(clients)]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    for thread in threads:
        thread.stopping = True
    for thread in threads:
        thread.join(30)
    fresh = [value for thread in threads for value in thread.fresh]
    kept = [value for thread in threads for value in thread.kept]
    failures = [failure for thread in threads for failure in thread.failures]
    return {"requests": len(fresh) + len(kept), "failed": len(failures), "p50_ms": percentile(kept, 0.5),
            "p99_ms": percentile(kept, 0.99), "connect_p50_ms": percentile(fresh, 0.5),
            "connect_p99_ms": percentile(fresh, 0.99), "failures": failures[:3]}


def test_idle_websockets(edge, issuer, limits, processes, work):
    """Authenticated WebSocket connections that do nothing, and what each costs.

    The first test, while the agents are fresh: what others leave in the allocator would be used for these connections.
    """
    count = int(os.environ.get("MESH_IDLE", "8000"))
    port = free_port()
    service = processes.start("idle", [sys.executable, HERE / "services/idle.py", port])
    eventually(lambda: accepts("127.0.0.1", port), "the service listens")
    register(edge, "idle", f"127.0.0.1:{port}")
    limits(connections=20000, connectionsPerAddress=20000, connectionsPerPrincipal=20000, handshakesPerSecond=0,
           routes=[{"path": "/idle", "service": "idle"}])
    tokens = work / "idle-tokens"
    tokens.write_text("\n".join(issuer.token(f"idle-{number}", lifetime=7200) for number in range(500)))
    nodes = {"edge": edge.node, "service_node": edge.mesh.nodes["Services"]}
    time.sleep(3)
    before = {name: node.resident() for name, node in nodes.items()}
    holders = [
        processes.start(
            f"idle-clients-{number}",
            [sys.executable, HERE / "programs/idle_clients.py", edge.address, edge.TLS, edge.ca, tokens, count // 4,
             *[edge.addresses.client() for _ in range(4)]],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for number in range(4)
    ]
    try:
        opened = sum(int(holder.stdout.readline()) for holder in holders)
        time.sleep(10)  # Until memory of the handshakes is given back.
        after = {name: node.resident() for name, node in nodes.items()}
        cpu = {name: node.cpu_seconds() for name, node in nodes.items()}
        time.sleep(10)
        cpu = {name: node.cpu_seconds() - cpu[name] for name, node in nodes.items()}
        alive = 0
        for holder in holders:
            holder.stdin.write("ping\n")
            holder.stdin.flush()
        alive = sum(int(holder.stdout.readline().split()[0]) for holder in holders)
        descriptors = {name: len(os.listdir(f"/proc/{node.process.pid}/fd")) for name, node in nodes.items()}
    finally:
        for holder in holders:
            processes.stop(holder)
        processes.stop(service)
    record("idle WebSockets", opened=opened, answered=alive,
           bytes_each={name: round((after[name] - before[name]) / max(opened, 1)) for name in nodes},
           descriptors=descriptors, cpu_percent_idle={name: round(cpu[name] * 10, 1) for name in nodes})
    assert opened == alive == count // 4 * 4


@pytest.mark.parametrize("connections", [10_000, 3_000], ids=["all find room", "more than there is room for"])
def test_slow_clients(edge, issuer, limits, processes, connections):
    """5,000 slow clients from 60 addresses do not keep honest ones out."""
    limits(connections=connections, handshakeTimeout="10s", headerTimeout="10s", bodyTimeout="10s", idleTimeout="20s")
    quiet = honest_for(edge, issuer, 10)
    sources = [edge.addresses.client() for _ in range(60)]
    lines: list[str] = []
    attackers = processes.start(
        "slow-clients",
        [sys.executable, HERE / "programs/slow_clients.py", edge.address, edge.TLS, edge.ca, 5000, *sources],
        stdout=subprocess.PIPE, text=True)
    threading.Thread(target=lambda: lines.extend(attackers.stdout), daemon=True).start()
    try:
        wanted = min(4500, connections * 0.9)
        eventually(lambda: lines and int(lines[-1].split()[0]) >= wanted, f"{wanted} slow clients are connected", 180)
        from_line = len(lines)
        attacked = honest_for(edge, issuer, 40)
        connected = [int(line.split()[0]) for line in lines[from_line:]]
    finally:
        processes.stop(attackers)
    record(f"slow clients, room for {connections}", quiet=quiet, attacked=attacked,
           slow_connected=f"{min(connected)} to {max(connected)}", thrown_out=lines[-1].split()[1],
           edge_memory_MiB=round(edge.node.resident() / 2**20))
    assert attacked["failed"] == 0, attacked["failures"]
    assert attacked["requests"] > 100


# Throughput beside nginx.


def nginx(processes, name, directory: Path, body: str, workers: int):
    directory.mkdir()
    temporary = "\n".join(f"{kind}_temp_path {directory}/{kind};" for kind in
                          ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    user = "user root;" if os.getuid() == 0 else ""
    (directory / "nginx.conf").write_text(
        f"daemon off; pid {directory}/pid; error_log {directory}/error.log; worker_processes {workers}; {user}\n"
        f"events {{ worker_connections 4096; }}\nhttp {{ access_log off; {temporary} keepalive_requests 100000000; {body} }}\n")
    return processes.start(name, ["/usr/sbin/nginx", "-p", directory, "-e", directory / "error.log", "-c",
                                  directory / "nginx.conf"])


def tree(pid: int) -> list[int]:
    """A process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(other for child in children for other in tree(int(child)))]


def cpu_of(pids) -> float:
    total = 0.0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def wrk(url: str, seconds: int, connections: int, fields=(), script: Path | None = None) -> dict:
    command = ["wrk", "--latency", "-t", "1", "-c", str(connections), "-d", f"{seconds}s"]
    for name, value in fields:
        command += ["-H", f"{name}: {value}"]
    if script:
        command += ["-s", str(script)]
    text = subprocess.run([*command, url], capture_output=True, text=True, timeout=seconds + 60, check=True).stdout

    def milliseconds(pattern):
        number, unit = re.search(pattern + r"\s+([\d.]+)(us|ms|s)", text).groups()
        return round(float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit], 2)

    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    errors = re.search(r"Socket errors: (.*)", text)
    return {"requests": int(re.search(r"(\d+) requests in", text)[1]),
            "per_second": round(float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])),
            "p50_ms": milliseconds("50%"), "p99_ms": milliseconds("99%"), "bad": int(bad[1]) if bad else 0,
            "errors": errors[1] if errors else ""}


def test_throughput_beside_nginx(edge, issuer, limits, processes, work):
    """Requests a second and CPU per request, in one run: TLS 1.3, keep-alive, 1 KiB answers, 32 connections."""
    seconds, connections = int(os.environ.get("MESH_SECONDS", "8")), 32
    backend_port, nginx_port, front_port = (free_port() for _ in range(3))
    nginx(processes, "backend", work / "backend",
          f"server {{ listen 127.0.0.1:{backend_port}; location / {{ return 200 '{'x' * 1024}'; }} }}", 1)
    leaf = edge.authority.issue("bench", ips=["127.0.0.1"])
    proxy = nginx(processes, "proxy", work / "proxy", f"""
        upstream backend {{ server 127.0.0.1:{backend_port}; keepalive 64; keepalive_requests 100000000; }}
        server {{ listen 127.0.0.1:{nginx_port} ssl; ssl_certificate {leaf.certificate}; ssl_certificate_key {leaf.key};
          ssl_protocols TLSv1.3;
          location / {{ proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header Host $http_host; }} }}""", os.cpu_count())
    front_file = work / "bench-front.json"
    authentication = {"issuers": [{"issuer": issuer.name, "audiences": [issuer.audience],
                                   "jwks": {"file": str(issuer.path)}}]}
    front_file.write_text(json.dumps({
        "targets": [{"name": "plain", "url": f"http://127.0.0.1:{backend_port}"}],
        "edge": {
            "listeners": [{"address": f"127.0.0.1:{front_port}",
                           "certificates": [{"certificate": str(leaf.certificate), "key": str(leaf.key)}]}],
            "routes": [{"path": "/open", "service": "plain", "require": "none"}, {"path": "/token", "service": "plain"}],
            "authentication": authentication,
            "limits": {"handshakesPerSecond": 0},
        },
    }))
    front = processes.start("bench-front", [edge.mesh.bin / "mesh-agent", "front", "--config", front_file,
                                            "--log-level", "warning"])
    for port in (backend_port, nginx_port, front_port):
        eventually(lambda: accepts("127.0.0.1", port), f"{port} listens")
    register(edge, "plain", f"127.0.0.1:{backend_port}")
    routes = [{"path": "/plain-open", "service": "plain", "require": "none"}, {"path": "/plain", "service": "plain"},
              {"path": "/plain-limited", "service": "plain", "limits": {"rate": 1_000_000, "burst": 1_000_000}}]
    without = {"handshakesPerSecond": 0}
    all_limits = {"handshakesPerSecond": 1000, "addressRate": 1_000_000, "principalRate": 1_000_000}
    limits(routes=routes, **without)

    same = [("Authorization", f"Bearer {issuer.token('bench', lifetime=7200)}")]
    scripts = {}
    for name, kid, algorithm in (("EdDSA", "ed", "EdDSA"), ("ES256", "p256", "ES256"), ("RS256", "rsa", "RS256")):
        tokens = work / f"tokens-{name}"
        amount = 20000 if name != "RS256" else 4000
        tokens.write_text("\n".join(issuer.token("bench", 7200, kid, algorithm) for _ in range(amount)) + "\n")
        scripts[name] = work / f"{name}.lua"
        scripts[name].write_text(f"""
            local tokens, n = {{}}, 0
            for line in io.lines("{tokens}") do tokens[#tokens + 1] = line end
            request = function()
              n = n % #tokens + 1
              return wrk.format("GET", nil, {{ ["Authorization"] = "Bearer " .. tokens[n] }})
            end
        """)

    mesh = [edge.node.process.pid, edge.mesh.nodes["Services"].process.pid]
    runs = [
        ("nginx", f"https://127.0.0.1:{nginx_port}/", proxy.pid, (), None, without),
        ("front, no token", f"https://127.0.0.1:{front_port}/open", front.pid, (), None, without),
        ("front, one token", f"https://127.0.0.1:{front_port}/token", front.pid, same, None, without),
        ("front, new EdDSA tokens", f"https://127.0.0.1:{front_port}/token", front.pid, (), scripts["EdDSA"], without),
        ("front, new ES256 tokens", f"https://127.0.0.1:{front_port}/token", front.pid, (), scripts["ES256"], without),
        ("front, new RS256 tokens", f"https://127.0.0.1:{front_port}/token", front.pid, (), scripts["RS256"], without),
        ("edge and mesh, no token", f"{edge.url}/plain-open", mesh, (), None, without),
        ("edge and mesh, one token", f"{edge.url}/plain", mesh, same, None, without),
        ("edge and mesh, one token, limits on", f"{edge.url}/plain-limited", mesh, same, None, all_limits),
        ("nginx again", f"https://127.0.0.1:{nginx_port}/", proxy.pid, (), None, without),
    ]
    in_force = without
    for name, url, pids, fields, script, wanted in runs:
        if wanted is not in_force:
            limits(routes=routes, **wanted)
            in_force = wanted
        pids = tree(pids) if isinstance(pids, int) else pids
        wrk(url, 1, connections, fields, script)  # Warms up.
        before = cpu_of(pids)
        figures = wrk(url, seconds, connections, fields, script)
        used = cpu_of(pids) - before
        record(name, **figures, cpu_us_per_request=round(used / figures["requests"] * 1e6, 1))
        assert figures["bad"] == 0 and not figures["errors"], (name, figures)
