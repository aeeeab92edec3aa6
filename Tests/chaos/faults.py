"""What happens to the link, drawn from a seed: kinds, times, and on which side."""

import random
from dataclasses import dataclass

# Both ends are told; both or one get nothing; one end is gone and the other not told; or new connections are refused too.
KINDS = ("reset", "silence", "deaf", "half_open", "refused")
SIDES = ("North", "South")


@dataclass(frozen=True)
class Fault:
    """One cut."""

    kind: str
    side: str
    """Whose kernel resets, or who hears nothing."""
    lasts: float
    """Seconds from its beginning to its end; 0 for what is over at once."""
    pause: float
    """Seconds from its beginning to that of the next cut."""
    by_icmp: bool
    """For `refused`: by an ICMP message, else by a reset."""


class Faults:
    """An endless row of cuts, the same for the same seed, every 0.5 to 2 seconds."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)
        self.counts = {kind: 0 for kind in KINDS}

    def next(self) -> Fault:
        draw = self.random
        kind = draw.choice(KINDS)
        side = draw.choice(SIDES)
        pause = draw.uniform(0.5, 2)
        # Shorter and longer than the 1.5 s after which these agents give a silent link up.
        lasts = {"reset": 0.0, "silence": draw.uniform(0.1, 2), "deaf": draw.uniform(0.1, 2),
                 "half_open": 0.05, "refused": draw.uniform(0.3, 1.5)}[kind]
        return Fault(kind, side, lasts, max(pause, lasts + 0.5), draw.random() < 0.5)
