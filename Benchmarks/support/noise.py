"""What a difference between two sets of samples is worth, given how much the samples scatter."""
import math, statistics

# Two-sided 95 % points of Student's t by degrees of freedom; from 30 on the normal distribution's.
T95 = [math.inf, 12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13, 2.12, 2.11, 2.10,
       2.09, 2.09, 2.08, 2.07, 2.07, 2.06, 2.06, 2.06, 2.05, 2.05, 2.05]


def t95(degrees):
    return T95[int(degrees)] if degrees < len(T95) else 1.96


class Change:
    """A ratio with its 95 % interval; `better` says whether a smaller (-1) or a larger (1) one is wished for."""

    def __init__(self, mean, half, better):
        self.ratio, self.low, self.high = math.exp(mean), math.exp(mean - half), math.exp(mean + half)
        self.half, self.better = half, better

    @property
    def verdict(self):
        """better, worse, or same: the interval has 1 in it, or the change is under 1 %."""
        if self.low <= 1 <= self.high or abs(self.ratio - 1) < 0.01:
            return "same"
        return "better" if (self.ratio > 1) == (self.better > 0) else "worse"

    def __str__(self):
        return f"{100 * (self.ratio - 1):+6.1f} %  ±{100 * math.expm1(self.half):4.1f}"


def paired(new, old, better):
    """New against old, measured by turns in the same rounds; None with fewer than two rounds."""
    logs = [math.log(a / b) for a, b in zip(new, old) if a > 0 and b > 0]
    if len(logs) < 2:
        return None
    return Change(statistics.mean(logs), t95(len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs)), better)


def unpaired(new, old, better):
    """Two runs' samples of one figure (Welch's test); None with fewer than two samples in either."""
    a, b = [math.log(v) for v in new if v > 0], [math.log(v) for v in old if v > 0]
    if min(len(a), len(b)) < 2:
        return None
    va, vb = statistics.variance(a) / len(a), statistics.variance(b) / len(b)
    total = va + vb
    degrees = total**2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1)) if total else len(a) + len(b) - 2
    return Change(statistics.mean(a) - statistics.mean(b), t95(degrees) * math.sqrt(total), better)
