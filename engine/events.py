"""The messages that the engine sends: emotion events and notices. `delivery/wire.py` encodes them."""

from dataclasses import dataclass, field
from typing import Literal

from engine.disclosure import TEXTS


@dataclass(frozen=True, slots=True)
class Shift:
    """A change of the speaker's emotion. `turns_ago` of their turns before this one it was `from_`."""

    from_: str = field(metadata={"alias": "from"})  # its name on the wire
    turns_ago: int


@dataclass(frozen=True, slots=True)
class Influence:
    """An earlier utterance, and by how much it has raised the logit of this one's emotion; negative: lowered."""

    utterance: str
    weight: float


Missing = Literal["timeout", "out_of_memory", "failed"]  # why a model has no result


@dataclass(frozen=True, slots=True)
class EmotionEvent:
    """The result for one utterance. The fields are those on the wire; the hub adds `seq` and `id`."""

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
    backchannel: bool = False  # such as "mm-hm": the speaker listens and does not take the turn
    revision: int = 0
    status: Literal["interim", "final", "corrected"] = "final"
    language: str | None = None  # of `text`, as an ISO 639 code; the text encoder reads English
    vocal_events: tuple[str, ...] = ()  # such as "laughter", where the audio encoder is sure
    missing: dict[str, Missing] = field(default_factory=dict)  # text, audio, visual, speaker: left out by a fault
    because: tuple[Influence, ...] = ()  # what moved a final, the most first; empty where the setting is off
    modality_weights: dict[str, float] = field(default_factory=dict)  # the same for those of this turn, if several


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
    """Load of a conversation: seconds behind live, chunks dropped since it started, and events dropped because the
    present subscribers were too slow."""

    conversation: str
    lag_s: float
    dropped_chunks: int = 0
    dropped_events: int = 0


@dataclass(frozen=True, slots=True)
class Disclosure:
    """Recognition is running: to be shown to the people in the conversation (EU AI Act, Art. 50(3))."""

    conversation: str
    text: str = TEXTS["en"]
    locale: str = "en"  # of `text` (BCP 47)


@dataclass(frozen=True, slots=True)
class SpeakerState:
    """`current` is the speaker's latest final or corrected event, or None before the first."""

    speaker: str
    present: bool
    current: EmotionEvent | None = None


@dataclass(frozen=True, slots=True)
class ChangeRule:
    """Which changes of a speaker's emotion are lasting, by the settings of the engine.

    A new emotion is a change at once at this `confidence`, otherwise after this many `turns` in a row. A speaker
    changes at most once per `interval_s` of media time. A change that persists after that counts then.
    """

    confidence: float = 0.6
    turns: int = 2
    interval_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The first message of every subscription. The events that follow have `seq` > `last_seq`, or are a replay.

    Sequence numbers continue within one `numbering`. An engine without an event log begins a new one at every start;
    a subscriber that resumes under another numbering must request everything again.
    """

    conversation: str
    active: bool
    last_seq: int
    speakers: tuple[SpeakerState, ...] = ()
    numbering: str = ""
    change: ChangeRule = ChangeRule()


@dataclass(frozen=True, slots=True)
class Resync:
    """Some events after `requested_seq` are no longer available: discard your state, and continue from `last_seq`.

    All events that are still available follow.
    """

    conversation: str
    requested_seq: int
    last_seq: int


@dataclass(frozen=True, slots=True)
class SessionStarted:
    """To one publisher: these tracks were accepted.

    `resume` is the key with which another socket continues a session that started with `resumable`; else "". `messages`
    is as in `SessionReceived`: what a resumed session sends first is the message after these.
    """

    conversation: str
    tracks: tuple[str, ...]
    resume: str = ""
    messages: int = 0


@dataclass(frozen=True, slots=True)
class SessionReceived:
    """To the publisher of a resumable session, now and then: so many of its messages after session.start were received.

    These need not be sent again.
    """

    messages: int


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """To one publisher, as its last message: every event of its media has been sent.

    `gaps` counts the stretches of media time without audio, `missing_s` is their total.
    """

    conversation: str
    received_s: float
    dropped_chunks: int
    gaps: int = 0
    missing_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Error:
    """`code` is for programs, `message` for people. After a fatal error the socket closes."""

    code: str
    message: str
    fatal: bool = False


# Numbered by `seq`, kept for replay, and sent to every subscriber of the conversation.
Event = EmotionEvent | ConversationStarted | ConversationEnded | SpeakerJoined | SpeakerLeft | SessionStats | Disclosure
# Sent to one socket only.
Notice = Snapshot | Resync | SessionStarted | SessionReceived | SessionEnded | Error
