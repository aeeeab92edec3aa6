"""Two hosts as network namespaces with a cable between them, and what can happen on it."""

import subprocess
import time

from faults import Fault

ADDRESSES = {"North": "10.78.0.1", "South": "10.78.0.2"}


class CannotMake(Exception):
    """This machine or this user can't make such a network; the text says why."""


def run(*arguments: str, check: bool = True) -> str:
    result = subprocess.run(arguments, capture_output=True, text=True)
    if check and result.returncode != 0:
        raise CannotMake(f"{' '.join(arguments)}: {result.stderr.strip()}")
    return result.stdout


class Namespaces:
    """The hosts. Faults are made by `ss -K` and nftables, so they hit every connection between the two alike."""

    description = "network namespaces; cuts by ss -K and nftables"

    def __init__(self, tag: str, ports: dict[str, int], megabits: int):
        self.spaces = {side: f"{tag}-{side}" for side in ADDRESSES}
        self.ports = ports
        self.made: list[str] = []
        try:
            for space in self.spaces.values():
                run("ip", "netns", "add", space)
                self.made.append(space)
            north, south = self.spaces["North"], self.spaces["South"]
            run("ip", "-n", north, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", south)
            for side, space in self.spaces.items():
                run("ip", "-n", space, "address", "add", ADDRESSES[side] + "/24", "dev", "eth0")
                run("ip", "-n", space, "link", "set", "eth0", "up")
                run("ip", "-n", space, "link", "set", "lo", "up")
                self.shape(space, megabits)
            self.try_tools()
        except (CannotMake, FileNotFoundError) as error:
            self.close()
            raise CannotMake(str(error)) from error

    def shape(self, space: str, megabits: int) -> None:
        """Every path gets a lane of its own and as wide as the others', so that bytes are in flight all the time; a queue of
        20 ms stands before each."""
        run("tc", "-n", space, "qdisc", "add", "dev", "eth0", "root", "handle", "1:", "htb", "default", "1")
        lines = ["table inet lanes {", "chain out {", "type filter hook postrouting priority 0;"]
        for number, port in enumerate(self.ports.values(), 1):
            run("tc", "-n", space, "class", "add", "dev", "eth0", "parent", "1:", "classid", f"1:{number}", "htb",
                "rate", f"{megabits}mbit")
            run("tc", "-n", space, "qdisc", "add", "dev", "eth0", "parent", f"1:{number}", "bfifo", "limit", str(megabits * 2500))
            for end in ("sport", "dport"):
                lines.append(f"tcp {end} {port} meta priority set 1:{number}")
        self.nft(space, "\n".join(lines + ["}", "}"]))

    def nft(self, space: str, text: str) -> None:
        result = subprocess.run(["ip", "netns", "exec", space, "nft", "-f", "-"], input=text, text=True,
                                capture_output=True)
        if result.returncode != 0:
            raise CannotMake(f"nft: {result.stderr.strip()}")

    def try_tools(self) -> None:
        """A kernel without INET_DIAG_DESTROY says so here, not in the middle of a run."""
        run("ip", "netns", "exec", self.spaces["North"], "ss", "-K", "dport", "=", ":1")
        self.nft(self.spaces["North"], self.table("in", "input", "tcp dport 1 reject with tcp reset")
                 + "delete table inet cut\n")

    @staticmethod
    def table(chain: str, hook: str, rule: str) -> str:
        return f"table inet cut {{\nchain {chain} {{\ntype filter hook {hook} priority 0;\n{rule}\n}}\n}}\n"

    def prefix(self, side: str) -> list[str]:
        """What stands before a command that runs on the host."""
        return ["ip", "netns", "exec", self.spaces[side]]

    def address(self, side: str) -> str:
        return ADDRESSES[side]

    def link_target(self, name: str) -> str:
        """Where North reaches a path's listener on South."""
        return f"{ADDRESSES['South']}:{self.ports[name]}"

    def listener(self, name: str) -> str:
        """Where a path listens on South."""
        return self.link_target(name)

    def sockets(self, side: str) -> dict[str, int]:
        """For each path with an established connection: the bytes that wait in the kernel's queues of this host."""
        found: dict[str, int] = {}
        for line in run(*self.prefix(side), "ss", "-Htn", "state", "established").splitlines():
            fields = line.split()
            if len(fields) < 4:
                continue
            ends = {fields[2].rsplit(":", 1)[1], fields[3].rsplit(":", 1)[1]}
            for name, port in self.ports.items():
                if str(port) in ends:
                    found[name] = found.get(name, 0) + int(fields[0]) + int(fields[1])
        return found

    def in_flight(self) -> dict[str, int]:
        """Bytes in the kernel's queues of both hosts, for each path that has a connection."""
        total = self.sockets("North")
        for name, count in self.sockets("South").items():
            total[name] = total.get(name, 0) + count
        return total

    def destroy(self, side: str) -> None:
        ports = " or ".join(f"sport = :{port} or dport = :{port}" for port in self.ports.values())
        run(*self.prefix(side), "ss", "-K", f"( {ports} )")

    def happen(self, fault: Fault) -> None:
        """Begins a fault and waits for its end."""
        space, other = self.spaces[fault.side], self.spaces["South" if fault.side == "North" else "North"]
        deaf = self.table("in", "input", "iif eth0 drop")
        match fault.kind:
            case "reset":
                self.destroy(fault.side)
                return
            case "deaf":
                self.nft(space, deaf)
            case "silence":
                self.nft(space, deaf)
                self.nft(other, deaf)
            case "half_open":
                # The reset that tells the other end never leaves.
                self.nft(space, self.table("out", "output", "oif eth0 tcp flags & rst == rst drop"))
                self.destroy(fault.side)
            case "refused":
                ports = ", ".join(str(port) for port in self.ports.values())
                how = "icmp type port-unreachable" if fault.by_icmp else "tcp reset"
                rule = f"iif eth0 tcp dport {{ {ports} }} reject with {how}"
                for host in (space, other):
                    self.nft(host, self.table("in", "input", rule))
                self.destroy(fault.side)
        time.sleep(fault.lasts)
        for host in (space, other):
            run("ip", "netns", "exec", host, "nft", "delete", "table", "inet", "cut", check=False)

    def close(self) -> None:
        for space in reversed(self.made):
            subprocess.run(["ip", "netns", "delete", space], capture_output=True)
        self.made = []
