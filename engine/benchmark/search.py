"""Which numbers of conversations to try. Pure."""

from collections.abc import Iterator


class Search:
    """The largest number that is served in time: doubled until one is too large, then bisected.

    Stops when the smallest number that is too large is at most a tenth above the largest that is not.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._served = 0
        self._too_many: int | None = None

    def __iter__(self) -> Iterator[int]:
        """Call `report` for each number before the next is taken."""
        while (number := self._next()) is not None:
            yield number

    def report(self, number: int, *, served: bool) -> None:
        if served:
            self._served = max(self._served, number)
        else:
            self._too_many = number

    def _next(self) -> int | None:
        if self._too_many is None:
            return None if self._served >= self._most else min(self._most, max(1, 2 * self._served))
        if self._too_many - self._served <= max(1, self._served // 10):
            return None
        return (self._served + self._too_many) // 2
