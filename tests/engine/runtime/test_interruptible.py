import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from engine.runtime.interruptible import interruptible


def test_an_interrupt_comes_between_items_also_while_the_next_one_is_awaited() -> None:
    async def main() -> list[int | None]:
        interrupt, more = asyncio.Event(), asyncio.Event()

        async def numbers() -> AsyncIterator[int]:
            yield 1
            yield 2
            await more.wait()
            yield 3

        found: list[int | None] = []
        async for item in interruptible(numbers(), interrupt):
            found.append(item)
            if item is None:
                more.set()
            elif item < 3:
                interrupt.set()
        return found

    found = asyncio.run(main())
    assert [item for item in found if item] == [1, 2, 3]
    assert found[-2:] == [None, 3]


def test_what_ends_or_breaks_the_items_ends_or_breaks_the_iteration() -> None:
    async def broken() -> AsyncIterator[int]:
        yield 1
        raise ConnectionResetError("the line went dead")

    async def main() -> None:
        items = interruptible(broken(), asyncio.Event())
        assert await anext(items) == 1
        with pytest.raises(ConnectionResetError, match="dead"):
            await anext(items)
        with pytest.raises(StopAsyncIteration):
            await anext(items)

    asyncio.run(main())


def test_whoever_stops_early_leaves_no_task_behind() -> None:
    closed = []

    async def endless() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    async def main() -> None:
        async with aclosing(interruptible(endless(), asyncio.Event())) as items:
            assert await anext(items) == 1
            waiting = asyncio.create_task(anext(items))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    assert closed == [True]
