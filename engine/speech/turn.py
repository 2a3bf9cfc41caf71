"""What turn detection yields: turns, and how far each track has been analysed."""

from dataclasses import dataclass
from typing import Literal

from cberl.types import Float32
from engine.media import Track, VideoFrame


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """One stretch of speech by one speaker.

    `end_s` is where speech ended, not where the following silence was long enough. `pcm`, float32[n] mono 16 kHz, may
    include a little audio before `start_s` and after `end_s` (pre-roll and tail), so that no phoneme is cut.

    `stage`: still being spoken (interim), ended unless speech resumes (provisional), or ended (final). `truncated`: the
    turn reached the maximum length and continues in the next one. `attributed_speaker`: which of several speakers on
    the track this is; empty means the speaker of the track.
    """

    turn_id: int
    track: Track
    start_s: float
    end_s: float
    pcm: Float32
    decided_s: float  # media time at which the end was decided
    frames: tuple[VideoFrame, ...] = ()
    stage: Literal["interim", "provisional", "final"] = "final"
    truncated: bool = False
    attributed_speaker: str = ""

    @property
    def speaker(self) -> str:
        return self.attributed_speaker or self.track.speaker

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True)
class TurnResumed:
    """Speech went on after the provisional end of this turn."""

    turn_id: int


@dataclass(frozen=True, slots=True)
class TrackProgress:
    """A track was analysed up to `now_s`; each of its turns that is not yet final ends at `until_s` or later.

    A turn that is cut at the maximum length is the exception. `speaking_since_s`: start of the turn in
    progress, if any.
    """

    track_id: str
    now_s: float
    until_s: float
    speaking_since_s: float | None = None


TurnUpdate = Turn | TurnResumed | TrackProgress
