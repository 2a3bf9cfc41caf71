"""Audio and video published by WebRTC: the face is used while it is visible."""

import asyncio
from itertools import chain, cycle, islice, repeat
from pathlib import Path

import av
import numpy as np
import pytest

from cberl.types import SAMPLE_RATE, Float32
from testing.live_engine import Message, demo, running, until, ws
from testing.whip_client import Camera, Picture, Voice, plain, publishing


@pytest.fixture(scope="module")
def face(shared: Path) -> list[Picture]:
    """Two seconds of a real face."""
    with av.open(str(shared / "data/faces/pyfeat_single_face.mp4")) as container:
        pictures = [frame.to_ndarray(format="rgb24", width=640, height=360) for frame in container.decode(video=0)]
    return pictures[:60:3]


TURN_S, PAUSE_S = 3.7, 3.0  # the pause is long: a busy machine is late with pictures


def said(times: int) -> Float32:
    """Maya's first turn, this many times, with a pause after each."""
    turn = demo()[0, : round(TURN_S * SAMPLE_RATE)]
    return np.tile(np.pad(turn, (0, round(PAUSE_S * SAMPLE_RATE))), times)


@pytest.mark.timeout(300)
def test_a_face_is_used_while_it_is_visible_and_the_camera_may_be_turned_off(face: list[Picture]) -> None:
    """First the face, then a covered camera, which still sends, then no video while audio continues."""
    dark, one_turn = plain((0, 0, 0), 640, 360), round(10 * (TURN_S + PAUSE_S))
    pictures = chain(islice(cycle(face), round(10 * TURN_S)), repeat(dark, one_turn))

    async def main() -> list[Message]:
        async with running() as (supervisor, url), ws(url, "/events?conversation=demo") as watcher:
            assert supervisor.models.looks
            async with publishing(url, "demo", "maya", Voice(said(3)), Camera(pictures)) as published:
                finals = [await until(watcher, "emotion") for _ in range(3)]
                await published.hang_up()
        return finals

    seen, covered, off = asyncio.run(main())
    assert 0.1 < seen["modalities"]["visual"] <= 1
    assert covered["modalities"]["visual"] is None
    assert off["modalities"]["visual"] is None
    assert seen["text"] == covered["text"] == off["text"]
    assert seen["modalities"]["audio"] == covered["modalities"]["audio"] == off["modalities"]["audio"] == 1.0
    assert "describe_visual" in covered["timings_ms"]  # it was looked for
    assert "describe_visual" not in off["timings_ms"]  # nothing came that could be looked at
