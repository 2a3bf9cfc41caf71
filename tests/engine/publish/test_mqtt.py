"""A real broker, and an engine's outlets that publish to it."""

import asyncio
import json
from itertools import pairwise

import aiomqtt
import pytest

from engine.config import Settings
from engine.publish.mqtt_broker import Backoff
from engine.publish.outlets import open_outlets
from tests.engine.publish.events import emotion
from tests.engine.publish.mosquitto import distinct, mosquitto, needs_mosquitto, watching

pytestmark = needs_mosquitto


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setattr(Backoff.__init__, "__defaults__", (0.05, 0.2))


def statuses(subscriber):
    return [it.payload for it in subscriber.messages if it.topic.value.endswith("/status")]


async def online(subscriber):
    await subscriber.until(lambda it: b"online" in statuses(it))


def test_topics_properties_and_retained_state(tmp_path):
    async def main():
        async with mosquitto(tmp_path) as broker, watching(broker) as watcher:
            settings = Settings(mqtt=broker.url, mqtt_text=True)
            async with open_outlets(settings) as outlets:
                await online(watcher)
                outlets.hub.publish(emotion(1, status="interim"))
                outlets.hub.publish(emotion(1, emotion="anger"))
                await watcher.until(lambda it: it.of("change"))
            await watcher.until(lambda it: it.messages[-1].payload == b"offline")
            status, state, utterance, change, _ = watcher.messages
            assert (status.topic.value, status.payload) == ("cberl/engine/status", b"online")
            assert state.topic.value == "cberl/demo/alice/state"
            assert utterance.topic.value == "cberl/demo/utterance"
            assert change.topic.value == "cberl/demo/change"
            body = json.loads(utterance.payload)
            assert json.loads(state.payload) == body
            assert json.loads(change.payload) == body | {"previous": "neutral"}
            assert (body["type"], body["seq"], body["text"], body["status"]) == ("emotion", 3, "words 1", "final")
            assert (utterance.qos, utterance.properties.ContentType) == (1, "application/json")
            assert utterance.properties.PayloadFormatIndicator == 1
            assert 86_390 < utterance.properties.MessageExpiryInterval <= 86_400
            assert 590 < state.properties.MessageExpiryInterval <= 600
            told = dict(utterance.properties.UserProperty)
            assert told.pop("time").endswith("+00:00")
            assert told == {
                "specversion": "1.0", "id": body["id"], "source": "/cberl/engine", "type": "cberl.emotion",
            }  # fmt: skip
            retained = broker.retained("cberl/#")
            assert retained.keys() == {"cberl/engine/status", "cberl/demo/alice/state"}
            assert retained["cberl/engine/status"] == "offline"

    asyncio.run(main())


def test_an_engine_that_dies_is_offline_and_words_stay_at_home(tmp_path):
    async def main():
        async with (
            mosquitto(tmp_path) as broker,
            watching(broker) as watcher,
            open_outlets(Settings(mqtt=broker.url)) as outlets,
        ):
            await online(watcher)
            outlets.hub.publish(emotion(1))
            await watcher.until(lambda it: it.of("utterance"))
            assert watcher.of("utterance")[0]["text"] is None
            # The same client id from elsewhere: the broker cuts the engine off, as a dead network would.
            async with aiomqtt.Client(
                "127.0.0.1", broker.port, identifier="cberl-engine", protocol=aiomqtt.ProtocolVersion.V5
            ):
                await watcher.until(lambda it: statuses(it)[:3] == [b"online", b"offline", b"online"])
            assert len(watcher.of("utterance")) == 1

    asyncio.run(main())


def check(watcher, broker, published):
    """Each final once and in order, after duplicates are dropped by id; the state is the last."""
    finals = distinct(watcher.of("utterance"))
    assert [body["start_s"] for body in finals] == [2.0 * number for number in range(1, published + 1)]
    assert all(one["seq"] < other["seq"] for one, other in pairwise(finals))
    state = json.loads(broker.retained("cberl/demo/alice/state")["cberl/demo/alice/state"])
    assert state == {name: value for name, value in finals[-1].items() if name != "historical"}


def test_a_broker_that_is_killed_three_times_loses_nothing(tmp_path):
    """At 50 events a second; `bench/mqtt.py --outage` is the long form."""

    async def main():
        async with (
            mosquitto(tmp_path / "broker") as broker,
            watching(broker) as watcher,
            open_outlets(Settings(mqtt=broker.url, event_log=str(tmp_path / "log"))) as outlets,
        ):
            await online(watcher)
            await broker.save()
            published = 0

            async def stream(events):
                nonlocal published
                for _ in range(events):
                    published += 1
                    outlets.hub.publish(emotion(published))
                    await asyncio.sleep(0.02)

            await stream(20)
            for _ in range(3):
                await broker.kill()
                await stream(30)
                await broker.start()
                await stream(30)
            await watcher.until(lambda it: any(body["start_s"] == 2.0 * published for body in it.of("utterance")))
            await watcher.until(lambda it: any(body["start_s"] == 2.0 * published for body in it.of("state")))
            check(watcher, broker, published)
            late = [body.get("historical", False) for body in distinct(watcher.of("utterance"))]
            assert 50 < sum(late) < published - 50
            assert not any(body.get("historical") for body in watcher.of("state"))
            assert outlets.status()["brokers"] == {
                f"127.0.0.1:{broker.port}": {"connected": True, "waiting": 0, "dropped": 0}
            }

    asyncio.run(main())
