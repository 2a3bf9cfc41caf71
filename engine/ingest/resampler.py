"""One track's sound on its way to 16 kHz float, each piece with its place in media time."""

import math
from collections.abc import Iterator

import numpy as np
from av import AudioFrame, AudioResampler

from cberl.types import SAMPLE_RATE, Float32
from engine.media import AudioChunk, Track

PIECE_S = 0.1
MOST_FILL_S = 0.2  # a longer hole is not papered over
FADE_S = 0.06  # by then a filled hole is silent


class TrackResampler:
    """Frames of decoded sound in, chunks of at most 0.1 s out, mono, in order and without overlap.

    FFmpeg's libswresample streams: the chunks joined are the whole signal resampled at once. A frame that starts
    within `jitter_s` of where the last one ended goes on from there. With `fill`, a short hole (a lost packet) is
    filled with the fading echo of what came before it, so that a word does not break in two.
    """

    def __init__(self, track: Track, jitter_s: float = 0.1, *, fill: bool = False) -> None:
        self.track = track
        self.jitter_s = jitter_s
        self.fill = fill
        self.end_s: float | None = None  # media time up to which sound came in, None before the first
        self.gaps = 0  # how often media time went on without sound
        self.missing_s = 0.0  # how much of it, all in all
        self._format: tuple[int, str, str] | None = None  # rate, sample format, layout of what the resampler takes
        self._resampler: AudioResampler | None = None
        self._start_s = 0.0  # media time of the first sample since the last gap
        self._given = 0  # samples out since then, at 16 kHz
        self._last = np.zeros(0, np.float32)  # what an echo is made of

    def push(self, media_s: float, frame: AudioFrame) -> Iterator[AudioChunk]:
        """Lazily: a large frame is worked through piece by piece as the caller goes on."""
        skew_s = math.inf if self.end_s is None else media_s - self.end_s
        if skew_s > self.jitter_s:
            yield from self._skip(media_s, skew_s)
        late = round(-skew_s * frame.sample_rate) if skew_s < -self.jitter_s else 0
        for piece in _pieces(frame, late):
            yield from self._resampled(piece)

    def flush(self) -> Iterator[AudioChunk]:
        """What the resampler still holds. A later frame begins a new stretch."""
        if self._resampler is not None:
            tail = self._resampler.resample(None)
            self._resampler = self._format = None
            for frame in tail:
                yield self._chunk(frame.to_ndarray()[0])

    def quiet(self, for_s: float) -> Iterator[AudioChunk]:
        """Nothing came for so long: whoever spoke is done. A chunk without samples says so."""
        yield from self.flush()
        if self.end_s is not None:
            yield AudioChunk(self.track, self.end_s + for_s, np.zeros(0, np.float32))

    def _skip(self, media_s: float, skew_s: float) -> Iterator[AudioChunk]:
        if self.end_s is not None:
            self.gaps += 1
            self.missing_s += skew_s
        if self.fill and skew_s <= MOST_FILL_S and len(self._last):
            echo = _echo(self._last, round(skew_s * SAMPLE_RATE))
            self.end_s = media_s
            yield self._chunk(echo)
            return
        yield from self.flush()
        self.end_s = self._start_s = media_s
        self._given = 0

    def _resampled(self, frame: AudioFrame) -> Iterator[AudioChunk]:
        assert self.end_s is not None
        form = (frame.sample_rate, frame.format.name, frame.layout.name)
        if form != self._format:  # the first after a gap, or the sender changed its mind
            yield from self.flush()
            self._start_s, self._given = self.end_s, 0
            self._format, self._resampler = form, AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
        assert self._resampler is not None
        self.end_s += frame.samples / frame.sample_rate
        frame.pts = None  # the resampler shall not judge times too
        for resampled in self._resampler.resample(frame):
            yield self._chunk(resampled.to_ndarray()[0])

    def _chunk(self, pcm: Float32) -> AudioChunk:
        chunk = AudioChunk(self.track, self._start_s + self._given / SAMPLE_RATE, pcm)
        self._given += len(pcm)
        if self.fill:
            self._last = pcm
        return chunk


def _echo(last: Float32, length: int) -> Float32:
    """float32[length]: what was heard last, back and forth, fading."""
    there_and_back = np.concatenate([last[::-1], last])
    fade = np.clip(1 - np.arange(length) / (FADE_S * SAMPLE_RATE), 0, 1)
    return (np.resize(there_and_back, length) * fade).astype(np.float32)


def _pieces(frame: AudioFrame, late: int) -> Iterator[AudioFrame]:
    """The frame without its first `late` samples, in pieces of at most 0.1 s."""
    piece = round(PIECE_S * frame.sample_rate)
    if not late and frame.samples <= piece:
        if frame.samples:
            yield frame
        return
    step = 1 if frame.format.is_planar else frame.layout.nb_channels
    samples = frame.to_ndarray()[:, late * step :]  # (channels or 1, n)
    for at in range(0, samples.shape[1], piece * step):
        part = np.ascontiguousarray(samples[:, at : at + piece * step])
        made = AudioFrame.from_ndarray(part, format=frame.format.name, layout=frame.layout.name)
        made.sample_rate = frame.sample_rate
        yield made
