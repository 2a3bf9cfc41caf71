"""An event loop whose time is virtual."""

import asyncio
import threading
import time

import pytest

from engine.loop_time import loop_time_s
from engine.runtime.virtual_time import VirtualTimeLoop
from engine.runtime.worker import Worker


def run(main: object) -> object:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)  # type: ignore[arg-type]


def test_an_hour_of_timers_takes_no_time_and_they_fire_in_order() -> None:
    fired: list[tuple[str, float]] = []

    async def wait(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        fired.append((name, loop_time_s()))

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            for name, seconds in (("late", 3600.0), ("early", 0.5), ("middle", 60.0)):
                tasks.create_task(wait(name, seconds))

    began = time.monotonic()
    run(main())
    assert time.monotonic() - began < 60
    assert fired == [("early", 0.5), ("middle", 60.0), ("late", 3600.0)]


def test_time_stands_still_while_a_thread_works_and_results_come_in_the_order_of_the_calls() -> None:
    second_is_done = threading.Event()
    answers: list[tuple[str, float]] = []

    def first() -> str:
        assert second_is_done.wait(30)
        return "first"

    def second() -> str:
        second_is_done.set()
        return "second"

    async def ask(work: object) -> None:
        async with asyncio.timeout(0.01):
            answers.append((await asyncio.to_thread(work), loop_time_s()))  # type: ignore[arg-type]

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(ask(first))
            tasks.create_task(ask(second))

    run(main())
    assert answers == [("first", 0.0), ("second", 0.0)]


def test_errors_and_cancelled_work_reach_whoever_waits() -> None:
    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 5.0)
        task = asyncio.create_task(asyncio.to_thread(time.sleep, 0.01))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with Worker(lambda numbers: [2 * it for it in numbers], name="twice") as twice:
            assert await asyncio.gather(*(twice(it) for it in range(20))) == [2 * it for it in range(20)]

    run(main())
