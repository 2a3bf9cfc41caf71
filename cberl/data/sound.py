"""Audio from media files, for offline work: anything that FFmpeg reads, as mono float32 at 16 kHz, with PyAV."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from cberl.data.dialogue import DataError
from cberl.data.media import audio_streams, decode_audio, open_media, start_s
from cberl.data.resampling import Downmix
from cberl.types import SAMPLE_RATE, Float32

Span = tuple[float, float | None]  # (start in s, end in s; None = to the end of the file)


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """Metadata of a file. `duration_s`: the media time at which its audio ends, None if it is not stated."""

    channels: int
    duration_s: float | None


def probe(path: Path) -> MediaInfo:
    """From the file's header, without decoding. Raises `DataError`."""
    with open_media(path) as container:
        stream = audio_streams(path, container)[0]
        if stream.duration is not None and stream.start_time is not None:
            end_s = float((stream.start_time + stream.duration) * stream.time_base) - start_s(container)
            return MediaInfo(stream.codec_context.channels, end_s)
        seconds = None if container.duration is None else container.duration / av.time_base
        return MediaInfo(stream.codec_context.channels, seconds)


def decode(path: Path, channel: int | None = None) -> Iterator[Float32]:
    """The whole file from media time 0, in pieces of float32[n]; gaps in the timestamps are silence.

    `channel` counts from 1; None mixes all. Damaged packets are skipped. Raises `DataError`: where the file is damaged,
    after what could be decoded.
    """
    with open_media(path) as container:
        channels = audio_streams(path, container)[0].codec_context.channels
        if channel is not None and not 1 <= channel <= channels:
            raise DataError(f"{path} has {channels} channel(s), so there is no channel {channel}")
        downmix = Downmix()
        samples = 0
        for block in decode_audio(path, container):
            missing = round(block.start_s * SAMPLE_RATE) - samples
            for at in range(0, missing, SAMPLE_RATE):
                yield np.zeros(min(SAMPLE_RATE, missing - at), np.float32)
            samples += max(0, missing) + block.pcm.shape[1]
            if channel is None:
                yield downmix(block.pcm, block.layout)
            else:
                yield block.pcm[min(channel, len(block.pcm)) - 1]  # there may be fewer later


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
