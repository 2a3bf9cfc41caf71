"""WebRTC video that is small to send and expensive to decode."""

import asyncio

from testing.hostile_video import FPS, HugePictures
from testing.live_engine import demo, until, ws
from testing.serving import Served, bystander
from testing.whip_client import Voice, publishing


def test_huge_pictures_are_not_decoded_and_their_sender_is_still_heard(server: Served) -> None:
    voice, pictures = Voice(demo()[0, : 16_000 * 5]), HugePictures()

    async def main() -> None:
        async with (
            bystander(server),
            ws(server.url, "/events?conversation=huge") as watcher,
            publishing(server.url, "huge", "mallory", voice, pictures) as published,
        ):
            final = await until(watcher, "emotion")
            await published.hang_up()
        assert final["speaker"] == "mallory"
        assert final["modalities"]["visual"] is None
        assert pictures.sent > FPS

    before_mb = server.resident_mb
    asyncio.run(main())
    assert server.resident_mb < before_mb + 200
    server.assert_calm()
