"""Packets that are lost, late or cut off, and changed addresses, between real machines: no final is lost or repeated.

What WebRTC does about lost packets is in tests/loopback/test_loss.py.
"""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cberl.types import SAMPLE_RATE
from testing.live_engine import SCRIPT, assert_same, demo
from testing.namespaces import Wire, network, unavailable
from testing.serving import ROOT, served

SECONDS, FINALS = 12.2, 3
FLAGS = ("--host", "0.0.0.0", "--insecure", "--rejoin-grace-s", "5")
ENVIRONMENT = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'clients/python'}"}
Message = dict[str, Any]


@pytest.fixture(scope="module", autouse=True)
def _needs_namespaces() -> None:
    if reason := unavailable():
        pytest.skip(reason)


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """SPEAKER=FILE for each."""
    folder = tmp_path_factory.mktemp("media")
    tracks = []
    for speaker, pcm in zip(SCRIPT.speakers, demo(), strict=True):
        file = folder / f"{speaker}.pcm"
        file.write_bytes((pcm[: round(SECONDS * SAMPLE_RATE)] * 32_767).astype("<i2").tobytes())
        tracks.append(f"{speaker}={file}")
    return tracks


async def client(wire: Wire, url: str, command: str, conversation: str, *arguments: str) -> list[Message]:
    """All messages of a client of the engine in a namespace of its own."""
    inside = (*wire.client.inside, sys.executable, "-m", "testing.remote_client")
    process = await asyncio.create_subprocess_exec(
        *inside, command, url, conversation, *arguments,
        cwd=ROOT, env=ENVIRONMENT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(100):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, err.decode()
    return [json.loads(line) for line in out.splitlines()]


def finals(messages: Sequence[Message]) -> list[Message]:
    kept = [message for message in messages if message["kind"] == "EmotionEvent"]
    assert all(message["status"] == "final" for message in kept)
    return kept


def count_lost(messages: Sequence[Message]) -> int:
    """How often the client's connection was lost."""
    return sum(message["kind"] == "lost" for message in messages)


@pytest.mark.timeout(300)
def test_no_final_is_lost_or_repeated_whatever_the_network_does(tmp_path: Path, media: list[str]) -> None:
    """Five conversations at once, each with its publisher and a subscriber who resumes, each behind another wire."""
    faults = ("healthy", "loss", "jitter", "cut", "roams")

    async def main(url: str, wires: dict[str, Wire]) -> dict[str, tuple[list[Message], list[Message]]]:
        async with asyncio.TaskGroup() as tasks:
            heard, seen = {}, {}
            for name in faults:
                at = f"http://{wires[name].server_address}:{url}"
                seen[name] = tasks.create_task(client(wires[name], at, "subscribe", name, "2"))
                heard[name] = tasks.create_task(client(wires[name], at, "publish", name, *media))
            moving = wires["moves"]  # listens to the healthy conversation
            at = f"http://{moving.server_address}:{url}"
            seen["moves"] = tasks.create_task(client(moving, at, "subscribe", "healthy", "2"))
            heard["moves"] = heard["healthy"]
            await asyncio.sleep(5)  # of media in real time
            wires["cut"].cut = True
            for wire in (moving, wires["roams"]):
                wire.change_address()
            await asyncio.sleep(5)
            wires["cut"].cut = False
            for wire in (moving, wires["roams"]):
                wire.change_address()
        return {name: (heard[name].result(), seen[name].result()) for name in seen}

    with network(*faults, "moves") as (server, wires):
        wires["loss"].loss = 0.1
        wires["jitter"].jitter_s = 0.2
        with served(tmp_path, *FLAGS, inside=server.inside) as running:
            found = asyncio.run(main(running.url.rpartition(":")[2], wires))
            running.assert_calm()
        assert wires["loss"].lost > 10
        assert wires["cut"].lost > 10

    wanted = finals(found["healthy"][0])
    assert len(wanted) == FINALS
    for name, (heard, seen) in found.items():
        assert heard[-1]["kind"] == "SessionEnded", name
        assert heard[-1]["dropped_chunks"] == 0, name
        assert heard[-1]["received_s"] == pytest.approx(2 * SECONDS, abs=0.1), name
        assert_same(finals(heard), wanted)
        assert [message["id"] for message in finals(seen)] == [message["id"] for message in finals(heard)], name
        numbers = [message["seq"] for message in seen if message.get("seq")]
        assert numbers == list(range(1, len(numbers) + 1)), name
        assert not any(message["kind"] == "Resync" for message in seen), name
    lost = {name: [count_lost(messages) for messages in both] for name, both in found.items()}
    assert min(lost["cut"][1], lost["moves"][1], *lost["roams"]) >= 1  # they had to resume
    assert lost["healthy"] == [0, 0]
