"""The wire contract for other programs, generated from the code: JSON Schema, AsyncAPI 3, and types of TypeScript.

    python -m engine.server.contract      rewrites docs/asyncapi.json, docs/schema/events.json and the types of the SDK

The server serves the first two at `/asyncapi.json` and `/schema/events.json`.
"""

import json
from pathlib import Path
from typing import Any, get_args

from pydantic import TypeAdapter

from engine.config import Settings
from engine.delivery.wire import TYPES, json_schema
from engine.events import Event, Resync, Snapshot
from engine.ingest.tracks import TrackSpec
from engine.mqtt.topics import Topics
from engine.server.calls import CALLER_KEY
from engine.server.typescript import declarations
from engine.store.outbox import WebhookKind
from engine.webhooks.feed import TYPES as WEBHOOK_TYPES

VERSION = "0.1.0"  # of the messages
ROOT = Path(__file__).resolve().parents[2]
_SUBSCRIBER = {"error"} | {name for name, kind in TYPES.items() if kind in (*get_args(Event), Snapshot, Resync)}
_WEBHOOK_DATA: dict[WebhookKind, str] = {  # what the messages of webhooks are about
    "webhook.final": "emotion", "webhook.change": "change", "webhook.ended": "conversation.ended",
}  # fmt: skip
_COMMON = {"contentType": "application/json"}


def asyncapi() -> dict[str, Any]:
    """AsyncAPI 3.0 of both sockets, of the MQTT topics with their default names, and of webhooks."""
    defaults = Settings.model_fields
    topics = Topics(defaults["mqtt_prefix"].default, defaults["mqtt_node"].default)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "CBERL Engine",
            "version": VERSION,
            "description": "Audio in, emotion events out. Ignore unknown fields and types: releases may add some.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "engine": {"host": f"127.0.0.1:{defaults['port'].default}", "protocol": "ws"},
            "broker": {"host": "localhost:1883", "protocol": "mqtt", "protocolVersion": "5"},
            "receiver": {"host": "hooks.example", "protocol": "https"},
        },
        "channels": _sockets() | _topics(topics) | _webhook(),
        "operations": _operations(),
        "components": {"schemas": _schemas(), "messages": _messages()},
    }


def _sockets() -> dict[str, Any]:
    conversation = {"conversation": {"type": "string", "minLength": 1, "maxLength": 64}}
    key = {"type": "string", "pattern": f"^{CALLER_KEY.pattern}$"}
    resume = {"resume_from_seq": {"type": "integer", "minimum": 0}}
    return {
        "events": _socket(
            "/events", "A snapshot, then every event after resume_from_seq. `*` means all conversations, live only.",
            conversation | resume, sorted(_SUBSCRIBER),
        ),
        "ingest": _socket(
            "/ingest", "session.start, then frames of audio, then session.end. Events are sent back.",
            conversation, [*TYPES, "session.start", "session.end", "frame"],
        ),
        "call": _socket(
            "/signal", "Of a video call: who is in it, and messages from one browser to another.",
            conversation | {"name": {"type": "string"}, "key": key},
            [*_calls(), "error"],
        ),
    }  # fmt: skip


def _calls() -> dict[str, Any]:
    """The messages of video calls. The last is what a browser sends, of which the engine makes the one before."""
    text, anything = {"type": "string"}, {"type": "object"}
    person = {"type": "object", "properties": {"id": text, "name": text}, "required": ["id", "name"]}
    return {
        "call.people": _object("call.people", conversation=text, people={"type": "array", "items": person}, you=text),
        "call.signal": _object("call.signal", **{"from": text, "data": anything}),
        "call.signal.to": _object("call.signal", to=text, data=anything),
    }


def _socket(address: str, description: str, query: dict[str, Any], messages: list[str]) -> dict[str, Any]:
    asked = {"type": "object", "properties": query, "required": ["conversation"]}
    return _channel("engine", address, description, messages) | {"bindings": {"ws": {"method": "GET", "query": asked}}}


def _topics(topics: Topics) -> dict[str, Any]:
    def topic(address: str, description: str, message: str) -> dict[str, Any]:
        names: dict[str, Any] = {name: {} for name in ("conversation", "speaker") if f"{{{name}}}" in address}
        return _channel("broker", address, description, [message]) | ({"parameters": names} if names else {})

    each = "{conversation}"
    return {
        "state": topic(topics.state(each, "{speaker}"), "Retained: the latest event of this speaker.", "emotion"),
        "utterance": topic(topics.of(each, "utterance"), "Every final and corrected event.", "emotion"),
        "change": topic(topics.of(each, "change"), "An event that changed its speaker's emotion.", "change"),
        "status": topic(topics.status, "Retained: online, or offline (also by last will).", "status"),
    }


