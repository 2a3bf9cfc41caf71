"""A Mosquitto broker on a free port, and a subscriber whose session survives the broker's restarts."""

import asyncio
import json
import shutil
import signal
import socket
import subprocess
import time
from contextlib import asynccontextmanager, suppress

import aiomqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PROGRAM = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
needs_mosquitto = pytest.mark.skipif(PROGRAM is None, reason="no mosquitto: apt-get install mosquitto")


class Mosquitto:
    """`kill` simulates a crash; `start` uses the same port again and restores the state of the last `save`."""

    def __init__(self, folder, settings=""):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        folder.mkdir(exist_ok=True)
        self._config = folder / "mosquitto.conf"
        self._database = folder / "mosquitto.db"
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\nuser root\npersistence true\npersistence_location {folder}/\n"
            f"autosave_interval 0\nmax_queued_messages 0\nmax_inflight_messages 0\nlog_dest none\n"
            f"{settings or 'allow_anonymous true'}\n"
        )
        self._process = None

    @property
    def url(self):
        return f"mqtt://127.0.0.1:{self.port}"

    async def start(self):
        self._process = await asyncio.create_subprocess_exec(PROGRAM, "-c", str(self._config))
        while self._process.returncode is None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(0.01)  # until it listens
            else:
                writer.close()
                return self
        raise RuntimeError("mosquitto did not start")

    async def kill(self):
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    def freeze(self):
        """Stop the process: connections stay open and nothing is answered."""
        self._process.send_signal(signal.SIGSTOP)

    async def save(self):
        """Write subscriptions and retained messages to disk."""
        self._database.unlink(missing_ok=True)
        self._process.send_signal(signal.SIGUSR1)
        await asyncio.to_thread(self._saved)

    def _saved(self):
        while not self._database.exists():  # it is written under another name, then renamed
            time.sleep(0.01)

    def retained(self, topic):
        """Retained messages as {topic: payload}, read by mosquitto_sub."""
        command = ["mosquitto_sub", "-p", str(self.port), "-V", "5", "-t", topic, "--retained-only", "-W", "2"]
        found = subprocess.run([*command, "-F", "%t %p"], capture_output=True, text=True, check=False).stdout
        return dict(line.split(" ", 1) for line in found.splitlines())


@asynccontextmanager
async def mosquitto(folder, settings=""):
    broker = await Mosquitto(folder, settings).start()
    try:
        yield broker
    finally:
        await broker.kill()


class Subscriber:
    """Collects all messages in order. Reconnects to its persistent session as soon as the broker is available."""

    def __init__(self, port, topic="cberl/#", **options):
        self.messages = []
        self._marks = 0
        self._port, self._topic, self._options = port, topic, options
        self._arrived = asyncio.Event()
        self.subscribed = asyncio.Event()

    async def run(self):
        session = Properties(PacketTypes.CONNECT)
        session.SessionExpiryInterval = 3600
        while True:
            with suppress(aiomqtt.MqttError):
                async with aiomqtt.Client(
                    "127.0.0.1", self._port, identifier="watcher", protocol=aiomqtt.ProtocolVersion.V5,
                    clean_start=False, properties=session, **self._options,
                ) as client:  # fmt: skip
                    await client.subscribe(self._topic, qos=1)
                    self.subscribed.set()
                    async for message in client.messages:
                        self.messages.append(message)
                        self._arrived.set()
            await asyncio.sleep(0.01)  # until the broker is back

    async def until(self, enough):
        """Return when `enough(self)` is true."""
        while not enough(self):
            self._arrived.clear()
            await self._arrived.wait()

    async def caught_up(self):
        """Return when all messages that the broker has at the time of the call have arrived."""
        self._marks += 1
        mark = str(self._marks).encode()
        async with aiomqtt.Client("127.0.0.1", self._port) as client:
            await client.publish(self._topic.replace("#", "mark"), mark, qos=1)
        await self.until(lambda it: any(message.payload == mark for message in it.messages[-50:]))

    def last(self, kind):
        """The latest payload of topics that end in `kind`; {} before the first."""
        found = (it.payload for it in reversed(self.messages) if it.topic.value.endswith("/" + kind) and it.payload)
        return json.loads(next(found, "{}"))

    def of(self, kind):
        """All payloads of topics that end in `kind`."""
        return [json.loads(it.payload) for it in self.messages if it.topic.value.endswith("/" + kind) and it.payload]


@asynccontextmanager
async def watching(broker, topic="cberl/#", **options):
    subscriber = Subscriber(broker.port, topic, **options)
    task = asyncio.create_task(subscriber.run())
    try:
        await subscriber.subscribed.wait()
        yield subscriber
    finally:
        task.cancel()
        await asyncio.wait([task])


def distinct(payloads):
    """Payloads without duplicates, by id."""
    return list({body["id"]: body for body in reversed(payloads)}.values())[::-1]


async def until_all(sinks, holds):
    """Return when `holds(status)` is true for every broker."""
    while True:
        if all(holds(it) for it in sinks.status()["brokers"].values()):
            return
        await asyncio.sleep(0.01)
