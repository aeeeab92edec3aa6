"""What people and programs do through the mesh while the link is cut: a database session and a shell."""

import os
import pwd
import random
import re
import shutil
import subprocess
import threading
import time
from pathlib import Path as File

from paths import Agents, Place
from support.processes import eventually


def postgres_folder() -> File | None:
    """The newest PostgreSQL server's programs."""
    found = sorted(File("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


class Database:
    """A PostgreSQL server on South, and pgbench on North whose one session lasts as long as the cuts."""

    name = "postgres"

    def __init__(self, place: Place):
        self.place, self.programs = place, postgres_folder()
        self.directory = place.directory / "pg"
        # PostgreSQL refuses to run as root.
        self.user = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        self.target = f"unix:{self.directory}/.s.PGSQL.5432"
        self.process: subprocess.Popen | None = None

    @staticmethod
    def missing() -> str | None:
        return None if postgres_folder() and shutil.which("pgbench") else "PostgreSQL is not installed (scripts/bootstrap)"

    def as_user(self) -> list[str]:
        return ["runuser", "-u", self.user, "--"] if os.getuid() == 0 else []

    def sql(self, where: File, *statements: str) -> str:
        arguments = [part for statement in statements for part in ("-c", statement)]
        return subprocess.run([*self.as_user(), "psql", "-h", where, "-U", self.user, "-d", "postgres", "-XAtq", *arguments],
                              capture_output=True, text=True, check=True, cwd="/").stdout.strip()

    def start(self) -> None:
        self.directory.mkdir(mode=0o755)
        shutil.chown(self.directory, self.user)
        data = self.directory / "data"
        subprocess.run([*self.as_user(), self.programs / "initdb", "-D", data, "-A", "trust", "-U", self.user, "-N"],
                       check=True, capture_output=True, cwd="/")
        self.place.start("postgres", "South", [
            *self.as_user(), self.programs / "postgres", "-D", data, "-k", self.directory, "-c", "listen_addresses=",
            "-c", "fsync=off"], cwd="/")
        eventually(lambda: (self.directory / ".s.PGSQL.5432").exists(), "PostgreSQL listens", 30)
        eventually(self.answers, "PostgreSQL answers", 30)
        subprocess.run([*self.as_user(), "pgbench", "-i", "-q", "-h", self.directory, "-U", self.user, "postgres"],
                       check=True, capture_output=True, cwd="/")

    def answers(self) -> bool:
        try:
            return self.sql(self.directory, "select 1") == "1"
        except subprocess.CalledProcessError:
            return False

    def begin(self, seconds: int) -> None:
        """Starts pgbench through the mesh: two sessions, for so many seconds."""
        # libpq wants a directory with a socket of this name in it.
        through = self.place.directory / "to-pg"
        through.mkdir(mode=0o755, exist_ok=True)
        os.symlink(self.place.socket("to-postgres"), through / ".s.PGSQL.5432")
        os.chmod(self.place.socket("to-postgres"), 0o666)
        self.seconds = seconds
        self.process = self.place.processes.start(
            "pgbench", [*self.as_user(), "pgbench", "-n", "-c", "2", "-T", str(seconds), "-h", through, "-U", self.user,
                        "postgres"], cwd="/")

    def end(self, report: dict) -> list[str]:
        """Waits for pgbench; what is wrong. Every transaction that it counted must be there, once."""
        try:
            status = self.process.wait(self.seconds + 60)
        except subprocess.TimeoutExpired:
            return ["pgbench did not end"]
        text = self.place.processes.log("pgbench")
        if status != 0:
            return [f"pgbench ended with {status}: {text.strip()[-500:]}"]
        done = int(re.search(r"number of transactions actually processed: (\d+)", text)[1])
        failed = int(re.search(r"number of failed transactions: (\d+)", text)[1])
        report["pgbench"] = {"transactions": done, "failed": failed, "sessions": 2}
        counted, *sums = map(int, self.sql(self.directory, """
            select count(*), sum(delta), (select sum(abalance) from pgbench_accounts),
            (select sum(bbalance) from pgbench_branches), (select sum(tbalance) from pgbench_tellers)
            from pgbench_history""").split("|"))
        problems = [f"{failed} transactions failed"] if failed else []
        if counted != done:
            problems.append(f"pgbench did {done} transactions, the database has {counted}")
        if len(set(sums)) != 1:
            problems.append(f"the database's sums differ: {sums}")
        return problems


class Shell:
    """An interactive ssh from North to a sshd on South, through `mesh connect`; a command and its answer again and again."""

    name = "ssh"
    server = "/usr/sbin/sshd"

    def __init__(self, place: Place):
        self.place = place
        self.target = f"unix:{place.directory}/sshd.socket"
        self.stopping = threading.Event()
        self.problems: list[str] = []
        self.answers, self.longest = 0, 0.0

    @staticmethod
    def missing() -> str | None:
        if not os.path.exists(Shell.server) or not shutil.which("ssh"):
            return "OpenSSH's server or client is not installed (scripts/bootstrap)"
        return None if shutil.which("socat") else "socat is not installed (scripts/bootstrap)"

    def start(self) -> None:
        directory = self.place.directory
        for key in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / f"ssh-{key}"], check=True)
        shutil.copy(directory / "ssh-user.pub", directory / "ssh-authorized")
        host = (directory / "ssh-host.pub").read_text()
        self.place.write("ssh-known", f"chaos {host}")
        if os.getuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)
        configuration = self.place.write("sshd.conf", f"""HostKey {directory}/ssh-host
AuthorizedKeysFile {directory}/ssh-authorized
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
PidFile none
""")
        # A sshd for each connection, as inetd would start it: no port is needed.
        self.place.start("sshd", "South", [
            "socat", f"UNIX-LISTEN:{directory}/sshd.socket,fork", f"EXEC:{self.server} -i -e -f {configuration}"])
        eventually(lambda: (directory / "sshd.socket").exists(), "sshd listens")

    def begin(self, agents: Agents, seed: int) -> None:
        directory = self.place.directory
        connect = f"{self.place.programs}/mesh connect ssh --as user --control {agents.control('North')}"
        self.process = subprocess.Popen(
            [*self.place.network.prefix("North"), "ssh", "-tt", "-F", "none", "-o", f"ProxyCommand={connect}",
             "-o", f"UserKnownHostsFile={directory}/ssh-known", "-o", "HostKeyAlias=chaos", "-o", "IdentitiesOnly=yes",
             "-o", "LogLevel=ERROR", "-i", directory / "ssh-user", "chaos", "bash --norc --noprofile"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.place.processes.running.append(self.process)
        self.thread = threading.Thread(target=self.talk, args=(seed,), daemon=True)
        self.thread.start()
        # What cuts are to be survived by has begun.
        eventually(lambda: self.answers or self.problems, "the shell answers", 60)

    def talk(self, seed: int) -> None:
        draw = random.Random(seed)
        shell = None
        while not self.stopping.is_set():
            number, begin = draw.randrange(10_000_000), time.monotonic()
            try:
                self.process.stdin.write(f"echo [$(({number} * 3)):$$]\n")
                self.process.stdin.flush()
            except OSError as error:
                self.problems.append(f"the shell is gone: {error}")
                return
            while True:
                line = self.process.stdout.readline()
                if not line:
                    self.problems.append(f"the shell ended after {self.answers} answers")
                    return
                answer = re.search(r"\[(\d+):(\d+)\]", line)
                if answer:
                    break
            if int(answer[1]) != number * 3 or shell not in (None, answer[2]):
                self.problems.append(f"a wrong answer to {number}: {line.strip()}")
            shell = answer[2]
            self.answers += 1
            self.longest = max(self.longest, time.monotonic() - begin)
            time.sleep(0.05)

    def end(self, report: dict) -> list[str]:
        self.stopping.set()
        self.thread.join(40)
        if self.thread.is_alive():
            return self.problems + ["the shell does not answer"]
        report["ssh"] = {"answers": self.answers, "longest wait": round(self.longest, 2)}
        if self.problems:
            return self.problems
        try:
            self.process.stdin.write("exit 7\n")
            self.process.stdin.flush()
            status = self.process.wait(20)
        except (OSError, subprocess.TimeoutExpired) as error:
            return [f"the shell did not end: {error}"]
        return [] if status == 7 else [f"ssh ended with {status}, not with the shell's 7"]
