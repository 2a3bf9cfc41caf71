"""The stage from audio chunks to turns: one VAD worker for all tracks, one segmenter per track."""

import itertools
from collections.abc import AsyncGenerator, AsyncIterable, Iterator
from dataclasses import replace

import numpy as np

from cberl.types import SAMPLE_RATE, Float32
from engine.config import Settings
from engine.media import AudioChunk, Track
from engine.runtime.worker import Worker
from engine.speech.frame_buffer import FrameBuffer
from engine.speech.segmenter import Segmenter, SegmenterConfig
from engine.speech.turn import TrackProgress, Turn, TurnResumed, TurnUpdate
from engine.speech.vad import WINDOW, QuietGate, VadRequest, VadResult, VadState

VadWorker = Worker[VadRequest, VadResult]

TAIL_MS = 150.0  # silence kept after the end of speech, where the turn waits for as much
JITTER_S = 0.02  # a chunk that starts within this of the end of the previous one follows it without a gap


def segmenter_config(settings: Settings) -> SegmenterConfig:
    return SegmenterConfig(
        pre_roll_ms=settings.pre_roll_ms,
        min_speech_ms=settings.min_speech_ms,
        end_silence_ms=settings.end_silence_ms,
        provisional_ms=settings.provisional_ms,
        interim_ms=settings.interim_ms,
        tail_ms=min(TAIL_MS, settings.end_silence_ms, settings.provisional_ms or TAIL_MS),
        max_turn_s=settings.max_turn_s,
    )


class TurnDetector:
    """Finds the turns of all tracks of one source, numbered by `turn_ids`."""

    def __init__(self, vad: VadWorker, config: SegmenterConfig, turn_ids: Iterator[int]) -> None:
        self._vad = vad
        self._config = config
        self._turn_ids = turn_ids
        self._tracks: dict[str, _TrackTurns] = {}

    async def detect(self, chunks: AsyncIterable[AudioChunk]) -> AsyncGenerator[TurnUpdate, None]:
        """Turns in the order in which they were decided; `conversation/ordering.py` sorts them by their end.

        After the turns that a chunk decided comes the progress of its track. When the source ends, a turn in progress
        becomes final; when the source fails, it is discarded.
        """
        async for chunk in chunks:
            for update in await self._push(chunk):
                yield update
        for track in sorted(self._tracks.values(), key=lambda track: track.speaking_since_s):
            for turn in await track.finish():
                yield turn

    def end_after(self, turn: Turn, silence_ms: float) -> list[TurnUpdate]:
        """End a provisional turn after this much silence. Ignored if it ended or speech has resumed.

        Where so much silence has passed already, returns the final turn and the progress of its track, which `detect`
        then does not yield.
        """
        track = self._tracks[turn.track.id]
        ended = track.end_after(turn.turn_id, silence_ms)
        return [*ended, track.progress] if ended else []

    async def _push(self, chunk: AudioChunk) -> list[TurnUpdate]:
        track = self._tracks.get(chunk.track.id)
        if track is None:
            track = _TrackTurns(chunk.track, self._vad, self._config, self._turn_ids, chunk.start_s)
            self._tracks[chunk.track.id] = track
        return [*await track.push(chunk), track.progress]


