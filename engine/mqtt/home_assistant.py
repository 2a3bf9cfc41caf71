"""Home Assistant's MQTT discovery: each speaker is a device with sensors for their emotion. Pure.

https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload
"""

import json
import re
import zlib

from engine.mqtt.topics import MqttMessage, Topics
from engine.store.outbox import OutboxRow


class HomeAssistant:
    """`prefix` is Home Assistant's discovery prefix, usually `homeassistant`."""

    def __init__(self, prefix: str, topics: Topics, state_expiry_s: float) -> None:
        self.birth_topic = f"{prefix}/status"
        self._prefix = prefix
        self._topics = topics
        self._state_expiry_s = state_expiry_s

    def discovery(self, row: OutboxRow) -> MqttMessage:
        """Announces this speaker, and how to read their topics."""
        text = json.dumps(self._payload(row), ensure_ascii=False, separators=(",", ":"))
        return MqttMessage(self._topic(row.conversation, row.speaker), text, retain=True)

    def removal(self, conversation: str, speaker: str) -> MqttMessage:
        """Makes Home Assistant remove this speaker."""
        return MqttMessage(self._topic(conversation, speaker), "", retain=True)

    def _topic(self, conversation: str, speaker: str) -> str:
        return f"{self._prefix}/device/{self._id(conversation, speaker)}/config"

    def _id(self, conversation: str, speaker: str) -> str:
        """Characters that are valid in a topic, and a checksum against collisions of names."""
        parts = (self._topics.prefix, self._topics.node, conversation, speaker)
        readable = "_".join(re.sub(r"[^a-zA-Z0-9_-]", "_", part) for part in parts)
        return f"{readable}_{zlib.crc32('/'.join(parts).encode()):08x}"

    def _payload(self, row: OutboxRow) -> dict[str, object]:
        device = self._id(row.conversation, row.speaker)
        state = self._topics.state(row.conversation, row.speaker)
        labels = list(json.loads(row.json)["probabilities"])
        common = {"state_topic": state, "expire_after": round(self._state_expiry_s)}
        number = common | {"platform": "sensor", "state_class": "measurement"}
        components: dict[str, dict[str, object]] = {
            "emotion": common
            | {
                "platform": "sensor",
                "name": "Emotion",
                "device_class": "enum",
                "options": labels,
                "value_template": "{{ value_json.emotion }}",
                "json_attributes_topic": state,
                "icon": "mdi:emoticon-outline",
            },
            "confidence": number
            | {
                "name": "Confidence",
                "unit_of_measurement": "%",
                "suggested_display_precision": 0,
                "value_template": "{{ 100 * value_json.confidence }}",
            },
            "valence": number | {"name": "Valence", "value_template": "{{ value_json.valence }}"},
            "arousal": number | {"name": "Arousal", "value_template": "{{ value_json.arousal }}"},
            "change": {
                "platform": "event",
                "name": "Change of emotion",
                "state_topic": self._topics.of(row.conversation, "change"),
                "event_types": labels,
                # One topic for all speakers of the conversation. Home Assistant ignores an empty payload.
                "value_template": "{% if value_json.speaker == " + json.dumps(row.speaker, ensure_ascii=False) + " %}"
                '{"event_type": "{{ value_json.emotion }}", "previous": "{{ value_json.previous }}"}{% endif %}',
            },
        }
        for name, component in components.items():
            component["unique_id"] = f"{device}_{name}"
        return {
            "device": {
                "identifiers": [device],
                "name": f"{row.speaker} in {row.conversation}",
                "manufacturer": "CBERL Engine",
                "model": "Emotion recognition in conversations",
            },
            "origin": {"name": "cberl-engine"},
            "components": components,
            "availability_topic": self._topics.status,
            "payload_available": "online",
            "payload_not_available": "offline",
            "qos": 1,
        }
