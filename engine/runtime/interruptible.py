"""An asynchronous iteration that can be interrupted between two items."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable
from typing import TypeVar

T = TypeVar("T")


async def interruptible(items: AsyncIterable[T], interrupt: asyncio.Event) -> AsyncGenerator[T | None, None]:
    """The items, and None whenever `interrupt` was set, also while the next item is awaited. Clears the event.

    Close it (`contextlib.aclosing`) where the iteration may end early: it owns the task that awaits the next item.
    """
    iterator = aiter(items)

    async def one_more() -> tuple[T] | None:
        try:
            return (await anext(iterator),)
        except StopAsyncIteration:
            return None

    coming = asyncio.create_task(one_more())
    interrupted = asyncio.create_task(interrupt.wait())
    try:
        while True:
            await asyncio.wait([coming, interrupted], return_when=asyncio.FIRST_COMPLETED)
            if interrupted.done():
                interrupt.clear()
                interrupted = asyncio.create_task(interrupt.wait())
                yield None
            elif (item := coming.result()) is None:
                return
            else:
                yield item[0]
                coming = asyncio.create_task(one_more())
    finally:
        coming.cancel()
        interrupted.cancel()
        await asyncio.gather(coming, interrupted, return_exceptions=True)
