"""The program Microbench of the nested package: building it, and what it lists."""
import os, subprocess

import agents

PACKAGE = os.path.join(agents.ROOT, "Benchmarks")


def build():
    """Builds it and returns its path."""
    command = ["swift", "build", "--package-path", PACKAGE, "-c", "release", "--product", "Microbench"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise agents.Unmeasurable("Benchmarks/ does not build:\n" + done.stdout[-3000:])
    path = subprocess.run(command + ["--show-bin-path"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    return os.path.join(path, "Microbench")


def listed(program):
    """The benchmarks: name, operations of a batch, what one operation is."""
    text = subprocess.run([program, "list"], check=True, stdout=subprocess.PIPE, text=True).stdout
    found = []
    for line in text.splitlines():
        name, batch, what = line.split(maxsplit=2)
        found.append((name, int(batch), what))
    return found
