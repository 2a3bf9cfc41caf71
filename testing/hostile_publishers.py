"""Attacks by publishers, each over when it has been refused. `url` is that of a server with real models."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from typing import Any

import numpy as np
from websockets.asyncio.client import ClientConnection

from cberl.recent import MAX_SPEAKERS
from cberl.types import SAMPLE_RATE
from engine.runtime.load_shedding import FULL, LAG_S
from testing.hostile_jpeg import JPEG, many_scans
from testing.live_engine import END, demo, emotions, frames, rest, send, start, stretch, until, ws

LONGEST_S = 20
FLOOD_S = 5.0
ATTACKER = "127.0.0.2"  # another address of this machine than that of the others

Attack = Callable[[str], Coroutine[Any, Any, None]]

_numbers = count()  # of conversations: an attack that was cut off may still be in the one before


def captioned() -> str:
    message = json.loads(start())
    message["tracks"][0]["captions"] = True
    return json.dumps(message)


def caption(**fields: Any) -> str:
    return json.dumps({"type": "caption", "track": "audio-1", "start_s": 0.8, "end_s": 3.2, "text": "Hello."} | fields)


@asynccontextmanager
async def hostile(url: str, first: str) -> AsyncIterator[ClientConnection]:
    """A publisher that has sent `session.start`; at the end, its first turn is still recognised."""
    async with ws(url, f"/ingest?conversation=attacked-{next(_numbers)}") as client, asyncio.TaskGroup() as tasks:
        await client.send(first)
        yield client
        heard = tasks.create_task(rest(client))
        await send(client, stretch(0.0, 6.0))
        await client.send(END)
        messages = await heard
        assert messages[-1]["type"] == "session.ended", messages[-1]
        assert emotions(messages)


async def endless_tracks(url: str) -> None:
    async with ws(url, f"/ingest?conversation=attacked-{next(_numbers)}") as client:
        for tracks in ([{}] * 500_000, [{}] * 15_000):
            await client.send(json.dumps({"type": "session.start", "tracks": tracks}, separators=(",", ":")))
        assert [await refused(client), await refused(client)] == ["too_large", "too_many_tracks"]
        await client.send(start())
        assert (await until(client, "session.started"))["tracks"] == ["audio-1", "audio-2"]


async def a_number_that_is_none(url: str) -> None:
    async with hostile(url, captioned()) as client:
        for spoilt in (caption(confidence=float("nan")), caption().replace("3.2", "1e999")):
            await client.send(spoilt)
            assert await refused(client) == "bad_json"


async def endless_words(url: str) -> None:
    async with hostile(url, captioned()) as client:
        for number in range(255):
            await client.send(caption(text=f"{number} " + "x" * 1_990))
        assert await refused(client) == "too_many_captions"


async def pictures_that_cost_too_much(url: str) -> None:
    message = json.loads(start())
    message["tracks"].append(
        {"id": "cam", "speaker": message["tracks"][0]["speaker"], "kind": "video", "codec": "jpeg"}
    )
    hidden = JPEG[:2] + b"\xff\xff\xff\xe0\x00\x02" + many_scans(1, side=65_500)[2:]
    async with hostile(url, json.dumps(message)) as client:
        for number, (payload, code) in enumerate(
            [
                (many_scans(20_000, side=4096), "too_large"),
                (hidden, "too_large"),
                (many_scans(32, side=4096), None),
                (JPEG[: len(JPEG) // 4], "bad_payload"),
                (JPEG, None),
            ]
        ):
            await client.send(b"\x01\x03cam" + struct.pack("<d", float(number)) + payload)
            if code:
                assert await refused(client) == code


async def names_without_end(url: str) -> None:
    crowded = f"crowded-{next(_numbers)}"
    async with ws(url, f"/ingest?conversation={crowded}") as stays:
        await stays.send(start("host"))
        await send(stays, frames(demo()[0, :1600]))
        for number in range(15):
            crowd = [f"{number} {name}" for name in "abcdefgh"]
            async with ws(url, f"/ingest?conversation={crowded}") as client:
                await client.send(start(*crowd))
                await send(client, frames(*np.resize(demo()[0, :1600], (8, 1600))))
                await client.send(END)
                await rest(client)
        async with ws(url, f"/events?conversation={crowded}") as watcher:
            snapshot = await until(watcher, "snapshot")
        assert len(snapshot["speakers"]) == MAX_SPEAKERS
        assert snapshot["speakers"][0] == {"speaker": "host", "present": True, "current": None}


async def a_crowd_at_once(url: str) -> None:
    conversation = f"crowd-{next(_numbers)}"
    async with AsyncExitStack() as stack:
        for number in range(9):
            client = await stack.enter_async_context(ws(url, f"/ingest?conversation={conversation}"))
            stack.callback(client.transport.abort)  # its events are not read, so that it could not close
            await client.send(start(*(f"{number} {name}" for name in "abcdefgh")))
            await send(client, frames(*np.resize(demo()[0, :1600], (8, 1600))))
            while number < 8 and (await until(client, "speaker.joined"))["speaker"] != f"{number} h":
                pass
        assert await refused(client) == "full"


async def refused(client: ClientConnection) -> str:
    return str((await until(client, "error"))["code"])


async def messages_without_end(url: str) -> None:
    """As many as the server reads in some seconds, on several sockets: an answer of each would be the same error."""

    async def flood() -> None:
        async with ws(url, f"/ingest?conversation=flood-{next(_numbers)}", local_addr=(ATTACKER, 0)) as client:
            message = json.loads(start())
            message["tracks"][0]["analyse"] = "none"
            await client.send(json.dumps(message))
            payloads = (frames(demo()[0, :1600])[0], b"\x01\x07audio-1" + struct.pack("<d", 0.0))
            while True:
                for payload in payloads:
                    await client.send(payload)

    async with asyncio.TaskGroup() as tasks:
        floods = [tasks.create_task(flood()) for _ in range(2)]
        await asyncio.wait(floods, timeout=FLOOD_S)
        assert not any(one.done() for one in floods)
        for one in floods:
            one.cancel()


async def pictures_ahead_of_the_clock(url: str) -> None:
    """Large ones, each a second of media time after the one before, on several sockets."""

    conversation = f"shown-{next(_numbers)}"

    async def show(number: int) -> None:
        message = json.loads(start(f"mallory {number}"))
        message["tracks"].append({"id": "cam", "speaker": f"mallory {number}", "kind": "video", "codec": "jpeg"})
        async with ws(url, f"/ingest?conversation={conversation}", local_addr=(ATTACKER, 0)) as client:
            await client.send(json.dumps(message))
            for at_s in range(10):
                await client.send(b"\x01\x03cam" + struct.pack("<d", float(at_s)) + many_scans(8, side=4096))
            await client.send(END)
            assert (await rest(client))[-1]["type"] == "session.ended"

    async with asyncio.TaskGroup() as tasks:
        for number in range(4):
            tasks.create_task(show(number))


@asynccontextmanager
async def crowd_behind(url: str) -> AsyncIterator[None]:
    """Eight speakers without a pause and without the captions that they promise. Entered when they are behind."""
    async with ws(url, f"/ingest?conversation=crowd-{next(_numbers)}") as client:
        async with asyncio.TaskGroup() as tasks:
            behind = tasks.create_task(until_behind(client))
            await stream_crowd(client, behind)
        yield


async def stream_crowd(client: ClientConnection, behind: asyncio.Task[None]) -> None:
    """In real time, until `behind` or for LONGEST_S."""
    message = json.loads(start(*(f"speaker-{number}" for number in range(8))))
    for track in message["tracks"]:
        track["captions"] = True
    await client.send(json.dumps(message))
    voices = np.resize(demo()[0, : 12 * SAMPLE_RATE], (8, LONGEST_S * SAMPLE_RATE)).astype(np.float32)
    media = frames(*voices)
    for at in range(0, len(media), len(voices)):
        await send(client, media[at : at + len(voices)])
        await asyncio.wait([behind], timeout=0.1)
        if behind.done():
            return
    behind.cancel()


async def until_behind(client: ClientConnection) -> None:
    while (await until(client, "session.stats"))["lag_s"] < LAG_S[FULL]:
        pass


HOSTILE: tuple[Attack, ...] = (
    endless_tracks,
    a_number_that_is_none,
    endless_words,
    pictures_that_cost_too_much,
    pictures_ahead_of_the_clock,
    messages_without_end,
    names_without_end,
    a_crowd_at_once,
)
