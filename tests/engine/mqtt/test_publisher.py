"""The sinks of an engine publish to a real broker."""

import asyncio
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import aiomqtt
import pytest

from engine.config import Settings
from engine.errors import CommandError
from engine.runtime.backoff import Backoff
from engine.server.sinks import open_event_sinks
from testing.events import emotion
from testing.mosquitto import distinct, mosquitto, needs_mosquitto, until_all, watching

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
            async with open_event_sinks(settings) as sinks:
                await online(watcher)
                sinks.hub.publish(emotion(1, status="interim"))
                sinks.hub.publish(emotion(1, emotion="anger"))
                await watcher.until(lambda it: it.of("change"))
            await watcher.until(lambda it: it.messages[-1].payload == b"offline")
            sent = {it.topic.value: it for it in watcher.messages}
            state, utterance, change = (sent[f"cberl/demo/{name}"] for name in ("alice/state", "utterance", "change"))
            assert len(sent) == 4
            assert statuses(watcher) == [b"online", b"offline"]
            body = json.loads(utterance.payload)
            assert json.loads(state.payload) == body
            assert json.loads(change.payload) == body | {"previous": "neutral"}
            assert (body["type"], body["seq"], body["text"], body["status"]) == ("emotion", 3, "words 1", "final")
            assert (utterance.qos, utterance.properties.ContentType) == (1, "application/json")
            assert utterance.properties.PayloadFormatIndicator == 1
            assert 86_390 < utterance.properties.MessageExpiryInterval <= 86_400
            assert 590 < state.properties.MessageExpiryInterval <= 600
            properties = dict(utterance.properties.UserProperty)
            assert properties.pop("time").endswith("+00:00")
            assert properties == {
                "specversion": "1.0", "id": body["id"], "source": "/cberl/engine", "type": "cberl.emotion",
            }  # fmt: skip
            retained = broker.retained("cberl/#")
            assert retained.keys() == {"cberl/engine/status", "cberl/demo/alice/state"}
            assert retained["cberl/engine/status"] == "offline"

    asyncio.run(main())


def test_an_engine_that_loses_its_connection_is_offline_and_words_are_not_sent_by_default(tmp_path):
    async def main():
        async with (
            mosquitto(tmp_path) as broker,
            watching(broker) as watcher,
            open_event_sinks(Settings(mqtt=broker.url)) as sinks,
        ):
            await online(watcher)
            sinks.hub.publish(emotion(1))
            await watcher.until(lambda it: it.of("utterance"))
            assert watcher.of("utterance")[0]["text"] is None
            # Another client with the same id: the broker disconnects the engine, as a dead network would.
            async with aiomqtt.Client(
                "127.0.0.1", broker.port, identifier="cberl-engine", protocol=aiomqtt.ProtocolVersion.V5
            ):
                await watcher.until(lambda it: statuses(it)[:3] == [b"online", b"offline", b"online"])
            assert len(watcher.of("utterance")) == 1

    asyncio.run(main())


def check(watcher, broker, published):
    """Each final once and in order, after duplicates are removed by id; the retained state is the last."""
    finals = distinct(watcher.of("utterance"))
    assert [body["start_s"] for body in finals] == [2.0 * number for number in range(1, published + 1)]
    assert all(one["seq"] < other["seq"] for one, other in pairwise(finals))
    state = json.loads(broker.retained("cberl/demo/alice/state")["cberl/demo/alice/state"])
    assert state == {name: value for name, value in finals[-1].items() if name != "historical"}


