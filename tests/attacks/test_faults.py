"""Faults of the machine and the network around a server: a conversation beside them loses nothing."""

import asyncio
import json
import os
import resource
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from cberl.types import SAMPLE_RATE
from testing.faults import BREAK, deaf_broker
from testing.live_engine import END, Message, demo, emotions, frames, rest, send, start, stretch, until, ws
from testing.mosquitto import PROGRAM, Mosquitto, distinct, needs_mosquitto, watching
from testing.serving import Served, bystander, served
from testing.whip_client import Voice, publishing

DISK_BYTES = 16 << 20
EXITS_WITHIN_S = 10.0
HUNG_STATUS = 70


@dataclass(frozen=True)
class Beset:
    """A server amid faults, its folder, the folder of its event log, and the one broker that works."""

    server: Served
    folder: Path
    disk: Path
    broker: Mosquitto


@pytest.fixture(scope="module")
def beset(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beset]:
    """A small disk (where mounting is allowed), three brokers that never answer, a STUN server that is not found."""
    folder = tmp_path_factory.mktemp("beset")
    disk = folder / "disk"
    disk.mkdir()
    with ExitStack() as stack:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "cberl-test", str(disk)]
        if subprocess.run(mount, capture_output=True, check=False).returncode == 0:
            stack.callback(subprocess.run, ["umount", "--lazy", str(disk)], check=True)
        broker = Mosquitto(folder / "mosquitto")
        running = stack.enter_context(subprocess.Popen([PROGRAM, "-c", str(broker._config)]))
        stack.callback(running.kill)
        deaf = [stack.enter_context(deaf_broker(accepts=accepts)) for accepts in (False, True)]
        brokers = [broker.url, "mqtt://broker.unanswered", *(f"mqtt://127.0.0.1:{port}" for port in deaf)]
        flags = (
            *("--mqtt", ",".join(brokers), "--event-log", str(disk / "log"), "--rejoin-grace-s", "0"),
            *("--transcribe-timeout-s", "12", "--max-hung-calls", "100"),
            *("--ice-servers", "stun:stun.unanswered:3478"),
        )
        yield Beset(stack.enter_context(served(folder, *flags, before=BREAK)), folder, disk, broker)


@needs_mosquitto
@pytest.mark.timeout(300)
def test_beside_all_faults_at_once_a_conversation_loses_nothing(beset: Beset) -> None:
    url = beset.server.url

    async def main() -> None:
        async with watching(beset.broker) as subscriber, httpx.AsyncClient(base_url=url, trust_env=False) as http:
            async with bystander(beset.server):
                long = asyncio.create_task(a_long_turn(url))
                set_clock(beset, 3600)
                with no_space(beset):
                    await until_ready(http, lambda log: log.get("problem"))
                    set_clock(beset, -3600)
                    called = await a_call(url)
                await until_ready(http, lambda log: not log.get("problem") and not log["unsaved"])
                lost = await long
            assert [event["missing"] for event in called] == [{}]
            assert [event["missing"] for event in lost] == [{"text": "timeout", "audio": "out_of_memory"}]
            assert [(event["text"], event["modalities"]["audio"]) for event in lost] == [(None, None)]
            await subscriber.until(lambda it: len(by_bystander(it.of("utterance"))) == 5)
            status = (await http.get("/readyz")).raise_for_status().json()
            assert status["event_log"] == {"not_kept": 0, "unsaved": 0}
            assert status["hung_calls"]["transcribe"] >= 1
            unanswered, silent, accepting = (it for it in status["brokers"].values() if not it["connected"])
            assert "no name server has answered" in unanswered["problem"]
            assert "timed out" in silent["problem"]
            assert "no answer" in accepting["problem"]
            assert min(it["waiting"] for it in (unanswered, silent, accepting)) >= 6
            assert accepting["set_aside"] == 0
            metrics = (await http.get("/metrics")).text.splitlines()
            given_back = ("cberl_publishers 0.0", "cberl_webrtc_peers 0.0", "cberl_conversations 0.0")
            assert [line for line in given_back if line not in metrics] == []

    asyncio.run(main())
    beset.server.assert_calm()


