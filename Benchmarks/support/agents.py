"""The two hops of our agent for the harness: certificates, policy, configurations and command lines."""
import json, os, subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SERVICES = ("echo", "bulk", "http")

POLICY = {
    "identities": [
        {"match": {"node": "A"}, "services": ["load"], "permissions": ["mesh-node"]},
        {"match": {"node": "B"}, "permissions": ["mesh-node", "mesh-directory"]},
    ],
    "rules": [
        {"allow": ["register", "provide"], "from": ["node:B"], "to": list(SERVICES)},
        {"allow": ["connect"], "from": ["service:load"], "to": list(SERVICES)},
    ],
}


class Unmeasurable(Exception):
    """Something that is needed is missing or failed; the text says what, and what to do."""


def programs(folder=None):
    """The folder of mesh and mesh-agent: the one named, else this checkout's release build."""
    folder = folder or subprocess.run(
        ["swift", "build", "-c", "release", "--show-bin-path"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    ).stdout.strip()
    for program in ("mesh", "mesh-agent"):
        if not os.path.exists(os.path.join(folder, program)):
            raise Unmeasurable(f"{folder}/{program} is missing; run: swift build -c release")
    return os.path.abspath(folder)


def environment(work, ours, other=None):
    """What the harness needs for the candidates agent, agent-noaccel and, with another build's folder, agent-other."""
    certificates(work, ours)
    found = dict(variables("AGENT", work, ours), **variables("AGENT_NOACCEL", work, ours, "--tls-acceleration off"))
    if other:
        found.update(variables("AGENT_OTHER", work, other))
    return dict(os.environ, AGENT_CERTS=os.path.join(work, "certs"), **found)


def certificates(work, folder):
    """A CA, two certificates, the policy and two configurations in `work`."""
    mesh, certs = os.path.join(folder, "mesh"), os.path.join(work, "certs")
    quiet = dict(check=True, stdout=subprocess.DEVNULL)
    subprocess.run([mesh, "ca", "init", "--out", certs, "--trust-domain", "bench.mesh", "--no-passphrase"],
                   stderr=subprocess.DEVNULL, **quiet)
    with open(os.path.join(work, "policy.json"), "w") as file:
        json.dump(POLICY, file)
    for node in "AB":
        subprocess.run([mesh, "ca", "issue", node, "--dns", f"{node.lower()}.mesh", "--out", certs], **quiet)
        configuration = {
            "node": {"name": node},
            "identity": {"certificate": f"{certs}/{node}.crt", "key": f"{certs}/{node}.key"},
            "trust": {"ca": f"{certs}/ca.crt"},
            "policy": {"file": "policy.json"},
            "log": {"level": "warning"},
        }
        with open(os.path.join(work, f"{node}.json"), "w") as file:
            json.dump(configuration, file)


def variables(prefix, work, folder, flags=""):
    """The command lines of both hops and the version, as the harness's Agent candidate reads them."""
    agent = os.path.join(folder, "mesh-agent")
    services = [{"name": s, "target": f"127.0.0.1:<<svc_{s}>>"} for s in SERVICES]
    upstreams = [{"listen": f"127.0.0.1:<<app_{s}>>", "service": s, "as": "load"} for s in SERVICES]
    common = f"--log-level warning --workers {os.environ.get('MESH_BENCH_WORKERS', '1')} {flags}"
    version = subprocess.run([agent, "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return {
        prefix + "_B": f"{agent} --config {work}/B.json {common} --node-state-directory {{dir}}/state-B"
                       f" --listen-mesh 127.0.0.1:{{link}} --directory-serve true --services {quoted(services)}",
        prefix + "_A": f"{agent} --config {work}/A.json {common} --node-state-directory {{dir}}/state-A"
                       f" --directory-node B --directory-address 127.0.0.1:{{link}} --upstreams {quoted(upstreams)}",
        prefix + "_VERSION": version.strip() + (f" ({flags.removeprefix('--')})" if flags else ""),
    }


def quoted(value):
    """JSON for a template that str.format fills in, in shell quotes: braces doubled, <<name>> becomes {name}."""
    return "'" + json.dumps(value).replace("{", "{{").replace("}", "}}").replace("<<", "{").replace(">>", "}") + "'"