class _TrackTurns:
    """Splits one track's audio into windows; media time stays right over gaps and overlaps."""

    def __init__(
        self, track: Track, vad: VadWorker, config: SegmenterConfig, turn_ids: Iterator[int], start_s: float
    ) -> None:
        self._track = track
        self._vad = vad
        self._config = config
        self._turn_ids = turn_ids
        self._frames = FrameBuffer()
        self._segmenter: Segmenter
        self._state: VadState
        self._gate: QuietGate
        self._rest: Float32  # less than a window, not yet scored
        self._scoring = False  # audio after that which the segmenter has
        self._restart(start_s)

    @property
    def speaking_since_s(self) -> float:
        """Where the turn in progress started; infinity while nobody speaks."""
        since = self._segmenter.speaking_since_s
        return float("inf") if since is None else since

    @property
    def progress(self) -> TrackProgress:
        return self._segmenter.progress

    def end_after(self, turn_id: int, silence_ms: float) -> list[Turn | TurnResumed]:
        """The turn, if it ends at once. While audio is scored, that decides first: speech may have resumed in it."""
        self._segmenter.end_after(turn_id, silence_ms)
        return [] if self._scoring else self._with_frames(self._segmenter.settle())

    async def push(self, chunk: AudioChunk) -> list[Turn | TurnResumed]:
        """Turns that this chunk completed, each with the video frames of its time."""
        self._track = self._segmenter.track = chunk.track  # a source may learn later that it has one speaker
        self._frames.push(chunk.frames)
        turns = self._with_frames(await self._segment(chunk))
        self._frames.forget_before(min(self.speaking_since_s, self._segmenter.now_s))
        return turns

    async def finish(self) -> list[Turn | TurnResumed]:
        """Score the incomplete last window, padded with silence, and end the turn in progress."""
        return self._with_frames(await self._finish())

    async def _segment(self, chunk: AudioChunk) -> list[Turn | TurnResumed]:
        gap_s = chunk.start_s - (self._segmenter.now_s + len(self._rest) / SAMPLE_RATE)
        if gap_s >= self._config.end_silence_ms / 1e3:  # a gap this long ends a turn as silence does
            turns = await self._finish()
            self._restart(chunk.start_s)
            return turns + await self._score(chunk.pcm)
        missing = round(gap_s * SAMPLE_RATE) if abs(gap_s) > JITTER_S else 0
        if missing > 0:
            return await self._score(np.concatenate([np.zeros(missing, np.float32), chunk.pcm]))
        return await self._score(chunk.pcm[-missing:] if missing else chunk.pcm)

    async def _finish(self) -> list[Turn | TurnResumed]:
        turns: list[Turn | TurnResumed] = []
        if len(self._rest):
            window = np.pad(self._rest, (0, WINDOW - len(self._rest)))
            (probability,) = await self._probabilities(window.reshape(1, WINDOW))
            turns = self._segmenter.push(self._rest, probability)
        return turns + self._segmenter.flush()

    async def _score(self, pcm: Float32) -> list[Turn | TurnResumed]:
        pcm = np.concatenate([self._rest, pcm])
        whole = len(pcm) // WINDOW
        windows = pcm[: whole * WINDOW].reshape(whole, WINDOW)  # (windows, 512)
        self._rest = pcm[whole * WINDOW :]
        if not whole:
            return []
        return await self._segmented(windows)

    async def _segmented(self, windows: Float32) -> list[Turn | TurnResumed]:
        """float32[n, 512]. Those of a long silence are not given to the network."""
        turns: list[Turn | TurnResumed] = []
        first = 0
        for silent, run in itertools.groupby(self._gate(windows)):
            part = windows[first : first + len(list(run))]
            first += len(part)
            if silent:
                self._state = self._state.after_silence(part)
                turns += self._segmenter.push_silence(part)
                continue
            for window, probability in zip(part, await self._probabilities(part), strict=True):
                turns += self._segmenter.push(window, probability)
        return turns

    async def _probabilities(self, windows: Float32) -> list[float]:
        """Of speech, in float32[n, 512]."""
        self._scoring = True
        result = await self._vad(VadRequest(self._state, windows))
        self._scoring, self._state = False, result.state
        probabilities: list[float] = result.probabilities.tolist()
        return probabilities

    def _with_frames(self, turns: list[Turn | TurnResumed]) -> list[Turn | TurnResumed]:
        return [
            replace(turn, frames=self._frames.between(turn.start_s, turn.end_s)) if isinstance(turn, Turn) else turn
            for turn in turns
        ]

    def _restart(self, start_s: float) -> None:
        self._segmenter = Segmenter(self._track, self._config, self._turn_ids, start_s)
        self._state = VadState()
        self._gate = QuietGate()
        self._rest = np.zeros(0, np.float32)
