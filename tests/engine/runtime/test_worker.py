import asyncio
import gc
import threading

import pytest

from engine.runtime.upload_share import UploadShare
from engine.runtime.virtual_time import VirtualTimeLoop
from engine.runtime.worker import UPLOAD_TURN, Worker, WorkerClosedError, _FairQueue, _Job


def test_what_waits_becomes_one_batch_of_bounded_size_in_one_thread() -> None:
    started, gate = threading.Event(), threading.Event()
    batches: list[list[int]] = []
    threads: set[int] = set()

    def run(numbers: list[int]) -> list[int]:
        started.set()
        gate.wait()
        batches.append(numbers)
        threads.add(threading.get_ident())
        return [n * n for n in numbers]

    async def main() -> None:
        async with Worker(run, name="squares", max_batch=4) as worker, asyncio.TaskGroup() as tasks:
            first = tasks.create_task(worker(0))
            await asyncio.to_thread(started.wait)
            rest = [tasks.create_task(worker(n)) for n in range(1, 8)]
            await asyncio.sleep(0)
            assert worker.pending == 8
            gate.set()
            assert [await task for task in (first, *rest)] == [n * n for n in range(8)]
            assert worker.pending == 0
        assert batches == [[0], [1, 2, 3, 4], [5, 6, 7]]
        assert len(threads) == 1
        assert threading.get_ident() not in threads

    asyncio.run(main())


def test_clients_take_turns_whatever_the_number_of_their_conversations() -> None:
    queue: _FairQueue[str, None] = _FairQueue()

    def push(client: str, conversation: int, number: int) -> _Job[str, None]:
        job: _Job[str, None] = _Job(f"{client}{conversation}.{number}", asyncio.Future(loop=loop))
        queue.push((client, conversation), job)
        return job

    loop = asyncio.new_event_loop()
    for conversation in range(3):
        push("a", conversation, 1)
    push("a", 0, 2)
    given_up = push("b", 0, 1)
    push("b", 0, 2)
    push("c", 0, 1)
    queue.discard(("b", 0), given_up)
    assert len(queue) == 6
    assert [queue.pop().request for _ in range(6)] == ["a0.1", "b0.2", "c0.1", "a1.1", "a2.1", "a0.2"]
    assert not queue
    loop.close()


def test_uploads_come_after_live_media_one_at_a_time_and_still_have_a_turn() -> None:
    started, gate = threading.Event(), threading.Event()
    batches: list[list[str]] = []

    def run(names: list[str]) -> list[str]:
        started.set()
        gate.wait()
        batches.append(names)
        return names

    async def main() -> None:
        async with Worker(run, name="live first", max_batch=2) as worker, asyncio.TaskGroup() as tasks:
            tasks.create_task(worker("first"))
            await asyncio.to_thread(started.wait)
            for number in range(3):
                tasks.create_task(worker(f"upload {number}", awaited=False))
            for number in range(2 * UPLOAD_TURN):
                tasks.create_task(worker(f"live {number}"))
            await asyncio.sleep(0)
            gate.set()
        uploads = [at for at, batch in enumerate(batches) if batch[0].startswith("upload")]
        assert uploads == [UPLOAD_TURN - 1, UPLOAD_TURN + 2, UPLOAD_TURN + 3]
        assert all(len(batches[at]) == 1 for at in uploads)

    asyncio.run(main())


def test_uploads_leave_one_of_several_threads_to_live_media() -> None:
    started, gate = threading.Event(), threading.Event()

    def run(names: list[str]) -> list[str]:
        if names[0].startswith("upload"):
            started.set()
            gate.wait()
        return names

    async def main() -> None:
        async with Worker(run, name="one is free", threads=2) as worker, asyncio.TaskGroup() as tasks:
            await worker("live")  # more is expected
            uploads = [tasks.create_task(worker(f"upload {number}", awaited=False)) for number in range(3)]
            await asyncio.to_thread(started.wait)
            for _ in range(20):
                await asyncio.sleep(0)  # time for another thread to take the next one
            assert not worker.busy  # for live media
            assert await worker("live again") == "live again"
            assert not any(upload.done() for upload in uploads)
            gate.set()

    asyncio.run(main())


def test_uploads_of_several_workers_share_what_live_media_leaves() -> None:
    started, gate = threading.Event(), threading.Event()
    share = UploadShare(most=1)

    def run(names: list[str]) -> list[str]:
        if names[0].startswith("upload"):
            started.set()
            gate.wait()
        return names

    async def main() -> None:
        async with (
            Worker(run, name="first", threads=2, upload_share=share) as first,
            Worker(run, name="second", threads=2, upload_share=share) as second,
            asyncio.TaskGroup() as tasks,
        ):
            await first("live")
            tasks.create_task(first("upload", awaited=False))
            await asyncio.to_thread(started.wait)
            started.clear()
            waits = tasks.create_task(second("upload too", awaited=False))
            assert await second("live") == "live"
            assert not started.is_set()
            gate.set()
            assert await waits == "upload too"

    asyncio.run(main())


