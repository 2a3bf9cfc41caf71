"""One conversation: any number of publishers' media in, one ordered stream of events out.

    publisher ─ chunks ─► detect_turns ─┐
    publisher ─ chunks ─► detect_turns ─┴─► hear ∥ ─► order ─► turns (bounded) ─► describe ─► infer ─► hub

Turns are heard side by side, those of live media as soon as they are perhaps over; but they are described and inferred
in the order in which they ended: the conversation's past is what the network is about. This module alone makes channels
and tasks.
"""

import asyncio
import itertools
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import closing
from dataclasses import dataclass, field, replace

from cberl.encoders.audio import AudioHistory
from cberl.encoders.text import TextHistory
from engine.channel import Channel, ChannelClosedError
from engine.config import Settings
from engine.describe import Describer, HeardTurn, hear
from engine.infer import Inference
from engine.messages import AudioChunk, EmotionEvent, Resumed, Settled, Turn
from engine.models import Models
from engine.publish.hub import Hub
from engine.timing import MediaClock
from engine.turns.detector import detect_turns
from engine.turns.order import TurnOrder
from engine.turns.segmenter import SegmenterConfig
from engine.turns.speculation import Speculation

TAIL_MS = 150  # silence kept after the end of speech, where a turn's end waits for as much
TURNS_AHEAD = 8  # turns that may be under way at once; more make their source wait


class SessionFailedError(RuntimeError):
    """This conversation broke and was ended; others go on."""


@dataclass(frozen=True, slots=True, eq=False)
class _TurnUnderWay:
    turn: Turn
    heard: asyncio.Task[HeardTurn]
    clock: MediaClock
    published: asyncio.Future[None]


@dataclass(slots=True, eq=False)
class _Publisher:
    live: bool  # else its media is as old as it likes to be, and guesses are only more work
    speculation: Speculation[HeardTurn]
    clock: MediaClock = field(default_factory=MediaClock)
    tracks: set[str] = field(default_factory=set)
    last_end_s: float = float("-inf")
    unpublished: set[asyncio.Future[None]] = field(default_factory=set)


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
            provisional_ms=settings.provisional_ms,
            tail_ms=min(TAIL_MS, settings.end_silence_ms, settings.provisional_ms or TAIL_MS),
            max_turn_s=settings.max_turn_s,
        )
        self._turns: Channel[_TurnUnderWay] = Channel(TURNS_AHEAD)
        self._turn_ids = itertools.count(1)
        self._order: TurnOrder[_TurnUnderWay] = TurnOrder(settings.end_silence_ms / 1e3)
        self._passing_on = asyncio.Lock()
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
                    self._order.let_go()
                    while held := self._order.next():
                        await self._understand(held)
        finally:
            self._over.set_result(None)

    def close(self) -> None:
        """No more turns: `run()` ends when those under way are out."""
        self._turns.close()

    async def join(self, source: AsyncIterable[AudioChunk], *, live: bool = True) -> None:
        """One publisher's media, until it ends and its last event is in the hub.

        `live`: somebody waits for its events. Raises `SessionFailedError` as soon as the conversation is over, whether
        or not more media comes.
        """
        publishing = asyncio.create_task(self._publish(source, live), name=f"publish in {self.conversation}")
        try:
            await asyncio.wait([publishing, self._over], return_when=asyncio.FIRST_COMPLETED)
            if not publishing.done():
                raise SessionFailedError(f"{self.conversation} has failed")
            publishing.result()
        finally:
            publishing.cancel()
            await asyncio.wait([publishing])

    async def _publish(self, source: AsyncIterable[AudioChunk], live: bool) -> None:
        publisher = _Publisher(live, Speculation(self._hear))
        media = self._on_timeline(source, publisher.clock)
        try:
            async for heard in detect_turns(media, self._models.vad, self._segmenter, self._turn_ids):
                match heard:
                    case Turn(stage="final"):
                        self._take(heard, publisher)
                    case Turn():
                        self._guess(heard, publisher)
                    case Resumed(turn_id=turn_id):
                        publisher.speculation.resumed(turn_id)
                    case Settled(track=track, now_s=now_s, until_s=until_s):
                        publisher.tracks.add(track)
                        self._order.settle((publisher, track), now_s, until_s)
                        await self._pass_on()
        finally:
            publisher.speculation.cancel()
            self._order.leave([(publisher, track) for track in publisher.tracks], publisher.last_end_s)
            await self._pass_on()
        if publisher.unpublished:
            # `wait`, since a publisher that is cancelled must not cancel its turns.
            await asyncio.wait(publisher.unpublished)

    async def _on_timeline(self, source: AsyncIterable[AudioChunk], clock: MediaClock) -> AsyncIterator[AudioChunk]:
        """Media time as the conversation counts it: the first publisher's own, later ones follow on from it."""
        offset_s: float | None = None
        async for chunk in source:
            if offset_s is None:
                offset_s = self._timeline.now_s() - chunk.start_s if self._timeline.delivered_s else 0.0
            moved = chunk.moved(offset_s) if offset_s else chunk
            clock.arrived(moved.end_s)
            self._timeline.arrived(moved.end_s)
            yield moved

    def _hear(self, turn: Turn) -> asyncio.Task[HeardTurn]:
        if self._hearing is None or self._turns.closed:
            raise SessionFailedError(f"{self.conversation} has ended")
        return self._hearing.create_task(self._heard(turn), name=f"hear {turn.turn_id}")

    async def _heard(self, turn: Turn) -> HeardTurn:
        models = self._models
        heard = await hear(turn, models.transcribe, models.describe_audio, models.describe_visual)
        return await self._describer.encode_ahead(heard) if turn.stage == "provisional" else heard

    def _guess(self, turn: Turn, publisher: _Publisher) -> None:
        # A guess must not make a final of anybody else wait in line.
        if publisher.live and not self._models.transcribe.pending:
            publisher.speculation.provisional(turn)

    def _take(self, turn: Turn, publisher: _Publisher) -> None:
        published = asyncio.get_running_loop().create_future()
        publisher.unpublished.add(published)
        published.add_done_callback(publisher.unpublished.discard)
        publisher.last_end_s = max(publisher.last_end_s, turn.end_s)
        heard = publisher.speculation.final(turn)
        self._order.push(turn.end_s, _TurnUnderWay(turn, heard, publisher.clock, published))

    async def _pass_on(self) -> None:
        """What is in order by now goes on, or its source waits."""
        async with self._passing_on:
            while not self._turns.closed and (under_way := self._order.next()):
                try:
                    await self._turns.send(under_way)
                except ChannelClosedError:  # while it waited: it is still under way
                    self._order.push(under_way.turn.end_s, under_way)

    async def _understand(self, under_way: _TurnUnderWay) -> None:
        heard = replace(await under_way.heard, turn=under_way.turn)
        utterance = await self._describer.describe(heard)
        event = await self._inference.infer(utterance)
        self._hub.publish(self._timed(event, heard.turn, under_way.clock))
        under_way.published.set_result(None)

    def _timed(self, event: EmotionEvent, turn: Turn, clock: MediaClock) -> EmotionEvent:
        timings = event.timings_ms | {"after_speech": clock.after_speech_ms(turn.end_s)}
        return replace(event, timings_ms=timings, lag_s=clock.lag_s(turn.decided_s))
