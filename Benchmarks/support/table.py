"""The comparison's table in Benchmarks/README.md: medians, spread, ratios to the peer nearest to us, and what is required."""
import os, statistics

import agents

README = os.path.join(agents.ROOT, "Benchmarks", "README.md")
BEGIN, END = "<!-- comparison: written by Benchmarks/compare -->", "<!-- end of the comparison -->"
PEER = "envoy-h21"
WINDOW_KIB = 1024       # the widest credit of one stream


class Row:
    """One figure: where it is in the samples, how it is printed, and what is required of its ratio to the peer."""

    def __init__(self, title, test, key, digits, better, required=None, plain=None, scale=1.0):
        self.title, self.test, self.key, self.digits, self.better, self.scale = title, test, key, digits, better, scale
        self.required, self.plain = required, plain if plain is not None else required

    def needed(self, candidate):
        return self.plain if candidate == "agent-noaccel" else self.required


ROWS = [
    Row("CPU-s/GiB, up 1", "up1", "hops_per", 3, -1, 0.78, 1.0),
    Row("CPU-s/GiB, up 8", "up8", "hops_per", 3, -1, 0.78, 1.0),
    Row("CPU-s/GiB, down 1", "down1", "hops_per", 3, -1, 0.78, 1.0),
    Row("CPU-s/GiB, down 8", "down8", "hops_per", 3, -1),
    Row("bulk GB/s, up 1", "up1", "GBps", 2, 1, 1.0),
    Row("bulk GB/s, up 8", "up8", "GBps", 2, 1, 1.4),
    Row("bulk GB/s, down 1", "down1", "GBps", 2, 1),
    Row("bulk GB/s, down 8", "down8", "GBps", 2, 1),
    Row("rr1 p50 µs", "rr1", "p50", 0, -1, 0.9),
    Row("rr1 p99 µs", "rr1", "p99", 0, -1, 0.8),
    Row("rr64 trips/s", "rr64", "rate", 0, 1, 1.6),
    Row("rr64 CPU-s per 100k", "rr64", "hops_per", 2, -1, 0.62),
    Row("rr64 p99 ms", "rr64", "p99", 2, -1, 0.55, scale=1e-3),
    Row("http req/s", "http", "rate", 0, 1),
    Row("http CPU-s per 100k", "http", "hops_per", 2, -1, 0.8),
    Row("new connections/s", "cps", "rate", 0, 1, 2.0),
    Row("CPU ms per connection", "cps", "hops_per", 3, -1, 0.5),
    Row("mix: rr16 p99 ms beside bulk", "mix", "p99", 2, -1, 0.3, scale=1e-3),
    Row("mix: bulk GB/s", "mix", "bulk_GBps", 2, 1, 0.9),
    Row("bytes per idle stream", "idle", "B_per_stream", 0, -1),
    Row("8 stalled readers: others' trips/s", "stall8", "rate", 0, 1),
    Row("8 stalled readers: hops' growth KiB", "stall8", "pss_growth_KiB", 0, -1),
]


def values(data, candidate, row):
    """One value a round that has one, by round."""
    return {s["round"]: s["r"][row.key] * row.scale for s in data["samples"]
            if s["cand"] == candidate and s["test"] == row.test and s["r"].get(row.key) is not None}


def number(value, digits):
    return f"{value:,.{digits}f}"


def middle(found, digits):
    return number(statistics.median(found.values()), digits) if found else "–"


def spread(found, digits):
    """`median [least – most]`."""
    if len(found) < 2:
        return middle(found, digits)
    return f"{middle(found, digits)} [{number(min(found.values()), digits)} – {number(max(found.values()), digits)}]"


def ratio(data, candidate, row):
    """Ratios to the peer of the same rounds."""
    mine, theirs = values(data, candidate, row), values(data, PEER, row)
    return {number: mine[number] / theirs[number] for number in mine if theirs.get(number)}


