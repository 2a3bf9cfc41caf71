"""From one source's media to the queue of its turns: detection, analysis ahead of time, interim events."""

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from typing import Any

from engine.config import Settings
from engine.conversation.event_publisher import EventPublisher
from engine.conversation.models import Models
from engine.conversation.source import MediaSource
from engine.conversation.speculation import Speculation
from engine.conversation.turn_analysis import TurnAnalysis, TurnAnalyzer
from engine.conversation.turn_queue import PendingTurn, TurnQueue
from engine.runtime.load_shedding import LoadShedder
from engine.speech.transcriber import Transcript
from engine.speech.turn import TrackProgress, Turn, TurnResumed, TurnUpdate
from engine.speech.turn_detector import TurnDetector, segmenter_config
from engine.speech.turn_end import EndSilence

StartTask = Callable[[Coroutine[Any, Any, Any], str], asyncio.Task[Any]]


class TurnPipeline:
    """`run` it once per source. Its tasks are started by `start_task`, so that the conversation owns them."""

    def __init__(
        self,
        source: MediaSource,
        detector: TurnDetector,
        analyzer: TurnAnalyzer,
        publisher: EventPublisher,
        queue: TurnQueue,
        load: LoadShedder,
        start_task: StartTask,
        end_silence: EndSilence,
    ) -> None:
        self._source = source
        self._detector = detector
        self._analyzer = analyzer
        self._publisher = publisher
        self._queue = queue
        self._load = load
        self._start_task = start_task
        self._end_silence = end_silence
        self._speculation: Speculation[TurnAnalysis] = Speculation(self._begin_analysis)
        self._interims: dict[int, asyncio.Task[None]] = {}  # by turn id
        self._interim_numbers = itertools.count()

    async def run(self) -> None:
        """Until the media ends and the event of its last turn is published."""
        try:
            async with aclosing(self._detector.detect(self._source.chunks())) as updates:
                async for update in updates:
                    self._take(update)
                    if isinstance(update, TrackProgress):
                        await self._queue.send_ready()
        finally:
            self._speculation.cancel()
            for interim in self._interims.values():
                interim.cancel()
            await self._queue.leave(self._source)
        await self._publisher.leave(self._source)

    def _take(self, update: TurnUpdate) -> None:
        match update:
            case Turn(stage="final"):
                self._finish(update)
            case Turn(stage="provisional"):
                self._analyze_ahead(update)
            case Turn():
                self._preview(update)
            case TurnResumed(turn_id=turn_id):
                self._speculation.resumed(turn_id)
            case TrackProgress():
                self._source.progressed(update)
                self._queue.progress(self._source, update)

    def _begin_analysis(self, turn: Turn) -> asyncio.Task[TurnAnalysis]:
        work = self._analyze_provisional(turn) if turn.stage == "provisional" else self._analyze(turn)
        return self._start_task(work, f"analyze {turn.turn_id}")

    async def _analyze(self, turn: Turn) -> TurnAnalysis:
        return await self._analyzer.analyze(turn, self._source.captions, awaited=self._source.awaited)

    async def _analyze_provisional(self, turn: Turn) -> TurnAnalysis:
        """As soon as the words are known, a finished sentence ends sooner, an unfinished one later."""

        def adapt_end(transcript: Transcript) -> None:
            ended = self._detector.end_after(turn, self._end_silence.after(transcript.text))
            if ended and not self._queue.closed:
                for update in ended:
                    self._take(update)
                self._start_task(self._queue.send_ready(), f"end {turn.turn_id}")

        analysis = await self._analyzer.analyze(turn, self._source.captions, adapt_end)
        return await self._publisher.encode_ahead(analysis)

    def _analyze_ahead(self, turn: Turn) -> None:
        # Speculative work must not delay a final turn of another source, and captions come only after the turn.
        captioned = self._source.captions.expected(turn.track.speaker)
        if self._source.awaited and not self._analyzer.transcriber_busy and not captioned:
            self._speculation.provisional(turn)

    def _preview(self, turn: Turn) -> None:
        """An interim event, if there is time for it and the speaker is known."""
        previous = self._interims.get(turn.turn_id)
        busy = self._analyzer.busy or (previous and not previous.done())
        if self._queue.closed or not self._source.awaited or busy or self._analyzer.is_shared(turn.track):
            return
        if turn.track.analyse != "all":  # an interim event without text is about the voice
            return
        if self._load.interim(next(self._interim_numbers)):
            self._interims[turn.turn_id] = self._start_task(self._publish_interim(turn), f"interim {turn.turn_id}")

    async def _publish_interim(self, turn: Turn) -> None:
        """With the text so far where the recogniser has time for it."""
        captioned = self._source.captions.expected(turn.track.speaker)
        with_text = self._load.ahead and self._analyzer.previews_text and not captioned
        analysis = await self._analyzer.preview(turn, with_text=with_text)
        await self._publisher.publish_interim(analysis, self._source)

    def _finish(self, turn: Turn) -> None:
        if interim := self._interims.pop(turn.turn_id, None):
            interim.cancel()  # no interim event follows the final one
        published = self._source.finished(turn)
        self._queue.push(PendingTurn(turn, self._speculation.final(turn), self._source, published))


def turn_pipelines(
    models: Models,
    settings: Settings,
    publisher: EventPublisher,
    queue: TurnQueue,
    load: LoadShedder,
    start_task: StartTask,
    first_turn_id: int = 1,
) -> Callable[[MediaSource], TurnPipeline]:
    """What makes the pipelines of one conversation's sources."""
    config, turn_ids = segmenter_config(settings), itertools.count(first_turn_id)
    analyzer = TurnAnalyzer(models, settings.diarize, load.client)
    end_silence = EndSilence(settings.end_silence_ms, settings.end_silence_min_ms, settings.end_silence_max_ms)

    def pipeline(source: MediaSource) -> TurnPipeline:
        detector = TurnDetector(models.vad, config, turn_ids)
        return TurnPipeline(source, detector, analyzer, publisher, queue, load, start_task, end_silence)

    return pipeline
