"""A bounded queue between two stages that can be closed, and counts what it drops."""

import asyncio
from collections import deque
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class ChannelClosedError(Exception):
    """The channel is closed: nothing more can be sent."""


class Channel(Generic[T]):
    """Holds at most `capacity` items. Files use `send`, which waits for room; live media uses `offer`, which does not.

    Belongs to one event loop. From another thread, use `loop.call_soon_threadsafe`.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"a channel needs room for at least one item, not {capacity}")
        self.capacity = capacity
        self.dropped = 0
        self.closed = False
        self._items: deque[T] = deque()
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()

    def __len__(self) -> int:
        return len(self._items)

    async def send(self, item: T) -> None:
        """Wait for room. Raises ChannelClosedError once the channel is closed, also for a send that waits."""
        while len(self._items) >= self.capacity and not self.closed:
            self._room.clear()
            await self._room.wait()
        if self.closed:
            raise ChannelClosedError("this channel is closed: nothing more can be sent")
        self._put(item)

    def offer(self, item: T) -> bool:
        """Never waits: when full, the oldest item is dropped. Returns False if an item was lost."""
        if self.closed:
            self.dropped += 1
            return False
        full = len(self._items) >= self.capacity
        if full:
            self._items.popleft()
            self.dropped += 1
        self._put(item)
        return not full

    def take(self) -> T | None:
        """The oldest item, or None."""
        self._room.set()
        return self._items.popleft() if self._items else None

    def close(self) -> None:
        """Queued items are still delivered, then iteration stops. May be called again."""
        self.closed = True
        self._arrived.set()
        self._room.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while not self._items:
            if self.closed:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        self._room.set()
        return self._items.popleft()

    def _put(self, item: T) -> None:
        self._items.append(item)
        self._arrived.set()
