"""The thread in which a model runs, replaced when a call hangs."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from engine.errors import EngineError
from engine.runtime.daemon_thread import DaemonThread
from engine.runtime.hangs import Deadline

Res = TypeVar("Res")


class ModelTimeoutError(EngineError):
    """A model has not answered by its deadline."""


class ModelThread(Generic[Res]):
    """Runs one call at a time.

    A call that takes longer than its deadline raises ModelTimeoutError and keeps its thread; the next call gets a new
    one. A call of an essential model is awaited nevertheless: its callers wait until the engine restarts.
    """

    def __init__(self, name: str, deadline: Deadline) -> None:
        self._name = name
        self._deadline = deadline
        self._hung = False
        self._thread: DaemonThread[list[Res]] = DaemonThread(name)

    async def __call__(self, work: Callable[[], list[Res]]) -> list[Res]:
        """Raises what `work` raises, and ModelTimeoutError."""
        future = self._thread.call(work)
        try:
            await asyncio.wait([future], timeout=self._deadline.seconds)
            if not future.done():
                await self._after_deadline(future)
        except asyncio.CancelledError:
            future.cancel()
            raise
        return future.result()

    def end(self) -> None:
        """After the call at work."""
        self._thread.end()

    def join(self) -> None:
        """Blocks until it has ended, unless it hangs."""
        if not self._hung:
            self._thread.join()

    async def _after_deadline(self, future: asyncio.Future[list[Res]]) -> None:
        after_s = self._deadline.seconds or 0.0
        self._deadline.hangs.began(self._name, after_s, essential=self._deadline.essential)
        future.add_done_callback(self._returned)
        if self._deadline.essential:
            self._hung = True
            await asyncio.wait([future])
            self._hung = False
        else:
            self._thread.end()
            self._thread = DaemonThread(self._name)
            raise ModelTimeoutError(f"the {self._name} model has not answered for {after_s:g} s")

    def _returned(self, future: asyncio.Future[list[Res]]) -> None:
        if not future.cancelled():
            future.exception()  # retrieved
            self._deadline.hangs.ended(self._name)
