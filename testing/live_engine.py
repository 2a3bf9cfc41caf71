"""What the loopback tests share: a server with real models on a free port, and publishers of the demo conversation."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest
from jsonschema import Draft202012Validator
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

import engine.demo
from cberl.types import SAMPLE_RATE, Float32
from engine.access.guard import Access
from engine.config import Settings
from engine.demo.play import frame
from engine.demo.score import read_script
from engine.media import AudioChunk, Track
from engine.server.app import create_app
from engine.server.serve import serve
from engine.server.supervisor import Supervisor, open_supervisor
from testing.bundled_whisper import require_whisper

DEMO = Path(engine.demo.__file__).parent
SCRIPT = read_script(DEMO / "conversation.json")
FIRST, SECOND = (0.0, 19.2), (19.2, 38.2)  # two stretches of the demo: turns 1 to 5 and 6 to 10
DEFAULTS = {"interim_ms": 0, "stats_s": 3600.0, "new_sockets_per_s": 1000.0}
OWN = {"id", "seq", "conversation", "utterance", "timings_ms", "lag_s"}  # may differ between two runs
END = json.dumps({"type": "session.end"})

Message = dict[str, Any]


@cache
def demo() -> Float32:
    """float32[2, n]: the demo conversation, one channel per speaker."""
    with av.open(str(DEMO / "conversation.flac")) as container:
        blocks = [block.to_ndarray() for block in container.decode(audio=0)]
    interleaved = np.concatenate(blocks, axis=1).reshape(-1, 2)  # (1, 2n) -> (n, 2)
    return interleaved.T.astype(np.float32) / 32_768


def frames(*tracks: Float32) -> list[bytes]:
    """Binary messages of a publisher: 0.1 s of each track in turn, from media time 0."""
    step = SAMPLE_RATE // 10
    return [
        frame(AudioChunk(Track(f"audio-{n + 1}", ""), at / SAMPLE_RATE, pcm[at : at + step]))
        for at in range(0, len(tracks[0]), step)
        for n, pcm in enumerate(tracks)
    ]


def stretch(start_s: float, end_s: float) -> list[bytes]:
    return frames(*demo()[:, round(start_s * SAMPLE_RATE) : round(end_s * SAMPLE_RATE)])


@asynccontextmanager
async def running(**flags: Any) -> AsyncIterator[tuple[Supervisor, str]]:
    """Yields (supervisor, URL) of a running server."""
    require_whisper()
    settings = Settings(port=0, whisper_model="tiny.en", **DEFAULTS | flags)
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with open_supervisor(settings) as supervisor, asyncio.TaskGroup() as tasks:
        server = tasks.create_task(
            serve(create_app(supervisor, settings, access=Access(None)), settings, url.set_result), name="the server"
        )
        try:
            yield supervisor, await url
        finally:
            server.cancel()


def ws(url: str, path: str, **options: Any) -> connect:
    return connect(url.replace("http", "ws", 1) + path, proxy=None, max_size=None, **options)


def start(*speakers: str) -> str:
    form = {"kind": "audio", "codec": "pcm_s16le", "sample_rate": SAMPLE_RATE, "channels": 1}
    tracks = [{"id": f"audio-{n + 1}", "speaker": name} | form for n, name in enumerate(speakers or SCRIPT.speakers)]
    return json.dumps({"type": "session.start", "tracks": tracks})


async def send(client: ClientConnection, media: list[bytes]) -> None:
    for one in media:
        await client.send(one)


async def publish(url: str, conversation: str, media: list[bytes]) -> list[Message]:
    """Send all media without pacing; return all messages received."""
    async with ws(url, f"/ingest?conversation={conversation}") as client, asyncio.TaskGroup() as tasks:
        heard = tasks.create_task(rest(client))
        await client.send(start())
        await send(client, media)
        await client.send(END)
    return heard.result()


async def rest(client: ClientConnection) -> list[Message]:
    """All messages until the socket closes."""
    messages: list[Message] = []
    try:
        while True:
            messages.append(json.loads(await client.recv()))
    except ConnectionClosed:
        return messages


async def until(client: ClientConnection, kind: str) -> Message:
    """The next message of this type. Messages before it are ignored."""
    while True:
        message: Message = json.loads(await client.recv())
        if message["type"] == kind:
            return message


def emotions(messages: list[Message]) -> list[Message]:
    return [message for message in messages if message["type"] == "emotion"]


def flat(message: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(message, dict):
        for key, value in message.items():
            yield from flat(value, f"{path}.{key}")
    elif isinstance(message, list):
        for place, value in enumerate(message):
            yield from flat(value, f"{path}.{place}")
    elif path.endswith(".utterance"):
        yield path, message.partition("/")[2]  # without the conversation
    else:
        yield path, message


def assert_same(events: list[Message], wanted: list[Message]) -> None:
    """Assert that events are equal except for the fields in OWN; floats to the last digit on the wire."""
    assert len(events) == len(wanted) > 0
    for event, other in zip(events, wanted, strict=True):
        assert event["utterance"].partition("/")[2] == other["utterance"].partition("/")[2]
        mine, theirs = ({key: it[key] for key in it.keys() - OWN} for it in (event, other))
        for (path, value), (other_path, other_value) in zip(sorted(flat(mine)), sorted(flat(theirs)), strict=True):
            assert path == other_path
            expected = pytest.approx(other_value, abs=1.01e-4) if isinstance(other_value, float) else other_value
            assert value == expected, path


@cache
def alone(part: tuple[float, float]) -> tuple[list[Message], list[Message]]:
    """(messages of the publisher, messages of a subscriber) for this part of the demo alone on a server; validated."""

    async def main() -> tuple[list[Message], list[Message]]:
        async with running(rejoin_grace_s=0) as (_, url), ws(url, "/events?conversation=alone") as watcher:
            sent = await publish(url, "alone", stretch(*part))
            seen: list[Message] = []
            while not seen or seen[-1]["type"] != "conversation.ended":
                seen.append(json.loads(await watcher.recv()))
            async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
                schema = (await http.get("/schema/events.json")).json()
        validator = Draft202012Validator(schema)
        for message in sent + seen:
            validator.validate(message)
        assert not validator.is_valid(sent[-1] | {"received_s": "long"})
        return sent, seen

    return asyncio.run(main())
