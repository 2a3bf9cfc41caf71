"""The values that flow through the pipeline.

One clock inside a conversation: seconds of its media time (`_s`). Wall clock lives only in `timing.py`.
Classes that carry arrays compare by identity (`eq=False`).
"""

import time
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
ALL = "*"  # instead of a conversation\'s name, where one may listen to all; none may be called so

Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Track:
    """One microphone or one channel: whoever speaks on it is `speaker`.

    `captioned`: what they say comes as captions too. `named`: somebody said who speaks; else it may be several people.
    """

    id: str
    speaker: str
    captioned: bool = False
    named: bool = True


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
    """Mono audio at 16 kHz, float32[n] in -1..1, starting at `start_s`; `frames`: what was seen meanwhile.

    `arrived_at` is when it was made, on the clock of `timing.py`: however long it waits after, that is when it came.
    `captions` are of any earlier time: they come when their platform has them. A chunk without samples says that
    nothing was heard until `start_s`.
    """

    track: Track
    start_s: float
    pcm: Float32
    frames: tuple[VideoFrame, ...] = ()
    arrived_at: float = field(default_factory=time.monotonic)
    captions: tuple[Caption, ...] = ()

    @property
    def end_s(self) -> float:
        return self.start_s + len(self.pcm) / SAMPLE_RATE

    def moved(self, by_s: float) -> "AudioChunk":
        """The same, so much later."""
        frames = tuple(replace(it, at_s=it.at_s + by_s) for it in self.frames)
        captions = tuple(replace(it, start_s=it.start_s + by_s, end_s=it.end_s + by_s) for it in self.captions)
        return replace(self, start_s=self.start_s + by_s, frames=frames, captions=captions)


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """One stretch of speech by one speaker. `end_s` is where speech ended, not where silence was believed.

    `pcm` may carry a little audio before `start_s` and after `end_s` (pre-roll and tail), so that no phoneme is cut.
    `truncated` says that the turn reached the longest length and goes on in the next one. `stage`: still being spoken
    (growing, for who hears along; interim, for who is told), perhaps over (provisional), or over (final).
    """

    turn_id: int
    speaker: str
    start_s: float
    end_s: float
    pcm: Float32
    decided_s: float  # media time at which the end was decided
    frames: tuple[VideoFrame, ...] = ()
    stage: Literal["growing", "interim", "provisional", "final"] = "final"
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Resumed:
    """Whoever had perhaps ended this turn speaks on."""

    turn_id: int


@dataclass(frozen=True, slots=True)
class Settled:
    """A track was heard up to `now_s`: no turn of it that is yet to come ends before `until_s`.

    But for one that is cut for its length. `speaking`: one is under way.
    """

    track: str
    now_s: float
    until_s: float
    speaking: bool = False


Heard = Turn | Resumed | Settled  # what turn detection says


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said. `confidence` in 0..1, or None where the recogniser gives none."""

    text: str
    language: str
    confidence: float | None
    source: str


@dataclass(frozen=True, slots=True, eq=False)
class Utterance:
    """A turn, understood: float32[d] a modality, or None where the modality is absent.

    `visual_quality` in 0..1 says how well the face could be seen.
    """

    turn: Turn
    transcript: Transcript | None
    text: Float32 | None
    audio: Float32 | None
    visual: Float32 | None
    visual_quality: float = 1.0
    timings_ms: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shift:
    """The speaker's emotion was `from_` so many of their turns ago, and is another now."""

    from_: str = field(metadata={"alias": "from"})  # its name on the wire
    turns_ago: int


@dataclass(frozen=True, slots=True)
class EmotionEvent:
    """What goes out for one utterance. Field by field as on the wire; `seq` is given by the hub."""

    conversation: str
    utterance: str
    speaker: str
    start_s: float
    end_s: float
    text: str | None
    emotion: str
    confidence: float
    probabilities: dict[str, float]
    valence: float
    arousal: float
    shift: Shift | None
    modalities: dict[str, float | None]
    vocabulary: str
    model: str
    timings_ms: dict[str, float]
    lag_s: float
    uncertain: bool = False
    backchannel: bool = False  # "mm-hm": it says that one listens
    revision: int = 0
    status: Literal["interim", "final", "corrected"] = "final"
