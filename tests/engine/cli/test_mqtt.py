import asyncio
import json
import signal
import sys

from engine.config import Settings
from engine.server.sinks import open_event_sinks
from testing.command import MAIN
from testing.events import emotion
from testing.mosquitto import mosquitto, needs_mosquitto

WATCH = ("-W", "ignore", "-c", MAIN, "mqtt", "watch")


async def watch(*arguments):
    return await asyncio.create_subprocess_exec(
        sys.executable, *WATCH, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )


@needs_mosquitto
def test_watch_prints_what_subscribers_see_and_ends_on_ctrl_c(tmp_path):
    async def main():
        async with mosquitto(tmp_path) as broker, open_event_sinks(Settings(mqtt=broker.url)) as sinks:
            watcher = await watch("--mqtt", broker.url, "demo")
            assert b"watching cberl/demo/# at 127.0.0.1" in await watcher.stderr.readline()
            sinks.hub.publish(emotion(1, emotion="anger"))
            sinks.hub.publish(emotion(1, conversation="other"))
            lines = [json.loads(await watcher.stdout.readline()) for _ in range(3)]
            assert {line["topic"] for line in lines} == {
                "cberl/demo/alice/state", "cberl/demo/utterance", "cberl/demo/change",
            }  # fmt: skip
            assert {line["payload"]["emotion"] for line in lines} == {"anger"}
            assert {line["properties"]["id"] for line in lines} == {lines[0]["payload"]["id"]}
            watcher.send_signal(signal.SIGINT)
            _, errors = await watcher.communicate()
            assert (watcher.returncode, errors.strip()) == (130, b"interrupted")

    asyncio.run(main())


def test_a_broker_that_is_not_there_is_named():
    async def main():
        for arguments, reason in [((), b"names the one broker"), (("--mqtt", "mqtt://127.0.0.1:1"), b"refused")]:
            watcher = await watch(*arguments)
            _, errors = await watcher.communicate()
            assert watcher.returncode == 1
            assert errors.startswith(b"Error: ")
            assert reason in errors

    asyncio.run(main())
