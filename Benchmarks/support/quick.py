"""The quick guard: ours beside a peer, and against another build or an earlier run, in under three minutes."""
import json, os, shutil, subprocess, sys, tempfile, time

import agents, noise

HERE = os.path.dirname(os.path.abspath(__file__))
KEPT = os.path.join(agents.ROOT, "Benchmarks", ".build", "quick")
TESTS = "up1,up8,down1,rr1,rr64,cps,mix"
# Title, test, key in the sample, decimals, scale, whether larger (1) or smaller (-1) is better.
FIGURES = [
    ("bulk up 1     CPU-s/GiB", "up1", "hops_per", 3, 1, -1),
    ("bulk up 8     CPU-s/GiB", "up8", "hops_per", 3, 1, -1),
    ("bulk down 1   CPU-s/GiB", "down1", "hops_per", 3, 1, -1),
    ("bulk up 1     GB/s", "up1", "GBps", 2, 1, 1),
    ("bulk up 8     GB/s", "up8", "GBps", 2, 1, 1),
    ("bulk down 1   GB/s", "down1", "GBps", 2, 1, 1),
    ("rr1           p50 µs", "rr1", "p50", 1, 1, -1),
    ("rr1           p99 µs", "rr1", "p99", 1, 1, -1),
    ("rr64          trips/s", "rr64", "rate", 0, 1, 1),
    ("rr64          CPU-s/100k", "rr64", "hops_per", 3, 1, -1),
    ("rr64          p99 ms", "rr64", "p99", 2, 1e-3, -1),
    ("connections   conn/s", "cps", "rate", 0, 1, 1),
    ("connections   CPU ms each", "cps", "hops_per", 4, 1, -1),
    ("mix           rr16 p99 ms", "mix", "p99", 2, 1e-3, -1),
    ("mix           bulk GB/s", "mix", "bulk_GBps", 2, 1, 1),
]


class Run:
    """The samples of a finished run, by candidate, test and key."""

    def __init__(self, path):
        with open(path) as file:
            self.data = json.load(file)
        self.names = self.data["meta"]["candidates"]
        self.versions = self.data["meta"]["versions"]

    def values(self, candidate, test, key):
        """One value a round, in the order of the rounds; None for a round without."""
        found = {s["round"]: s["r"].get(key) for s in self.data["samples"] if s["cand"] == candidate and s["test"] == test}
        return [found.get(number) for number in range(self.data["meta"]["rounds"])]

    def reference(self):
        """The peer that ours was measured beside."""
        return next((name for name in self.names if not name.startswith("agent")), None)


def both(new, old):
    """The rounds in which both have a value."""
    pairs = [(a, b) for a, b in zip(new, old) if a and b]
    return [a for a, _ in pairs], [b for _, b in pairs]


def measure(options, ours, other, reference, path):
    """Runs the harness; returns its run."""
    names = ["agent"] + (["agent-other"] if other else []) + ([reference] if reference else [])
    # What stays below three minutes, some samples taken twice because other processes got in the way included.
    rounds = options.rounds or (4 if len(names) > 2 else 6)
    seconds = options.seconds or (0.7 if len(names) > 2 else 1)
    work = tempfile.mkdtemp(prefix="mesh-bench-")
    os.chmod(work, 0o700)
    try:
        done = subprocess.run(
            [sys.executable, os.path.join(os.path.dirname(HERE), "harness", "run"), "--candidates", ",".join(names),
             "--rounds", str(rounds), "--seconds", str(seconds), "--tests", options.tests or TESTS, "--out", path],
            env=agents.environment(work, ours, other), stdout=subprocess.DEVNULL)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if done.returncode:
        raise agents.Unmeasurable("the harness failed; its last lines say why")
    return Run(path)


def find_reference(wish):
    """The peer to measure beside: the one wished for, envoy-h21 where there is an Envoy, else nginx; None without either."""
    sys.path.insert(0, os.path.join(os.path.dirname(HERE), "harness"))
    import candidates

    for name in [wish] if wish else ["envoy-h21", "nginx1-64k"]:
        if name in candidates.ALL and candidates.ALL[name].available() is None:
            return name
    if wish:
        raise agents.Unmeasurable(
            f"{wish} cannot run here: "
            + (candidates.ALL[wish].available() if wish in candidates.ALL else "there is no such candidate"))
    return None


