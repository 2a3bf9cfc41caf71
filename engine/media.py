"""The values that come in: tracks, audio, pictures, captions.

One clock inside a conversation: seconds of its media time (`_s`). Wall-clock time is read in `runtime/clocks.py` only.
Classes that carry arrays compare by identity (`eq=False`).
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from cberl.types import SAMPLE_RATE, Float32
from engine.loop_time import loop_time_s

# What may be done with somebody's media: everything, find their words and nothing else, or nothing at all.
Analyse = Literal["all", "text", "none"]


@dataclass(frozen=True, slots=True)
class Track:
    """One microphone or one channel: whoever speaks on it is `speaker`.

    `captioned`: its words come as captions too. `named`: the publisher named the speaker; otherwise several people may
    speak on it. They are called `numbered_from`-2, -3, …; empty means after the speaker. The media of a track that may
    not be analysed never becomes a chunk.
    """

    id: str
    speaker: str
    captioned: bool = False
    named: bool = True
    numbered_from: str = ""
    analyse: Analyse = "all"


@dataclass(frozen=True, slots=True, eq=False)
class VideoFrame:
    """One sampled frame, uint8[h, w, 3] in RGB order, of whoever speaks on `track`."""

    track: Track
    at_s: float
    rgb: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Caption:
    """What somebody said from `start_s` to `end_s`, as the platform that they speak on has it."""

    start_s: float
    end_s: float
    text: str
    language: str = ""
    confidence: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class AudioChunk:
    """Mono audio at 16 kHz: float32[n] in -1..1, starting at media time `start_s`.

    `frames`: video frames of the same track taken since the previous chunk. `arrived_at`: when the audio arrived, on
    the clock of `loop_time_s`. `captions` may be of any earlier time. `realtime`: False where the audio was sent
    faster than it can be spoken (an upload), so that nobody waits for interim results. A chunk without samples reports
    that there was no audio until `start_s`.
    """

    track: Track
    start_s: float
    pcm: Float32
    frames: tuple[VideoFrame, ...] = ()
    arrived_at: float = field(default_factory=loop_time_s)
    captions: tuple[Caption, ...] = ()
    realtime: bool = True

    @property
    def end_s(self) -> float:
        return self.start_s + len(self.pcm) / SAMPLE_RATE

    def moved(self, by_s: float) -> "AudioChunk":
        """A copy with all media times later by `by_s`."""
        frames = tuple(replace(it, at_s=it.at_s + by_s) for it in self.frames)
        captions = tuple(replace(it, start_s=it.start_s + by_s, end_s=it.end_s + by_s) for it in self.captions)
        return replace(self, start_s=self.start_s + by_s, frames=frames, captions=captions)


class ChunkSource(Protocol):
    """The media of one publisher, in the order in which it arrived."""

    @property
    def dropped(self) -> int:
        """Chunks lost so far because the pipeline was behind."""

    def __aiter__(self) -> AsyncIterator[AudioChunk]: ...


class PullSource:
    """A `ChunkSource` that reads its next chunk on demand, so it never drops one."""

    dropped = 0

    def __init__(self, chunks: AsyncIterator[AudioChunk]) -> None:
        self._chunks = chunks

    def __aiter__(self) -> AsyncIterator[AudioChunk]:
        return self._chunks
