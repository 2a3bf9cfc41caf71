"""The stage from audio chunks to turns: one VAD worker for all tracks, one segmenter a track."""

from collections.abc import AsyncGenerator, AsyncIterable, Iterator
from dataclasses import replace

import numpy as np

from cberl.types import SAMPLE_RATE, Float32
from engine.media import AudioChunk, Track
from engine.runtime.worker import Worker
from engine.speech.frame_buffer import FrameBuffer
from engine.speech.segmenter import Segmenter, SegmenterConfig
from engine.speech.turn import TrackProgress, Turn, TurnResumed, TurnUpdate
from engine.speech.vad import WINDOW, VadRequest, VadResult, VadState

VadWorker = Worker[VadRequest, VadResult]

JITTER_S = 0.02  # a chunk this close to where it was expected follows on


async def detect_turns(
    chunks: AsyncIterable[AudioChunk], vad: VadWorker, config: SegmenterConfig, turn_ids: Iterator[int]
) -> AsyncGenerator[TurnUpdate, None]:
    """Turns of all tracks in the order in which they were decided, numbered by `turn_ids`; `order.py` sorts them.

    How far a track has got follows on what each of its chunks decided. When the source ends, what is being said becomes
    a last turn; when it fails, nothing does.
    """
    tracks: dict[str, _TrackTurns] = {}
    async for chunk in chunks:
        track = tracks.get(chunk.track.id)
        if track is None:
            track = tracks[chunk.track.id] = _TrackTurns(chunk.track, vad, config, turn_ids, chunk.start_s)
        for turn in await track.push(chunk):
            yield turn
        yield track.settled(chunk.track.id)
    for track in sorted(tracks.values(), key=lambda t: t.speaking_since_s):
        for turn in await track.finish():
            yield turn


class _TrackTurns:
    """Cuts one track's audio into windows, keeping its media time right over gaps and overlaps."""

    def __init__(
        self, track: Track, vad: VadWorker, config: SegmenterConfig, turn_ids: Iterator[int], start_s: float
    ) -> None:
        self._speaker = track.speaker
        self._vad = vad
        self._config = config
        self._turn_ids = turn_ids
        self._sight = FrameBuffer()
        self._segmenter: Segmenter
        self._state: VadState
        self._rest: Float32  # less than a window, not yet judged
        self._restart(start_s)

    @property
    def speaking_since_s(self) -> float:
        """Where the turn under way began; infinity while nobody speaks."""
        since = self._segmenter.speaking_since_s
        return float("inf") if since is None else since

    def settled(self, track: str) -> TrackProgress:
        speaking = self._segmenter.speaking_since_s is not None
        return TrackProgress(track, self._segmenter.now_s, self._segmenter.settled_s, speaking)

    async def push(self, chunk: AudioChunk) -> list[Turn | TurnResumed]:
        """Turns that this completed, each with what was seen while it was spoken."""
        self._sight.push(chunk.frames)
        turns = self._looked_at(await self._hear(chunk))
        self._sight.forget_before(min(self.speaking_since_s, self._segmenter.now_s))
        return turns

    async def finish(self) -> list[Turn | TurnResumed]:
        """Judge what is left of a window, filled up with silence, and end the turn under way."""
        return self._looked_at(await self._finish())

    async def _hear(self, chunk: AudioChunk) -> list[Turn | TurnResumed]:
        gap_s = chunk.start_s - (self._segmenter.now_s + len(self._rest) / SAMPLE_RATE)
        if gap_s >= self._config.end_silence_ms / 1e3:  # nothing was heard for so long: whoever spoke is done
            turns = await self._finish()
            self._restart(chunk.start_s)
            return turns + await self._judge(chunk.pcm)
        missing = round(gap_s * SAMPLE_RATE) if abs(gap_s) > JITTER_S else 0
        if missing > 0:
            return await self._judge(np.concatenate([np.zeros(missing, np.float32), chunk.pcm]))
        return await self._judge(chunk.pcm[-missing:] if missing else chunk.pcm)

    async def _finish(self) -> list[Turn | TurnResumed]:
        turns: list[Turn | TurnResumed] = []
        if len(self._rest):
            window = np.pad(self._rest, (0, WINDOW - len(self._rest)))
            result = await self._vad(VadRequest(self._state, window.reshape(1, WINDOW)))  # (1, 512)
            turns = self._segmenter.push(self._rest, float(result.probabilities[0]))
        return turns + self._segmenter.flush()

    async def _judge(self, pcm: Float32) -> list[Turn | TurnResumed]:
        pcm = np.concatenate([self._rest, pcm])
        whole = len(pcm) // WINDOW
        windows = pcm[: whole * WINDOW].reshape(whole, WINDOW)  # (windows, 512)
        self._rest = pcm[whole * WINDOW :]
        if not whole:
            return []
        result = await self._vad(VadRequest(self._state, windows))
        self._state = result.state
        turns: list[Turn | TurnResumed] = []
        for window, probability in zip(windows, result.probabilities, strict=True):
            turns += self._segmenter.push(window, float(probability))
        return turns

    def _looked_at(self, turns: list[Turn | TurnResumed]) -> list[Turn | TurnResumed]:
        return [
            replace(turn, frames=self._sight.between(turn.start_s, turn.end_s)) if isinstance(turn, Turn) else turn
            for turn in turns
        ]

    def _restart(self, start_s: float) -> None:
        self._segmenter = Segmenter(self._speaker, self._config, self._turn_ids, start_s)
        self._state = VadState()
        self._rest = np.zeros(0, np.float32)