def report(run, earlier):
    """Prints the table; returns how many figures are worse than what they were compared with."""
    peer = run.reference()
    against = "agent-other" if "agent-other" in run.names else None
    before = earlier.reference() if earlier else None
    if earlier and before != peer:
        print(f"The earlier run was beside {before}, this one beside {peer}: compared without a peer to go by, so the machine's "
              "own changes are in the figures.\n")
        before = None
    print(f"{'':27}{'ours':>10}{(peer or ''):>13}{'ours × peer':>13}    {'change ±95 %' if against or earlier else ''}")
    counts = {"better": 0, "worse": 0, "same": 0}
    for title, test, key, digits, scale, better in FIGURES:
        mine = run.values("agent", test, key)
        if not any(mine):
            continue
        theirs = run.values(peer, test, key) if peer else []
        middle = lambda values: sorted(v for v in values if v)[len([v for v in values if v]) // 2]
        line = f"{title:27}{middle(mine) * scale:10.{digits}f}"
        line += f"{middle(theirs) * scale:13.{digits}f}{middle([a / b for a, b in zip(*both(mine, theirs))]):13.2f}" if any(theirs) else " " * 26
        change = None
        if against:
            change = noise.paired(*both(mine, run.values(against, test, key)), better)
        elif earlier:
            old = earlier.values("agent", test, key)
            if before:
                relative = lambda values, other: [a / b for a, b in zip(*both(values, other))]
                change = noise.unpaired(relative(mine, theirs), relative(old, earlier.values(before, test, key)), better)
            else:
                change = noise.unpaired([v for v in mine if v], [v for v in old if v], better)
        if change:
            counts[change.verdict] += 1
            line += f"    {change}  {change.verdict if change.verdict != 'same' else '='}"
        print(line)
    if sum(counts.values()):
        base = "the other build, in the same rounds" if against else "the earlier run" + (f", both as ratios to {peer}" if before else "")
        print(f"\nAgainst {base}: {counts['better']} better, {counts['worse']} worse, {counts['same']} the same within the noise.")
        print("A change is called one when 95 % of such measurements would see it: of 15 figures one in a while is called so by chance.")
    foreign = sum(s["r"].get("foreign", 0) > 0.08 * s["r"].get("secs", 1) + 0.05 for s in run.data["samples"])
    if foreign:
        print(f"{foreign} of {len(run.data['samples'])} samples had other processes in the way: measure again on a quiet machine.")
    for failure in run.data.get("failures", []):
        print(f"failed: {failure['cand']} {failure['test']}: {failure['why'][:200]}")
    return counts["worse"] + len(run.data.get("failures", []))


def main(options):
    """`scripts/bench --quick`; the exit code says whether something became worse."""
    begin = time.monotonic()
    ours = agents.programs(options.programs)
    other, earlier = None, None
    if options.against and os.path.isdir(options.against):
        other = agents.programs(options.against)
    elif options.against:
        earlier = Run(options.against if os.path.exists(options.against) else os.path.join(KEPT, options.against + ".json"))
    reference = find_reference(options.reference or (earlier.reference() if earlier else None))
    os.makedirs(KEPT, exist_ok=True)
    run = measure(options, ours, other, reference, os.path.join(KEPT, "last.json"))
    print()
    worse = report(run, earlier)
    if options.save:
        shutil.copy(os.path.join(KEPT, "last.json"), os.path.join(KEPT, options.save + ".json"))
    print(f"\n{time.monotonic() - begin:.0f} s; samples in {os.path.relpath(os.path.join(KEPT, 'last.json'), os.getcwd())}"
          + (f", kept as {options.save}: compare later with --against {options.save}" if options.save else
             "; --save NAME keeps them for --against NAME"))
    return 1 if worse else 0
