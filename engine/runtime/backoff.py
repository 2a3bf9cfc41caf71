"""How long to wait before trying again."""

import random


class Backoff:
    """Exponential backoff with jitter, so that many do not try again at the same time."""

    def __init__(self, seed: str, first_s: float = 0.5, longest_s: float = 30.0) -> None:
        self._random = random.Random(seed)
        self._first_s, self._longest_s = first_s, longest_s
        self._failures = 0

    def next_s(self) -> float:
        """How long to wait after another failure."""
        longest_s: float = min(self._longest_s, self._first_s * 2 ** min(self._failures, 30))
        self._failures += 1
        return longest_s * self._random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """After a success: the next wait is the first again."""
        self._failures = 0
