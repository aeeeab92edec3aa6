"""A real mesh of release programs: a directory, a node with services, and one with an edge."""

import json
import os
import subprocess
import urllib.request
from pathlib import Path

from .addresses import Addresses
from .processes import Processes, eventually

DOMAIN = "clients.mesh"


def programs() -> Path:
    """Where mesh-agent and mesh are."""
    directory = os.environ.get("MESH_BIN")
    if not directory:
        raise RuntimeError("MESH_BIN names the directory of mesh-agent and mesh; scripts/test-clients sets it")
    return Path(directory).absolute()


class Mesh:
    """Certificates, policy, agents. Nodes are started in the order in which they are added."""

    def __init__(self, directory: Path, addresses: Addresses, processes: Processes):
        self.directory, self.addresses, self.processes = directory, addresses, processes
        self.bin = programs()
        self.nodes: dict[str, Node] = {}
        self.policy_path = directory / "policy.json"
        (directory / "certs").mkdir()
        passphrase = directory / "certs/ca.pass"
        passphrase.touch(mode=0o600)
        passphrase.write_text("tests")
        self.run("ca", "init", "--out", "certs", "--trust-domain", DOMAIN, "--passphrase-file", "certs/ca.pass")

    def run(self, *arguments, **options) -> str:
        """Runs `mesh`; its standard output."""
        result = subprocess.run(
            [self.bin / "mesh", *map(str, arguments)], cwd=self.directory, capture_output=True, text=True, timeout=30,
            **options,
        )
        assert result.returncode == 0, f"mesh {' '.join(map(str, arguments))}: {result.stderr}"
        return result.stdout

    def write_policy(self, policy: dict) -> None:
        """Writes the policy anew; agents notice by themselves, or by `reload`."""
        new = self.policy_path.with_suffix(".new")
        new.write_text(json.dumps(policy, indent=1))
        new.rename(self.policy_path)

    def add(self, name: str, number: int, **configuration) -> "Node":
        """Makes a node's certificate and configuration, and starts it."""
        self.run("ca", "issue", name, "--out", "certs", "--passphrase-file", "certs/ca.pass",
                 "--ip", self.addresses.server(number))
        node = Node(self, name, number, configuration)
        self.nodes[name] = node
        node.start()
        return node


class Node:
    """An agent."""

    def __init__(self, mesh: Mesh, name: str, number: int, configuration: dict):
        self.mesh, self.name = mesh, name
        self.address = mesh.addresses.server(number)
        self.metrics_port = 17500 + number
        self.path = mesh.directory / f"{name}.json"
        self.configuration = {
            "node": {"name": name, "stateDirectory": f"state-{name}", "advertise": [f"{self.address}:17400"]},
            "identity": {"certificate": f"certs/{name}.crt", "key": f"certs/{name}.key"},
            "trust": {"ca": "certs/ca.crt", "domain": DOMAIN},
            "listen": {"mesh": f"{self.address}:17400", "metrics": f"{self.address}:{self.metrics_port}",
                       "control": str(self.control)},
            "policy": {"file": str(mesh.policy_path)},
            **configuration,
        }
        self.process: subprocess.Popen | None = None

    @property
    def control(self) -> Path:
        # Paths of Unix sockets are short.
        return self.mesh.directory / f"c-{self.name}" / "s"

    def start(self) -> None:
        self.path.write_text(json.dumps(self.configuration, indent=1))
        self.process = self.mesh.processes.start(
            self.name, [self.mesh.bin / "mesh-agent", "--config", self.path, "--log-format", "json", "--log-level", "info"],
            cwd=self.mesh.directory,
        )
        eventually(self._is_ready, f"{self.name} is ready", 20)

    def _is_ready(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"{self.name} ended with {self.process.returncode}:\n{self.log()[-4000:]}")
        try:
            return urllib.request.urlopen(self._url("readyz"), timeout=2).status == 200
        except OSError:
            return False

    def _url(self, path: str) -> str:
        return f"http://{self.address}:{self.metrics_port}/{path}"

    def reconfigure(self, **changes) -> None:
        """Writes the configuration anew and has it loaded."""
        self.configuration.update(changes)
        self.path.write_text(json.dumps(self.configuration, indent=1))
        self.mesh.run("reload", "--control", self.control)

    def stop(self) -> None:
        self.mesh.processes.stop(self.process)

    def services(self) -> set[str]:
        """Services with a healthy instance, as this node knows them."""
        listing = json.loads(self.mesh.run("services", "--control", self.control, "--json"))
        return {service["name"] for service in listing["services"] if service["healthy"] > 0}

    def metrics(self) -> str:
        return urllib.request.urlopen(self._url("metrics"), timeout=5).read().decode()

    def metric(self, name: str, **labels) -> float:
        """The sum of a metric's samples that have these labels."""
        total = 0.0
        for line in self.metrics().splitlines():
            if line.startswith((name + " ", name + "{")) and all(f'{k}="{v}"' in line for k, v in labels.items()):
                total += float(line.rsplit(" ", 1)[1])
        return total

    def log(self) -> str:
        return self.mesh.processes.log(self.name)

    def resident(self) -> int:
        """Resident memory in bytes."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        return 0

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
