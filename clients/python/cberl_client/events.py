"""Messages of an engine as frozen dataclasses with the fields of its JSON Schema (`/schema/events.json`).

Messages of newer engines are accepted: unknown fields are ignored, unknown types become `Unknown`.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from cberl_client.errors import ClientError


@dataclass(frozen=True, slots=True)
class Shift:
    """The speaker's emotion was `from_`, `turns_ago` of their turns ago, and has changed."""

    from_: str = field(metadata={"wire": "from"})
    turns_ago: int


@dataclass(frozen=True, slots=True)
class Influence:
    """An earlier utterance of the conversation. `weight`: by how much it has raised the logit of the emotion.

    A negative weight: it was against this emotion.
    """

    utterance: str
    weight: float


@dataclass(frozen=True, slots=True)
class EmotionEvent:
    """The emotion of one utterance. Fields in `_s` are seconds of the conversation's media time.

    `valence` and `arousal` are in -1..1. An `interim` event may be superseded; a `corrected` one replaces the event
    of the same `utterance` with a lower `revision`.
    """

    id: str
    seq: int
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
    backchannel: bool = False  # a short sign of listening, such as "mm-hm"
    revision: int = 0
    status: Literal["interim", "final", "corrected"] = "final"
    language: str | None = None  # of `text`, as an ISO 639 code; text in another language than English is unreliable
    vocal_events: tuple[str, ...] = ()  # laughter, crying, sigh, scream, panting, where the engine is sure
    missing: dict[str, str] = field(default_factory=dict)  # text, audio, visual or speaker, and why it has no result
    because: tuple[Influence, ...] = ()  # of finals, the largest weight first; empty unless the engine has `because` on
    modality_weights: dict[str, float] = field(default_factory=dict)  # the same for text, audio and visual of this turn


@dataclass(frozen=True, slots=True)
class ConversationStarted:
    id: str
    seq: int
    conversation: str


@dataclass(frozen=True, slots=True)
class ConversationEnded:
    id: str
    seq: int
    conversation: str


@dataclass(frozen=True, slots=True)
class SpeakerJoined:
    id: str
    seq: int
    conversation: str
    speaker: str


@dataclass(frozen=True, slots=True)
class SpeakerLeft:
    id: str
    seq: int
    conversation: str
    speaker: str


@dataclass(frozen=True, slots=True)
class SessionStats:
    """How far behind live the engine is, and what it dropped since the conversation started."""

    id: str
    seq: int
    conversation: str
    lag_s: float
    dropped_chunks: int = 0
    dropped_events: int = 0


@dataclass(frozen=True, slots=True)
class Disclosure:
    """Show `text` to the people in the conversation: recognition is running."""

    id: str
    seq: int
    conversation: str
    text: str
    locale: str = "en"  # of `text` (BCP 47)


@dataclass(frozen=True, slots=True)
class SpeakerState:
    """`current` is the speaker's latest event, or None before the first."""

    speaker: str
    present: bool
    current: EmotionEvent | None = None


@dataclass(frozen=True, slots=True)
class ChangeRule:
    """What the engine counts as a lasting change of emotion: see docs/mqtt.md."""

    confidence: float = 0.6
    turns: int = 2
    interval_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The current state, first message of a subscription. Event numbers continue only within one `numbering`."""

    conversation: str
    active: bool
    last_seq: int
    speakers: tuple[SpeakerState, ...] = ()
    numbering: str = ""
    change: ChangeRule = ChangeRule()


@dataclass(frozen=True, slots=True)
class Resync:
    """Events after `requested_seq` are lost: discard earlier state. A snapshot with the current state follows."""

    conversation: str
    requested_seq: int
    last_seq: int


@dataclass(frozen=True, slots=True)
class SessionStarted:
    """To a publisher: these tracks were accepted.

    With the key `resume`, if not "", another socket can continue the session after this many `messages`.
    """

    conversation: str
    tracks: tuple[str, ...]
    resume: str = ""
    messages: int = 0


@dataclass(frozen=True, slots=True)
class SessionReceived:
    """To a publisher: so many of its messages were received, and need not be sent again."""

    messages: int


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """To a publisher, as its last message: all events of its audio were sent.

    `gaps` is the number of gaps in its media time, `missing_s` their total length in seconds.
    """

    conversation: str
    received_s: float
    dropped_chunks: int
    gaps: int = 0
    missing_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Error:
    """`code` is for programs, `message` for users."""

    code: str
    message: str
    fatal: bool = False


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message of a type that this version does not know."""

    type: str
    body: dict[str, Any]

    @property
    def seq(self) -> int | None:
        seq = self.body.get("seq")
        return seq if isinstance(seq, int) else None


Event = EmotionEvent | ConversationStarted | ConversationEnded | SpeakerJoined | SpeakerLeft | SessionStats | Disclosure
Message = Event | Snapshot | Resync | SessionStarted | SessionReceived | SessionEnded | Error | Unknown
EVENTS: tuple[type[Event], ...] = get_args(Event)

TYPES: dict[str, Callable[..., Message]] = {
    "emotion": EmotionEvent,
    "conversation.started": ConversationStarted,
    "conversation.ended": ConversationEnded,
    "speaker.joined": SpeakerJoined,
    "speaker.left": SpeakerLeft,
    "session.stats": SessionStats,
    "disclosure": Disclosure,
    "snapshot": Snapshot,
    "resync": Resync,
    "session.started": SessionStarted,
    "session.received": SessionReceived,
    "session.ended": SessionEnded,
    "error": Error,
}


def decode(text: str | bytes) -> Message:
    """Parse one message. Raises ClientError where the text is not a message of an engine."""
    try:
        body = json.loads(text)
        name = body["type"]
        kind = TYPES.get(name)
        return _made(kind, body) if kind else Unknown(name, body)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ClientError(f"This is not a message of an engine: {error!r}.") from error


def _made(kind: Any, body: dict[str, Any]) -> Any:
    given = {}
    for it in fields(kind):
        name = it.metadata.get("wire", it.name)
        if name in body:
            given[it.name] = _INSIDE[it.name](body[name]) if it.name in _INSIDE else body[name]
    if any(type(given[name]) is not int or given[name] < 0 for name in _NUMBERS & given.keys()):
        raise ValueError(f"{', '.join(sorted(_NUMBERS))} are numbers from 0 on")
    return kind(**given)


def _state(body: dict[str, Any]) -> SpeakerState:
    # Events inside a snapshot are state and have no number.
    current = body.get("current")
    event = _made(EmotionEvent, {"id": "", "seq": 0} | current) if current else None
    return SpeakerState(body["speaker"], body["present"], event)


_NUMBERS = {"seq", "last_seq", "requested_seq"}  # a subscriber resumes by them
_INSIDE: dict[str, Callable[[Any], Any]] = {
    "shift": lambda body: _made(Shift, body) if body else None,
    "speakers": lambda states: tuple(map(_state, states)),
    "change": lambda body: _made(ChangeRule, body),
    "tracks": tuple,
    "vocal_events": tuple,
    "because": lambda bodies: tuple(_made(Influence, body) for body in bodies),
}
