"""Agents that a measurement starts by itself: a mesh of nodes in one folder, with the time at which each said it was ready."""
import json, os, random, shutil, signal, socket, subprocess, tempfile, time

import agents

TAKEN = set()


class Mesh:
    """Node B serves the directory and the service echo; nodes A0, A1 … dial it."""

    def __init__(self, folder, dialling):
        self.programs, self.started = folder, []
        self.dir = tempfile.mkdtemp(prefix="mesh-bench-")
        os.chmod(self.dir, 0o700)
        self.nodes = ["B"] + [f"A{number}" for number in range(dialling)]
        mesh, certs = os.path.join(folder, "mesh"), os.path.join(self.dir, "certs")
        quiet = dict(check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        subprocess.run([mesh, "ca", "init", "--out", certs, "--trust-domain", "bench.mesh", "--no-passphrase"], **quiet)
        for node in self.nodes:
            subprocess.run([mesh, "ca", "issue", node, "--out", certs], **quiet)
        self.write("policy.json", {
            "identities": [{"match": {"node": "B"}, "permissions": ["mesh-node", "mesh-directory"]},
                           {"match": {"node": "A*"}, "services": ["load"], "permissions": ["mesh-node"]}],
            "rules": [{"allow": ["register", "provide"], "from": ["node:B"], "to": ["echo"]},
                      {"allow": ["connect"], "from": ["service:load"], "to": ["echo"]}]})
        self.link = free_port()

    def write(self, name, value):
        with open(os.path.join(self.dir, name), "w") as file:
            json.dump(value, file)
        return os.path.join(self.dir, name)

    def start(self, node, **more):
        """Starts a node; returns its process and the seconds until it said READY (sd_notify)."""
        certs = os.path.join(self.dir, "certs")
        configuration = {
            "node": {"name": node, "stateDirectory": os.path.join(self.dir, "state-" + node)},
            "identity": {"certificate": f"{certs}/{node}.crt", "key": f"{certs}/{node}.key"},
            "trust": {"ca": f"{certs}/ca.crt"}, "policy": {"file": os.path.join(self.dir, "policy.json")},
            "log": {"level": "warning"}, **more}
        path = self.write(node + ".json", configuration)
        ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        name = os.path.join(self.dir, f"notify-{node}-{len(self.started)}")
        ready.bind(name)
        ready.settimeout(20)
        begin = time.monotonic()
        process = subprocess.Popen(
            [os.path.join(self.programs, "mesh-agent"), "--config", path], stdin=subprocess.DEVNULL,
            stdout=open(os.path.join(self.dir, node + ".log"), "w"), stderr=subprocess.STDOUT,
            env=dict(os.environ, NOTIFY_SOCKET=ready.getsockname()))
        self.started.append(process)
        try:
            while b"READY=1" not in ready.recv(4096):
                pass
        except TimeoutError:
            with open(os.path.join(self.dir, node + ".log")) as log:
                raise agents.Unmeasurable(f"node {node} did not get ready: {log.read()[-500:]}")
        finally:
            ready.close()
        return process, time.monotonic() - begin

    def serve(self, target, **more):
        """Starts node B with the service at `target`."""
        return self.start("B", listen={"mesh": f"127.0.0.1:{self.link}"}, directory={"serve": True},
                          services=[{"name": "echo", "target": target}], **more)

    def dial(self, number, port):
        """Starts node A`number` with an upstream at `port`."""
        return self.start(f"A{number}", directory={"node": "B", "address": f"127.0.0.1:{self.link}"}, workers=1,
                          upstreams=[{"listen": f"127.0.0.1:{port}", "service": "echo", "as": "load"}])

    def close(self):
        """Ends what was started and removes everything."""
        for process in self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.started:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def free_port():
    """A port below the range that outgoing connections are given, so that none takes it before the agent does."""
    while True:
        port = random.randrange(10000, 32000)
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in TAKEN:
            TAKEN.add(port)
            return port


def memory(pid):
    """Resident memory of a process, and of it what is its own and no file's (heap, stacks), in KiB."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        found = dict(line.split()[:2] for line in file if line.startswith(("Rss:", "Pss_Anon:")))
    return int(found["Rss:"]), int(found["Pss_Anon:"])


def cpu(pid):
    """CPU seconds that a process has used."""
    return time.clock_gettime((~pid << 3) | 2)
