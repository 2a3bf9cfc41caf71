"""In which order a conversation's turns go on: by where they end. Pure."""

import heapq
from collections.abc import Hashable, Iterable
from itertools import count
from typing import Generic, TypeVar

T = TypeVar("T")


class TurnOrder(Generic[T]):
    """Holds a decided turn back while another track may still decide one that ended earlier.

    The promise: of any two turns, the one with the smaller end comes first; of two with the same end, the one decided
    first. It has three limits, so that nobody waits for long:

    - A track more than `patience_s` of media behind the furthest one is not waited for: it has stalled.
    - A turn that is cut for its length ends where it is cut, up to some seconds before the cut is decided. It is not
      waited for; it follows whatever has come out by then.
    - A publisher that leaves is not waited for and does not wait: its turns, and all that end before them, come out.

    Where `patience_s` is the silence that ends a turn, a turn is held only while another track that fell silent
    before its end may yet speak on: for that silence at most.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._tracks: dict[Hashable, tuple[float, float]] = {}  # heard up to, settled up to
        self._held: list[tuple[float, int, T]] = []  # a heap
        self._pushed = count()
        self._let_go_s = float("-inf")  # up to here, nobody is waited for

    def __len__(self) -> int:
        return len(self._held)

    def push(self, end_s: float, turn: T) -> None:
        """A turn is decided."""
        heapq.heappush(self._held, (end_s, next(self._pushed), turn))

    def settle(self, track: Hashable, now_s: float, until_s: float) -> None:
        """`track` was heard up to `now_s`; its turns yet to come end at `until_s` or later."""
        self._tracks[track] = (now_s, until_s)

    def leave(self, tracks: Iterable[Hashable], last_end_s: float) -> None:
        """No more comes from these tracks, whose last turn ends at `last_end_s`."""
        for track in tracks:
            self._tracks.pop(track, None)
        self._let_go_s = max(self._let_go_s, last_end_s)

    def let_go(self) -> None:
        """Nobody is waited for any more."""
        self._let_go_s = float("inf")

    def next(self) -> T | None:
        """The next turn, if it may go on."""
        furthest_s = max((now_s for now_s, _ in self._tracks.values()), default=0.0)
        waited_for = [until_s for now_s, until_s in self._tracks.values() if now_s >= furthest_s - self._patience_s]
        settled_s = max(min(waited_for, default=float("inf")), self._let_go_s)
        return heapq.heappop(self._held)[2] if self._held and self._held[0][0] <= settled_s else None
