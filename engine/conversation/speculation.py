"""Analysis that starts at the provisional end of a turn: kept if nothing more is said, otherwise discarded."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np

from engine.speech.turn import Turn

T = TypeVar("T")


class Speculation(Generic[T]):
    """One source's turns, each analysed by the task that `begin` starts for it.

    The result is always that of the final turn: speculative work counts only if the final turn has exactly the same
    audio and frames. There is at most one speculative task per track. Discarded tasks are cancelled; a model that is
    already running finishes, and its result is ignored.
    """

    def __init__(self, begin: Callable[[Turn], asyncio.Task[T]]) -> None:
        self.kept = 0
        self.discarded = 0
        self._begin = begin
        self._tasks: dict[int, tuple[Turn, asyncio.Task[T]]] = {}  # by turn id

    def provisional(self, turn: Turn) -> asyncio.Task[T]:
        """The turn may have ended: start."""
        task = self._begin(turn)
        self._tasks[turn.turn_id] = turn, task
        return task

    def resumed(self, turn_id: int) -> None:
        """The turn had not ended."""
        if turn_id in self._tasks:
            self._tasks.pop(turn_id)[1].cancel()
            self.discarded += 1

    def final(self, turn: Turn) -> asyncio.Task[T]:
        """The turn has ended: the task that was started for it, or a new one."""
        provisional = self._tasks.get(turn.turn_id)
        if provisional is not None and _same(provisional[0], turn):
            self.kept += 1
            return self._tasks.pop(turn.turn_id)[1]
        self.resumed(turn.turn_id)
        return self._begin(turn)

    def cancel(self) -> None:
        """No final turn will come."""
        for turn_id in list(self._tasks):
            self.resumed(turn_id)


def _same(one: Turn, other: Turn) -> bool:
    """Whether everything that is analysed is the same."""
    return (
        (one.track, one.start_s, one.end_s) == (other.track, other.start_s, other.end_s)
        and len(one.frames) == len(other.frames)
        and all(mine is theirs for mine, theirs in zip(one.frames, other.frames, strict=True))
        and np.array_equal(one.pcm, other.pcm)
    )
