"""Messages to a real broker, and those that it refuses."""

import asyncio
import gc

import aiomqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from engine.config import Settings
from engine.mqtt.client import MqttClient, pack
from engine.mqtt.topics import MqttMessage
from engine.server.sinks import open_event_sinks
from testing.events import emotion
from testing.mosquitto import mosquitto, needs_mosquitto, until_all, watching

# Mosquitto 2.0.11 disconnects after a refusal if its queue has no limit.
SETTINGS = "allow_anonymous true\nacl_file {folder}/acl\nmax_queued_messages 1000"


@pytest.mark.parametrize("value", ["", "ä" * 10, "x" * 110, "x" * 20_000])
def test_properties_are_packed_as_by_paho(value):
    message = MqttMessage("a/b", "{}", expiry_s=86_400, properties=(("id", value), ("größe", "1")))
    expected = Properties(PacketTypes.PUBLISH)
    expected.PayloadFormatIndicator = 1
    expected.ContentType = "application/json"
    expected.MessageExpiryInterval = 86_400
    expected.UserProperty = [("id", value), ("größe", "1")]
    read, wanted = (Properties(PacketTypes.PUBLISH) for _ in range(2))
    read.unpack(pack(message))
    wanted.unpack(expected.pack())
    assert read.json() == wanted.json()
    assert len(pack(message)) == len(expected.pack())
    assert pack(MqttMessage("a/b", "")) == Properties(PacketTypes.PUBLISH).pack()


@needs_mosquitto
def test_messages_refused_by_an_access_list_are_logged_once_counted_and_delay_nothing(tmp_path, caplog):
    folder = tmp_path / "broker"
    folder.mkdir()
    (folder / "acl").write_text(
        "topic read #\ntopic write cberl/engine/status\ntopic write cberl/+/utterance\ntopic write cberl/+/change\n"
    )

    async def main():
        async with (
            mosquitto(folder, SETTINGS.format(folder=folder)) as broker,
            watching(broker) as watcher,
            open_event_sinks(Settings(mqtt=broker.url)) as sinks,
        ):
            for number in range(1, 4):
                sinks.hub.publish(emotion(number))
                await watcher.until(lambda it, number=number: len(it.of("utterance")) == number)
            await until_all(sinks, lambda it: not it["waiting"])
            assert watcher.of("state") == []
            return sinks.status()["brokers"][f"127.0.0.1:{broker.port}"]

    status = asyncio.run(main())
    assert status["connected"]
    assert status["dropped"] == 0
    assert 1 <= status["refused"] <= 3  # states of one speaker; a newer one may replace an earlier one
    logged = [it.getMessage() for it in caplog.records if "refuses" in it.getMessage()]
    assert len(logged) == 1
    assert logged[0].endswith("refuses what is sent to cberl/demo/alice/state: Not authorized")


@needs_mosquitto
def test_waiting_for_a_broker_that_dies_fails_at_once_and_leaves_no_exception_behind(tmp_path, caplog):
    async def main():
        async with mosquitto(tmp_path) as broker:
            client = MqttClient("127.0.0.1", broker.port, protocol=aiomqtt.ProtocolVersion.V5, timeout=3_600)
            async with client:
                assert await client.send([MqttMessage("a", "1")]) == []
                broker.freeze()
                sending = asyncio.create_task(client.send([MqttMessage("a", "2")]))
                await asyncio.sleep(0)  # it is sent
                await broker.kill()
                with pytest.raises(aiomqtt.MqttError, match="connection was lost before the broker had answered"):
                    await sending

    asyncio.run(main())
    gc.collect()
    assert "never retrieved" not in caplog.text
