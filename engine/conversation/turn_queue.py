"""Turns that are being analysed, handed on in the order in which they ended."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from engine.conversation.ordering import TurnOrder
from engine.conversation.source import MediaSource
from engine.conversation.turn_analysis import TurnAnalysis
from engine.runtime.channel import Channel, ChannelClosedError
from engine.speech.turn import TrackProgress, Turn

TURNS_AHEAD = 8  # turns in order that wait for recognition; with more, their sources wait


@dataclass(frozen=True, slots=True, eq=False)
class PendingTurn:
    """A final turn, its analysis, and the future that is set when its event is published."""

    turn: Turn
    analysis: asyncio.Task[TurnAnalysis]
    source: MediaSource
    published: asyncio.Future[None]


class TurnQueue:
    """Bounded. Iterate for turns in order, until `close` and for those that are left then. See `TurnOrder`."""

    def __init__(self, patience_s: float) -> None:
        self._order: TurnOrder[PendingTurn] = TurnOrder(patience_s)
        self._ready: Channel[PendingTurn] = Channel(TURNS_AHEAD)
        self._sending = asyncio.Lock()

    @property
    def closed(self) -> bool:
        return self._ready.closed

    def close(self) -> None:
        self._ready.close()

    def push(self, pending: PendingTurn) -> None:
        self._order.push(pending.turn.end_s, pending)

    def progress(self, source: MediaSource, progress: TrackProgress) -> None:
        """Call `send_ready` afterwards."""
        self._order.settle((source, progress.track_id), progress.now_s, progress.until_s)

    async def leave(self, source: MediaSource) -> None:
        """No more turns come from this source. Waits while the queue is full."""
        self._order.leave([(source, track) for track in source.tracks], source.last_end_s)
        await self.send_ready()

    async def send_ready(self) -> None:
        """The turns that wait for no other. Waits while the queue is full."""
        if not self._order:
            return
        async with self._sending:
            while not self.closed and (pending := self._order.next()):
                try:
                    await self._ready.send(pending)
                except ChannelClosedError:  # closed while it waited for room: still to be recognised
                    self._order.push(pending.turn.end_s, pending)

    async def __aiter__(self) -> AsyncIterator[PendingTurn]:
        async for pending in self._ready:
            yield pending
        self._order.let_go()
        while left := self._order.next():
            yield left
