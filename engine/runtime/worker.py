"""The only way off the event loop: one bounded queue per model, shared by all sessions, answered in batches."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import Generic, Self, TypeVar

from engine.loop_time import loop_time_s
from engine.runtime.durations import STAGE_S, BusyShare, Durations
from engine.runtime.hangs import Deadline
from engine.runtime.memory import is_out_of_memory, releasing_memory
from engine.runtime.model_thread import ModelThread
from engine.runtime.upload_share import UploadShare

Req = TypeVar("Req")
Res = TypeVar("Res")

Key = tuple[Hashable, Hashable]  # (client, conversation)
UPLOAD_TURN = 8


class WorkerClosedError(Exception):
    """The worker is not running: requests are taken inside `async with worker` only."""


@dataclass(slots=True, eq=False)
class _Job(Generic[Req, Res]):
    request: Req
    answer: asyncio.Future[Res]


@dataclass(slots=True, eq=False)
class _Batch(Generic[Req, Res]):
    jobs: list[_Job[Req, Res]]
    uploads: bool


class _FairQueue(Generic[Req, Res]):
    """Jobs by who asked: one of each client in turn, and of a client one of each conversation in turn. Pure."""

    def __init__(self) -> None:
        # Clients and conversations that have jobs. The one whose turn is next comes first.
        self._jobs: dict[Hashable, dict[Hashable, deque[_Job[Req, Res]]]] = {}
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def push(self, key: Key, job: _Job[Req, Res]) -> None:
        client, conversation = key
        self._jobs.setdefault(client, {}).setdefault(conversation, deque()).append(job)
        self._waiting += 1

    def pop(self) -> _Job[Req, Res]:
        client, conversations = next(iter(self._jobs.items()))
        conversation, jobs = next(iter(conversations.items()))
        job = jobs.popleft()
        self._waiting -= 1
        del self._jobs[client], conversations[conversation]
        if jobs:
            conversations[conversation] = jobs  # at the end: all others come before its next job
        if conversations:
            self._jobs[client] = conversations
        return job

    def discard(self, key: Key, job: _Job[Req, Res]) -> None:
        """Remove a job if it is still here."""
        client, conversation = key
        conversations = self._jobs.get(client, {})
        jobs = conversations.get(conversation, deque())
        if job in jobs:
            jobs.remove(job)
            self._waiting -= 1
            if not jobs:
                del conversations[conversation]
            if not conversations:
                del self._jobs[client]


class Worker(Generic[Req, Res]):
    """Answers `await worker(request)` with `run(requests)`, together with other waiting requests as one batch.

    `run` gets at most `max_batch` requests and returns as many results, in order; no result may depend on the rest of
    its batch. It is called in one of `threads` threads, which take from the same queue. Requests with different keys
    are taken in turn, so that a client or a conversation with many does not delay others; those with the same key in
    order. Requests of uploads, which nobody awaits, come after the others, except for one batch in `UPLOAD_TURN`; and
    as long as there are others, one at a time, because whoever comes next waits for the whole batch, and never in the
    last free one of several threads, nor beyond their share of all workers (`upload_share`).
    `max_wait_ms` is how long a first request waits for others, where the batch before had several; those of uploads do
    not wait. Callers beyond `capacity` wait.

    A call of `run` that takes longer than `deadline` hangs (see `ModelThread`). A request for which there is not
    enough memory, not even by itself, is given to `fallback`, if there is one.

    Errors: what `run` raises reaches only the request that caused it; ModelTimeoutError the one that hangs;
    WorkerClosedError outside `async with`.
    """

    def __init__(
        self,
        run: Callable[[list[Req]], list[Res]],
        *,
        name: str,
        max_batch: int = 8,
        max_wait_ms: float = 0.0,
        capacity: int = 256,
        threads: int = 1,
        deadline: Deadline | None = None,
        fallback: Callable[[list[Req]], list[Res]] | None = None,
        upload_share: UploadShare | None = None,
    ) -> None:
        self.name = name
        self.pending = 0  # requests without an answer, waiting callers included
        self.durations = Durations(STAGE_S)  # from request to answer
        self.failures = 0  # requests that ended with an error of `run`
        self.out_of_memory = 0  # calls of `run` that had not enough
        self._working = BusyShare()
        self._run = run
        self._fallback = fallback
        self._max_batch = max_batch
        self._max_wait_s = max_wait_ms / 1e3
        self._threads = threads
        self._deadline = deadline
        self._several = False  # requests in the batch before
        self._open = False
        self._slots = asyncio.Semaphore(capacity)
        self._queue: _FairQueue[Req, Res] = _FairQueue()
        self._uploads: _FairQueue[Req, Res] = _FairQueue()
        self._batches = 0
        self._live = 0  # requests of live media without an answer
        self._uploading = 0  # threads
        self._share = upload_share or UploadShare()
        self._asked = asyncio.Event()
        self._share.when_freed(self._asked.set)

    @property
    def busy(self) -> bool:
        """Whether another request of live media would wait for a thread."""
        return self._live + self._uploading >= self._threads

    @property
    def load(self) -> float:
        """The share of the last seconds in which `run` was at work: 0 to 1, with several threads those of any."""
        return self._working.at(loop_time_s())

    async def __call__(self, request: Req, key: Key = (None, None), *, awaited: bool = True) -> Res:
        """`awaited` is false for uploads."""
        self.pending += 1
        self._live += awaited
        began = time.monotonic()
        try:
            async with self._slots:
                if not self._open:
                    raise WorkerClosedError(f"the {self.name} worker is not running")
                answer = await self._ask(request, key, self._queue if awaited else self._uploads)
                self.durations.observe(time.monotonic() - began)
                return answer
        finally:
            self.pending -= 1
            self._live -= awaited

    async def _ask(self, request: Req, key: Key, queue: _FairQueue[Req, Res]) -> Res:
        job: _Job[Req, Res] = _Job(request, asyncio.get_running_loop().create_future())
        queue.push(key, job)
        if queue is self._queue:
            self._share.live_asked()
        self._asked.set()
        try:
            return await job.answer
        finally:
            queue.discard(key, job)  # the caller may have been cancelled before its turn came

    async def __aenter__(self) -> Self:
        self._running = [ModelThread[Res](self.name, self._deadline or Deadline()) for _ in range(self._threads)]
        self._tasks = await asyncio.TaskGroup().__aenter__()
        self._serving = [self._tasks.create_task(self._serve(it), name=f"worker {self.name}") for it in self._running]
        self._open = True
        return self

    async def __aexit__(self, *error: object) -> None:
        self._open = False
        for task in self._serving:
            task.cancel()
        try:
            await self._tasks.__aexit__(None, None, None)
        finally:
            for queue in (self._queue, self._uploads):
                while queue:
                    self._close(queue.pop())
            for thread in self._running:
                thread.end()
            for thread in self._running:
                await asyncio.to_thread(thread.join)

    async def _serve(self, thread: ModelThread[Res]) -> None:
        while True:
            batch = await self._next_batch()
            try:
                await self._answer(thread, batch.jobs)
            finally:  # cancelled half-way: nobody is left waiting for ever
                if batch.uploads:
                    self._uploading -= 1
                    self._share.end()
                for job in batch.jobs:
                    self._close(job)

    def _close(self, job: _Job[Req, Res]) -> None:
        if not job.answer.done():
            job.answer.set_exception(WorkerClosedError(f"the {self.name} worker has ended"))

    async def _next_batch(self) -> _Batch[Req, Res]:
        jobs: list[_Job[Req, Res]] = []
        while not jobs:  # again where another thread took all requests while this one waited for more
            while not (self._queue or (self._uploads and self._may_upload)):
                self._asked.clear()
                await self._asked.wait()
            await self._fill()
            queue, size = self._next_queue()
            jobs = [queue.pop() for _ in range(min(size, len(queue)))]
        self._batches += 1
        self._several = len(jobs) > 1
        uploads = queue is self._uploads
        if uploads:
            self._uploading += 1
            self._share.begin()
        return _Batch(jobs, uploads)

    @property
    def _waiting(self) -> int:
        return len(self._queue) + len(self._uploads)

    @property
    def _expects_live(self) -> bool:
        return bool(self._queue) or self._share.expects_live

    @property
    def _may_upload(self) -> bool:
        spare = self._threads == 1 or self._uploading < self._threads - 1 or not self._expects_live
        return spare and self._share.free

    def _next_queue(self) -> tuple[_FairQueue[Req, Res], int]:
        """The queue that is next, and how many of its requests to take."""
        uploads_turn = self._uploads and self._may_upload and self._batches % UPLOAD_TURN == UPLOAD_TURN - 1
        if not self._may_upload or (self._queue and not uploads_turn):
            return self._queue, self._max_batch
        return self._uploads, 1 if self._expects_live else self._max_batch

    async def _fill(self) -> None:
        """Wait until the batch is full or the first request has waited long enough."""
        if not (self._several and self._queue and self._max_wait_s):
            return
        try:
            async with asyncio.timeout(self._max_wait_s):
                while self._waiting < self._max_batch:
                    self._asked.clear()
                    await self._asked.wait()
        except TimeoutError:
            return

    async def _answer(self, thread: ModelThread[Res], batch: list[_Job[Req, Res]]) -> None:
        results = await self._execute(thread, [job.request for job in batch])
        if isinstance(results, list):
            for job, result in zip(batch, results, strict=True):
                if not job.answer.done():
                    job.answer.set_result(result)
        elif len(batch) > 1:
            for job in batch:  # one by one, to find the request that caused the error
                if not job.answer.done():
                    await self._answer(thread, [job])
        else:
            self.failures += 1
            if not batch[0].answer.done():
                batch[0].answer.set_exception(results)

    async def _execute(self, thread: ModelThread[Res], requests: list[Req]) -> list[Res] | BaseException:
        """Results, or the exception, which is returned because it may be of any class."""
        began_s = loop_time_s()
        results = await _outcome(thread, partial(releasing_memory, self._run, requests))
        self._working.add(began_s, loop_time_s())
        if not isinstance(results, list) and is_out_of_memory(results):
            self.out_of_memory += 1
            if len(requests) == 1 and self._fallback:
                results = await _outcome(thread, partial(self._fallback, requests))
        if isinstance(results, list) and len(results) != len(requests):
            return RuntimeError(f"{self.name}: {len(results)} results for {len(requests)} requests")
        return results


async def _outcome(thread: ModelThread[Res], work: Callable[[], list[Res]]) -> list[Res] | BaseException:
    try:
        return await thread(work)
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - for the caller of the worker
        return error
