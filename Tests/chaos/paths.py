"""The ways from North to South that are compared: our agents, and proxies that carry the same streams."""

import glob
import json
import os
import pwd
import shutil
import subprocess
from pathlib import Path as File

from support.processes import Processes, eventually

DOMAIN = "chaos.mesh"
# A silent link is given up within the time that a fault lasts.
QUICK_TIMERS = {"pingInterval": "300ms", "idleTimeout": "1500ms"}
ROOT = File(__file__).resolve().parents[2]
USER = pwd.getpwuid(os.getuid()).pw_name


class Place:
    """Where a run keeps its files, and what it shares: certificates, programs, the network, processes."""

    def __init__(self, directory: File, programs: File, network, processes: Processes):
        self.directory, self.programs, self.network, self.processes = directory, programs, network, processes
        self.certs = directory / "certs"
        self.mesh("ca", "init", "--out", self.certs, "--trust-domain", DOMAIN, "--no-passphrase")
        for node in ("North", "South"):
            self.mesh("ca", "issue", node, "--out", self.certs, "--dns", node.lower() + ".chaos.mesh")

    def mesh(self, *arguments, check: bool = True) -> str:
        result = subprocess.run([self.programs / "mesh", *map(str, arguments)], capture_output=True, text=True, timeout=60)
        if check and result.returncode != 0:
            raise RuntimeError(f"mesh {arguments[0]}: {result.stderr}")
        return result.stdout

    def start(self, name: str, side: str, arguments: list, **options) -> subprocess.Popen:
        """Starts a program on a host."""
        return self.processes.start(name, [*self.network.prefix(side), *arguments], **options)

    def write(self, name: str, text: str) -> File:
        path = self.directory / name
        path.write_text(text)
        return path

    def socket(self, name: str) -> str:
        return str(self.directory / name)


class Agents:
    """Our two agents. South serves the directory; both offer `data`, South the sessions' services too."""

    name = "agent"

    def __init__(self, place: Place, targets: dict[str, str], settings: dict | None):
        self.place, self.targets = place, targets
        self.nodes: dict[str, subprocess.Popen] = {}
        self.upstreams: dict[str, str] = {}
        services = {"North": {"data-North": "unix:" + place.socket("sink-North")},
                    "South": {"data-South": "unix:" + place.socket("sink-South"), **targets}}
        names = [name for offered in services.values() for name in offered]
        place.write("policy.json", json.dumps({
            "identities": [{"match": {"node": "*"}, "services": ["user"], "permissions": ["mesh-node"]},
                           {"match": {"node": "South"}, "permissions": ["mesh-directory"]},
                           {"match": {"uid": os.getuid()}, "services": ["user"], "groups": ["operators"]}],
            "rules": [{"allow": ["register", "provide"], "from": ["node:*"], "to": names},
                      {"allow": ["connect", "discover"], "from": ["service:user", "group:operators"], "to": names},
                      {"allow": ["connect"], "from": ["group:operators"], "to": ["mesh.agent", "mesh.directory"]},
                      {"allow": ["administer"], "from": ["group:operators"], "to": ["@every-node"]}]}))
        for side in ("South", "North"):
            other = "North" if side == "South" else "South"
            wanted = {f"data-{other}": "unix:" + place.socket(f"data-{side}")}
            if side == "North":
                wanted.update({name: "unix:" + place.socket("to-" + name) for name in targets})
            self.write(side, services[side], wanted, settings)

    def write(self, side: str, services: dict[str, str], upstreams: dict[str, str], settings: dict | None) -> None:
        place = self.place
        configuration = {
            "node": {"name": side, "stateDirectory": str(place.directory / f"state-{side}")},
            "identity": {"certificate": f"{place.certs}/{side}.crt", "key": f"{place.certs}/{side}.key"},
            "trust": {"ca": f"{place.certs}/ca.crt"}, "policy": {"file": str(place.directory / "policy.json")},
            "listen": {"control": self.control(side)}, "log": {"level": "info", "format": "json"},
            **({"links": settings} if settings else {}),
            "services": [{"name": name, "target": target, "check": {"kind": "none"}} for name, target in services.items()],
            # A few cuts in a row are longer than the five seconds that a new connection waits by default.
            "upstreams": [{"listen": where, "service": name, "as": "user", "connectTimeout": "30s"}
                          for name, where in upstreams.items()],
        }
        network = place.network
        if side == "South":
            configuration["node"]["advertise"] = [network.link_target("agent")]
            configuration["listen"]["mesh"] = network.listener("agent")
            configuration["directory"] = {"serve": True}
        else:
            configuration["directory"] = {"node": "South", "address": network.link_target("agent")}
            # Both ends dial where both can.
            if network.prefix(side):
                configuration["listen"]["mesh"] = f"{network.address('North')}:{network.ports['agent']}"
        place.write(side + ".json", json.dumps(configuration, indent=1))

    def control(self, side: str) -> str:
        return str(self.place.directory / f"c-{side}" / "s")

    def start(self) -> None:
        for side in ("South", "North"):
            self.nodes[side] = self.place.start(
                side, side, [self.place.programs / "mesh-agent", "--config", self.place.directory / f"{side}.json"])
        wanted = {f"data-{side}" for side in ("North", "South")} | set(self.targets)
        for side in ("North", "South"):
            eventually(lambda: self.known(side) >= wanted, f"{side} knows all services", 30)

    def known(self, side: str) -> set[str]:
        if self.nodes[side].poll() is not None:
            raise RuntimeError(f"the agent of {side} ended:\n{self.place.processes.log(side)[-3000:]}")
        try:
            listing = json.loads(self.place.mesh("services", "--control", self.control(side), "--json", check=False))
        except ValueError:
            return set()
        return {service["name"] for service in listing["services"] if service["healthy"] > 0}

    def records(self, side: str) -> list[dict]:
        found = []
        for line in self.place.processes.log(side).splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found

    def entries(self) -> list[str]:
        return [self.place.socket(f"data-{side}") for side in ("North", "South")]

    def sinks(self) -> list[str]:
        return [self.place.socket(f"sink-{side}") for side in ("North", "South")]


