"""Counts of durations by bucket: what a histogram of Prometheus shows. Pure."""

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