def test_no_event_is_lost_when_the_broker_is_killed_three_times(tmp_path):
    """At 50 events per second; `bench/mqtt.py --outage` takes longer."""

    async def main():
        async with (
            mosquitto(tmp_path / "broker") as broker,
            watching(broker) as watcher,
            open_event_sinks(Settings(mqtt=broker.url, event_log=str(tmp_path / "log"))) as sinks,
        ):
            await online(watcher)
            await broker.save()
            published = 0

            async def stream(events):
                nonlocal published
                for _ in range(events):
                    published += 1
                    sinks.hub.publish(emotion(published))
                    await asyncio.sleep(0.02)

            await stream(20)
            for _ in range(3):
                await asyncio.gather(stream(10), watcher.caught_up())
                await broker.kill()
                await stream(30)
                await broker.start()
                await stream(20)
            await watcher.until(lambda it: it.last("utterance").get("start_s") == 2.0 * published)
            await watcher.until(lambda it: it.last("state").get("start_s") == 2.0 * published)
            check(watcher, broker, published)
            late = [body.get("historical", False) for body in distinct(watcher.of("utterance"))]
            assert any(late)
            assert not all(late)
            assert not any(body.get("historical") for body in watcher.of("state"))
            name = f"127.0.0.1:{broker.port}"
            await until_all(sinks, lambda it: it["waiting"] == 0)  # the last acknowledgement may still be outstanding
            assert sinks.status()["brokers"] == {
                name: {"connected": True, "waiting": 0, "dropped": 0, "refused": 0, "set_aside": 0}
            }

    asyncio.run(main())


ENGINE = """
import asyncio, sys
sys.path.insert(0, {root!r})
from engine.config import Settings
from engine.server.sinks import open_event_sinks
from testing.events import emotion

async def main():
    async with open_event_sinks(Settings(mqtt={url!r}, event_log={log!r})) as sinks:
        async def echo():
            async for seq, text in sinks.hub.subscribe("demo"):
                print(text, flush=True)
        asyncio.create_task(echo())
        for number in range({first}, 1_000_000):
            sinks.hub.publish(emotion(number))
            await asyncio.sleep(0.005)

asyncio.run(main())
"""


async def delivered_until_killed(script, count):
    """Ids of the finals that a subscriber of this engine received until it was killed in the middle of the stream."""
    engine = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE)
    lines = [await engine.stdout.readline() for _ in range(count)]
    engine.kill()
    lines += (await engine.stdout.read()).splitlines(keepends=True)
    await engine.wait()
    messages = [json.loads(line) for line in lines if line.endswith(b"\n")]
    return [body["id"] for body in messages if body["type"] == "emotion"]


def test_no_delivered_event_is_lost_when_the_engine_is_killed(tmp_path):
    """Once with its broker, and once without it: then all events wait for the next run."""

    async def main():
        log = str(tmp_path / "log")
        root = str(Path(__file__).parents[3])
        async with mosquitto(tmp_path / "broker") as broker, watching(broker) as watcher:
            await broker.save()
            seen = await delivered_until_killed(ENGINE.format(root=root, url=broker.url, log=log, first=1), 200)
            await watcher.caught_up()
            await broker.kill()
            seen += await delivered_until_killed(ENGINE.format(root=root, url=broker.url, log=log, first=1_000), 200)
            await broker.start()
            async with open_event_sinks(Settings(mqtt=broker.url, event_log=log)) as sinks:
                kept = await sinks.event_writer.call(sinks.event_writer.log.events, "demo", 0, 1_000_000)
                last = json.loads(kept[-1][1])["id"]
                await watcher.until(lambda it: it.last("utterance").get("id") == last)
                await watcher.until(lambda it: it.last("state").get("id") == last)
            finals = [body["id"] for body in distinct(watcher.of("utterance"))]
            assert len(seen) > 350
            assert [name for name in finals if name in set(seen)] == seen
            assert finals == [body["id"] for body in map(json.loads, dict(kept).values()) if body["type"] == "emotion"]
            state = json.loads(broker.retained("cberl/demo/alice/state")["cberl/demo/alice/state"])
            assert state["id"] == finals[-1]

    asyncio.run(main())