class Nginx:
    """nginx's stream module at both ends, a mutual-TLS connection for each stream."""

    name = "nginx"

    def __init__(self, place: Place):
        self.place = place

    @staticmethod
    def missing() -> str | None:
        if not shutil.which("nginx"):
            return "nginx is not installed"
        if not os.path.exists("/usr/lib/nginx/modules/ngx_stream_module.so"):
            return "nginx's stream module is not installed"
        return None

    def start(self) -> None:
        place, network = self.place, self.place.network
        certs = place.certs
        south = f"""server {{ listen {network.listener('nginx')} ssl; proxy_pass unix:{place.socket('nginx-sink')};
            ssl_certificate {certs}/South.crt; ssl_certificate_key {certs}/South.key;
            ssl_client_certificate {certs}/ca.crt; ssl_verify_client on; ssl_protocols TLSv1.3; }}"""
        north = f"""server {{ listen unix:{place.socket('nginx-entry')}; proxy_pass {network.link_target('nginx')};
            proxy_ssl on; proxy_ssl_certificate {certs}/North.crt; proxy_ssl_certificate_key {certs}/North.key;
            proxy_ssl_trusted_certificate {certs}/ca.crt; proxy_ssl_verify on; proxy_ssl_name south.chaos.mesh;
            proxy_ssl_protocols TLSv1.3; }}"""
        for side, server in (("South", south), ("North", north)):
            text = f"""load_module /usr/lib/nginx/modules/ngx_stream_module.so;
                daemon off; {'user root;' if os.getuid() == 0 else ''} pid {place.directory}/nginx-{side}.pid;
                error_log {place.directory}/nginx-{side}.err error; worker_processes 1;
                events {{ worker_connections 4096; }}
                stream {{ tcp_nodelay on; proxy_timeout 1h; proxy_connect_timeout 5s; {server} }}"""
            path = place.write(f"nginx-{side}.conf", text)
            place.start(f"nginx-{side}", side, ["nginx", "-p", place.directory, "-e", f"{path}.err", "-c", path])
        eventually(lambda: os.path.exists(place.socket("nginx-entry")), "nginx listens")

    def entries(self) -> list[str]:
        return [self.place.socket("nginx-entry")]

    def sinks(self) -> list[str]:
        return [self.place.socket("nginx-sink")]


