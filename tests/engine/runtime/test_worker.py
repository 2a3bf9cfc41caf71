import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import BrokenExecutor
from multiprocessing import active_children
from pathlib import Path

import pytest

from engine.runtime.worker import Kind, Worker, WorkerClosedError


def inverses(numbers: list[int]) -> list[float]:
    return [1 / n for n in numbers]


def all_but_one(numbers: list[int]) -> list[int]:
    return numbers[1:]


def process_ids(requests: list[int]) -> list[int]:
    return [os.getpid() for _ in requests]


def die_on_zero(numbers: list[int]) -> list[int]:
    if 0 in numbers:
        os._exit(1)
    return numbers


def say_hello_and_wait_for_ever(pipes: list[str]) -> list[str]:
    Path(pipes[0]).write_text("hello")
    threading.Event().wait()
    return pipes


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


def test_what_is_asked_aside_comes_last_is_not_pending_and_can_be_taken_back() -> None:
    started, gate = threading.Event(), threading.Event()
    order: list[int] = []

    def run(numbers: list[int]) -> list[int]:
        started.set()
        gate.wait()
        order.extend(numbers)
        return numbers

    async def main() -> None:
        async with Worker(run, name="patient", max_batch=1) as worker, asyncio.TaskGroup() as tasks:
            first = tasks.create_task(worker(0))
            await asyncio.to_thread(started.wait)
            aside = [tasks.create_task(worker.aside(n)) for n in (10, 11)]
            rest = [tasks.create_task(worker(n)) for n in (1, 2)]
            await asyncio.sleep(0)
            assert worker.pending == 3
            aside[0].cancel()
            gate.set()
            assert [await task for task in (first, *rest, aside[1])] == [0, 1, 2, 11]
        assert order == [0, 1, 2, 11]

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_an_error_reaches_its_own_request_alone(kind: Kind) -> None:
    async def main() -> None:
        async with Worker(inverses, name="inverse", max_wait_ms=50, kind=kind) as worker:
            answers = await asyncio.gather(*(worker(n) for n in (1, 0, 4)), return_exceptions=True)
        assert answers[0] == 1.0
        assert isinstance(answers[1], ZeroDivisionError)
        assert answers[2] == 0.25

    asyncio.run(main())


def test_a_process_is_another_and_stays() -> None:
    async def main() -> None:
        async with Worker(process_ids, name="pid", kind="process") as worker:
            first, second = await worker(0), await worker(0)
        assert first == second != os.getpid()
        assert first not in [child.pid for child in active_children()]

    asyncio.run(main())


def test_a_process_that_dies_is_replaced() -> None:
    async def main() -> None:
        async with Worker(process_ids, name="pid", kind="process") as worker:
            first = await worker(0)
            os.kill(first, signal.SIGKILL)
            assert await worker(0) != first
        async with Worker(die_on_zero, name="mortal", kind="process") as worker:
            with pytest.raises(BrokenExecutor):
                await worker(0)
            assert await worker(1) == 1

    asyncio.run(main())


def test_leaving_ends_a_process_at_work_and_answers_who_waits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    async def main() -> None:
        run = say_hello_and_wait_for_ever
        async with Worker(run, name="endless", kind="process", max_batch=1, capacity=2) as worker:
            waiting = [asyncio.ensure_future(worker(str(pipe))) for _ in range(3)]  # the third for a slot
            assert await asyncio.to_thread(pipe.read_text) == "hello"
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(answer) for answer in answers] == [WorkerClosedError] * 3
        with pytest.raises(WorkerClosedError):
            await worker(str(pipe))

    asyncio.run(main())
    gc.collect()
    assert caplog.messages == []  # no "exception was never retrieved"


INTERRUPTED = """
import asyncio, os, signal, threading
import numpy as np
from engine.speech.sphinx import SphinxTranscriber
from engine.runtime.worker import Worker

def interrupt():
    while not answered.wait(0.01):
        os.killpg(0, signal.SIGINT)

async def main():
    async with Worker(SphinxTranscriber().transcribe, name="asr", kind="process") as worker:
        threading.Thread(target=interrupt).start()
        try:
            print(await worker(np.zeros(1600, np.float32)))
        finally:
            answered.set()

answered = threading.Event()
signal.signal(signal.SIGINT, lambda *_: None)
asyncio.run(main())
"""


def test_ctrl_c_is_the_parents_alone_even_while_the_process_starts() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, start_new_session=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout.startswith("Transcript(text='', ")


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


def test_a_wrong_number_of_results_is_an_error_not_a_mix_up() -> None:
    async def main() -> None:
        async with Worker(all_but_one, name="short") as worker:
            with pytest.raises(RuntimeError, match="0 results for 1 requests"):
                await worker(1)

    asyncio.run(main())
