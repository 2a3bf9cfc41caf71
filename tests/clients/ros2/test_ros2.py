"""The ROS 2 node as a process with stand-ins for ROS, and a real broker to which the sinks of an engine publish."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import aiomqtt
import pytest

from clients.kiosk.face import EXPRESSIONS
from clients.ros2.expressions import ros_name
from engine.config import Settings
from engine.server.sinks import open_event_sinks
from testing.events import emotion
from testing.mosquitto import mosquitto, needs_mosquitto, until_all

ROOT = Path(__file__).parents[3]
STUBS = Path(__file__).parent / "stubs"
# A test run in the background has SIGINT ignored, and its child processes inherit that.
MAIN = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("clients.ros2", run_name="__main__", alter_sys=True)
"""


async def start(*arguments):
    pipe = asyncio.subprocess.PIPE
    environment = os.environ | {"PYTHONPATH": f"{STUBS}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-c", MAIN, *arguments]
    return await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe)


@needs_mosquitto
def test_every_final_event_becomes_an_expression_of_its_speaker(tmp_path):
    async def main():
        async with mosquitto(tmp_path / "broker") as broker, open_event_sinks(Settings(mqtt=broker.url)) as sinks:
            await until_all(sinks, lambda it: it["connected"])
            node = await start("lobby", "--mqtt", broker.url, "--ros-args", "-r", "__ns:=/kiosk")
            assert await node.stderr.readline() == b"subscribed to cberl/lobby/utterance at 127.0.0.1\n"
            async with aiomqtt.Client("127.0.0.1", broker.port) as other:
                await other.publish("cberl/lobby/utterance", "{", qos=1)
            sinks.hub.publish(emotion(1, "Dr. Zoë", conversation="lobby", valence=0.25))
            sinks.hub.publish(emotion(1, "Dr. Zoë", conversation="lobby", status="corrected", revision=1))
            sinks.hub.publish(emotion(2, "tom", conversation="lobby", emotion="anger", arousal=1))
            first, second = [json.loads(await node.stdout.readline()) for _ in range(2)]
            assert first == {
                "topic": "/humans/faces/Dr_Zo_/expression", "stamp": {"sec": 1, "nanosec": 2}, "expression": "happy",
                "valence": 0.25, "arousal": 0.5, "confidence": 0.9,
            }  # fmt: skip
            assert (second["topic"], second["expression"], second["arousal"]) == (
                "/humans/faces/tom/expression", "angry", 1.0,
            )  # fmt: skip
            node.send_signal(signal.SIGINT)
            out, err = await node.communicate()
            assert (node.returncode, out) == (0, b"")
            assert err.splitlines()[0].startswith(b"this is not an event of an engine: ")
            assert err.endswith(b"shut down\n")

    asyncio.run(main())


def test_a_broker_that_does_not_answer_is_reported_and_tried_again():
    async def main():
        node = await start("lobby", "--mqtt", "mqtt://127.0.0.1:1")
        for _ in range(2):
            assert await node.stderr.readline() == b"no connection to the broker 127.0.0.1; trying again\n"
        node.send_signal(signal.SIGINT)
        out, err = await node.communicate()
        assert (node.returncode, out, b"Traceback" in err) == (0, b"", False)

    asyncio.run(main())


def test_an_invalid_address_is_a_usage_error():
    async def main():
        node = await start("lobby", "--mqtt", "localhost")
        out, err = await node.communicate()
        assert (node.returncode, out) == (2, b"")
        assert err.splitlines()[-1].endswith(b"error: a broker is mqtt://host or mqtts://user:password@host:8883")

    asyncio.run(main())


def test_every_label_of_the_engine_has_an_expression_that_the_message_lists(monkeypatch):
    monkeypatch.syspath_prepend(STUBS)
    msg = pytest.importorskip("hri_msgs.msg")
    assert set(EXPRESSIONS.values()) <= msg.EXPRESSIONS


@pytest.mark.parametrize(
    ("speaker", "name"), [("maya", "maya"), ("Dr. Zoë", "Dr_Zo_"), ("1st", "_1st"), ("__a--b", "_a_b"), ("日本", "_")]
)
def test_names_of_speakers_become_valid_names_in_ros(speaker, name):
    assert ros_name(speaker) == name
