"""The values that go out: emotion events and the other messages of the wire (encoded by `delivery/wire.py`)."""

from dataclasses import dataclass, field
from typing import Literal


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
    language: str | None = None  # of `text`, as an ISO 639 code; the text encoder reads English


@dataclass(frozen=True, slots=True)
class ConversationStarted:
    conversation: str


@dataclass(frozen=True, slots=True)
class ConversationEnded:
    conversation: str


@dataclass(frozen=True, slots=True)
class SpeakerJoined:
    conversation: str
    speaker: str


@dataclass(frozen=True, slots=True)
class SpeakerLeft:
    conversation: str
    speaker: str


@dataclass(frozen=True, slots=True)
class SessionStats:
    """How a conversation is doing: how far behind live, the chunks dropped since it started, and the events that those
    who listen now were too slow for."""

    conversation: str
    lag_s: float
    dropped_chunks: int = 0
    dropped_events: int = 0


@dataclass(frozen=True, slots=True)
class Disclosure:
    """Recognition is running: to be shown to the people in the conversation (EU AI Act, Art. 50(3))."""

    conversation: str
    text: str = "Emotion recognition is running in this conversation."


@dataclass(frozen=True, slots=True)
class SpeakerState:
    """`current` is the speaker's latest final or corrected event, or None before the first."""

    speaker: str
    present: bool
    current: EmotionEvent | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The first message of every subscription. What follows has `seq` > `last_seq`, or is a replay.

    Numbers count on only within one `numbering`: an engine without an event log begins another when it starts. Who
    comes back to another one asks for everything again.
    """

    conversation: str
    active: bool
    last_seq: int
    speakers: tuple[SpeakerState, ...] = ()
    numbering: str = ""


@dataclass(frozen=True, slots=True)
class Resync:
    """Not all events after `requested_seq` are here: forget what you had, and count on from `last_seq`.

    All that are still here follow.
    """

    conversation: str
    requested_seq: int
    last_seq: int


@dataclass(frozen=True, slots=True)
class SessionStarted:
    """To one publisher: these tracks were accepted."""

    conversation: str
    tracks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """To one publisher, as its last message: every event of its media has been sent.

    `gaps` says how often media time went on without sound, `missing_s` how much of it, all in all.
    """

    conversation: str
    received_s: float
    dropped_chunks: int
    gaps: int = 0
    missing_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Error:
    """`code` is for programs, `message` for people. After a fatal one the socket closes."""

    code: str
    message: str
    fatal: bool = False


# Given a `seq`, kept for replay, and sent to everybody in the conversation.
Event = EmotionEvent | ConversationStarted | ConversationEnded | SpeakerJoined | SpeakerLeft | SessionStats | Disclosure
# Sent on one socket alone.
Notice = Snapshot | Resync | SessionStarted | SessionEnded | Error
