"""How long to leave an engine alone that does not answer."""

import random


class Backoff:
    """Waits that double, each shortened by chance, so that many clients do not come back at once.

    With a `seed` the waits are the same each time.
    """

    def __init__(self, first_s: float = 0.5, longest_s: float = 15.0, seed: int | None = None) -> None:
        self._random = random.Random(seed)
        self._first_s, self._longest_s = first_s, longest_s
        self._failures = 0

    def next_s(self) -> float:
        """The wait after one more failure."""
        longest_s: float = min(self._longest_s, self._first_s * 2 ** min(self._failures, 30))
        self._failures += 1
        return longest_s * self._random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """It worked: the next wait is short again."""
        self._failures = 0
