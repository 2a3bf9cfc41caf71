"""Media beyond a client's rates waits, and none of it is lost."""

import asyncio
import json
import time

import numpy as np
import pytest

from testing.counting import END, MIC, frame, rest, running, start, until, ws
from testing.hostile_jpeg import JPEG

CAMERA = {"id": "cam", "speaker": "alice", "kind": "video", "codec": "jpeg"}
UNREAD = MIC | {"analyse": "none"}


def picture(at_s: float) -> bytes:
    return b"\x01\x03cam" + np.float64(at_s).tobytes() + JPEG


CAPTION = {"type": "caption", "track": "mic", "start_s": 0.0, "end_s": 0.1, "text": "Hello."}
FLOODS = [
    ({"media_mb_per_s": 0.3}, [UNREAD], [frame(1, seconds=0.5)] * 20),  # 16 KB, and as much for each
    ({"captions_per_s": 10.0}, [UNREAD], [json.dumps(CAPTION)] * 20),
    ({"pictures_per_s": 10.0}, [MIC, CAMERA], [picture(float(number)) for number in range(21)]),
]


@pytest.mark.parametrize(("limit", "tracks", "media"), FLOODS)
def test_a_client_that_sends_too_much_is_read_later_on_all_of_its_sockets(limit, tracks, media) -> None:  # type: ignore[no-untyped-def]
    async def main() -> float:
        async with running(max_sessions=1, **limit) as (_, url):
            began_s = time.monotonic()
            async with asyncio.TaskGroup() as both:
                for name in "ab":
                    both.create_task(send(url, name))
            return time.monotonic() - began_s

    async def send(url: str, name: str) -> None:
        half = media[: len(media) // 2] if name == "a" else media[len(media) // 2 :]
        async with ws(url, f"/ingest?conversation={name}") as client:
            await client.send(start(*tracks))
            await until(client, "session.started")
            for message in half:
                await client.send(message)
            await client.send(END)
            messages, code, _ = await rest(client)
        assert code == 1000
        assert [it for it in messages if it["type"] == "error"] == []

    assert asyncio.run(main()) >= 0.9  # one second's worth at once, and one more


def test_a_publisher_whose_tracks_may_not_be_analysed_keeps_its_socket() -> None:
    async def main() -> None:
        async with running(first_media_s=0.3) as (engine, url), ws(url, "/ingest?conversation=a") as client:
            await client.send(start(UNREAD))
            for number in range(8):
                await client.send(frame(5, at_s=0.1 * number, seconds=0.1))
                await asyncio.sleep(0.1)
            await client.send(END)
            messages, code, _ = await rest(client)
            assert (messages[-1]["type"], code, engine.heard_s) == ("session.ended", 1000, 0.0)

    asyncio.run(main())


def test_an_upload_that_is_slowed_down_loses_nothing() -> None:
    async def main() -> float:
        async with (
            running(max_sessions=1, media_mb_per_s=0.5) as (engine, url),
            ws(url, "/ingest?conversation=a") as client,
        ):
            await client.send(start())
            for at_s in range(30):
                await client.send(frame(5, at_s=float(at_s), seconds=1.0))
            await client.send(END)
            messages, _, _ = await rest(client)
            assert messages[-1]["dropped_chunks"] == 0
            return float(engine.heard_s)

    assert asyncio.run(main()) == pytest.approx(30.0, abs=0.01)
