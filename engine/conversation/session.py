"""One conversation: media of any number of sources in, one ordered stream of events out. Wiring only.

    source ─ chunks ─► TurnPipeline (detect, analyse) ─┐
    source ─ chunks ─► TurnPipeline (detect, analyse) ─┴─► TurnQueue (in order) ─► EventPublisher (recognise) ─► hub

Turns are analysed concurrently, those of live media as soon as they are provisional. They are recognised in the order
in which they ended, because the network reads the conversation's past. All tasks belong to the task group of `run`.
"""

import asyncio
import logging
from collections.abc import AsyncIterable, Callable, Coroutine
from contextlib import closing
from functools import partial
from typing import Any

from engine.config import Settings
from engine.conversation.event_publisher import EventPublisher, SpeakerNames
from engine.conversation.models import Models
from engine.conversation.monitor import SessionMonitor
from engine.conversation.saved_state import unpack
from engine.conversation.source import MediaSource
from engine.conversation.turn_pipeline import TurnPipeline, turn_pipelines
from engine.conversation.turn_queue import TurnQueue
from engine.delivery.hub import Hub
from engine.errors import EngineError
from engine.media import AudioChunk
from engine.runtime.clocks import Timeline
from engine.runtime.load_shedding import LoadShedder

log = logging.getLogger(__name__)


class SessionFailedError(EngineError):
    """This conversation failed and was ended; others continue."""


class Session:
    """Run `run()` as a task; `join()` once per source; `close()` when all have left."""

    def __init__(
        self,
        conversation: str,
        models: Models,
        hub: Hub,
        settings: Settings,
        load: LoadShedder,
        saved: bytes | None = None,
    ) -> None:
        """`saved`: the state with which it continues after a restart of the engine."""
        self.conversation = conversation
        state = unpack(saved, models.checkpoint) if saved else None
        self._names = SpeakerNames()
        publisher = partial(
            EventPublisher, conversation, models, hub, self._names,
            save_text=settings.keep_text, because=settings.because,
        )  # fmt: skip
        try:
            self._publisher = publisher(state)
        except ValueError as error:  # a damaged one
            log.warning("a conversation starts from nothing: its saved state cannot be used: %s", error)
            state, self._publisher = None, publisher()
        for speaker, name in state.names.items() if state else ():
            self._names.rename(speaker, name)
        self._queue = TurnQueue(max(settings.end_silence_ms, settings.end_silence_max_ms) / 1e3)
        self._monitor = SessionMonitor(conversation, hub, load, settings.stats_s)
        self._new_source = partial(MediaSource, Timeline(), load)
        self._new_pipeline = turn_pipelines(
            models, settings, self._publisher, self._queue, load, self._start_task, state.next_turn_id if state else 1
        )
        self._tasks: asyncio.TaskGroup | None = None
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Recognise turns until `close()`. An exception ends this conversation and everyone's part in it."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                monitoring = self._tasks.create_task(self._monitor.run(), name=f"monitor {self.conversation}")
                with closing(self._queue):  # before the group ends, when it takes no more tasks
                    async for pending in self._queue:
                        await self._publisher.publish(pending)
                monitoring.cancel()
        finally:
            self._over.set_result(None)

    def close(self) -> None:
        """No more turns: `run()` ends when the events of those in progress are published."""
        self._queue.close()

    def rename(self, speaker: str, name: str) -> None:
        """Use another name for this speaker from the next event on. The network keeps the original one."""
        self._names.rename(speaker, name)

    def name_of(self, speaker: str) -> str:
        return self._names[speaker]

    @property
    def dropped_chunks(self) -> int:
        """Chunks of audio that were dropped because the engine was behind live."""
        return self._monitor.dropped_chunks

    async def join(self, media: AsyncIterable[AudioChunk], *, live: bool, dropped: Callable[[], int]) -> None:
        """One source's media, until it ends and the event of its last turn is published.

        `live`: somebody waits for the results. `dropped` returns how many chunks were lost so far. Raises
        `SessionFailedError` as soon as the conversation is over, whether or not more media comes.
        """
        source = self._new_source(media, live=live, dropped=dropped)
        self._monitor.joined(source)
        pipeline: TurnPipeline = self._new_pipeline(source)
        running = asyncio.create_task(pipeline.run(), name=f"media in {self.conversation}")
        try:
            await asyncio.wait([running, self._over], return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                raise SessionFailedError(f"{self.conversation} has failed")
            running.result()
        finally:
            running.cancel()
            await asyncio.wait([running])
            self._monitor.left(source)

    def _start_task(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Raises SessionFailedError where the conversation has ended."""
        if self._tasks is None or self._queue.closed:
            work.close()
            raise SessionFailedError(f"{self.conversation} has ended")
        return self._tasks.create_task(work, name=name)
