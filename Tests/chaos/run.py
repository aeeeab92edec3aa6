"""scripts/chaos: streams, a database session and a shell through links that are cut, beside other proxies."""

import argparse
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path as File

sys.path.insert(0, str(File(__file__).resolve().parent.parent / "clients"))

from support.addresses import Addresses
from support.processes import Processes

import loss
from cutter import Cutter
from faults import KINDS, Faults
from network import CannotMake, Namespaces
from paths import QUICK_TIMERS, Agents, Envoy, Nginx, Place
from sessions import Database, Shell
from shorts import Shorts
from streams import Path

STREAMS = 16
# A pause of so many seconds is more than a few cuts in a row explain, and is shown with all that happened in it.
NOTABLE = 5
PORTS = {"agent": 7400, "nginx": 7500, "envoy": 7600}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/chaos")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--cuts", type=int, default=100)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--soak", type=float, metavar="MINUTES")
    parser.add_argument("--proxy", action="store_true")
    parser.add_argument("--only-agent", action="store_true")
    parser.add_argument("--default-timers", action="store_true")
    parser.add_argument("--megabits", type=int, default=100)
    parser.add_argument("--loss", type=float, nargs="?", const=1.0, metavar="PERCENT")
    parser.add_argument("--rtt", type=float, default=50, metavar="MILLISECONDS")
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--lanes", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--congestion", default="cubic")
    parser.add_argument("--bin", type=File, required=True)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--json", type=File)
    given = parser.parse_args()
    if given.quick:
        given.cuts = 8
    return given


def make_network(given: argparse.Namespace):
    if not given.proxy:
        try:
            return Namespaces(f"chaos{os.getpid()}", PORTS, given.megabits)
        except CannotMake as error:
            print(f"chaos: no network namespaces here ({error})")
    network = Cutter(Addresses().net, PORTS)
    print(f"chaos: {network.description}")
    return network


class Memory:
    """Memory and descriptors of the agents over a soak."""

    def __init__(self, agents: Agents):
        self.agents, self.samples = agents, {side: [] for side in agents.nodes}
        self.next = 0.0

    def look(self) -> None:
        if time.monotonic() < self.next:
            return
        self.next = time.monotonic() + 5
        for side, process in self.agents.nodes.items():
            # Behind `ip netns exec` stands the program itself: it executes in place.
            status = File(f"/proc/{process.pid}/status").read_text()
            anonymous = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon"))
            self.samples[side].append((anonymous, len(os.listdir(f"/proc/{process.pid}/fd"))))

    def judge(self, report: dict) -> list[str]:
        """Memory of the last quarter beside that of the second; the first is warming up."""
        problems = []
        for side, samples in self.samples.items():
            quarter = len(samples) // 4
            if quarter < 3:
                continue
            early, late = samples[quarter : 2 * quarter], samples[-quarter:]
            memory = [statistics.median(sample[0] for sample in part) for part in (early, late)]
            files = [statistics.median(sample[1] for sample in part) for part in (early, late)]
            report.setdefault("memory", {})[side] = {
                "KiB in the second quarter": memory[0], "KiB in the last": memory[1], "most KiB": max(s[0] for s in samples),
                "descriptors in the second quarter": files[0], "descriptors in the last": files[1]}
            if memory[1] > memory[0] * 1.1 + 1024:
                problems.append(f"{side}: memory grew from {memory[0]} to {memory[1]} KiB")
            if files[1] > files[0] + 8:
                problems.append(f"{side}: descriptors grew from {files[0]} to {files[1]}")
        return problems


