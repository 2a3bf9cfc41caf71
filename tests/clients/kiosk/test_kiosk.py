"""The kiosk with a real broker, to which the sinks of a real engine publish."""

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest

from clients.kiosk.__main__ import client, greet, show_face, show_json
from clients.kiosk.broker import parse_broker
from clients.kiosk.mood import GREETINGS, Mood
from engine.config import Settings
from engine.server.sinks import open_event_sinks
from testing.events import emotion
from testing.mosquitto import mosquitto, needs_mosquitto, until_all

ROOT = Path(__file__).parents[3]
# A test run in the background has SIGINT ignored, and its child processes inherit that.
MAIN = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("clients.kiosk", run_name="__main__", alter_sys=True)
"""


@needs_mosquitto
def test_it_greets_by_the_events_that_the_engine_publishes(tmp_path, capsys):
    async def main():
        shown, enough, ready = [], asyncio.Event(), asyncio.Event()

        def show(event, greeting):
            shown.append((event["speaker"], greeting))
            show_face(event, greeting)
            show_json(event, greeting)
            if len(shown) == 3:
                enough.set()

        async with mosquitto(tmp_path / "broker") as broker, open_event_sinks(Settings(mqtt=broker.url)) as sinks:
            kiosk = asyncio.create_task(greet(parse_broker(broker.url), "cberl/lobby/utterance", show, ready.set))
            await ready.wait()
            await until_all(sinks, lambda it: it["connected"])  # events from before are historical: not greeted
            async with client(parse_broker(broker.url)) as other:
                await other.publish("cberl/lobby/utterance", "{", qos=1)  # is ignored
            sinks.hub.publish(emotion(1, "maya", conversation="lobby", valence=0.9))
            sinks.hub.publish(emotion(2, "tom", conversation="kitchen", valence=-0.9))
            sinks.hub.publish(emotion(2, "tom", conversation="lobby", valence=0.9))
            sinks.hub.publish(emotion(3, "maya", conversation="lobby", valence=0.9, emotion="fear"))
            await enough.wait()
            kiosk.cancel()
            await asyncio.wait([kiosk])
        assert shown == [("maya", GREETINGS[Mood.BRIGHT]), ("tom", None), ("maya", None)]

    asyncio.run(main())
    out, err = capsys.readouterr()
    assert "maya: joy\n  > Good to see you!" in out
    assert '"expression": "scared"' in out
    assert "not an event of an engine" in err


@needs_mosquitto
def test_as_a_process_it_prints_expressions_and_ends_on_ctrl_c(tmp_path):
    async def main():
        async with mosquitto(tmp_path / "broker") as broker, open_event_sinks(Settings(mqtt=broker.url)) as sinks:
            await until_all(sinks, lambda it: it["connected"])
            kiosk = await start("lobby", "--mqtt", broker.url, "--json")
            assert await kiosk.stderr.readline() == b"subscribed to cberl/lobby/utterance at 127.0.0.1\n"
            sinks.hub.publish(emotion(1, "maya", conversation="lobby", valence=0.9))
            line = json.loads(await kiosk.stdout.readline())
            assert (line["speaker"], line["expression"], line["greeting"]) == ("maya", "happy", GREETINGS[Mood.BRIGHT])
            kiosk.send_signal(signal.SIGINT)
            assert await kiosk.communicate() == (b"", b"")
            assert kiosk.returncode == 0

    asyncio.run(main())


def test_as_a_process_it_reports_a_broker_that_does_not_answer_and_tries_again():
    async def main():
        kiosk = await start("lobby", "--mqtt", "mqtt://127.0.0.1:1")
        assert (await kiosk.stderr.readline()).startswith(b"no connection to the broker: ")
        kiosk.send_signal(signal.SIGINT)
        out, err = await kiosk.communicate()
        assert (kiosk.returncode, out, b"Traceback" in err) == (0, b"", False)

    asyncio.run(main())


@pytest.mark.parametrize("url", ["localhost", "mqtt://", "mqtt://host:port", "mqtt://host:99999"])
def test_an_invalid_address_is_a_usage_error(url):
    async def main():
        kiosk = await start("lobby", "--mqtt", url)
        out, err = await kiosk.communicate()
        assert (kiosk.returncode, out) == (2, b"")
        assert err.splitlines()[-1].endswith(b"error: a broker is mqtt://host or mqtts://user:password@host:8883")

    asyncio.run(main())


async def start(*arguments):
    command = [sys.executable, "-c", MAIN, *arguments]
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=pipe, stderr=pipe)
