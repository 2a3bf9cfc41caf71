"""One conversation: any number of publishers' media in, one ordered stream of events out.

    publisher ─ chunks ─► detect_turns ─┐
    publisher ─ chunks ─► detect_turns ─┴─► hear ∥ ─► order ─► turns (bounded) ─► describe ─► infer ─► hub

Turns are heard side by side, those of live media as soon as they are perhaps over; but they are described and inferred
in the order in which they ended: the conversation's past is what the network is about. This module alone makes channels
and tasks.
"""

import asyncio
import itertools
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import closing
from dataclasses import dataclass, replace

from cberl.encoders.audio import AudioHistory
from cberl.encoders.text import TextHistory
from cberl.types import Float32
from engine.config import Settings
from engine.conversation.classifier import EmotionClassifier
from engine.conversation.models import Models
from engine.conversation.ordering import TurnOrder
from engine.conversation.recognizer import ConversationRecognizer
from engine.conversation.source import MediaSource
from engine.conversation.speaker_attribution import Attribution, Corrections
from engine.conversation.turn_analysis import TurnAnalysis, UtteranceEncoder, analyze_turn
from engine.delivery.hub import Hub
from engine.events import EmotionEvent, SessionStats, SpeakerJoined, SpeakerLeft
from engine.media import AudioChunk
from engine.runtime.channel import Channel, ChannelClosedError
from engine.runtime.clocks import MediaClock, Timeline
from engine.runtime.load_shedding import LoadShedder
from engine.speech.backchannel import is_backchannel
from engine.speech.follow import EVERY_MS
from engine.speech.segmenter import SegmenterConfig
from engine.speech.transcriber import Beginning, Transcript
from engine.speech.turn import TrackProgress, Turn, TurnResumed
from engine.speech.turn_detector import detect_turns

TAIL_MS = 150  # silence kept after the end of speech, where a turn's end waits for as much
WATCH_S = 1.0
TURNS_AHEAD = 8  # turns that may be under way at once; more make their source wait


class SessionFailedError(RuntimeError):
    """This conversation broke and was ended; others go on."""


@dataclass(frozen=True, slots=True, eq=False)
class _TurnUnderWay:
    turn: Turn
    heard: asyncio.Task[TurnAnalysis]
    publisher: MediaSource
    published: asyncio.Future[None]


