"""Instruction counts by callgrind: they do not depend on what else the machine does, so small changes show."""
import concurrent.futures, json, os, re, shutil, subprocess, tempfile

import agents, microbench

BASELINE = os.path.join(agents.ROOT, "Benchmarks", "instructions.json")
# A difference below this share is not called one: where memory lies changes some counts a little.
THRESHOLD = 0.005


def executed(program, name, count):
    """Instructions of a whole run of `count` operations."""
    with tempfile.TemporaryDirectory(prefix="mesh-callgrind-") as work:
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", f"--callgrind-out-file={work}/out", program, "repeat", name, str(count)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            # Swift seeds its hash tables anew in every process otherwise.
            env=dict(os.environ, SWIFT_DETERMINISTIC_HASHING="1"))
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or not found:
        raise agents.Unmeasurable(f"callgrind of {name} failed: " + done.stderr[-800:])
    return int(found[1])


def per_operation(program, name, batch):
    """Instructions of one operation: the difference between two runs, so that start and preparation are not in it."""
    once = max(1, batch // 20)
    return (executed(program, name, 3 * once) - executed(program, name, once)) / (2 * once)


def main(options):
    """`scripts/bench --instructions`; the exit code says whether something takes more instructions than written down."""
    if not shutil.which("valgrind"):
        raise agents.Unmeasurable("valgrind is missing; run: scripts/bootstrap-bench")
    program = microbench.build()
    path = options.against or BASELINE
    baseline = {}
    if os.path.exists(path):
        with open(path) as file:
            baseline = json.load(file)
    elif options.against:
        raise agents.Unmeasurable(f"{path} is missing")
    beginnings = tuple(options.tests.split(",")) if options.tests else ("",)
    chosen = [entry for entry in microbench.listed(program) if entry[0].startswith(beginnings)]
    with tempfile.TemporaryDirectory(prefix="mesh-callgrind-") as work, \
            concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        # valgrind does not understand Swift's debugging information.
        bare = os.path.join(work, "Microbench")
        subprocess.run(["strip", "-g", "-o", bare, program], check=True)
        counts = dict(zip([name for name, _, _ in chosen],
                          pool.map(lambda entry: per_operation(bare, *entry[:2]), chosen)))
    print(f"{'instructions for one operation':30}{'now':>12}{'before':>12}{'change':>10}")
    worse = 0
    for name, _, what in chosen:
        line, before = f"{name:30}{counts[name]:12,.0f}", baseline.get(name)
        if before:
            change = counts[name] / before - 1
            verdict = "=" if abs(change) <= THRESHOLD else "better" if change < 0 else "worse"
            worse += verdict == "worse"
            line += f"{before:12,.0f}{100 * change:+9.2f} %  {verdict:7}"
        else:
            line += f"{'-':>12}{'':>10}  new    "
        print(f"{line} {what}")
    if options.save is not None:
        path = options.save or BASELINE
        with open(path, "w") as file:
            json.dump({**baseline, **{name: round(count, 1) for name, count in counts.items()}}, file, indent=1, sort_keys=True)
            file.write("\n")
        print(f"\nwritten to {os.path.relpath(path, agents.ROOT)}")
        return 0
    return 1 if worse else 0
