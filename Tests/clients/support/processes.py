"""Child processes that are all gone at the end, whatever happens."""

import ctypes
import os
import signal
import subprocess
import time
from pathlib import Path

_libc = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Processes:
    """Starts programs, each in a process group of its own, and ends what is left of them."""

    def __init__(self, logs: Path):
        self.logs = logs
        self.running: list[subprocess.Popen] = []

    def start(self, name: str, arguments: list, **options) -> subprocess.Popen:
        """Starts a program; its output goes to logs/NAME.log unless `options` say otherwise."""
        with open(self.logs / f"{name}.log", "ab") as log:
            options.setdefault("stdout", log)
            options.setdefault("stderr", log)
            options.setdefault("stdin", subprocess.DEVNULL)
            process = subprocess.Popen(
                [str(argument) for argument in arguments], start_new_session=True, preexec_fn=_die_with_parent, **options
            )
        process.name = name
        self.running.append(process)
        return process

    def stop(self, process: subprocess.Popen, grace: float = 10) -> None:
        """Ends a program, kindly first, and whatever it has started."""
        if process in self.running:
            self.running.remove(process)
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(grace)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()

    def stop_all(self) -> None:
        for process in reversed(list(self.running)):
            if process.poll() is None:
                process.terminate()
        for process in reversed(list(self.running)):
            self.stop(process)

    def log(self, name: str) -> str:
        path = self.logs / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""


def eventually(condition, what: str, seconds: float = 15, pause: float = 0.05):
    """The first true value of `condition()`; fails when there is none in time."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(pause)