class Run:
    """One run: what is started, cut and judged."""

    def __init__(self, given: argparse.Namespace, place: Place, network):
        self.given, self.place, self.network = given, place, network
        self.report: dict = {"seed": given.seed, "network": network.description}
        self.faults = Faults(given.seed)
        self.hits = {name: 0 for name in PORTS}
        self.timeline: list = []
        self.sessions = []
        for kind in (Database, Shell, Shorts):
            missing = kind.missing()
            if missing:
                print(f"chaos: without {kind.name}: {missing}")
            else:
                self.sessions.append(kind(place))
        self.agents = Agents(place, {session.name: session.target for session in self.sessions},
                             None if given.default_timers else QUICK_TIMERS)
        self.carriers = [self.agents]
        for kind in () if given.only_agent else (Nginx, Envoy):
            missing = kind.missing()
            if missing:
                print(f"chaos: without {kind.name}: {missing}")
            else:
                self.carriers.append(kind(place))

    def start(self) -> None:
        for session in self.sessions:
            session.start()
        self.paths = []
        for carrier in self.carriers:
            # A service listens before anybody is told of it.
            path = Path(carrier.name, carrier.entries(), carrier.sinks(), STREAMS, again=carrier is not self.agents)
            carrier.start()
            path.start()
            self.paths.append(path)
        end = time.monotonic() + 30
        while any(path.alive < STREAMS for path in self.paths):
            if time.monotonic() > end:
                raise RuntimeError(f"no streams: {[(path.name, path.alive) for path in self.paths]}")
            time.sleep(0.05)

    def cut(self) -> None:
        """The next fault; counts for each path whether it hit a connection with bytes in flight."""
        fault = self.faults.next()
        begin = time.monotonic()
        queued = self.network.in_flight()
        for path in self.paths:
            if path.name in queued and (queued[path.name] or not self.network.prefix("North")) and path.in_flight:
                self.hits[path.name] += 1
        self.faults.counts[fault.kind] += 1
        self.timeline.append((time.time(), fault))
        self.network.happen(fault)
        rest = fault.pause - (time.monotonic() - begin)
        if rest > 0:
            time.sleep(rest)

    def go(self) -> list[str]:
        given, begin = self.given, time.monotonic()
        seconds = given.soak * 60 if given.soak else given.cuts * 1.4
        for session in self.sessions:
            if isinstance(session, Database):
                session.begin(int(seconds))
            else:
                session.begin(self.agents, given.seed)
        memory = Memory(self.agents)
        cuts, problems = 0, []
        while time.monotonic() - begin < seconds if given.soak else self.hits["agent"] < given.cuts:
            self.cut()
            memory.look()
            cuts += 1
            if cuts > 3 * given.cuts and not given.soak:
                problems.append(f"only {self.hits['agent']} of {cuts} cuts hit the link")
                break
            if self.paths[0].lost or self.paths[0].corrupted:
                break
        problems += self.paths_end()
        for session in self.sessions:
            problems += [f"{session.name}: {text}" for text in session.end(self.report)]
        for side, process in self.agents.nodes.items():
            if process.poll() is not None:
                problems.append(f"the agent of {side} ended with {process.returncode}")
        if given.soak:
            problems += memory.judge(self.report)
        self.report.update(seconds=round(time.monotonic() - begin), cuts=self.faults.counts)
        return problems

    def paths_end(self) -> list[str]:
        problems = []
        for path in self.paths:
            path.finish_all(60)
            pause, until = path.pauses()
            self.report[path.name] = {
                "hits": self.hits[path.name], "lost": len(path.lost), "opened": path.opened - path.failed_opens,
                "wrong": len(path.corrupted), "MiB": path.verified >> 20, "pause": round(pause, 2)}
            if path.name != "agent" and path.corrupted:
                self.report[path.name]["what"] = path.corrupted[:5]
            if path.name == "agent":
                self.report["agent"]["in the longest pause"] = self.explain(until - pause, until)
                ended = [record for side in self.agents.nodes for record in self.agents.records(side)
                         if record.get("event") == "session_ended"]
                problems += [f"agent: stream lost: {text}" for text in path.lost]
                problems += [f"agent: {text}" for text in path.corrupted]
                problems += [f"agent: session ended: {record.get('reason')}: {record.get('detail')}" for record in ended]
                resumed = sum(1 for record in self.agents.records("North") if record.get("event") == "session_resumed")
                self.report["agent"]["resumed"] = resumed
                if not resumed:
                    problems.append("agent: no session was resumed: the cuts did not cut")
        return problems


    def explain(self, begin: float, end: float) -> list[str]:
        """What was cut and what the agents said between two Unix times, in order."""
        found = [(when, f"cut: {fault.kind} {fault.side}, {fault.lasts:.1f} s") for when, fault in self.timeline]
        for side in self.agents.nodes:
            for record in self.agents.records(side):
                when = datetime.fromisoformat(record["time"].replace("Z", "+00:00")).timestamp()
                found.append((when, f"{side}: {record.get('event')} {record.get('reason', '')} {record.get('detail', '')}"))
        return [f"{when - begin:+.2f} s {text.strip()}" for when, text in sorted(found) if begin - 2 < when < end + 0.5]


def show(report: dict) -> None:
    cuts = ", ".join(f"{report['cuts'][kind]} {kind}" for kind in KINDS)
    print(f"chaos: seed {report['seed']}, {report['seconds']} s, {sum(report['cuts'].values())} cuts ({cuts}); "
          f"{report['network']}")
    print(f"{'path':8}{'hits':>6}{'streams':>9}{'lost':>6}{'wrong':>7}{'MiB':>8}{'longest pause':>15}")
    for name in PORTS:
        if name in report:
            row = report[name]
            print(f"{name:8}{row['hits']:6}{row['opened']:9}{row['lost']:6}{row['wrong']:7}{row['MiB']:8}{row['pause']:13.2f} s")
    print(f"sessions resumed: {report['agent']['resumed']}")
    for name in ("pgbench", "ssh", "short", "memory"):
        if name in report:
            print(f"{name}: " + json.dumps(report[name]))
    if report["agent"]["pause"] > NOTABLE:
        print("in the agents' longest pause:")
        for line in report["agent"]["in the longest pause"]:
            print("  " + line)


def main() -> int:
    given = arguments()
    if given.loss is not None:
        return loss.main(given)
    print(f"chaos: seed {given.seed}", flush=True)
    directory = File(tempfile.mkdtemp(prefix="chaos-"))
    os.chmod(directory, 0o755)
    network = make_network(given)
    processes = Processes(directory)
    try:
        place = Place(directory, given.bin.absolute(), network, processes)
        run = Run(given, place, network)
        run.start()
        problems = run.go()
        show(run.report)
        if given.json:
            given.json.write_text(json.dumps(run.report, indent=1))
    finally:
        processes.stop_all()
        network.close()
        if not given.keep:
            shutil.rmtree(directory, ignore_errors=True)
    for problem in problems[:20]:
        print(f"chaos: FAIL {problem}")
    if problems:
        print(f"chaos: {len(problems)} problems; repeat with --seed {given.seed}"
              + (f"; files in {directory}" if given.keep else ""))
        return 1
    print("chaos: nothing was lost")
    return 0


if __name__ == "__main__":
    sys.exit(main())
