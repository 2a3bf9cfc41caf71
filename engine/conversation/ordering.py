"""The order in which a conversation's turns are recognised: by their end. Pure."""

import heapq
from collections.abc import Hashable, Iterable
from itertools import count
from typing import Generic, TypeVar

T = TypeVar("T")


class TurnOrder(Generic[T]):
    """Holds a final turn back while another track may still produce one that ended earlier.

    Of any two turns, the one with the smaller end comes first; of two with the same end, the one decided first. Three
    limits keep the wait short:

    - A track more than `patience_s` of media behind the furthest one is not waited for: it has stalled.
    - A turn that is cut at the maximum length ends where it is cut, up to some seconds before the cut is decided. It is
      not waited for; it follows whatever has come out by then.
    - A source that leaves neither waits nor is waited for: its turns, and all that end before them, come out.

    Where `patience_s` is the silence that ends a turn, a turn is held only while another track that fell silent
    before its end may resume: for that silence at most.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._tracks: dict[Hashable, tuple[float, float]] = {}  # analysed up to, settled up to
        self._held: list[tuple[float, int, T]] = []  # a heap
        self._pushed = count()
        self._let_go_s = float("-inf")  # turns that end up to here wait for nothing

    def __len__(self) -> int:
        return len(self._held)

    def push(self, end_s: float, turn: T) -> None:
        """Add a final turn."""
        heapq.heappush(self._held, (end_s, next(self._pushed), turn))

    def settle(self, track: Hashable, now_s: float, until_s: float) -> None:
        """`track` was analysed up to `now_s`; its later turns end at `until_s` or later."""
        self._tracks[track] = (now_s, until_s)

    def leave(self, tracks: Iterable[Hashable], last_end_s: float) -> None:
        """No more turns come from these tracks, whose last turn ends at `last_end_s`."""
        for track in tracks:
            self._tracks.pop(track, None)
        self._let_go_s = max(self._let_go_s, last_end_s)

    def let_go(self) -> None:
        """From now on no turn is held back."""
        self._let_go_s = float("inf")

    def next(self) -> T | None:
        """The next turn, if none before it can still come."""
        furthest_s = max((now_s for now_s, _ in self._tracks.values()), default=0.0)
        waited_for = [until_s for now_s, until_s in self._tracks.values() if now_s >= furthest_s - self._patience_s]
        settled_s = max(min(waited_for, default=float("inf")), self._let_go_s)
        return heapq.heappop(self._held)[2] if self._held and self._held[0][0] <= settled_s else None
