"""An event loop with virtual time: whatever waits for a timer is woken at once, in order, with the clock set to it."""

import asyncio
import selectors
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from typing import Any

THREADS = 4


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Use as `asyncio.Runner(loop_factory=VirtualTimeLoop)`. Its time begins at 0.

    Time stands still while anything can run, also in threads (`run_in_executor`, `asyncio.to_thread`). Threads run in
    parallel, but their results arrive in the order in which they were started, and only when the loop has nothing else
    to do: so a program without sockets takes the same course every time, whatever its threads take.
    """

    def __init__(self) -> None:
        self._virtual_s = 0.0
        self._jobs: deque[tuple[Future[Any], asyncio.Future[Any]]] = deque()  # in threads, oldest first
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="replay")
        super().__init__(_IdleSelector(self))

    def time(self) -> float:
        return self._virtual_s

    def advance(self, by_s: float) -> None:
        """For the selector: there is nothing to do for so long."""
        self._virtual_s += by_s

    def finish_oldest_job(self) -> bool:
        """For the selector: wait for the thread that was started first. False where there is none."""
        if not self._jobs:
            return False
        job, answer = self._jobs.popleft()
        try:
            result, error = job.result(), None
        except CancelledError:
            return True  # `answer` was cancelled before its thread began
        except BaseException as raised:  # noqa: BLE001 - belongs to whoever awaits the answer
            result, error = None, raised
        if answer.done():
            return True
        if error is None:
            answer.set_result(result)
        else:
            answer.set_exception(error)
        return True

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        job = (executor or self._pool).submit(func, *args)
        answer: asyncio.Future[Any] = self.create_future()
        answer.add_done_callback(lambda it: job.cancel() if it.cancelled() else None)
        self._jobs.append((job, answer))
        return answer

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        super().close()


class _IdleSelector(selectors.BaseSelector):
    """Where a loop would wait for its next timer, sets its clock to it."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        self._loop = loop
        self._real = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._real.select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if self._loop.finish_oldest_job():
            return ready
        if timeout is None:  # neither timers nor threads: only a signal can go on
            return self._real.select(None)
        self._loop.advance(timeout)
        return ready

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()