def _webhook() -> dict[str, Any]:
    about = "The path of the setting webhook. Requests are signed as Standard Webhooks are."
    return {"webhook": _channel("receiver", "/", about, list(_WEBHOOK_DATA))}


def _channel(server: str, address: str, description: str, messages: list[str]) -> dict[str, Any]:
    return {
        "address": address,
        "description": description,
        "servers": [{"$ref": f"#/servers/{server}"}],
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
    }


def _operations() -> dict[str, Any]:
    """From the point of view of the engine."""
    topics = _topics(Topics("", ""))
    return {
        **{name: {"action": "send", "channel": {"$ref": f"#/channels/{name}"}} for name in topics},
        "events": _operation("send", "events", _SUBSCRIBER),
        "ingest": _operation("send", "ingest", set(TYPES)),
        "webhook": _operation("send", "webhook", set(_WEBHOOK_DATA)) | {"bindings": {"http": {"method": "POST"}}},
        "call": _operation("send", "call", {"call.people", "call.signal", "error"}),
        "signal": _operation("receive", "call", {"call.signal.to"}),
        "publish": _operation("receive", "ingest", {"session.start", "session.end", "frame"}),
    }


def _operation(action: str, channel: str, messages: set[str]) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in sorted(messages)],
    }


def _messages() -> dict[str, Any]:
    of_type = [*TYPES, "session.start", "session.end", "change", *_calls()]
    headers = {name: {"type": "string"} for name in ("webhook-id", "webhook-timestamp", "webhook-signature")}
    signed = _COMMON | {"headers": {"type": "object", "properties": headers, "required": list(headers)}}
    return {
        **{name: _COMMON | {"payload": {"$ref": f"#/components/schemas/{name}"}} for name in of_type},
        **{name: signed | {"payload": {"$ref": f"#/components/schemas/{name}"}} for name in _WEBHOOK_DATA},
        "status": {"contentType": "text/plain", "payload": {"type": "string", "enum": ["online", "offline"]}},
        "frame": {
            "contentType": "application/octet-stream",
            "description": "Little-endian: version 1 (uint8), length of the track id (uint8), track id (UTF-8), "
            "media time in seconds (float64), samples (int16, mono).",
            "payload": {"type": "string", "format": "binary"},
        },
    }


def _schemas() -> dict[str, Any]:
    emotion = json_schema()["$defs"]["emotion"]
    change = {
        "properties": emotion["properties"] | {"previous": {"type": "string", "description": "The previous emotion."}},
        "required": [*emotion["required"], "previous"],
    }
    tracks = TypeAdapter(list[TrackSpec]).json_schema(ref_template="#/components/schemas/{model}")
    definitions = json_schema()["$defs"] | tracks.pop("$defs") | {
        "session.start": _object("session.start", tracks={**tracks, "minItems": 1}),
        "session.end": _object("session.end"),
        "change": emotion | change,
    } | _calls() | {name: _webhook_message(name, data) for name, data in _WEBHOOK_DATA.items()}  # fmt: skip
    text = json.dumps(definitions).replace('"#/$defs/', '"#/components/schemas/')
    relocated: dict[str, Any] = json.loads(text)
    return relocated


def _webhook_message(name: WebhookKind, data: str) -> dict[str, Any]:
    at = {"type": "string", "format": "date-time"}
    return _object(WEBHOOK_TYPES[name], timestamp=at, data={"$ref": f"#/components/schemas/{data}"})


def _object(name: str, **properties: Any) -> dict[str, Any]:
    fields = {"type": {"const": name}, **properties}
    return {"type": "object", "properties": fields, "required": list(fields)}


def documents() -> dict[Path, str]:
    """The files and their contents."""
    found = {"docs/asyncapi.json": asyncapi(), "docs/schema/events.json": json_schema()}
    texts = {path: json.dumps(document, indent=1, ensure_ascii=False) + "\n" for path, document in found.items()}
    texts["clients/sdk/events.d.ts"] = declarations(json_schema())
    return {ROOT / path: text for path, text in texts.items()}


if __name__ == "__main__":
    for path, text in documents().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(path)
