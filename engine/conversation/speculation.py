"""Work begun before a turn is over: kept if nothing more was said, else thrown away."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np

from engine.speech.turn import Turn

T = TypeVar("T")


class Speculation(Generic[T]):
    """One publisher's turns, each worked on by the task that `begin` makes of it.

    A result is that of the final turn, whether work on it began early or not: a guess counts only where the final turn
    has the very same sound and pictures. There is at most one guess a track. What is thrown away is cancelled; a model
    that runs already finishes its run, for nobody.
    """

    def __init__(self, begin: Callable[[Turn], asyncio.Task[T]]) -> None:
        self.kept = 0
        self.thrown_away = 0
        self._begin = begin
        self._guesses: dict[int, tuple[Turn, asyncio.Task[T]]] = {}

    def provisional(self, turn: Turn) -> None:
        """It is perhaps over: begin."""
        self._guesses[turn.turn_id] = turn, self._begin(turn)

    def resumed(self, turn_id: int) -> None:
        """It was not over."""
        if turn_id in self._guesses:
            self._guesses.pop(turn_id)[1].cancel()
            self.thrown_away += 1

    def final(self, turn: Turn) -> asyncio.Task[T]:
        """It is over: what was begun, or what begins now."""
        guess = self._guesses.get(turn.turn_id)
        if guess is not None and _same(guess[0], turn):
            self.kept += 1
            return self._guesses.pop(turn.turn_id)[1]
        self.resumed(turn.turn_id)
        return self._begin(turn)

    def cancel(self) -> None:
        """No final turn will come."""
        for turn_id in list(self._guesses):
            self.resumed(turn_id)


def _same(one: Turn, other: Turn) -> bool:
    """Whether all that is worked on is the same."""
    return (
        (one.speaker, one.start_s, one.end_s) == (other.speaker, other.start_s, other.end_s)
        and len(one.frames) == len(other.frames)
        and all(mine is theirs for mine, theirs in zip(one.frames, other.frames, strict=True))
        and np.array_equal(one.pcm, other.pcm)
    )
