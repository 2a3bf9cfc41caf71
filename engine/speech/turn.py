"""What turn detection yields: turns, and how far each track was analysed."""

from dataclasses import dataclass
from typing import Literal

from cberl.types import Float32
from engine.media import VideoFrame


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
class TurnResumed:
    """Whoever had perhaps ended this turn speaks on."""

    turn_id: int


@dataclass(frozen=True, slots=True)
class TrackProgress:
    """A track was heard up to `now_s`: no turn of it that is yet to come ends before `until_s`.

    But for one that is cut for its length. `speaking`: one is under way.
    """

    track: str
    now_s: float
    until_s: float
    speaking: bool = False


TurnUpdate = Turn | TurnResumed | TrackProgress
