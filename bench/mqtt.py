"""How many events per second reach a broker with QoS 1, compared with bare paho? Is any lost while brokers die?

    python bench/mqtt.py                 throughput, best of several rounds of each
    python bench/mqtt.py --outage        the broker is killed three times for ten seconds at 50 events/s
    python bench/mqtt.py --transcript    what mosquitto_sub prints while the engine processes the demo conversation
    python bench/mqtt.py --json          one object

Starts a Mosquitto of its own. Ours is the whole path: hub, commit to the event log and the outbox, topics and
properties, acknowledgement, outbox emptied, retained states. Bare paho publishes the same messages, already encoded,
from its own thread, and waits for all acknowledgements; and once more without properties, as MQTT 3 would.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import engine.demo
from engine.config import Settings
from engine.delivery.wire import encode
from engine.demo.score import read_script
from engine.ingest.file import read_media
from engine.media import PullSource
from engine.mqtt.topics import Messages, MqttMessage, Topics
from engine.server.sinks import EventSinks, open_event_sinks
from engine.server.supervisor import open_supervisor
from engine.store.outbox import OutboxRow
from testing.events import emotion
from testing.mosquitto import PROGRAM, Mosquitto, Subscriber, distinct, mosquitto, watching

EVENTS, ROUNDS = 3000, 5


async def throughput(folder: Path) -> dict[str, float]:
    """Events per second and CPU time per event, alternating, the best round of each."""
    rounds: dict[str, list[tuple[float, float]]] = {"ours": [], "bare": [], "bare_without_properties": []}
    async with mosquitto(folder / "broker") as broker:
        settings = Settings(mqtt=broker.url, event_log=str(folder / "log"))
        async with open_event_sinks(settings) as sinks:
            await _until(lambda: _idle(sinks, broker))
            for _ in range(ROUNDS):
                rounds["bare"].append(await asyncio.to_thread(_bare, broker.port, True))
                rounds["ours"].append(await _ours(sinks, broker))
                rounds["bare_without_properties"].append(await asyncio.to_thread(_bare, broker.port, False))
            commits = await _commits(sinks)
    fastest = {name: EVENTS / min(wall_s for wall_s, _ in found) for name, found in rounds.items()}
    cpu = {name: min(cpu_s for _, cpu_s in found) / EVENTS for name, found in rounds.items()}
    return {
        **{f"{name}_per_s": round(rate) for name, rate in fastest.items()},
        **{f"{name}_cpu_us": round(1e6 * spent) for name, spent in cpu.items()},
        "ratio": round(fastest["ours"] / fastest["bare"], 2),
        "ratio_without_properties": round(fastest["ours"] / fastest["bare_without_properties"], 2),
        "cpu_ratio": round(cpu["bare"] / cpu["ours"], 2),
        "commit_p50_ms": round(commits[len(commits) // 2], 2),
        "commit_p99_ms": round(commits[int(0.99 * len(commits))], 2),
    }


def _bare(port: int, with_properties: bool) -> tuple[float, float]:
    """(wall, CPU) seconds for all events."""
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, "bare", protocol=paho.MQTTv5)
    client.max_queued_messages_set(0)
    client.connect("127.0.0.1", port)
    client.loop_start()
    rows = [OutboxRow(1, 1e9, "past", f"demo/{n}@1", "demo", "alice", encode(emotion(n), n + 1)) for n in range(EVENTS)]
    messages = Messages(Topics("bare", "engine"), 86_400.0, 600.0)
    started = time.perf_counter(), time.process_time()
    sent = []
    for row in rows:
        message = messages.event(row, 1e9, historical=False)
        properties = _properties(message) if with_properties else None
        sent.append(client.publish(message.topic, message.payload, qos=1, properties=properties))
    for one in sent:
        one.wait_for_publish()
    taken = time.perf_counter() - started[0], time.process_time() - started[1]
    client.disconnect()
    client.loop_stop()
    return taken


def _properties(message: MqttMessage) -> Properties:
    """As in paho's own examples."""
    properties = Properties(PacketTypes.PUBLISH)
    properties.PayloadFormatIndicator = 1
    properties.ContentType = message.content_type
    properties.MessageExpiryInterval = message.expiry_s
    properties.UserProperty = list(message.properties)
    return properties


async def _ours(sinks: EventSinks, broker: Mosquitto) -> tuple[float, float]:
    started = time.perf_counter(), time.process_time()
    for number in range(EVENTS):
        sinks.hub.publish(emotion(number))
        if number % 100 == 99:
            await asyncio.sleep(0)
    await _until(lambda: _idle(sinks, broker))
    return time.perf_counter() - started[0], time.process_time() - started[1]


async def _commits(sinks: EventSinks) -> list[float]:
    """Milliseconds from publishing to delivery, one event at a time; sorted."""
    taken = []
    for number in range(500):
        started = time.perf_counter()
        sinks.hub.publish(emotion(number))
        await sinks.hub.flush()
        taken.append(1e3 * (time.perf_counter() - started))
        await asyncio.sleep(0.002)
    return sorted(taken)