@needs_mosquitto
def test_it_ends_in_time_while_brokers_and_name_servers_do_not_answer(beset: Beset) -> None:
    began = time.monotonic()
    beset.server.process.send_signal(signal.SIGTERM)
    assert beset.server.process.wait(EXITS_WITHIN_S) == 0, beset.server.log.read_text()
    assert time.monotonic() - began < EXITS_WITHIN_S
    with closing(sqlite3.connect(beset.disk / "log")) as log:
        rows = log.execute("SELECT conversation, json FROM event ORDER BY conversation, seq").fetchall()
    finals = [name.partition("-")[0] for name, text in rows if json.loads(text)["type"] == "emotion"]
    assert finals == ["bystander"] * 5 + ["call", "long"] + ["undisturbed"] * 5


def test_where_the_voice_detector_hangs_the_engine_ends_so_that_it_is_restarted(tmp_path: Path) -> None:
    """With a status of its own. Sockets close with 1012, and the conversation may continue afterwards."""
    flags = ("--event-log", str(tmp_path / "log"), "--model-timeout-s", "4")

    async def main(server: Served) -> None:
        async with ws(server.url, "/ingest?conversation=demo") as client:
            await client.send(start())
            media = stretch(0.0, 8.0)
            await send(client, media[:110])
            await until(client, "emotion")
            (tmp_path / "hang-vad").touch()
            await send(client, media[110:])
            received = await rest(client)
            assert client.close_code == 1012
            assert not [message for message in received if message["type"] in ("session.ended", "error")]

    with served(tmp_path, *flags, before=BREAK) as server:
        asyncio.run(main(server))
        assert server.process.wait(EXITS_WITHIN_S) == HUNG_STATUS
        text = server.log.read_text()
        assert "the vad model has not answered for 4 s: the engine must restart" in text
        assert "Traceback" not in text
    with closing(sqlite3.connect(tmp_path / "log")) as log:
        assert log.execute("SELECT conversation FROM conversation_state").fetchall() == [("demo",)]


async def a_long_turn(url: str) -> list[Message]:
    """Events of a publisher who speaks for seven seconds without a pause."""
    speech = demo()[1][round(12.4 * SAMPLE_RATE) : round(14.2 * SAMPLE_RATE)]
    media = frames(np.concatenate([speech] * 4 + [np.zeros(2 * SAMPLE_RATE, np.float32)]))
    async with ws(url, "/ingest?conversation=long") as client:
        await client.send(start("mallory"))
        await send(client, media)
        await client.send(END)
        return emotions(await rest(client))


async def a_call(url: str) -> list[Message]:
    """Events of a publisher by WebRTC."""
    voice = Voice(demo()[0, : 4 * SAMPLE_RATE])
    async with ws(url, "/events?conversation=call") as watcher:
        async with publishing(url, "call", "maya", voice) as published:
            await voice.said.wait()
            await published.hang_up()
        return [await until(watcher, "emotion")]


def set_clock(beset: Beset, wrong_by_s: float) -> None:
    (beset.folder / "clock").write_text(str(wrong_by_s))


@contextmanager
def no_space(beset: Beset) -> Iterator[None]:
    """Inside, nothing more fits on the disk; where it is none of its own, no file of the server may grow."""
    ballast, unlimited = beset.disk / "ballast", resource.RLIM_INFINITY
    if os.path.ismount(beset.disk):
        with pytest.raises(OSError, match="No space left"):
            _fill_disk(ballast)
    else:
        resource.prlimit(beset.server.process.pid, resource.RLIMIT_FSIZE, (1, unlimited))
    yield
    ballast.unlink(missing_ok=True)
    resource.prlimit(beset.server.process.pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))


def _fill_disk(ballast: Path) -> None:
    with open(ballast, "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


async def until_ready(http: httpx.AsyncClient, holds: Callable[[dict[str, Any]], object]) -> None:
    """Wait until this holds for the event log. The engine is ready all the time."""
    while not holds((await http.get("/readyz")).raise_for_status().json()["event_log"]):  # noqa: ASYNC110 - asked by HTTP
        await asyncio.sleep(0.2)


def by_bystander(utterances: list[Message]) -> list[Message]:
    return [it for it in distinct(utterances) if it["conversation"].startswith("bystander")]
