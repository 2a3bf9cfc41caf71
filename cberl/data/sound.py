"""Audio from media files, for offline work: anything that FFmpeg reads, as mono float32 at 16 kHz, with PyAV."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from cberl.data.dialogue import DataError
from cberl.types import SAMPLE_RATE, Float32

MIN_GAP_S, MAX_GAP_S = 0.05, 10.0  # gaps in the timestamps that are filled with silence, as in the live engine

log = logging.getLogger(__name__)

Span = tuple[float, float | None]  # (start in s, end in s; None = to the end of the file)


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """Metadata of a file; `duration_s` is None if it is not stated."""

    channels: int
    duration_s: float | None


def probe(path: Path) -> MediaInfo:
    """From the file's header, without decoding. Raises `DataError`."""
    with open_media(path) as container:
        stream = _audio(path, container)
        if stream.duration is not None:
            return MediaInfo(stream.codec_context.channels, float(stream.duration * stream.time_base))
        seconds = None if container.duration is None else container.duration / av.time_base
        return MediaInfo(stream.codec_context.channels, seconds)


def decode(path: Path, channel: int | None = None) -> Iterator[Float32]:
    """The whole file in pieces of float32[n]. Raises `DataError`.

    `channel` counts from 1; None mixes all. Damaged packets are skipped.
    """
    try:
        with open_media(path) as container:
            stream = _audio(path, container)
            channels = stream.codec_context.channels
            if channel is not None and not 1 <= channel <= channels:
                raise DataError(f"{path} has {channels} channel(s), so there is no channel {channel}")
            yield from _resample(container, stream, channel)
    except (av.FFmpegError, OSError) as error:
        raise DataError(f"{path} cannot be read as media: {error.strerror or error}") from error


def duration_s(path: Path) -> float:
    """Measured by decoding. Raises `DataError`."""
    return sum(len(piece) for piece in decode(path)) / SAMPLE_RATE


def read_spans(path: Path, spans: Sequence[Span], channel: int | None = None) -> Iterator[tuple[int, Float32]]:
    """(index into `spans`, float32[n]) as each span is complete; decodes the file once, up to the last span's end.

    A span that reaches past the end of the file is shorter, perhaps empty. Raises `DataError`.
    """
    cutter = SpanCutter(spans)
    for piece in decode(path, channel):
        yield from cutter.push(piece)
        if not cutter.open:
            return
    yield from cutter.finish()


class SpanCutter:
    """Cuts spans out of audio that arrives in pieces. Holds only what the open spans need."""

    def __init__(self, spans: Sequence[Span]) -> None:
        self.open = [
            (i, round(start_s * SAMPLE_RATE), None if end_s is None else round(end_s * SAMPLE_RATE))
            for i, (start_s, end_s) in enumerate(spans)
        ]
        self._held: list[Float32] = []
        self._first = 0  # index, in the whole audio, of the first sample held
        self._end = 0

    def push(self, piece: Float32) -> list[tuple[int, Float32]]:
        self._held.append(piece)
        self._end += len(piece)
        done = [span for span in self.open if span[2] is not None and span[2] <= self._end]
        if done:
            return self._cut(done)
        self._forget()
        return []

    def finish(self) -> list[tuple[int, Float32]]:
        """The spans that are still open, as far as the audio reaches."""
        return self._cut(self.open)

    def _cut(self, done: list[tuple[int, int, int | None]]) -> list[tuple[int, Float32]]:
        sound = np.concatenate([np.empty(0, np.float32), *self._held])
        here = self._first
        cut = [(i, sound[max(a - here, 0) : None if b is None else max(b - here, 0)].copy()) for i, a, b in done]
        self.open = [span for span in self.open if span not in done]
        self._held = [sound]
        self._forget()
        return cut

    def _forget(self) -> None:
        needed = min((start for _, start, _ in self.open), default=self._end)
        while self._held and self._first + len(self._held[0]) <= needed:
            self._first += len(self._held.pop(0))


def open_media(path: Path) -> Any:
    """PyAV's container of a file. Raises `DataError`."""
    try:
        return av.open(str(path))
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing") from error
    except (av.FFmpegError, OSError) as error:
        raise DataError(f"{path} cannot be read as media: {error.strerror or error}") from error


def _audio(path: Path, container: Any) -> Any:
    if not container.streams.audio:
        raise DataError(f"{path} has no audio stream")
    return container.streams.audio[0]


def _resample(container: Any, stream: Any, channel: int | None) -> Iterator[Float32]:
    layout = "mono" if channel is None else stream.codec_context.layout
    row = 0 if channel is None else channel - 1
    resampler = av.AudioResampler(format="fltp", layout=layout, rate=SAMPLE_RATE)
    first_s: float | None = None
    decoded_s = 0.0
    for frame in _frames(container, stream):
        at_s = frame.time or 0.0
        first_s = at_s if first_s is None else first_s
        gap_s = at_s - first_s - decoded_s
        if MIN_GAP_S < gap_s < MAX_GAP_S:
            yield np.zeros(round(gap_s * SAMPLE_RATE), np.float32)
            decoded_s += gap_s
        decoded_s += frame.samples / frame.sample_rate
        frame.pts = None  # the resampler would fill or drop by the timestamps too
        for resampled in resampler.resample(frame):
            yield resampled.to_ndarray()[row]  # (channels, n) -> (n,)
    for resampled in resampler.resample(None):  # flush
        yield resampled.to_ndarray()[row]


def _frames(container: Any, stream: Any) -> Iterator[Any]:
    damaged = 0
    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except av.FFmpegError:
            damaged += 1
    if damaged:
        log.warning("%s: damaged packets skipped: %d", container.name, damaged)