def test_a_broker_that_is_down_delays_no_other_and_dropped_rows_are_counted(tmp_path):
    async def main():
        async with mosquitto(tmp_path / "a") as one, mosquitto(tmp_path / "b") as other, watching(one) as watcher:
            await other.kill()
            async with open_event_sinks(Settings(mqtt=f"{one.url},{other.url}", mqtt_outbox_events=10)) as sinks:
                await online(watcher)
                for number in range(1, 31):
                    sinks.hub.publish(emotion(number))
                    await watcher.until(lambda it, number=number: len(it.of("utterance")) == number)
                down = sinks.status()["brokers"][f"127.0.0.1:{other.port}"]
                assert (down["connected"], down["waiting"], down["dropped"]) == (False, 10, 21)  # and one change
                assert "refused" in down["problem"]
                await other.start()
                async with watching(other) as late:
                    await late.until(lambda it: it.of("state"))
                assert late.of("state")[0]["start_s"] == 60.0

    asyncio.run(main())


def test_commands_with_the_right_token_are_executed_and_answered(tmp_path, caplog):
    async def main():
        done = []

        class Conversations:
            def stop(self, conversation):
                if conversation == "none":
                    raise CommandError("No such.")
                done.append(conversation)

        async with (
            mosquitto(tmp_path) as broker,
            watching(broker, "answers") as answers,
            open_event_sinks(Settings(mqtt=broker.url, mqtt_control_token="open")) as sinks,
        ):
            await until_all(sinks, lambda it: it["connected"])
            await asyncio.to_thread(command, broker, "open", {"command": "stop", "conversation": "early"})
            await answers.until(lambda it: len(it.messages) == 1)
            with sinks.mqtt.control(Conversations()):
                for token, conversation in [("shut", "demo"), ("open", "demo"), ("open", "none")]:
                    await asyncio.to_thread(command, broker, token, {"command": "stop", "conversation": conversation})
                await answers.until(lambda it: len(it.messages) == 3)
            assert [json.loads(it.payload) for it in answers.messages] == [
                {"ok": False, "error": "The engine is starting or shutting down."},
                {"ok": True},
                {"ok": False, "error": "No such."},
            ]
            assert done == ["demo"]
            assert any("without the right token" in record.message for record in caplog.records)

    asyncio.run(main())


def command(broker, token, body):
    """Sends a command as the documentation describes."""
    command = ["mosquitto_pub", "-p", str(broker.port), "-V", "5", "-q", "1", "-t", "cberl/engine/control"]
    command += ["-m", json.dumps(body), "-D", "publish", "user-property", "token", token]
    subprocess.run([*command, "-D", "publish", "response-topic", "answers"], check=True)


def test_a_message_for_which_the_broker_closes_the_connection_is_set_aside_and_the_others_arrive(tmp_path, caplog):
    """Names are validated before they come here: this one stands for whatever a stricter broker may not accept."""

    async def main():
        async with mosquitto(tmp_path) as broker, watching(broker) as watcher:
            path = str(tmp_path / "log")
            async with open_event_sinks(Settings(mqtt=broker.url, event_log=path)) as sinks:
                await online(watcher)
                for number in range(6):
                    sinks.hub.publish(emotion(number, conversation="noncharacter \ufdd0" if number == 2 else "demo"))
                await watcher.until(lambda it: len(distinct(it.of("utterance"))) == 5)
                sinks.hub.publish(emotion(9))
                await watcher.until(lambda it: len(distinct(it.of("utterance"))) == 6)
                (status,) = sinks.status()["brokers"].values()
                assert status["connected"]
                assert status["set_aside"] == 3  # the event, the change that it is, and the state of its speaker
                await until_all(sinks, lambda it: it["waiting"] == 0)
            with closing(sqlite3.connect(path)) as database:
                assert len(database.execute("SELECT json FROM dead_letter").fetchall()) == 2

    asyncio.run(main())
    assert sum("set aside" in record.message for record in caplog.records) == 3
