"""One track's samples on their way to 16 kHz float, each with its place in media time."""

import math
from collections.abc import Iterator

import numpy as np
from av import AudioFrame, AudioResampler
from numpy.typing import NDArray

from engine.messages import SAMPLE_RATE, AudioChunk, Float32, Track

PIECE_S = 0.1


class PcmTrack:
    """Frames of int16 mono at `sample_rate` in, chunks of at most 0.1 s out, in order and without overlap.

    FFmpeg's libswresample streams: the chunks joined are the whole signal resampled at once.
    """

    def __init__(self, track: Track, sample_rate: int, jitter_s: float = 0.1) -> None:
        self.track = track
        self.sample_rate = sample_rate
        self.jitter_s = jitter_s
        self._resampler: AudioResampler | None = None
        self._start_s: float | None = None  # media time of the first sample since the last gap
        self._taken = 0  # samples in since then, at `sample_rate`
        self._given = 0  # samples out since then, at 16 kHz

    @property
    def end_s(self) -> float | None:
        """Media time up to which samples came in, None before the first."""
        return None if self._start_s is None else self._start_s + self._taken / self.sample_rate

    def push(self, media_s: float, payload: bytes) -> Iterator[AudioChunk]:
        samples = np.frombuffer(payload, "<i2")  # (n,)
        skew_s = math.inf if self.end_s is None else media_s - self.end_s
        if skew_s > self.jitter_s:
            yield from self.flush()
            self._begin(media_s)
        elif skew_s < -self.jitter_s:
            samples = samples[round(-skew_s * self.sample_rate) :]
        piece = round(PIECE_S * self.sample_rate)
        for at in range(0, len(samples), piece):
            self._taken += len(samples[at : at + piece])
            yield from self._chunks(self._convert(samples[at : at + piece]))

    def flush(self) -> Iterator[AudioChunk]:
        """What the resampler still holds. A later frame begins a new stretch."""
        if self._resampler is not None:
            tail = self._resampler.resample(None)
            self._resampler = None
            yield from self._chunks([frame.to_ndarray()[0] for frame in tail])

    def _begin(self, media_s: float) -> None:
        self._start_s, self._taken, self._given = media_s, 0, 0
        if self.sample_rate != SAMPLE_RATE:
            self._resampler = AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)

    def _convert(self, samples: NDArray[np.int16]) -> list[Float32]:
        if self._resampler is None:
            return [samples.astype(np.float32) / np.float32(32_768)]
        frame = AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")  # (1, n)
        frame.sample_rate = self.sample_rate
        return [out.to_ndarray()[0] for out in self._resampler.resample(frame)]

    def _chunks(self, pieces: list[Float32]) -> Iterator[AudioChunk]:
        for pcm in pieces:
            assert self._start_s is not None
            yield AudioChunk(self.track, self._start_s + self._given / SAMPLE_RATE, pcm)
            self._given += len(pcm)
