"""Publishes a recording through /ingest and receives its events on the same socket, as any other client does."""

import asyncio
import json
import struct
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from dataclasses import replace

import numpy as np
import websockets

from cberl.types import SAMPLE_RATE
from engine.delivery.wire import decode
from engine.errors import EngineError
from engine.events import EmotionEvent, Error
from engine.loop_time import loop_time_s
from engine.media import AudioChunk

PACKET = SAMPLE_RATE // 50  # 20 ms of audio, as calls send it


class DemoError(EngineError):
    """The engine refused the demo, or the connection was lost."""


async def as_live(recording: AsyncIterable[AudioChunk]) -> AsyncIterator[AudioChunk]:
    """A recording as a call would send it: in packets of 20 ms, each when its last sample is spoken.

    `arrived_at` is the moment at which a packet was due, also where it is taken later.
    """
    packets = [
        AudioChunk(it.track, it.start_s + at / SAMPLE_RATE, it.pcm[at : at + PACKET])
        async for it in recording
        for at in range(0, len(it.pcm), PACKET)
    ]
    begun = loop_time_s()
    for packet in sorted(packets, key=lambda it: it.end_s):
        due = begun + packet.end_s
        await asyncio.sleep(max(0.0, due - loop_time_s()))
        yield replace(packet, arrived_at=due)


async def play(
    url: str,
    source: AsyncIterable[AudioChunk],
    speakers: list[str],
    show: Callable[[EmotionEvent], None],
    warn: Callable[[str], None],
    token: str | None = None,
) -> list[EmotionEvent]:
    """Sends all of `source` to `url` and calls `show` with every final event. Returns them.

    Calls `warn` where the engine reports an error that ends nothing, such as lost audio. Raises DemoError.
    """
    finals: list[EmotionEvent] = []
    try:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        connecting = websockets.connect(url, max_size=None, proxy=None, additional_headers=headers)
        async with connecting as socket, asyncio.TaskGroup() as tasks:
            tasks.create_task(_send(socket, source, speakers))
            async for text in socket:
                _, message = decode(text)
                if isinstance(message, Error) and not message.fatal:
                    warn(message.message)
                elif isinstance(message, Error):
                    raise DemoError(f"the engine reports {message.code}: {message.message}")
                elif isinstance(message, EmotionEvent) and message.status == "final":
                    finals.append(message)
                    show(message)
    except* websockets.ConnectionClosed as gone:
        raise DemoError("the engine closed the connection before the conversation was over") from gone
    return finals


async def _send(socket: websockets.ClientConnection, source: AsyncIterable[AudioChunk], speakers: list[str]) -> None:
    await socket.send(session_start(speakers))
    async for chunk in source:
        await socket.send(frame(chunk))
    await socket.send(json.dumps({"type": "session.end"}))


def session_start(speakers: Sequence[str], *, captions: bool = False) -> str:
    """Names the tracks audio-1, audio-2, …"""
    form = {"kind": "audio", "codec": "pcm_s16le", "sample_rate": SAMPLE_RATE, "channels": 1, "captions": captions}
    tracks = [{"id": f"audio-{n + 1}", "speaker": speaker} | form for n, speaker in enumerate(speakers)]
    return json.dumps({"type": "session.start", "tracks": tracks})


def frame(chunk: AudioChunk) -> bytes:
    """A binary message of /ingest with this audio as pcm_s16le."""
    return message(chunk.track.id, chunk.start_s, (np.clip(chunk.pcm, -1, 1) * 32767).astype("<i2").tobytes())


def message(track_id: str, media_s: float, payload: bytes) -> bytes:
    """A binary message of /ingest: header (version, track id, media time), then the payload."""
    track = track_id.encode()
    return struct.pack(f"<BB{len(track)}sd", 1, len(track), track, media_s) + payload
