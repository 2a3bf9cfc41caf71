"""Payloads have only keys that Home Assistant documents; it refuses devices and ignores entities with others.

Keys from https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload, /integrations/sensor.mqtt/ and
/integrations/event.mqtt/.
"""

import asyncio
import json
import re

import aiomqtt

from engine.config import Settings
from engine.delivery.wire import encode
from engine.mqtt.home_assistant import HomeAssistant
from engine.mqtt.topics import Topics
from engine.server.sinks import open_event_sinks
from engine.store.outbox import OutboxRow
from testing.events import emotion
from testing.mosquitto import mosquitto, needs_mosquitto, watching

AVAILABILITY = {
    "availability", "availability_mode", "availability_template", "availability_topic", "payload_available",
    "payload_not_available",
}  # fmt: skip
ROOT = AVAILABILITY | {"device", "components", "origin", "state_topic", "command_topic", "qos", "encoding"}
DEVICE = {
    "identifiers", "connections", "manufacturer", "model", "model_id", "name", "hw_version", "serial_number",
    "suggested_area", "sw_version", "via_device", "configuration_url",
}  # fmt: skip
ORIGIN = {"name", "sw_version", "support_url"}
ENTITY = AVAILABILITY | {
    "platform", "enabled_by_default", "encoding", "entity_category", "entity_picture", "icon",
    "json_attributes_template", "json_attributes_topic", "name", "qos", "unique_id", "value_template", "state_topic",
    "device_class",
}  # fmt: skip
SENSOR = ENTITY | {
    "expire_after", "force_update", "last_reset_value_template", "options", "suggested_display_precision",
    "state_class", "unit_of_measurement",
}  # fmt: skip
EVENT = ENTITY | {"event_types"}


def row(speaker="alice", conversation="living room"):
    event = emotion(1, speaker=speaker, conversation=conversation)
    return OutboxRow(1, 0.0, "current", "id", conversation, speaker, encode(event, 1))


def check(message):
    assert re.fullmatch(r"homeassistant/device/[a-zA-Z0-9_-]+/config", message.topic)
    body = json.loads(message.payload)
    assert body.keys() <= ROOT
    assert {"device", "components", "origin"} <= body.keys()
    assert body["device"].keys() <= DEVICE
    assert body["device"]["identifiers"]
    assert {"name"} <= body["origin"].keys() <= ORIGIN
    for component in body["components"].values():
        known = {"sensor": SENSOR, "event": EVENT}[component["platform"]]
        assert {"platform", "unique_id", "state_topic"} <= component.keys() <= known
    emotions = body["components"]["emotion"]
    assert (emotions["device_class"], emotions["options"]) == ("enum", ["neutral", "joy"])
    assert "state_class" not in emotions  # not allowed for an enum
    assert "unit_of_measurement" not in emotions
    assert body["components"]["change"]["event_types"] == emotions["options"]
    return body


def test_discovery_has_the_keys_that_home_assistant_documents():
    home = HomeAssistant("homeassistant", Topics("cberl", "engine"), 600.0)
    bodies = [check(home.discovery(row(*who))) for who in [(), ("bob",), ("Zoë",), ("Zo_",), ("alice", "kitchen")]]
    ids = [component["unique_id"] for body in bodies for component in body["components"].values()]
    assert len(set(ids)) == len(ids)
    assert home.removal("living room", "alice").topic == home.discovery(row()).topic
    assert home.removal("living room", "alice").payload == ""


@needs_mosquitto
def test_discovery_is_sent_again_at_birth_and_removed_with_the_conversation(tmp_path):
    async def main():
        async with (
            mosquitto(tmp_path) as broker,
            watching(broker, "homeassistant/device/#") as home,
            open_event_sinks(Settings(mqtt=broker.url, home_assistant="homeassistant")) as sinks,
        ):
            sinks.hub.publish(emotion(1))
            sinks.hub.publish(emotion(2))
            await home.until(lambda it: len(it.messages) == 1)
            async with aiomqtt.Client("127.0.0.1", broker.port) as assistant:
                await assistant.publish("homeassistant/status", "online", qos=1)
            await home.until(lambda it: len(it.messages) == 2)
            assert home.messages[0].payload == home.messages[1].payload
            sinks.hub.close("demo")
            assert len(broker.retained("cberl/demo/#")) == 1
            await sinks.forget("demo")
            await home.until(lambda it: len(it.messages) == 3)
            assert (home.messages[2].topic, home.messages[2].payload) == (home.messages[0].topic, b"")
            assert broker.retained("cberl/demo/#") == {}

    asyncio.run(main())
