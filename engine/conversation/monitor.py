"""How far a conversation is behind live, and what it has dropped."""

import asyncio

from engine.conversation.source import MediaSource
from engine.delivery.hub import Hub
from engine.events import SessionStats
from engine.runtime.load_shedding import LoadShedder

OBSERVE_S = 1.0


class SessionMonitor:
    """Reports a conversation's lag to its load shedder every second, and its statistics to listeners."""

    def __init__(self, conversation: str, hub: Hub, load: LoadShedder, stats_s: float) -> None:
        self._conversation = conversation
        self._hub = hub
        self._load = load
        self._stats_s = stats_s
        self._sources: set[MediaSource] = set()
        self._dropped_before = 0  # chunks of sources that have left

    def joined(self, source: MediaSource) -> None:
        self._sources.add(source)

    def left(self, source: MediaSource) -> None:
        self._sources.discard(source)
        self._dropped_before += source.dropped()

    @property
    def lag_s(self) -> float:
        """Seconds behind live, of the source furthest behind."""
        return max((source.lag_s for source in self._sources), default=0.0)

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        reported_at = loop.time()
        while True:
            await asyncio.sleep(min(OBSERVE_S, self._stats_s))
            self._load.observe(self.lag_s)
            if self._sources and loop.time() - reported_at >= self._stats_s:
                reported_at = loop.time()
                self._hub.publish(self._stats())

    @property
    def dropped_chunks(self) -> int:
        """Since the conversation started."""
        return self._dropped_before + sum(source.dropped() for source in self._sources)

    def _stats(self) -> SessionStats:
        return SessionStats(self._conversation, self.lag_s, self.dropped_chunks, self._hub.dropped(self._conversation))