def envoy_program() -> str | None:
    """Envoy's program: ENVOY_BIN, or the one of scripts/bootstrap-bench."""
    found = [os.environ.get("ENVOY_BIN", "")] + glob.glob(f"{ROOT}/.venv/lib/python3*/site-packages/envoy/_bin/envoy")
    return next((path for path in found if path and os.path.exists(path)), shutil.which("envoy"))


class Envoy:
    """Envoy at both ends: each stream is an HTTP/2 CONNECT stream on one mutual-TLS connection."""

    name = "envoy"

    def __init__(self, place: Place):
        self.place = place

    @staticmethod
    def missing() -> str | None:
        return None if envoy_program() else "Envoy is not installed (scripts/bootstrap-bench, or ENVOY_BIN)"

    def start(self) -> None:
        place, types = self.place, "type.googleapis.com/envoy.extensions."
        certs = place.certs

        def pipe(name):
            return {"pipe": {"path": place.socket(name)}}

        def tcp(where):
            host, port = where.split(":")
            return {"socket_address": {"address": host, "port_value": int(port)}}

        def cluster(name, address, **more):
            return {"name": name, "type": "STATIC", "connect_timeout": "5s", "load_assignment": {
                "cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]}, **more}

        def tls(node, kind, peer, **more):
            return {"name": "envoy.transport_sockets.tls", "typed_config": {
                "@type": types + f"transport_sockets.tls.v3.{kind}", **more, "common_tls_context": {
                    "tls_certificates": [{"certificate_chain": {"filename": f"{certs}/{node}.crt"},
                                          "private_key": {"filename": f"{certs}/{node}.key"}}],
                    "validation_context": {"trusted_ca": {"filename": f"{certs}/ca.crt"}, "match_typed_subject_alt_names": [
                        {"san_type": "DNS", "matcher": {"exact": f"{peer}.chaos.mesh"}}]},
                    "alpn_protocols": ["h2"]}}}

        http2 = {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": types + "upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}}}}
        proxy = {"name": "envoy.filters.network.tcp_proxy", "typed_config": {
            "@type": types + "filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": "north", "cluster": "link",
            "idle_timeout": "3600s", "tunneling_config": {"hostname": "data.mesh:80"}}}
        north = {"listeners": [{"name": "entry", "address": pipe("envoy-entry"), "filter_chains": [{"filters": [proxy]}]}],
                 "clusters": [cluster("link", tcp(place.network.link_target("envoy")),
                                      transport_socket=tls("North", "UpstreamTlsContext", "south"),
                                      typed_extension_protocol_options=http2)]}
        upgrades = [{"upgrade_type": "CONNECT", "connect_config": {}}]
        hosts = [{"name": "data", "domains": ["data.mesh:80"], "routes": [{"match": {"connect_matcher": {}}, "route": {
            "cluster": "sink", "timeout": "0s", "upgrade_configs": upgrades}}]}]
        manager = {"name": "envoy.filters.network.http_connection_manager", "typed_config": {
            "@type": types + "filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "south",
            "codec_type": "HTTP2", "http2_protocol_options": {"allow_connect": True}, "stream_idle_timeout": "3600s",
            "upgrade_configs": [{"upgrade_type": "CONNECT"}], "route_config": {"virtual_hosts": hosts}, "http_filters": [
                {"name": "envoy.filters.http.router",
                 "typed_config": {"@type": types + "filters.http.router.v3.Router"}}]}}
        south = {"listeners": [{"name": "link", "address": tcp(place.network.listener("envoy")), "filter_chains": [
            {"filters": [manager],
             "transport_socket": tls("South", "DownstreamTlsContext", "north", require_client_certificate=True)}]}],
            "clusters": [cluster("sink", pipe("envoy-sink"))]}
        for side, resources in (("South", south), ("North", north)):
            path = place.write(f"envoy-{side}.json", json.dumps({"static_resources": resources}))
            place.start(f"envoy-{side}", side, [envoy_program(), "-c", path, "--concurrency", "1", "--disable-hot-restart",
                                                "-l", "error"])
        eventually(lambda: os.path.exists(place.socket("envoy-entry")), "Envoy listens")

    def entries(self) -> list[str]:
        return [self.place.socket("envoy-entry")]

    def sinks(self) -> list[str]:
        return [self.place.socket("envoy-sink")]
