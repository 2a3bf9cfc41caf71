"""Pictures are decoded in processes that are killed, not waited for, where a picture costs too much."""

import asyncio
import os
import signal

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.ingest.codecs import PayloadError, check_jpeg
from engine.ingest.picture import PictureError, decode_jpeg
from engine.ingest.picture_decoder import PictureDecoder, PictureTimeoutError
from testing.hostile_jpeg import JPEG, many_scans


def test_a_picture_is_decoded_as_in_this_process() -> None:
    async def main() -> None:
        async with PictureDecoder() as decode:
            np.testing.assert_array_equal(await decode(JPEG), decode_jpeg(JPEG))
            with pytest.raises(PictureError, match="not a JPEG"):
                await decode(b"\xff\xd8 no picture")
            assert decode.killed == 0

    asyncio.run(main())


def test_a_process_that_takes_too_long_is_killed_and_the_next_picture_is_decoded() -> None:
    slow = many_scans(5_000, side=4096)

    async def main() -> None:
        async with PictureDecoder(deadline_s=0.5) as decode:
            with pytest.raises(PictureTimeoutError):
                await decode(slow)
            assert decode.killed == 1
            assert (await decode(JPEG)).shape == (48, 64, 3)

    asyncio.run(main())


def test_one_client_with_many_pictures_leaves_a_process_for_others() -> None:
    slow = many_scans(90_000, side=4096)

    async def main() -> None:
        async with PictureDecoder(processes=2, deadline_s=3600.0) as decode:
            many = [asyncio.create_task(decode(slow, client=("a", f"token {number}"))) for number in range(3)]
            skipped = await asyncio.gather(*many[1:], return_exceptions=True)
            assert {str(it) for it in skipped} == {"Too many pictures came at once: this one was skipped."}
            assert (await decode(JPEG, client=("b", "token"))).shape == (48, 64, 3)
            assert not many[0].done()
        with pytest.raises(PictureTimeoutError):
            await many[0]

    asyncio.run(main())


def test_closing_does_not_wait_for_a_picture() -> None:
    async def main() -> None:
        async with PictureDecoder(deadline_s=3600.0) as decode:
            decoding = asyncio.create_task(decode(many_scans(90_000, side=4096)))
            while not any(process.decoding for process in decode._processes):  # noqa: ASYNC110 - in a thread
                await asyncio.sleep(0.01)
        with pytest.raises(PictureTimeoutError):
            await decoding

    asyncio.run(main())


def test_a_process_that_was_killed_or_stopped_is_replaced() -> None:
    async def main() -> None:
        async with PictureDecoder(processes=1, deadline_s=0.5) as decode:
            for number in (signal.SIGKILL, signal.SIGSTOP):
                await decode(JPEG)
                (process,) = decode._processes
                os.kill(process._process.pid or 0, number)
                with pytest.raises(PictureTimeoutError):
                    await decode(JPEG)
            assert (await decode(JPEG)).shape == (48, 64, 3)

    asyncio.run(main())


def test_what_costs_too_much_is_not_decoded_at_all() -> None:
    check_jpeg(JPEG)
    check_jpeg(cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes())
    with pytest.raises(PayloadError, match="at most 32 scans, not 29000"):
        check_jpeg(many_scans(29_000, side=64))
    with pytest.raises(PayloadError, match="pixels, not 65500 x 65500"):
        check_jpeg(many_scans(1, side=65_500))


@settings(max_examples=1000, deadline=None)
@given(st.binary(max_size=64), st.integers(0, len(JPEG)), st.integers(0, 8))
def test_no_picture_raises_anything_else(inserted: bytes, at: int, removed: int) -> None:
    payload = JPEG[:at] + inserted + JPEG[at + removed :]
    try:
        check_jpeg(payload)
        decode_jpeg(payload)
    except (PayloadError, PictureError):
        return
