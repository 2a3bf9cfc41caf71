"""One track's audio frames to 16 kHz mono chunks, each with its media time."""

import math
from collections.abc import Iterator

import numpy as np
from av import AudioFrame

from cberl.data.resampling import Downmix, FrameResampler, MonoPcm
from cberl.types import SAMPLE_RATE, Float32
from engine.media import AudioChunk, Track

MAX_CHUNK_S = 0.1
MAX_FILL_S = 0.2  # a longer gap is not filled
FADE_S = 0.06  # by then a filled gap is silent


class TrackResampler:
    """Frames of decoded audio in, chunks of at most 0.1 s out, mono, in order and without overlap.

    The chunks joined are the whole signal resampled at once. A frame that starts within `jitter_s` of the end of the
    previous one follows it without a gap. With `fill`, a short gap (a lost packet) is filled with a fading echo of the
    audio before it, so that a word does not break in two.
    """

    def __init__(self, track: Track, jitter_s: float = 0.1, *, fill: bool = False) -> None:
        self.track = track
        self.jitter_s = jitter_s
        self.fill = fill
        self.end_s: float | None = None  # media time of the end of the last frame, None before the first
        self.gaps = 0
        self.missing_s = 0.0  # length of all gaps
        self._resampler = FrameResampler()
        self._downmix = Downmix()
        self._start_s = 0.0  # media time of the first sample since the last gap
        self._given = 0  # samples yielded since then, at 16 kHz
        self._last = np.zeros(0, np.float32)  # the last chunk, for the echo

    def push(self, media_s: float, frame: AudioFrame | MonoPcm) -> Iterator[AudioChunk]:
        """Lazily, so that the caller may work between the chunks of a large frame."""
        skew_s = math.inf if self.end_s is None else media_s - self.end_s
        if skew_s > self.jitter_s:
            yield from self._skip(media_s, skew_s)
        late = round(-skew_s * frame.sample_rate) if skew_s < -self.jitter_s else 0
        for piece in _pieces(frame, late):
            yield from self._resampled(piece)

    def flush(self) -> Iterator[AudioChunk]:
        """The samples still in the resampler."""
        layout = self._resampler.layout
        for pcm in self._resampler.flush():
            yield self._chunk(self._downmix(pcm, layout))

    def quiet(self, for_s: float) -> Iterator[AudioChunk]:
        """No frame came for `for_s`: flush, and report the silence with a chunk without samples."""
        yield from self.flush()
        if self.end_s is not None:
            yield AudioChunk(self.track, self.end_s + for_s, np.zeros(0, np.float32))

    def _skip(self, media_s: float, skew_s: float) -> Iterator[AudioChunk]:
        if self.end_s is not None:
            self.gaps += 1
            self.missing_s += skew_s
        if self.fill and skew_s <= MAX_FILL_S and len(self._last):
            echo = _echo(self._last, round(skew_s * SAMPLE_RATE))
            self.end_s = media_s
            yield self._chunk(echo)
            return
        yield from self.flush()
        self.end_s = self._start_s = media_s
        self._given = 0

    def _resampled(self, frame: AudioFrame | MonoPcm) -> Iterator[AudioChunk]:
        assert self.end_s is not None
        if not self._resampler.takes(frame):  # the first frame after a gap, or the sender has changed the format
            yield from self.flush()
            self._start_s, self._given = self.end_s, 0
        self.end_s += frame.samples / frame.sample_rate
        for pcm in self._resampler.push(frame):
            yield self._chunk(self._downmix(pcm, self._resampler.layout))

    def _chunk(self, pcm: Float32) -> AudioChunk:
        chunk = AudioChunk(self.track, self._start_s + self._given / SAMPLE_RATE, pcm)
        self._given += len(pcm)
        if self.fill:
            self._last = pcm
        return chunk


def _echo(last: Float32, length: int) -> Float32:
    """float32[length]: `last` backwards and forwards, repeated, fading out."""
    there_and_back = np.concatenate([last[::-1], last])
    fade = np.clip(1 - np.arange(length) / (FADE_S * SAMPLE_RATE), 0, 1)
    return (np.resize(there_and_back, length) * fade).astype(np.float32)


def _pieces(frame: AudioFrame | MonoPcm, late: int) -> Iterator[AudioFrame | MonoPcm]:
    """The frame without its first `late` samples, in pieces of at most `MAX_CHUNK_S`."""
    piece = round(MAX_CHUNK_S * frame.sample_rate)
    if not late and frame.samples <= piece:
        if frame.samples:
            yield frame
        return
    if isinstance(frame, MonoPcm):
        yield from (MonoPcm(frame.pcm[at : at + piece]) for at in range(late, frame.samples, piece))
        return
    step = 1 if frame.format.is_planar else frame.layout.nb_channels
    samples = frame.to_ndarray()[:, late * step :]  # (channels or 1, n)
    for at in range(0, samples.shape[1], piece * step):
        part = np.ascontiguousarray(samples[:, at : at + piece * step])
        made = AudioFrame.from_ndarray(part, format=frame.format.name, layout=frame.layout.name)
        made.sample_rate = frame.sample_rate
        yield made
