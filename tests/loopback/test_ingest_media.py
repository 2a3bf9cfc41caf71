"""Captions and pictures of a camera over a real /ingest socket, as a call platform sends them."""

import asyncio
import json
import struct
from pathlib import Path

import av
import cv2

from cberl.types import SAMPLE_RATE
from testing.live_engine import END, Message, demo, emotions, frames, rest, running, ws

SOUND = {"kind": "audio", "codec": "pcm_s16le", "sample_rate": SAMPLE_RATE, "channels": 1}
CAPTION = {"type": "caption", "track": "audio-1", "start_s": 0.8, "end_s": 3.2, "text": "Quite other words."}
BAD = [
    (json.dumps(CAPTION | {"end_s": 1e300}), "bad_media_time"),
    (json.dumps(CAPTION | {"track": "cam"}), "unknown_track"),
    (b"\x01\x03cam" + struct.pack("<d", 0.5) + b"\xff\xd8 no picture", "bad_payload"),
    (b"\x01\x03cam" + struct.pack("<d", 0.5), "bad_payload"),
    (b"\x01\x03cam" + struct.pack("<d", float("inf")) + b"\xff\xd8", "bad_media_time"),
]


def jpegs(film: Path) -> list[bytes]:
    """A real face, five pictures per second for four seconds."""
    with av.open(str(film)) as container:
        faces = [frame.to_ndarray(format="bgr24", width=640, height=360) for frame in container.decode(video=0)]
    pictures = [cv2.imencode(".jpg", face)[1].tobytes() for face in faces[:40:2]]
    return [b"\x01\x03cam" + struct.pack("<d", n / 5) + jpeg for n, jpeg in enumerate(pictures)]


def test_captions_and_video_are_used_and_bad_messages_between_are_ignored(shared: Path) -> None:
    tracks = [
        {"id": "audio-1", "speaker": "maya", "captions": True} | SOUND,
        {"id": "cam", "speaker": "maya", "kind": "video", "codec": "jpeg"},
    ]
    pictures = jpegs(shared / "data/faces/pyfeat_single_face.mp4")
    sound = frames(demo()[0, : round(3.8 * SAMPLE_RATE)])

    async def main() -> list[Message]:
        async with running() as (_, url), ws(url, "/ingest?conversation=demo") as client, asyncio.TaskGroup() as tasks:
            told = tasks.create_task(rest(client))
            await client.send(json.dumps({"type": "session.start", "tracks": tracks}))
            for message, _ in BAD:
                await client.send(message)
            for number, heard in enumerate(sound):
                if number % 2 == 0 and number // 2 < len(pictures):
                    await client.send(pictures[number // 2])
                await client.send(heard)
            await client.send(json.dumps(CAPTION))
            await client.send(END)
        return told.result()

    messages = asyncio.run(main())
    assert [it["code"] for it in messages if it["type"] == "error"] == [code for _, code in BAD]
    (final,) = emotions(messages)
    assert final["text"] == CAPTION["text"]
    assert final["modalities"]["visual"] > 0.1
    assert messages[-1]["type"] == "session.ended"
