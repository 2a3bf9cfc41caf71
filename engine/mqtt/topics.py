"""Which message goes to which topic, with which properties. Pure.

    {prefix}/{node}/status                  retained: online, or offline (last will)
    {prefix}/{conversation}/{speaker}/state retained: the speaker's latest event
    {prefix}/{conversation}/utterance       every final and corrected event
    {prefix}/{conversation}/change          an event that changed its speaker's emotion, with `previous`
    {prefix}/{node}/control                 commands to the engine

A payload is the event's JSON. Attributes of CloudEvents 1.0 are user properties (its MQTT binding, binary mode).
An event that waited for its broker, or is late for another reason, has `"historical":true` in its payload and as a user
property.
"""

import logging
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from pydantic_core import from_json

from engine.delivery.wire import to_json
from engine.store.outbox import OutboxRow

CHANGE_EXPIRY_S = 60.0  # an automation must not act on an old change
LATE_S = 10.0  # an event sent this late is historical, though its broker was connected all the time
JSON = "application/json"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MqttMessage:
    """Sent with QoS 1. An empty payload removes a retained message."""

    topic: str
    payload: str
    retain: bool = False
    expiry_s: int | None = None
    content_type: str = JSON
    properties: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one engine."""

    prefix: str
    node: str

    @property
    def status(self) -> str:
        return f"{self.prefix}/{self.node}/status"

    @property
    def control(self) -> str:
        return f"{self.prefix}/{self.node}/control"

    def state(self, conversation: str, speaker: str) -> str:
        return f"{self.prefix}/{level(conversation)}/{level(speaker)}/state"

    def of(self, conversation: str, kind: Literal["utterance", "change"]) -> str:
        return f"{self.prefix}/{level(conversation)}/{kind}"


def level(name: str) -> str:
    """A name as one level of a topic. Names of conversations and speakers are valid levels unchanged."""
    return re.sub(r"[/+#\x00-\x1f\x7f-\x9f]", "_", name)


class Messages:
    """Converts rows to messages. `now_s` is wall clock. A message that has expired, or cannot be read, is None."""

    def __init__(self, topics: Topics, expiry_s: float, state_expiry_s: float) -> None:
        self.topics = topics
        self._expiry_s = expiry_s
        self._state_expiry_s = state_expiry_s

    def status(self, online: bool) -> MqttMessage:
        text = "online" if online else "offline"
        return MqttMessage(self.topics.status, text, retain=True, content_type="text/plain")

    def state(self, row: OutboxRow, now_s: float) -> MqttMessage | None:
        return self._message(self.topics.state(row.conversation, row.speaker), row, now_s, self._state_expiry_s, True)

    def no_state(self, conversation: str, speaker: str) -> MqttMessage:
        return MqttMessage(self.topics.state(conversation, speaker), "", retain=True)

    def event(self, row: OutboxRow, now_s: float, historical: bool) -> MqttMessage | None:
        if row.kind == "change":
            topic, expiry_s = self.topics.of(row.conversation, "change"), CHANGE_EXPIRY_S
        else:
            topic, expiry_s = self.topics.of(row.conversation, "utterance"), self._expiry_s
        return self._message(topic, row, now_s, expiry_s, False, historical or now_s - row.at_s >= LATE_S)

    def _message(
        self, topic: str, row: OutboxRow, now_s: float, expiry_s: float, retain: bool, historical: bool = False
    ) -> MqttMessage | None:
        left_s = row.at_s + expiry_s - now_s
        if left_s <= 0:
            return None
        properties = self._cloud_event(row)
        payload = row.json
        if historical:
            try:
                payload = to_json(from_json(payload) | {"historical": True})
            except (TypeError, ValueError) as error:  # a damaged file
                log.error("an event of %s was not sent: it cannot be read: %s", row.conversation, error)
                return None
            properties += (("historical", "true"),)
        return MqttMessage(topic, payload, retain, max(1, round(left_s)), JSON, properties)

    def _cloud_event(self, row: OutboxRow) -> tuple[tuple[str, str], ...]:
        kind = "change" if row.kind == "change" else "emotion"
        return (
            ("specversion", "1.0"),
            ("id", row.id),
            ("source", f"/{self.topics.prefix}/{self.topics.node}"),
            ("type", f"cberl.{kind}"),
            ("time", datetime.fromtimestamp(row.at_s, UTC).isoformat(timespec="milliseconds")),
        )