class Session:
    """Run `run()` as a task; `join()` once a publisher; `close()` when all have left."""

    def __init__(self, conversation: str, models: Models, hub: Hub, settings: Settings, load: LoadShedder) -> None:
        self.conversation = conversation
        self._models = models
        self._hub = hub
        self._load = load
        self._stats_s = settings.stats_s
        self._publishers: set[MediaSource] = set()
        self._dropped_before = 0  # chunks of publishers who have left
        self._interims = itertools.count()
        self._pictures = itertools.count()
        self._segmenter = SegmenterConfig(
            pre_roll_ms=settings.pre_roll_ms,
            min_speech_ms=settings.min_speech_ms,
            end_silence_ms=settings.end_silence_ms,
            provisional_ms=settings.provisional_ms,
            interim_ms=settings.interim_ms,
            growing_ms=EVERY_MS if models.follows and settings.provisional_ms else 0.0,
            tail_ms=min(TAIL_MS, settings.end_silence_ms, settings.provisional_ms or TAIL_MS),
            max_turn_s=settings.max_turn_s,
        )
        self._names: dict[str, str] = {}  # what speakers are called, where that is not what their track says
        self._turns: Channel[_TurnUnderWay] = Channel(TURNS_AHEAD)
        self._turn_ids = itertools.count(1)
        self._order: TurnOrder[_TurnUnderWay] = TurnOrder(settings.end_silence_ms / 1e3)
        self._passing_on = asyncio.Lock()
        self._timeline = Timeline()
        self._recognizer = ConversationRecognizer(
            UtteranceEncoder(
                models.encode_text, TextHistory(models.text_encoder.prompt), AudioHistory(models.audio_config)
            ),
            EmotionClassifier(conversation, models.checkpoint, models.graph),
        )
        self._diarize = settings.diarize
        self._attribution = Attribution()
        self._corrections = Corrections()
        self._hearing: asyncio.TaskGroup | None = None
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Takes turns until `close()`. What fails here ends this conversation and everyone who publishes in it."""
        try:
            async with asyncio.TaskGroup() as self._hearing:
                watching = self._hearing.create_task(self._watch(), name=f"watch {self.conversation}")
                with closing(self._turns):  # before the group ends: it takes no task then
                    async for under_way in self._turns:
                        await self._understand(under_way)
                    self._order.let_go()
                    while held := self._order.next():
                        await self._understand(held)
                watching.cancel()
        finally:
            self._load.forget(self.conversation)
            self._over.set_result(None)

    def close(self) -> None:
        """No more turns: `run()` ends when those under way are out."""
        self._turns.close()

    def rename(self, speaker: str, name: str) -> None:
        """Call the speaker of these tracks otherwise, from the next event on. To the network they are who they were."""
        self._names[speaker] = name

    def name_of(self, speaker: str) -> str:
        return self._names.get(speaker, speaker)

    async def join(self, source: AsyncIterable[AudioChunk], *, live: bool, dropped: Callable[[], int]) -> None:
        """One publisher's media, until it ends and its last event is in the hub.

        `live`: somebody waits for its events. `dropped` counts its chunks that got lost. Raises `SessionFailedError` as
        soon as the conversation is over, whether or not more media comes.
        """
        publisher = MediaSource(live, dropped, self._hear, self._hear_along)
        self._publishers.add(publisher)
        publishing = asyncio.create_task(self._publish(source, publisher), name=f"publish in {self.conversation}")
        try:
            await asyncio.wait([publishing, self._over], return_when=asyncio.FIRST_COMPLETED)
            if not publishing.done():
                raise SessionFailedError(f"{self.conversation} has failed")
            publishing.result()
        finally:
            publishing.cancel()
            await asyncio.wait([publishing])
            self._publishers.discard(publisher)
            self._dropped_before += publisher.dropped()

    @property
    def lag_s(self) -> float:
        """Seconds behind live, of the publisher furthest behind."""
        return max((publisher.lag_s for publisher in self._publishers), default=0.0)

    async def _publish(self, source: AsyncIterable[AudioChunk], publisher: MediaSource) -> None:
        media = self._on_timeline(source, publisher)
        try:
            async for heard in detect_turns(media, self._models.vad, self._segmenter, self._turn_ids):
                match heard:
                    case Turn(stage="final"):
                        self._take(heard, publisher)
                    case Turn(stage="provisional"):
                        self._guess(heard, publisher)
                    case Turn(stage="growing"):
                        self._follow(heard, publisher)
                    case Turn():
                        self._tell(heard, publisher)
                    case TurnResumed(turn_id=turn_id):
                        publisher.speculation.resumed(turn_id)
                    case TrackProgress(track=track, now_s=now_s, until_s=until_s, speaking=speaking):
                        publisher.tracks[track] = speaking
                        self._order.settle((publisher, track), now_s, until_s)
                        await self._pass_on()
        finally:
            publisher.speculation.cancel()
            publisher.following.cancel()
            for interim in publisher.interims.values():
                interim.cancel()
            self._order.leave([(publisher, track) for track in publisher.tracks], publisher.last_end_s)
            await self._pass_on()
        if publisher.unpublished:
            # `wait`, since a publisher that is cancelled must not cancel its turns.
            await asyncio.wait(publisher.unpublished)
        for voice in sorted(publisher.voices):
            self._hub.publish(SpeakerLeft(self.conversation, voice))

    async def _on_timeline(
        self, source: AsyncIterable[AudioChunk], publisher: MediaSource
    ) -> AsyncIterator[AudioChunk]:
        """Media time as the conversation counts it."""
        async for chunk in source:
            publisher.arrives(chunk)
            offset_s = self._timeline.offset_s(
                publisher, chunk.end_s, chunk.arrived_at, live=publisher.waits, silent=not publisher.speaking
            )
            moved = chunk.moved(offset_s) if offset_s else chunk
            publisher.arrived(moved)
            publisher.captions.take_from(moved)
            looked_at = tuple(frame for frame in moved.frames if self._load.picture(next(self._pictures)))
            yield replace(moved, frames=looked_at)
            publisher.clock.rest()

    async def _watch(self) -> None:
        """Tells the ladder how far behind this conversation is, and everybody how it is doing."""
        loop = asyncio.get_running_loop()
        told_at = loop.time()
        while True:
            await asyncio.sleep(min(WATCH_S, self._stats_s))
            lag_s = self.lag_s
            self._load.observe(self.conversation, lag_s)
            if self._publishers and loop.time() - told_at >= self._stats_s:
                told_at = loop.time()
                dropped = self._dropped_before + sum(publisher.dropped() for publisher in self._publishers)
                stats = SessionStats(self.conversation, lag_s, dropped, self._hub.dropped(self.conversation))
                self._hub.publish(stats)

    def _hear(self, publisher: MediaSource, turn: Turn) -> asyncio.Task[TurnAnalysis]:
        if self._hearing is None or self._turns.closed:
            raise SessionFailedError(f"{self.conversation} has ended")
        return self._hearing.create_task(self._heard(publisher, turn), name=f"hear {turn.turn_id}")

    async def _heard(self, publisher: MediaSource, turn: Turn) -> TurnAnalysis:
        models = self._models
        transcribe = publisher.captions.instead_of(models.transcribe, turn)
        voice = models.voice if self._shared(turn.speaker, publisher) else None
        heard = await analyze_turn(turn, transcribe, models.describe_audio, models.describe_visual, voice)
        return await self._encode_ahead(heard, publisher) if turn.stage == "provisional" else heard

    async def _encode_ahead(self, heard: TurnAnalysis, publisher: MediaSource) -> TurnAnalysis:
        turn, speaker = heard.turn, heard.turn.speaker
        if heard.voice is not None:
            speaker = self._attribution.guess(turn, heard.voice, named=publisher.named(speaker))
        return await self._recognizer.encode_ahead(replace(heard, turn=replace(turn, speaker=speaker)))

    def _shared(self, speaker: str, publisher: MediaSource) -> bool:
        """Whether several people may speak on this speaker's track."""
        return self._models.voice is not None and (self._diarize == "on" or not publisher.named(speaker))

    def _hear_along(self, pcm: Float32) -> asyncio.Task[Transcript]:
        if self._hearing is None or self._turns.closed:
            raise SessionFailedError(f"{self.conversation} has ended")
        return self._hearing.create_task(self._models.transcribe.aside(Beginning(pcm)), name="hear along")

    def _follow(self, turn: Turn, publisher: MediaSource) -> None:
        if publisher.waits and not publisher.captions.expected(turn.speaker) and self._load.ahead:
            publisher.following.growing(turn)

    def _guess(self, turn: Turn, publisher: MediaSource) -> None:
        publisher.following.over(turn.turn_id)
        # A guess must not make a final of anybody else wait in line, and captions come when a turn is over.
        if publisher.waits and not self._models.transcribe.pending and not publisher.captions.expected(turn.speaker):
            publisher.speculation.provisional(turn)

    def _tell(self, turn: Turn, publisher: MediaSource) -> None:
        """An interim event, unless there is no time for it or nobody knows yet whose it is."""
        under_way = publisher.interims.get(turn.turn_id)
        busy = self._models.describe_audio.pending or (under_way and not under_way.done())
        unknown = self._shared(turn.speaker, publisher)
        if self._hearing is None or self._turns.closed or not publisher.waits or busy or unknown:
            return
        if self._load.interim(next(self._interims)):
            telling = self._hearing.create_task(self._interim(turn, publisher), name=f"interim {turn.turn_id}")
            publisher.interims[turn.turn_id] = telling

    async def _interim(self, turn: Turn, publisher: MediaSource) -> None:
        heard = await analyze_turn(turn, None, self._models.describe_audio, self._models.describe_visual)
        self._hub.publish(self._timed(await self._recognizer.preview(heard), turn, publisher.clock))

    def _take(self, turn: Turn, publisher: MediaSource) -> None:
        if interim := publisher.interims.pop(turn.turn_id, None):
            interim.cancel()  # nothing of a turn comes after its final event
        publisher.following.over(turn.turn_id)
        published = asyncio.get_running_loop().create_future()
        publisher.unpublished[published] = turn
        published.add_done_callback(publisher.published)
        publisher.last_end_s = max(publisher.last_end_s, turn.end_s)
        heard = publisher.speculation.final(turn)
        self._order.push(turn.end_s, _TurnUnderWay(turn, heard, publisher, published))

    async def _pass_on(self) -> None:
        """What is in order by now goes on, or its source waits."""
        async with self._passing_on:
            while not self._turns.closed and (under_way := self._order.next()):
                try:
                    await self._turns.send(under_way)
                except ChannelClosedError:  # while it waited: it is still under way
                    self._order.push(under_way.turn.end_s, under_way)

    async def _understand(self, under_way: _TurnUnderWay) -> None:
        heard = await self._attributed(replace(await under_way.heard, turn=under_way.turn), under_way.publisher)
        event = self._timed(await self._recognizer.read(heard), heard.turn, under_way.publisher.clock)
        self._hub.publish(event)
        self._corrections.remember(heard.turn.turn_id, event)
        await self._hub.flush()  # only what is kept counts as published; and a slow disk makes its sources wait
        under_way.published.set_result(None)

    async def _attributed(self, heard: TurnAnalysis, publisher: MediaSource) -> TurnAnalysis:
        """As said by whoever's voice it is; earlier events are corrected where that is known better by now."""
        if heard.voice is None:
            return heard
        turn = heard.turn
        found = self._attribution.push(turn, heard.voice, named=publisher.named(turn.speaker))
        for turn_id, again in (await self._recognizer.relabel_speakers(found.others)).items():
            again = replace(again, speaker=self.name_of(again.speaker))
            if corrected := self._corrections.correct(turn_id, again):
                self._hub.publish(corrected)
        for voice in found.gone & publisher.voices:
            publisher.voices.discard(voice)
            self._hub.publish(SpeakerLeft(self.conversation, voice))
        if found.speaker != turn.speaker and found.speaker not in publisher.voices:
            publisher.voices.add(found.speaker)
            self._hub.publish(SpeakerJoined(self.conversation, found.speaker))
        return replace(heard, turn=replace(turn, speaker=found.speaker))

    def _timed(self, event: EmotionEvent, turn: Turn, clock: MediaClock) -> EmotionEvent:
        timings = event.timings_ms | {"after_speech": clock.after_speech_ms(turn.end_s)}
        backchannel = is_backchannel(event.text or "", turn.end_s - turn.start_s)
        name, lag_s = self.name_of(event.speaker), clock.since_s(turn.decided_s)
        return replace(event, speaker=name, backchannel=backchannel, timings_ms=timings, lag_s=lag_s)
