"""Delays between attempts to connect."""

import random


class Backoff:
    """Exponential backoff with jitter: delays double, each shortened at random to spread the clients.

    With a `seed` the delays are reproducible.
    """

    def __init__(self, first_s: float = 0.5, longest_s: float = 15.0, seed: int | None = None) -> None:
        self._random = random.Random(seed)
        self._first_s, self._longest_s = first_s, longest_s
        self._failures = 0

    def next_s(self) -> float:
        """The delay in seconds after another failure."""
        longest_s: float = min(self._longest_s, self._first_s * 2 ** min(self._failures, 30))
        self._failures += 1
        return longest_s * self._random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Call after a success: the next delay is the shortest again."""
        self._failures = 0
