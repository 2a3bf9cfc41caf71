"""The only way off the event loop: one bounded queue a model, shared by all sessions, answered in batches."""

import asyncio
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import active_children
from typing import Any, Generic, Literal, Self, TypeVar

from cberl.processes import SPAWN, exit_with_parent, interrupts_blocked

Req = TypeVar("Req")
Res = TypeVar("Res")
Kind = Literal["thread", "process"]


class WorkerClosedError(Exception):
    """The worker is not running: requests are taken inside `async with worker` only."""


@dataclass(slots=True, eq=False)
class _Job(Generic[Req, Res]):
    request: Req
    answer: asyncio.Future[Res]


class Worker(Generic[Req, Res]):
    """Answers `await worker(request)` by `run(requests)`, with whatever else was waiting in the same batch.

    `run` gets at most `max_batch` requests and returns as many results, in order; no result may depend on the
    rest of its batch. It runs in one thread, or, for code that holds the GIL for long, in one spawned process
    (`kind="process"`: `run`, requests and results are pickled; `run` once, so it may keep a model it loads).
    `max_wait_ms` is how long a first request may wait for company. Callers beyond `capacity` wait their turn.

    Errors: what `run` raises reaches only the request that caused it; WorkerClosedError outside `async with`;
    BrokenExecutor when the process dies of a request (a new one is started).
    """

    def __init__(
        self,
        run: Callable[[list[Req]], list[Res]],
        *,
        name: str,
        max_batch: int = 8,
        max_wait_ms: float = 0.0,
        capacity: int = 256,
        kind: Kind = "thread",
    ) -> None:
        self.name = name
        self.pending = 0  # asked and not yet answered, waiting callers included
        self._run = run
        self._max_batch = max_batch
        self._max_wait_s = max_wait_ms / 1e3
        self._kind = kind
        self._open = False
        self._slots = asyncio.Semaphore(capacity)
        self._waiting: deque[_Job[Req, Res]] = deque()
        self._aside: deque[_Job[Req, Res]] = deque()
        self._asked = asyncio.Event()

    async def __call__(self, request: Req) -> Res:
        self.pending += 1
        try:
            async with self._slots:
                if not self._open:
                    raise WorkerClosedError(f"the {self.name} worker is not running")
                return await self._ask(request, self._waiting)
        finally:
            self.pending -= 1

    async def aside(self, request: Req) -> Res:
        """The same, for what nobody waits for: it is answered when no call is waiting, and `pending` leaves it out."""
        async with self._slots:
            if not self._open:
                raise WorkerClosedError(f"the {self.name} worker is not running")
            return await self._ask(request, self._aside)

    async def _ask(self, request: Req, queue: deque[_Job[Req, Res]]) -> Res:
        job: _Job[Req, Res] = _Job(request, asyncio.get_running_loop().create_future())
        queue.append(job)
        self._asked.set()
        try:
            return await job.answer
        finally:
            if job in queue:  # the caller was cancelled before its turn came
                queue.remove(job)

    async def __aenter__(self) -> Self:
        self._executor = self._new_executor()
        self._tasks = await asyncio.TaskGroup().__aenter__()
        self._task = self._tasks.create_task(self._serve(), name=f"worker {self.name}")
        self._open = True
        return self

    async def __aexit__(self, *error: object) -> None:
        self._open = False
        self._task.cancel()
        try:
            await self._tasks.__aexit__(None, None, None)
        finally:
            for job in (*self._waiting, *self._aside):
                if not job.answer.done():
                    job.answer.set_exception(WorkerClosedError(f"the {self.name} worker has ended"))
            await asyncio.to_thread(_stop, self._executor)

    async def _serve(self) -> None:
        while True:
            batch = await self._next_batch()
            try:
                if batch:
                    await self._answer(batch)
            finally:  # cancelled half-way: nobody is left waiting for ever
                for job in batch:
                    if not job.answer.done():
                        job.answer.set_exception(WorkerClosedError(f"the {self.name} worker has ended"))

    async def _next_batch(self) -> list[_Job[Req, Res]]:
        while not (self._waiting or self._aside):
            self._asked.clear()
            await self._asked.wait()
        if not self._waiting:
            return [self._aside.popleft()]
        await self._company()
        return [self._waiting.popleft() for _ in range(min(self._max_batch, len(self._waiting)))]

    async def _company(self) -> None:
        """Wait until the batch is full or the first request has waited long enough."""
        try:
            async with asyncio.timeout(self._max_wait_s):
                while len(self._waiting) < self._max_batch:
                    self._asked.clear()
                    await self._asked.wait()
        except TimeoutError:
            return

    async def _answer(self, batch: list[_Job[Req, Res]], again: bool = True) -> None:
        results = await self._execute([job.request for job in batch])
        if isinstance(results, list):
            for job, result in zip(batch, results, strict=True):
                if not job.answer.done():
                    job.answer.set_result(result)
        elif len(batch) > 1 or (again and isinstance(results, BrokenExecutor)):
            for job in batch:  # find out whose fault it was, if anybody's: a process may die while idle
                if not job.answer.done():
                    await self._answer([job], again=False)
        elif not batch[0].answer.done():
            batch[0].answer.set_exception(results)

    async def _execute(self, requests: list[Req]) -> list[Res] | BaseException:
        """Results, or what went wrong: looked at, not raised, since it may be anything."""
        entry: Callable[..., list[Res]] = self._run if self._kind == "thread" else _run_in_child
        try:
            future = asyncio.get_running_loop().run_in_executor(self._executor, entry, requests)
        except BrokenExecutor as gone:
            self._renew()
            return gone
        try:
            await asyncio.wait([future])
        finally:
            future.cancel()  # where this is cancelled, nobody is left to hear of a failure
        error = future.exception()
        if isinstance(error, BrokenExecutor):
            self._renew()
        if error is not None:
            return error
        if len(future.result()) != len(requests):
            return RuntimeError(f"{self.name}: {len(future.result())} results for {len(requests)} requests")
        return future.result()

    def _renew(self) -> None:
        self._executor.shutdown(wait=False)
        self._executor = self._new_executor()

    def _new_executor(self) -> Executor:
        if self._kind == "thread":
            return ThreadPoolExecutor(1, thread_name_prefix=self.name)
        return _OneProcess(self._run)


class _OneProcess(ProcessPoolExecutor):
    """One spawned process, started at once."""

    def __init__(self, run: Callable[[list[Any]], list[Any]]) -> None:
        super().__init__(1, SPAWN, initializer=_start_child, initargs=(run,))
        with interrupts_blocked():
            self._pid = self.submit(os.getpid)

    def terminate(self) -> None:
        """End the process without waiting for its batch."""
        if not self._pid.exception():  # known as soon as the process is up
            for process in active_children():
                if process.pid == self._pid.result():
                    process.terminate()


_child_run: Callable[[list[Any]], list[Any]]  # in the child process only: what it was started for


def _start_child(run: Callable[[list[Any]], list[Any]]) -> None:
    global _child_run
    _child_run = run
    exit_with_parent()


def _run_in_child(requests: list[Any]) -> list[Any]:
    return _child_run(requests)


def _stop(executor: Executor) -> None:
    """Wait for a thread, which cannot be stopped; end a process at once: nobody waits for its answer."""
    if isinstance(executor, _OneProcess):
        executor.terminate()
    executor.shutdown(cancel_futures=True)