def test_uploads_alone_are_run_in_batches() -> None:
    batches: list[list[int]] = []

    def run(numbers: list[int]) -> list[int]:
        batches.append(numbers)
        return numbers

    async def main() -> None:
        async with Worker(run, name="uploads", max_batch=4) as worker:
            await asyncio.gather(*(worker(number, awaited=False) for number in range(4)))

    asyncio.run(main())
    assert batches == [[0, 1, 2, 3]]


def test_keys_take_turns_and_each_keeps_its_order() -> None:
    started, gate = threading.Event(), threading.Event()
    batches: list[list[str]] = []

    def run(names: list[str]) -> list[str]:
        started.set()
        gate.wait()
        batches.append(names)
        return names

    async def main() -> None:
        async with Worker(run, name="fair", max_batch=2) as worker, asyncio.TaskGroup() as tasks:
            tasks.create_task(worker("first", ("x", 0)))
            await asyncio.to_thread(started.wait)
            asked = [("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b"), ("c1", "c"), ("b2", "b")]
            for name, key in asked:
                tasks.create_task(worker(name, (key, 0)))
            await asyncio.sleep(0)
            gate.set()
        assert batches == [["first"], ["a1", "b1"], ["c1", "a2"], ["b2", "a3"]]

    asyncio.run(main())


def test_requests_wait_for_others_only_where_there_are_others() -> None:
    batches: list[int] = []

    def run(numbers: list[int]) -> list[int]:
        batches.append(len(numbers))
        return numbers

    async def main() -> None:
        now = asyncio.get_running_loop().time
        async with Worker(run, name="waits", max_wait_ms=50) as worker:

            async def ask_after(seconds: float) -> None:
                await asyncio.sleep(seconds)
                await worker(0)

            for _ in range(3):
                await worker(0)
            assert (batches, now()) == ([1, 1, 1], 0.0)
            await asyncio.gather(worker(0), worker(0))
            await asyncio.gather(ask_after(0.0), ask_after(0.02), ask_after(0.06))
            assert batches[3:] == [2, 2, 1]
            assert now() == pytest.approx(0.11)
            await worker(0)
            assert now() == pytest.approx(0.11)

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())


def test_leaving_waits_for_the_batch_at_work_and_answers_who_waits(caplog: pytest.LogCaptureFixture) -> None:
    started, gate = threading.Event(), threading.Event()

    def run(numbers: list[int]) -> list[int]:
        started.set()
        gate.wait()
        return numbers

    async def main() -> None:
        async with Worker(run, name="slow", max_batch=1, capacity=2) as worker:
            waiting = [asyncio.ensure_future(worker(n)) for n in range(3)]  # the third for a slot
            await asyncio.to_thread(started.wait)
            asyncio.get_running_loop().call_soon(gate.set)
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(answer) for answer in answers] == [WorkerClosedError] * 3
        with pytest.raises(WorkerClosedError):
            await worker(0)

    asyncio.run(main())
    gc.collect()
    assert caplog.messages == []  # no "exception was never retrieved"


def test_a_caller_that_gave_up_is_not_computed() -> None:
    started, gate = threading.Event(), threading.Event()
    seen: list[int] = []

    def run(numbers: list[int]) -> list[int]:
        started.set()
        gate.wait()
        seen.extend(numbers)
        return numbers

    async def main() -> None:
        async with Worker(run, name="patient") as worker:
            first = asyncio.ensure_future(worker(1))
            await asyncio.to_thread(started.wait)
            second, third = (asyncio.ensure_future(worker(n)) for n in (2, 3))
            await asyncio.sleep(0)
            second.cancel()
            await asyncio.wait([second])
            gate.set()
            assert (await first, await third) == (1, 3)
        assert seen == [1, 3]

    asyncio.run(main())


def test_several_threads_answer_from_one_queue() -> None:
    """The first two requests each wait for the other one to have begun."""
    both = threading.Barrier(2, timeout=60)

    def run(numbers: list[int]) -> list[int]:
        if numbers[0] < 2:
            both.wait()
        return [n * n for n in numbers]

    async def main() -> list[int]:
        async with Worker(run, name="squares", max_batch=1, threads=2) as worker:
            return await asyncio.gather(*(worker(n) for n in range(9)))

    assert asyncio.run(main()) == [n * n for n in range(9)]
