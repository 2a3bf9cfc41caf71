"""A mapping that does not grow without end, for what is remembered of each speaker."""

from collections import OrderedDict
from typing import Self, TypeVar

MAX_SPEAKERS = 64  # of one conversation that are remembered

K = TypeVar("K")
V = TypeVar("V")


class RecentDict(OrderedDict[K, V]):
    """At most `capacity` entries: beyond that, setting one removes the entry that was set least recently."""

    def __init__(self, capacity: int = MAX_SPEAKERS) -> None:
        super().__init__()
        self._capacity = capacity

    def __setitem__(self, key: K, value: V) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key)
        while len(self) > self._capacity:
            del self[next(iter(self))]

    def copy(self) -> Self:
        """An independent mapping with the same values."""
        other = type(self)(self._capacity)
        other.update(self)
        return other
