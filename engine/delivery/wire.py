"""The wire format: one JSON object per WebSocket text frame, distinguished by `type`.

The dataclasses in `engine/events.py` are the only definition: encoding, decoding and the JSON Schema follow from them.
Events have a `seq`; notices, which are sent to one socket only, have none.
"""

from collections.abc import Mapping
from functools import cache, cached_property
from math import isfinite
from typing import Any, get_args

import pydantic_core
from pydantic import TypeAdapter, ValidationError

from engine.events import (
    ConversationEnded,
    ConversationStarted,
    Disclosure,
    EmotionEvent,
    Error,
    Event,
    Notice,
    Resync,
    SessionEnded,
    SessionReceived,
    SessionStarted,
    SessionStats,
    Snapshot,
    SpeakerJoined,
    SpeakerLeft,
)

Message = Event | Notice

TYPES: dict[str, type[Message]] = {
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
_NAMES = {kind: name for name, kind in TYPES.items()}
_SEQUENCED = frozenset(get_args(Event))


class WireError(ValueError):
    """A text that is not a message of this wire format."""


def event_id(conversation: str, seq: int, run: str) -> str:
    """The same in every sink, and unique: `run` distinguishes the runs of an engine."""
    return f"{conversation}/{seq}@{run}"


def message_type(message: Message) -> str:
    """Its `type` on the wire."""
    return _NAMES[type(message)]


def encode(message: Message, seq: int | None = None, run: str = "0") -> str:
    """One line of JSON. Events need a `seq` of 1 or more, notices have none.

    Raises ValueError where a float is not finite.
    """
    return to_json(to_body(message, seq, run))


def to_body(message: Message, seq: int | None = None, run: str = "0") -> dict[str, Any]:
    """The fields of a message in their order on the wire, ready for JSON and rounded.

    Raises ValueError where a float is not finite.
    """
    sequenced = type(message) in _SEQUENCED
    if sequenced != (seq is not None):
        raise ValueError(f"{type(message).__name__} {'needs a' if sequenced else 'has no'} seq")
    name = _NAMES[type(message)]
    head: dict[str, Any] = {"type": name}
    if seq is not None:
        head |= {"id": event_id(message.conversation, seq, run), "seq": seq}  # type: ignore[union-attr]
    body = _adapter(name).dump_python(message, mode="json", by_alias=True)
    return head | _rounded(body)  # type: ignore[no-any-return]


def to_json(body: Mapping[str, Any]) -> str:
    """One line of JSON, without spaces. Its floats must be finite, as those of `to_body` are."""
    return pydantic_core.to_json(body).decode()


class EncodedEvent:
    """One event, encoded once for all sinks. Those that must not keep words take it without them.

    `key`: a newer event of the same conversation and key supersedes this one. None for events that must arrive.
    """

    def __init__(self, event: Event, seq: int, run: str) -> None:
        self.event = event
        self.seq = seq
        self.key = _superseded_by(event)
        self._body = to_body(event, seq, run)
        self.json = to_json(self._body)

    @property
    def id(self) -> str:
        """See `event_id`."""
        return str(self._body["id"])

    @cached_property
    def json_without_text(self) -> str:
        return to_json(self.body(with_text=False))

    def body(self, *, with_text: bool) -> dict[str, Any]:
        """A copy of its fields. `text` is None where it is left out."""
        return dict(self._body) if with_text else _without_words(self._body)


def without_text(encoded: str) -> str:
    """An event as JSON, without the words."""
    return to_json(_without_words(pydantic_core.from_json(encoded)))


def _without_words(body: dict[str, Any]) -> dict[str, Any]:
    """Emotion events alone have what people said; the text of a disclosure stays."""
    return body | ({"text": None} if body["type"] == "emotion" else {})


def _superseded_by(event: Event) -> str | None:
    if isinstance(event, EmotionEvent) and event.status == "interim":
        return f"interim/{event.speaker}"
    return "stats" if isinstance(event, SessionStats) else None


def decode(text: str | bytes) -> tuple[int | None, Message]:
    """`(seq, message)`, the reverse of `encode`; seq is None for a notice. Unknown fields are ignored.

    Raises WireError.
    """
    try:
        body = pydantic_core.from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise WireError(f"not JSON: {error}") from error
    name = body.get("type") if isinstance(body, dict) else None
    if not isinstance(name, str) or name not in TYPES:
        raise WireError(f"a message is a JSON object whose type is one of {', '.join(TYPES)}")
    seq = body.get("seq") if TYPES[name] in _SEQUENCED else None
    if TYPES[name] in _SEQUENCED and (type(seq) is not int or seq < 1):
        raise WireError(f"{name} needs a seq of 1 or more")
    try:
        message: Message = _adapter(name).validate_python(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise WireError(f"{name}: {where}: {first['msg']}") from error
    return seq, message


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of every message that a socket of this server may send."""
    definitions: dict[str, Any] = {}
    for name, kind in TYPES.items():
        schema = _adapter(name).json_schema(mode="serialization", ref_template="#/$defs/{model}")
        definitions |= schema.pop("$defs", {})
        head: dict[str, Any] = {"type": {"const": name}}
        if kind in _SEQUENCED:
            head |= {"id": {"type": "string"}, "seq": {"type": "integer", "minimum": 1}}
        schema["properties"] = head | schema["properties"]
        schema["required"] = [*head, *schema["required"]]
        definitions[name] = schema
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Messages that this server sends on its sockets",
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in TYPES],
        "$defs": definitions,
    }


@cache
def _adapter(name: str) -> TypeAdapter[Any]:
    return TypeAdapter(TYPES[name])


def _digits(key: str, inherited: int) -> int:
    return 1 if key.endswith("_ms") else 3 if key.endswith("_s") else inherited


def _rounded(value: Any, digits: int = 4) -> Any:
    """Rounds seconds to milliseconds, milliseconds to a tenth, all else to 4 digits. Nested values follow their key."""
    if isinstance(value, dict):
        return {key: _rounded(inner, _digits(key, digits)) for key, inner in value.items()}
    if isinstance(value, list):
        return [_rounded(inner, digits) for inner in value]
    if not isinstance(value, float):
        return value
    if not isfinite(value):
        raise ValueError(f"JSON has no number {value}")
    return round(value, digits)
