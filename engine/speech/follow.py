"""Turns are recognised while they are spoken, so that at their end only the rest is left to hear."""

import asyncio
from collections.abc import Callable

from cberl.types import Float32
from engine.speech.transcriber import Transcript
from engine.speech.turn import Turn

EVERY_MS = 250.0  # of speech


class Following:
    """One publisher's turns under way, each given to the recogniser by the task that `begin` makes of its sound so far.

    One task a turn at a time: what is said meanwhile comes with the next. When the turn is perhaps over, what still
    waits is taken back: whoever transcribes it now hears it whole.
    """

    def __init__(self, begin: Callable[[Float32], asyncio.Task[Transcript]]) -> None:
        self._begin = begin
        self._tasks: dict[int, asyncio.Task[Transcript]] = {}  # by turn

    def growing(self, turn: Turn) -> None:
        """So much of it was said."""
        task = self._tasks.get(turn.turn_id)
        if task is None or task.done():
            self._tasks[turn.turn_id] = self._begin(turn.pcm)

    def over(self, turn_id: int) -> None:
        """For now at least."""
        if task := self._tasks.pop(turn_id, None):
            task.cancel()

    def cancel(self) -> None:
        """No more will be said."""
        for turn_id in list(self._tasks):
            self.over(turn_id)
