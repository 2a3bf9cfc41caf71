"""One reader's bounded queue of encoded messages."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple, Self

from engine.delivery.direct_send import SendNow
from engine.delivery.wire import encode
from engine.events import Notice

# Why a subscription ended: closed by its reader, complete, too slow a reader, the engine restarts, its publisher has
# another socket, or was refused.
EndReason = Literal["closed", "done", "slow", "restart", "resumed", "refused", "full", "too_many", "no_media", "failed"]


class Entry(NamedTuple):
    """One message, encoded once for all subscribers. `key` as in `EncodedEvent`."""

    seq: int  # 0 for a notice
    text: str
    key: str | None = None


class Subscription:
    """Iterate for `(seq, text)`; seq is 0 for a notice. After the end, `reason` is set.

    When a slow reader's queue is full, superseded events (interim, stats) are dropped first. If there are none, the
    subscription ends with reason "slow" and its queue is discarded.
    """

    def __init__(self, capacity: int, on_end: Callable[["Subscription"], None]) -> None:
        self.capacity = capacity
        self.dropped = 0
        self.reason: EndReason | None = None
        self._on_end = on_end
        self._replay: deque[Entry] = deque()  # its entries belong to the hub's replay buffer, so they do not count
        self._waiting: deque[Entry] = deque()
        self._arrived = asyncio.Event()
        self._send_now: SendNow | None = None
        self._idle = False  # the reader has sent all that it took, and waits for more

    def send_directly(self, send_now: SendNow | None) -> None:
        """From now on, an event that finds the reader idle is sent at once. Others are queued."""
        self._send_now = send_now

    @property
    def waiting(self) -> int:
        """Events to be sent, without those of a replay."""
        return len(self._waiting)

    def notify(self, notice: Notice) -> None:
        """Queue a notice for this reader alone. It is never dropped."""
        self.push(Entry(0, encode(notice)))

    def replay(self, entries: Iterable[Entry]) -> None:
        """Queue events before all that are published from now on, after those already queued."""
        self._idle = False
        self._replay.extend([*self._waiting, *entries])
        self._waiting.clear()
        self._arrived.set()

    def push(self, entry: Entry) -> None:
        """Never waits. May drop a superseded event, or end the subscription."""
        if self.reason is not None:
            return
        if self._idle and self._send_now is not None and self._send_now(entry.text):
            return
        self._idle = False  # events that follow stay behind this one
        if len(self._waiting) >= self.capacity and not self._make_room(entry):
            if entry.key is None:
                self.end("slow")
            else:
                self.dropped += 1
            return
        self._waiting.append(entry)
        self._arrived.set()

    def end(self, reason: EndReason) -> None:
        """No more events. Queued events are still delivered, except where the reader has gone or is too slow."""
        if self.reason is not None:
            return
        self.reason = reason
        if reason in ("closed", "slow"):
            self._replay.clear()
            self._waiting.clear()
        self._arrived.set()
        self._on_end(self)

    def take(self) -> Entry | None:
        """The next message if one is queued."""
        if self._replay:
            return self._replay.popleft()
        return self._waiting.popleft() if self._waiting else None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[int, str]:
        while (entry := self.take()) is None:
            if self.reason is not None:
                raise StopAsyncIteration
            self._arrived.clear()
            self._idle = True
            await self._arrived.wait()
        return entry.seq, entry.text

    def _make_room(self, entry: Entry) -> bool:
        """Drop one entry: the one that the new one supersedes, else the oldest that may be dropped."""
        droppable = [waiting for waiting in self._waiting if waiting.key is not None]
        same = [waiting for waiting in droppable if waiting.key == entry.key]
        for victim in (same or droppable)[:1]:
            self._waiting.remove(victim)
            self.dropped += 1
            return True
        return False