def absolute(data, candidate, row):
    """Requirements that are not ratios to the peer: text and whether it is met, or None."""
    found = values(data, candidate, row)
    if not found:
        return None
    value = statistics.median(found.values())
    if row.test == "idle":
        return "≤ 2,048", value <= 2048
    if row.key == "pss_growth_KiB":
        return "≤ 10 windows", value <= 10 * WINDOW_KIB
    if row.test == "stall8":
        free = values(data, candidate, next(r for r in ROWS if r.test == "rr1"))
        alone = [s["r"]["rate"] for s in data["samples"] if s["cand"] == candidate and s["test"] == "rr1"]
        if free and alone:
            return "≥ 0.9 of rr1", value >= 0.9 * statistics.median(alone)
    return None


def verdict(data, candidate, row):
    """The requirement in words and whether it is met, for one of our candidates."""
    special = absolute(data, candidate, row)
    if special:
        return special
    needed, found = row.needed(candidate), ratio(data, candidate, row)
    if needed is None or not found:
        return None
    got = statistics.median(found.values())
    return f"{'≥' if row.better > 0 else '≤'} {needed:g}", got >= needed if row.better > 0 else got <= needed


def lines(data):
    """The table in Markdown."""
    names = data["meta"]["candidates"]
    peers = [name for name in names if not name.startswith("agent")]
    ours = [name for name in names if name.startswith("agent")]
    head = ["figure", *peers, *ours] + [text for name in ours for text in (f"{name} × {PEER}", "required, met?")]
    out = ["| " + " | ".join(head) + " |", "| --- " * len(head) + "|"]
    for row in ROWS:
        if not any(values(data, name, row) for name in names):
            continue
        cells = [row.title] + [middle(values(data, name, row), row.digits) for name in peers]
        cells += [spread(values(data, name, row), row.digits) for name in ours]
        for name in ours:
            cells.append(spread(ratio(data, name, row), 2))
            found = verdict(data, name, row)
            cells.append("" if found is None else f"{found[0]}: {'yes' if found[1] else '**no**'}")
        out.append("| " + " | ".join(cells) + " |")
    return out


def unmet(data):
    """Titles of what is required and not met, by candidate."""
    found = []
    for name in data["meta"]["candidates"]:
        for row in ROWS if name.startswith("agent") else []:
            result = verdict(data, name, row)
            if result and not result[1]:
                found.append(f"{name}: {row.title}")
    return found


def section(data):
    """Everything between the markers."""
    meta, samples = data["meta"], data["samples"]
    stolen = sum(s["r"].get("steal", 0) for s in samples)
    measured = sum(s["r"].get("secs", 0) for s in samples)
    noisy = sum(s["r"].get("foreign", 0) > 0.08 * s["r"].get("secs", 1) + 0.05 for s in samples)
    text = [
        f"{meta['when']}, {meta['rounds']} rounds of {meta['seconds']:g} s a test, {meta['cpus']} CPUs ({meta['cpu'].strip()}), Linux "
        f"{meta['kernel']}, {meta['openssl']}, TCP {meta['tcp_cc']}. Medians over the rounds; of ours, and of the ratios, which "
        f"are taken within each round, the least and the most as well; idle streams and stalled readers are measured in the first round only. The hypervisor took {stolen:.1f} s of CPU in "
        f"{measured:.0f} s of measuring; {noisy} of {len(samples)} samples had other processes in the way.", "",
        *lines(data), "",
        "Versions: " + "; ".join(f"{name}: {version}" for name, version in meta["versions"].items() if version) + ".",
    ]
    missed = unmet(data)
    text += ["", "Everything required is met." if not missed else "Required and not met: " + "; ".join(missed) + "."]
    if data.get("failures"):
        text += ["", "Failed: " + "; ".join(f"{f['cand']} {f['test']}" for f in data["failures"]) + "."]
    return "\n".join(text)


def rewrite(data):
    """Puts the section between the README's markers."""
    with open(README) as file:
        text = file.read()
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise agents.Unmeasurable(f"{README} needs the lines '{BEGIN}' and '{END}', in this order, once each")
    before, rest = text.split(BEGIN)
    with open(README, "w") as file:
        file.write(f"{before}{BEGIN}\n\n{section(data)}\n\n{END}{rest.split(END)[1]}")
