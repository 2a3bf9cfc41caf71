"""Durations: counted by bucket, which is what a histogram of Prometheus shows, and the share that they take. Pure."""

import math
from bisect import bisect_left
from collections.abc import Sequence

# Upper bounds of buckets, in seconds.
STAGE_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
AFTER_SPEECH_S = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)


class Durations:
    """How many durations were at most as long as each bound. Belongs to one thread."""

    def __init__(self, bounds_s: Sequence[float]) -> None:
        self.total_s = 0.0
        self._bounds_s = tuple(bounds_s)
        self._counts = [0] * (len(bounds_s) + 1)  # the last is for longer ones

    def observe(self, seconds: float) -> None:
        self._counts[bisect_left(self._bounds_s, seconds)] += 1
        self.total_s += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """(upper bound, how many were at most as long), the last with the bound +Inf."""
        bounds = [*map(str, self._bounds_s), "+Inf"]
        return [(bound, float(sum(self._counts[: n + 1]))) for n, bound in enumerate(bounds)]


class BusyShare:
    """The share of the last seconds in which work was done, as an exponential average over `over_s`."""

    def __init__(self, over_s: float = 2.0) -> None:
        self._over_s = over_s
        self._share = self._until_s = 0.0

    def add(self, began_s: float, ended_s: float) -> None:
        """Work was done between these times, which are those of one clock, and not before those of an earlier call."""
        before = self.at(began_s)
        self._share = 1 - (1 - before) * math.exp(-(ended_s - max(began_s, self._until_s)) / self._over_s)
        self._until_s = ended_s

    def at(self, now_s: float) -> float:
        """0 to 1."""
        return self._share * math.exp(-max(0.0, now_s - self._until_s) / self._over_s)
