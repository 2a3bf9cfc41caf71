"""One conversation: any number of publishers' media in, one ordered stream of events out.

    publisher ─ chunks ─► detect_turns ─┐
    publisher ─ chunks ─► detect_turns ─┴─► turns (bounded) ─► hear ∥ ─► describe ─► infer ─► hub

Turns are heard side by side, but described and inferred in the order in which they were decided: the conversation's
past is what the network is about. This module alone makes channels and tasks.
"""

import asyncio
import itertools
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import closing
from dataclasses import dataclass, replace

from cberl.encoders.audio import AudioHistory
from cberl.encoders.text import TextHistory
from engine.channel import Channel, ChannelClosedError
from engine.config import Settings
from engine.describe import Describer, HeardTurn, hear
from engine.infer import Inference
from engine.messages import AudioChunk, EmotionEvent, Turn
from engine.models import Models
from engine.publish.hub import Hub
from engine.timing import MediaClock
from engine.transcribe.captions import Captions
from engine.turns.detector import detect_turns
from engine.turns.segmenter import SegmenterConfig

TAIL_MS = 150  # silence kept after the end of speech, where a turn's end waits for as much
TURNS_AHEAD = 8  # turns that may be under way at once; more make their source wait


class SessionFailedError(RuntimeError):
    """This conversation broke and was ended; others go on."""


@dataclass(frozen=True, slots=True, eq=False)
class _TurnUnderWay:
    heard: asyncio.Task[HeardTurn]
    clock: MediaClock
    published: asyncio.Future[None]


class Session:
    """Run `run()` as a task; `join()` once a publisher; `close()` when all have left."""

    def __init__(self, conversation: str, models: Models, hub: Hub, settings: Settings) -> None:
        self.conversation = conversation
        self._models = models
        self._hub = hub
        self._segmenter = SegmenterConfig(
            pre_roll_ms=settings.pre_roll_ms,
            min_speech_ms=settings.min_speech_ms,
            end_silence_ms=settings.end_silence_ms,
            tail_ms=min(TAIL_MS, settings.end_silence_ms),
            max_turn_s=settings.max_turn_s,
        )
        self._names: dict[str, str] = {}  # what speakers are called, where that is not what their track says
        self._turns: Channel[_TurnUnderWay] = Channel(TURNS_AHEAD)
        self._turn_ids = itertools.count(1)
        self._timeline = MediaClock()  # the conversation's own: where a publisher who joins later begins
        self._describer = Describer(
            models.encode_text, TextHistory(models.text_encoder.prompt), AudioHistory(models.audio_config)
        )
        self._inference = Inference(conversation, models.checkpoint, models.graph)
        self._hearing: asyncio.TaskGroup | None = None
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Takes turns until `close()`. What fails here ends this conversation and everyone who publishes in it."""
        try:
            async with asyncio.TaskGroup() as self._hearing:
                with closing(self._turns):  # before the group ends: it takes no task then
                    async for under_way in self._turns:
                        await self._understand(under_way)
        finally:
            self._over.set_result(None)

    def close(self) -> None:
        """No more turns: `run()` ends when those under way are out."""
        self._turns.close()

    def rename(self, speaker: str, name: str) -> None:
        """Call the speaker of these tracks otherwise, from the next event on. To the network they are who they were."""
        self._names[speaker] = name

    def name_of(self, speaker: str) -> str:
        return self._names.get(speaker, speaker)

    async def join(self, source: AsyncIterable[AudioChunk]) -> None:
        """One publisher's media, until it ends and its last event is in the hub.

        Raises `SessionFailedError` as soon as the conversation is over, whether or not more media comes.
        """
        publishing = asyncio.create_task(self._publish(source), name=f"publish in {self.conversation}")
        try:
            await asyncio.wait([publishing, self._over], return_when=asyncio.FIRST_COMPLETED)
            if not publishing.done():
                raise SessionFailedError(f"{self.conversation} has failed")
            publishing.result()
        finally:
            publishing.cancel()
            await asyncio.wait([publishing])

    async def _publish(self, source: AsyncIterable[AudioChunk]) -> None:
        clock = MediaClock()
        captions = Captions()
        last: asyncio.Future[None] | None = None
        turns = detect_turns(
            self._on_timeline(source, clock, captions), self._models.vad, self._segmenter, self._turn_ids
        )
        async for turn in turns:
            last = await self._take(turn, clock, captions)
        if last is not None:
            await asyncio.wait([last])  # not `await last`: a publisher that is cancelled must not cancel the turn

    async def _on_timeline(
        self, source: AsyncIterable[AudioChunk], clock: MediaClock, captions: Captions
    ) -> AsyncIterator[AudioChunk]:
        """Media time as the conversation counts it: the first publisher's own, later ones follow on from it."""
        offset_s: float | None = None
        async for chunk in source:
            if offset_s is None:
                offset_s = self._timeline.now_s() - chunk.start_s if self._timeline.delivered_s else 0.0
            moved = chunk.moved(offset_s) if offset_s else chunk
            clock.arrived(moved.end_s)
            self._timeline.arrived(moved.end_s)
            captions.take_from(moved)
            yield moved

    async def _take(self, turn: Turn, clock: MediaClock, captions: Captions) -> asyncio.Future[None]:
        if self._hearing is None or self._turns.closed:
            raise SessionFailedError(f"{self.conversation} has ended")
        transcribe = captions.instead_of(self._models.transcribe, turn)
        heard = self._hearing.create_task(
            hear(turn, transcribe, self._models.describe_audio, self._models.describe_visual),
            name=f"hear {turn.turn_id}",
        )
        under_way = _TurnUnderWay(heard, clock, asyncio.get_running_loop().create_future())
        try:
            await self._turns.send(under_way)
        except ChannelClosedError as error:
            heard.cancel()
            raise SessionFailedError(f"{self.conversation} has ended") from error
        return under_way.published

    async def _understand(self, under_way: _TurnUnderWay) -> None:
        heard = await under_way.heard
        utterance = await self._describer.describe(heard)
        event = await self._inference.infer(utterance)
        self._hub.publish(self._timed(event, heard.turn, under_way.clock))
        await self._hub.flush()  # only what is kept counts as published; and a slow disk makes its sources wait
        under_way.published.set_result(None)

    def _timed(self, event: EmotionEvent, turn: Turn, clock: MediaClock) -> EmotionEvent:
        timings = event.timings_ms | {"after_speech": clock.after_speech_ms(turn.end_s)}
        name = self.name_of(event.speaker)
        return replace(event, speaker=name, timings_ms=timings, lag_s=clock.lag_s(turn.decided_s))
