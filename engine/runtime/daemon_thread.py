"""Calls that may never return: of native code, or of the name server. The process does not wait for them at its end.

The threads of `concurrent.futures` are joined when the interpreter exits, and asyncio's own when the loop closes.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class DaemonThread(Executor, Generic[T]):
    """Runs calls one after the other, until `end`."""

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[tuple[Callable[[], T], Future[T]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def call(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """The result of `work`, or its exception. If cancelled before it has begun, it is not called."""
        return asyncio.get_running_loop().run_in_executor(self, work)  # a replay's loop counts what runs

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """As `call`, with a future of `concurrent.futures`."""
        future: Future[Any] = Future()
        self._calls.put((partial(fn, *args, **kwargs), future))
        return future

    def end(self) -> None:
        """After the calls so far."""
        self._calls.put(None)

    def join(self) -> None:
        """Blocks until it has ended."""
        self._thread.join()

    def _run(self) -> None:
        while call := self._calls.get():
            work, future = call
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - for the caller, who awaits it
                future.set_exception(error)
            del work, future, call  # what was asked for is not kept until the next call