async def _idle(sinks: EventSinks, broker: Mosquitto) -> bool:
    await sinks.hub.flush()
    status: Any = sinks.status()
    mine = status["brokers"][f"127.0.0.1:{broker.port}"]
    return bool(mine["connected"]) and mine["waiting"] == 0


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    while True:
        if await holds():
            return
        await asyncio.sleep(0.005)


async def outage(folder: Path, away_s: float, rate: float) -> dict[str, Any]:
    """What a subscriber has received at the end, compared with what was published."""
    async with (
        mosquitto(folder / "broker") as broker,
        watching(broker) as watcher,
        open_event_sinks(Settings(mqtt=broker.url, event_log=str(folder / "log"))) as sinks,
    ):
        await _until(lambda: _idle(sinks, broker))
        await broker.save()
        published = 0

        async def stream(seconds: float) -> None:
            nonlocal published
            loop, count = asyncio.get_running_loop(), round(seconds * rate)
            begun = loop.time()
            for n in range(count):
                published += 1
                sinks.hub.publish(emotion(published))
                await asyncio.sleep(begun + (n + 1) / rate - loop.time())

        await stream(away_s / 2)
        for _ in range(3):
            # Messages that the broker has acknowledged but not delivered are lost with it, whatever the engine does.
            await asyncio.gather(stream(1.0), watcher.caught_up())
            await broker.kill()
            await stream(away_s)
            await broker.start()
            await stream(away_s)
        last = 2.0 * published
        await watcher.until(lambda it: _ends(it, "utterance", last) and _ends(it, "state", last))
        return _counted(watcher, broker, published)


def _ends(watcher: Subscriber, kind: str, start_s: float) -> bool:
    return bool(watcher.last(kind).get("start_s") == start_s)


def _counted(watcher: Subscriber, broker: Mosquitto, published: int) -> dict[str, Any]:
    arrived = watcher.of("utterance")
    finals = distinct(arrived)
    numbers = [round(body["start_s"] / 2) for body in finals]
    state = json.loads(broker.retained("cberl/demo/alice/state")["cberl/demo/alice/state"])
    return {
        "published": published,
        "arrived_once": len(finals),
        "lost": len(set(range(1, published + 1)) - set(numbers)),
        "in_order": numbers == sorted(numbers),
        "repeats_dropped_by_id": len(arrived) - len(finals),
        "historical": sum(body.get("historical", False) for body in finals),
        "retained_state_is_the_last": state["id"] == finals[-1]["id"],
    }


async def transcript(folder: Path) -> None:
    """The lines of the subscriber: the first dozen and the last. All but the first event are shortened."""
    async with mosquitto(folder / "broker") as broker:
        command = ["mosquitto_sub", "-V", "5", "-p", str(broker.port), "-q", "1", "-t", "cberl/#", "-F", "%r %t %p"]
        subscriber = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        settings = Settings(mqtt=broker.url, mqtt_text=True, whisper_model="tiny.en")
        demo = Path(engine.demo.__file__).parent
        async with open_event_sinks(settings) as sinks, open_supervisor(settings, sinks.hub) as supervisor:
            await _until(lambda: _idle(sinks, broker))
            script = read_script(demo / "conversation.json")
            source = read_media(str(demo / "conversation.flac"), speakers=list(script.speakers))
            await supervisor.join("lobby", PullSource(source), live=False)
        await asyncio.sleep(1.0)  # for the last lines to arrive
        subscriber.terminate()
        lines = (await subscriber.communicate())[0].decode().splitlines()
    whole = next(line for line in lines if line.split()[1].endswith("/utterance"))
    print("$ mosquitto_sub -V 5 -q 1 -t 'cberl/#' -F '%r %t %p'")
    for line in [*lines[:12], "…", lines[-1]]:
        print(line if line is whole else line[:116] + (" …" if len(line) > 116 else ""))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outage", action="store_true")
    parser.add_argument("--transcript", action="store_true")
    parser.add_argument("--away-s", type=float, default=10.0, help="how long the broker is down each time")
    parser.add_argument("--rate", type=float, default=50.0, help="events per second")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if PROGRAM is None:
        raise SystemExit("no mosquitto: apt-get install mosquitto")
    with tempfile.TemporaryDirectory() as folder:
        if options.transcript:
            asyncio.run(transcript(Path(folder)))
            return
        measure = outage(Path(folder), options.away_s, options.rate) if options.outage else throughput(Path(folder))
        result: dict[str, Any] = asyncio.run(measure)
    if options.json:
        print(json.dumps(result))
        return
    table = Table("figure", "value")
    for name, value in result.items():
        table.add_row(name.replace("_", " "), str(value))
    Console().print(table)


if __name__ == "__main__":
    main()
