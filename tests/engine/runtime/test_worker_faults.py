"""Requests whose model fails, hangs or has not enough memory."""

import asyncio
import threading

import pytest
import torch

from engine.runtime.hangs import Deadline, Hangs
from engine.runtime.model_thread import ModelTimeoutError
from engine.runtime.worker import Worker, WorkerClosedError


def inverses(numbers: list[int]) -> list[float]:
    return [1 / n for n in numbers]


def all_but_one(numbers: list[int]) -> list[int]:
    return numbers[1:]


def test_an_error_reaches_its_own_request_alone() -> None:
    async def main() -> None:
        async with Worker(inverses, name="inverse", max_wait_ms=50) as worker:
            answers = await asyncio.gather(*(worker(n) for n in (1, 0, 4)), return_exceptions=True)
        assert answers[0] == 1.0
        assert isinstance(answers[1], ZeroDivisionError)
        assert answers[2] == 0.25

    asyncio.run(main())


def test_a_wrong_number_of_results_is_an_error_not_a_mix_up() -> None:
    async def main() -> None:
        async with Worker(all_but_one, name="short") as worker:
            with pytest.raises(RuntimeError, match="0 results for 1 requests"):
                await worker(1)

    asyncio.run(main())


class StuckModel:
    """Squares; does not return for 13 until it is released."""

    def __init__(self) -> None:
        self.released = threading.Event()

    def __call__(self, numbers: list[int]) -> list[int]:
        if 13 in numbers:
            self.released.wait()
        return [n * n for n in numbers]


def test_a_call_that_hangs_costs_its_own_request_and_a_thread() -> None:
    """Also in a batch with others. When it returns after all, its thread is free again."""
    model, hangs = StuckModel(), Hangs(most=3)

    async def main() -> None:
        async with Worker(model, name="stuck", max_wait_ms=50, deadline=Deadline(0.2, hangs)) as worker:
            answers = await asyncio.gather(*(worker(n) for n in (2, 13, 4)), return_exceptions=True)
            assert (answers[0], answers[2]) == (4, 16)
            assert isinstance(answers[1], ModelTimeoutError)
            assert (worker.pending, worker.failures) == (0, 1)
            assert (hangs.now, hangs.total["stuck"]) == (2, 2)  # with the others, and by itself
            assert not hangs.restart_needed.is_set()
            with pytest.raises(ModelTimeoutError):
                await worker(13)
            assert hangs.restart_needed.is_set()
            assert await worker(5) == 25
            model.released.set()
            while hangs.now:  # noqa: ASYNC110 - threads end by themselves
                await asyncio.sleep(0.01)

    asyncio.run(main())
    assert not [thread for thread in threading.enumerate() if thread.name == "stuck"]


def test_an_essential_model_that_hangs_is_awaited_until_the_engine_restarts() -> None:
    model, hangs = StuckModel(), Hangs()

    async def main() -> None:
        async with Worker(model, name="vital", deadline=Deadline(0.1, hangs, essential=True)) as worker:
            asked = asyncio.ensure_future(worker(13))
            await hangs.restart_needed.wait()
            assert not asked.done()
        assert isinstance(asked.exception(), WorkerClosedError)  # the end does not wait for the model

    asyncio.run(main())
    model.released.set()


def test_requests_without_enough_memory_together_are_answered_one_by_one_or_by_the_fallback() -> None:
    def on_gpu(numbers: list[int]) -> list[int]:
        if sum(numbers) > 9:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return [n * n for n in numbers]

    def on_cpu(numbers: list[int]) -> list[int]:
        return [n * n for n in numbers]

    async def main() -> None:
        for fallback in (on_cpu, None):
            async with Worker(on_gpu, name="gpu", max_wait_ms=50, fallback=fallback) as worker:
                answers = await asyncio.gather(*(worker(n) for n in (3, 4, 10)), return_exceptions=True)
            assert answers[:2] == [9, 16]
            assert answers[2] == 100 if fallback else isinstance(answers[2], torch.OutOfMemoryError)
            assert worker.out_of_memory == 2

    asyncio.run(main())
